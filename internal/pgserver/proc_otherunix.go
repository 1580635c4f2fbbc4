//go:build unix && !linux

package pgserver

import (
	"os/exec"
	"strconv"
	"syscall"
)

// watchdog ends a process once its own input ends, which it does when the
// process at the other end of the pipe dies.
const watchdog = `cat >/dev/null; kill -QUIT "$1"`

// spawn starts a command that a watchdog ends when this process dies. The
// channel is closed when the command has ended, and cmd.ProcessState set.
func spawn(cmd *exec.Cmd) (<-chan struct{}, error) {
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	dog := exec.Command("/bin/sh", "-c", watchdog, "sh", strconv.Itoa(cmd.Process.Pid))
	dog.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	leash, err := dog.StdinPipe()
	if err == nil {
		err = dog.Start()
	}
	if err != nil {
		cmd.Process.Kill()
		cmd.Wait()
		return nil, err
	}
	exited := make(chan struct{})
	go func() {
		cmd.Wait()
		dog.Process.Kill() // before the leash breaks: the pid may be another's by now
		dog.Wait()
		leash.Close()
		close(exited)
	}()
	return exited, nil
}

func ramDir() string { return "" }
