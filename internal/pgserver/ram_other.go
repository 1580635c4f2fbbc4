//go:build !linux

package pgserver

func ramDir() string { return "" }
