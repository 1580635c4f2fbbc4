//go:build !linux

package main

import "testing"

// A terminal is a run of the command on a pseudo-terminal, on Linux only.
type terminal struct{ *process }

func onTerminal(t testing.TB, _ []string, _ int, _ ...string) *terminal {
	t.Helper()
	t.Skip("terminals are made on Linux only")
	return nil
}

func (*terminal) shown() string { return "" }
func (*terminal) expect(string) {}
func (*terminal) press(string)  {}

// giveAway is only needed for root, who cannot run PostgreSQL.
func giveAway(testing.TB, string, string) {}
