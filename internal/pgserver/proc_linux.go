package pgserver

import (
	"os/exec"
	"runtime"
	"syscall"
)

// spawn starts a command that the kernel ends when this process dies. The
// channel is closed when the command has ended, and cmd.ProcessState set.
func spawn(cmd *exec.Cmd) (<-chan struct{}, error) {
	cmd.SysProcAttr.Pdeathsig = syscall.SIGQUIT
	started, exited := make(chan error), make(chan struct{})
	go func() {
		// The signal is sent at the end of the thread that started the
		// command, so this thread stays until the command has ended.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait()
			close(exited)
		}
	}()
	return exited, <-started
}

// ramDir returns a directory in memory with room for a server, or nothing.
func ramDir() string {
	const dir, room = "/dev/shm", 1 << 30
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil || fs.Bavail*uint64(fs.Bsize) < room {
		return ""
	}
	return dir
}
