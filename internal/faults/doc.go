// Package faults is the fault suite: it breaks what a production system breaks, and
// checks that no job is lost, that no locked job is touched, and that no caller is told
// more than is known. It contains tests only.
//
// Each row of the suite is a test, in a file of its own. It starts its own PostgreSQL and
// prints its figure in one line that begins with "row:". The rows run one after the other.
//
// The short form runs with all other tests:
//
//	go test -v ./internal/faults
//
// The full form takes hours. The table of its last run is in docs/reliability.md:
//
//	make faults
//	make faults ROW=TestCrash
//
// Environment variables:
//
//	GWADMIN_FAULTS=full   the full form
//	GWADMIN_FAULTS_SEED   the seed of all random choices; a row prints the seed it uses
//	GWADMIN_PG_MAJOR      the major version of PostgreSQL, which is fetched where it is missing
//
// A seed repeats the choices of the clients. It cannot repeat how the server schedules
// them, so a failure may need several runs to come back.
package faults
