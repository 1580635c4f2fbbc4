//go:build !unix

package main

// urlHandover is how the command hands a connection string to itself, on Unix.
const urlHandover = "GWADMIN_DATABASE_URL_HANDOVER"

// hideURL does nothing: here a user's command lines are that user's own to read.
func hideURL() {}
