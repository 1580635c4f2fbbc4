package pgtest

import "testing"

var Unavailable = unavailable

// CloneAndDrop is a test's whole use of a database.
func CloneAndDrop(tb testing.TB, t *Template) {
	scope := &scopeTB{TB: tb}
	URL(scope, t)
	scope.cleanup()
}

type scopeTB struct {
	testing.TB
	cleanup func()
}

func (tb *scopeTB) Cleanup(f func()) { tb.cleanup = f }
