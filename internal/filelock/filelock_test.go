package filelock_test

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"testing"
	"time"

	"github.com/gwadmin/gwadmin/internal/filelock"
)

func TestLock(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")

	if _, err := filelock.TryExisting(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("locking a missing file: %v, want fs.ErrNotExist", err)
	}
	held, err := filelock.Try(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := filelock.Try(path); !errors.Is(err, filelock.ErrLocked) {
		t.Errorf("locking it again: %v, want ErrLocked", err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if _, err := filelock.Lock(ctx, path); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting past the deadline: %v, want context.DeadlineExceeded", err)
	}

	time.AfterFunc(30*time.Millisecond, func() { held.Close() })
	next, err := filelock.Lock(t.Context(), path)
	if err != nil {
		t.Fatalf("lock after the release: %v", err)
	}
	next.Close()
}
