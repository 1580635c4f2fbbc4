//go:build unix

package pgserver

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

const hasSockets = true

// keeper is the shell script that runs a server. Its input is a pipe from this
// process. The end of the input, also by the death of this process, ends the
// server at once. A line of input lets the server run on. After the server's
// end the script removes its directory, unless there is a file keepName in it.
//
// The signal is repeated: a server that has just been started ignores it.
const keeper = `
exec 4<&0 </dev/null
"$@" 4<&- &
server=$!
(read -r _ <&4 || while kill -QUIT $server; do sleep 1; done) 2>/dev/null &
watch=$!
wait $server
kill $watch
[ -e "$0/` + keepName + `" ] || rm -rf "$0"`

// A process runs a server.
type process struct {
	input  io.WriteCloser
	exited <-chan struct{} // closed when the server has ended and its directory is removed
}

func (p *process) end()    { p.input.Close() }
func (p *process) detach() { io.WriteString(p.input, "\n") }

// launch runs a command line as a server, which holds the lock.
func launch(who *account, dir string, lock, log *os.File, args []string) (*process, error) {
	cmd := exec.Command("/bin/sh", append([]string{"-c", keeper, dir}, args...)...)
	cmd.Dir, cmd.Env = dir, serverEnv()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{lock}
	who.run(cmd)
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	exited := make(chan struct{})
	go func() {
		cmd.Wait()
		close(exited)
	}()
	return &process{input, exited}, nil
}

// An account is the user that a server runs as; nil is the user of this process.
type account struct{ uid, gid int }

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
		return &account{uid, gid}, err
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
