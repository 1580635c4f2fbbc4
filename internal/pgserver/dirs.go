package pgserver

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/gwadmin/gwadmin/internal/pgserver/filelock"
)

const (
	runDirPrefix = "gwadmin-pg-"

	// A socket's path may have 107 bytes on Linux and 103 elsewhere,
	// "/.s.PGSQL.5432" included.
	maxSocketDir = 103 - len("/.s.PGSQL.5432")
)

// A runDir is the directory of one server, which only the server's user can
// enter. It is in use while this process, or any process of the server, holds
// the lock in it; a runDir that nobody has locked was left by a killed process.
type runDir struct {
	path string
	lock *os.File
}

// newRunDir makes the directory under another name, which sweep leaves alone,
// and renames it once it is locked.
func newRunDir(base string, who *account) (*runDir, error) {
	base, err := filepath.Abs(base)
	if err != nil {
		return nil, err
	}
	tmp, err := os.MkdirTemp(base, "gwadmin-new-")
	if err != nil {
		return nil, err
	}
	lock, err := filelock.Try(filepath.Join(tmp, "lock"))
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(tmp))
	}
	d := &runDir{strings.Replace(tmp, "gwadmin-new-", runDirPrefix, 1), lock}
	if err := errors.Join(who.own(tmp), os.Rename(tmp, d.path)); err != nil {
		lock.Close()
		return nil, errors.Join(err, os.RemoveAll(tmp))
	}
	return d, nil
}

func (d *runDir) remove() error {
	if removedWhileOpen {
		defer d.lock.Close()
	} else {
		d.lock.Close()
	}
	return os.RemoveAll(d.path)
}

// sweep removes the directories below base that no process uses any more.
func sweep(base string, who *account) {
	dirs, _ := filepath.Glob(filepath.Join(base, runDirPrefix+"*"))
	for _, dir := range dirs {
		if info, err := os.Lstat(dir); err != nil || !info.IsDir() || !who.owns(info) {
			continue
		}
		lock, err := filelock.TryExisting(filepath.Join(dir, "lock"))
		switch {
		case err == nil:
			(&runDir{dir, lock}).remove()
		case errors.Is(err, fs.ErrNotExist): // half removed
			os.RemoveAll(dir)
		}
	}
}

// shortTempDir is the temporary directory, or one whose name fits a socket.
func shortTempDir() string {
	dir := os.TempDir()
	if hasSockets && len(dir) > maxSocketDir-len("/"+runDirPrefix)-10 {
		return "/tmp"
	}
	return dir
}

// cacheDir returns the directory of what outlives a server: fetched packages
// and fresh clusters. Root's is where the server's user can read it.
func cacheDir() (string, error) {
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
	if os.Geteuid() == 0 { // whatever the umask
		return dir, os.Chmod(dir, 0o755)
	}
	return dir, nil
}

// emptyDir makes a directory, in place of what a killed process left there. Its
// caller holds the lock.
func emptyDir(dir string) (string, error) {
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	return dir, os.Mkdir(dir, 0o755)
}

// initArgs are initdb's arguments; another list makes another cached cluster.
var initArgs = []string{"-U", "postgres", "-A", "trust", "--no-locale", "-E", "UTF8", "--no-sync"}

// freshCluster returns a data directory as initdb left it, to be copied. It is
// made once for each version and kept in the cache.
func freshCluster(ctx context.Context, inst Installation, who *account) (string, error) {
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	key := sha256.Sum256(fmt.Append(nil, inst.Version, initArgs, who))
	number, _, _ := strings.Cut(inst.Version, " ")
	dir := filepath.Join(cache, fmt.Sprintf("initdb-%s-%x", number, key[:6]))
	exists := func() bool { _, err := os.Stat(filepath.Join(dir, "PG_VERSION")); return err == nil }
	if exists() {
		return dir, nil
	}
	lock, err := filelock.Lock(ctx, dir+".lock")
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if exists() {
		return dir, nil
	}
	tmp, err := emptyDir(dir + ".new")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	if err := who.own(tmp); err != nil {
		return "", err
	}
	data := filepath.Join(tmp, "data")
	cmd := exec.CommandContext(ctx, filepath.Join(inst.BinDir, "initdb"), append([]string{"-D", data}, initArgs...)...)
	if err := runAs(who, cmd, tmp); err != nil {
		return "", err
	}
	return dir, os.Rename(data, dir)
}

// copyCluster makes a server's data directory. Its rules ask for the password
// over the network; at the socket, the directory's mode keeps other users out.
func copyCluster(from, to string, who *account) error {
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		return err
	}
	rules := "host all,replication all 127.0.0.1/32 scram-sha-256\n"
	if hasSockets {
		rules += "local all,replication all trust\n"
	}
	if err := os.WriteFile(filepath.Join(to, "pg_hba.conf"), []byte(rules), 0o600); err != nil {
		return err
	}
	if err := os.Chmod(to, 0o700); err != nil { // or the server refuses it
		return err
	}
	return who.own(to)
}
