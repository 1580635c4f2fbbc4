//go:build unix

package pgtest_test

import (
	"syscall"
	"testing"
)

// terminate ends a supervisor whose server was kept.
func terminate(t *testing.T, pid int) {
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Errorf("end the kept server: %v", err)
	}
}
