package pgserver

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/gwadmin/gwadmin/internal/cache"
	"github.com/gwadmin/gwadmin/internal/filelock"
)

const (
	dirPrefix = "gwadmin-pg-"

	// A socket's path may have 107 bytes on Linux and 103 elsewhere.
	maxSocketDir = 103 - len("/.s.PGSQL.5432")
)

// makeDir makes a server's directory, which only the server's user can enter.
// This process and all processes of the server hold the lock in it.
func makeDir(base string, who *account) (dir string, lock *os.File, err error) {
	if base, err = filepath.Abs(base); err != nil {
		return "", nil, err
	}
	if dir, err = os.MkdirTemp(base, dirPrefix); err != nil {
		return "", nil, err
	}
	if lock, err = filelock.Try(filepath.Join(dir, lockName)); err == nil {
		err = who.own(dir)
	}
	if err != nil {
		os.RemoveAll(dir)
	}
	return dir, lock, err
}

const lockName = "lock"

// sweep removes the directories below base whose lock nobody holds any more. A
// server removes its directory itself, unless everything is killed at once.
func sweep(base string) {
	locks, _ := filepath.Glob(filepath.Join(base, dirPrefix+"*", lockName))
	for _, name := range locks {
		if info, err := os.Lstat(name); err != nil || time.Since(info.ModTime()) < time.Minute {
			continue // its process may be about to lock it
		}
		if lock, err := filelock.TryExisting(name); err == nil {
			lock.Close()
			os.RemoveAll(filepath.Dir(name))
		}
	}
}

// defaultDir is the directory for servers that are given none.
func defaultDir() string {
	if ram := ramDir(); ram != "" {
		return ram
	}
	dir := os.TempDir()
	if hasSockets && len(dir) > maxSocketDir-len("/"+dirPrefix+"1234567890") {
		return "/tmp"
	}
	return dir
}

// initArgs are initdb's arguments; another list makes another cached cluster.
var initArgs = []string{"-U", "postgres", "-A", "trust", "--no-locale", "-E", "UTF8", "--no-sync"}

// freshCluster returns a data directory as initdb left it, to be copied. It is
// made once for each version and kept in the cache.
func freshCluster(ctx context.Context, inst Installation, who *account) (string, error) {
	base, err := cache.Dir()
	if err != nil {
		return "", err
	}
	key := sha256.Sum256(fmt.Append(nil, inst.Version, initArgs, who))
	number, _, _ := strings.Cut(inst.Version, " ")
	dir := filepath.Join(base, fmt.Sprintf("initdb-%s-%x", number, key[:6]))
	return filepath.Join(dir, "data"), cache.Make(ctx, dir, func(dir string) error {
		if err := who.own(dir); err != nil {
			return err
		}
		args := append([]string{"-D", filepath.Join(dir, "data")}, initArgs...)
		return runAs(who, exec.CommandContext(ctx, filepath.Join(inst.BinDir, "initdb"), args...), dir)
	})
}

// copyCluster makes a server's data directory. Its rules ask for the password
// over the network. At the socket, the directory's mode keeps other users out.
func copyCluster(from, to string) error {
	rules := "host all,replication all 127.0.0.1/32 scram-sha-256\n"
	if hasSockets {
		rules += "local all,replication all trust\n"
	}
	return errors.Join(
		os.CopyFS(to, os.DirFS(from)),
		os.WriteFile(filepath.Join(to, "pg_hba.conf"), []byte(rules), 0o600),
		os.Chmod(to, 0o700), // or the server refuses it
	)
}
