//go:build unix

package pgserver

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

const (
	hasSockets       = true
	removedWhileOpen = true
)

// An account is the user that a server runs as; nil is the user of this process.
type account struct {
	name     string
	uid, gid int
}

// serverAccount picks the user for root, as whom PostgreSQL refuses to run.
func serverAccount() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.Atoi(u.Uid)
		if err != nil {
			return nil, err
		}
		gid, err := strconv.Atoi(u.Gid)
		return &account{name, uid, gid}, err
	}
	return nil, fmt.Errorf("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")
}

// run has the command run as the account, in a process group of its own: an
// interrupt at the terminal reaches this process, which then decides.
func (a *account) run(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if a != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
	}
}

// own gives the account a directory and all in it.
func (a *account) own(dir string) error {
	if a == nil {
		return nil
	}
	return filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(name, a.uid, a.gid)
	})
}

func (a *account) owns(info fs.FileInfo) bool {
	uid := os.Geteuid()
	if a != nil {
		uid = a.uid
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == uid
}

// inheritLocks keeps the directories locked for as long as a process of the
// server lives.
func inheritLocks(cmd *exec.Cmd, dirs ...*runDir) {
	for _, d := range dirs {
		cmd.ExtraFiles = append(cmd.ExtraFiles, d.lock)
	}
}

// quit asks for an immediate shutdown: the data is about to be removed.
func quit(p *os.Process) error { return p.Signal(syscall.SIGQUIT) }
