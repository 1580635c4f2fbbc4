// Package cache keeps on disk what is slow to make or to fetch: npm packages,
// and empty database clusters. All processes of a user share it.
package cache

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/gwadmin/gwadmin/internal/filelock"
)

// Dir returns the cache's directory, which it creates. Root's is one that other
// users can read: PostgreSQL does not run as root.
func Dir() (string, error) {
	dir := "/var/cache"
	if os.Geteuid() != 0 {
		var err error
		if dir, err = os.UserCacheDir(); err != nil {
			return "", fmt.Errorf("find the cache directory: %w", err)
		}
	}
	dir = filepath.Join(dir, "gwadmin")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	if os.Geteuid() == 0 {
		return dir, os.Chmod(dir, 0o755) // whatever the umask
	}
	return dir, nil
}

// Make fills a directory, unless it exists. The fill function gets an empty
// directory beside it, which is renamed when fill succeeds. Of many processes
// that call Make at once, one fills the directory and the others wait.
func Make(ctx context.Context, dir string, fill func(dir string) error) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	lock, err := filelock.Lock(ctx, dir+".lock")
	if err != nil {
		return err
	}
	defer lock.Close()
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	tmp := dir + ".new"
	if err := os.RemoveAll(tmp); err != nil { // left by a killed process
		return err
	}
	defer os.RemoveAll(tmp)
	if err := os.Mkdir(tmp, 0o755); err != nil {
		return err
	}
	if err := fill(tmp); err != nil {
		return err
	}
	return os.Rename(tmp, dir)
}

// ErrNoNPM means that npm is not on the PATH.
var ErrNoNPM = errors.New("npm is not installed")

// NPM installs the packages of a package-lock.json into dir. npm compares each
// package with the digest in the lock file. If there is no lock file, it is nil, and npm
// chooses the newest packages that fit. Scripts of the packages do not run.
func NPM(ctx context.Context, dir string, manifest, lock []byte) error {
	npm, err := exec.LookPath("npm")
	if err != nil {
		return ErrNoNPM
	}
	verb, written := "install", map[string][]byte{"package.json": manifest}
	if lock != nil {
		verb, written["package-lock.json"] = "ci", lock
	}
	for name, content := range written {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, npm, verb, "--ignore-scripts", "--no-audit", "--no-fund", "--engine-strict=false")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("npm %s: %w\n%s", verb, err, out)
	}
	return nil
}
