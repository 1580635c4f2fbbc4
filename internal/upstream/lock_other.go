//go:build !darwin && !linux

package upstream

// lockFile does nothing here: several processes may install at once, and the
// first to rename its directory into place wins.
func lockFile(string) (unlock func(), err error) { return func() {}, nil }
