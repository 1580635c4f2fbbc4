package main

// The team's copy of the queue's schema, the code of its queries, and the types of its
// payloads. There is a test for each that fails when it is stale. With gwadmin and sqlc
// among your go tools, the first two are go tool gwadmin schema and go tool sqlc generate.
//
//go:generate sh -c "go run -C ../.. ./cmd/gwadmin schema > graphile_worker.sql"
//go:generate go tool -modfile=../../internal/tools/go.mod sqlc generate
//go:generate go run ./tasks/generate
