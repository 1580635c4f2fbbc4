// Package filelock locks files between processes. The system releases a lock when the
// last process that has inherited the open file ends.
package filelock

import (
	"context"
	"errors"
	"os"
	"time"
)

// ErrLocked means that another holder has the lock.
var ErrLocked = errors.New("file is locked")

// Try creates the file if it is missing and locks it, or returns [ErrLocked]. Closing
// the file releases the lock. The lock also excludes other calls in this process.
func Try(path string) (*os.File, error) {
	return open(path, os.O_CREATE)
}

// TryExisting is [Try] for a file that must exist.
func TryExisting(path string) (*os.File, error) {
	return open(path, 0)
}

// Lock is [Try], repeated until the lock is free or the context ends.
func Lock(ctx context.Context, path string) (*os.File, error) {
	for {
		f, err := Try(path)
		if !errors.Is(err, ErrLocked) {
			return f, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func open(path string, flag int) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|flag, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lock(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
