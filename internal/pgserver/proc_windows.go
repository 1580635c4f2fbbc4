package pgserver

import (
	"os"
	"os/exec"
	"sync"
	"syscall"
	"unsafe"
)

const hasSockets = false

// An account is the user that a server runs as: on Windows, always this one's.
type account struct{}

func serverAccount() (*account, error) { return nil, nil }
func (*account) run(*exec.Cmd)         {}
func (*account) own(string) error      { return nil }

// A process runs a server.
type process struct {
	process *os.Process
	exited  <-chan struct{} // closed when the server has ended
}

func (p *process) end()    { p.process.Kill() }
func (p *process) detach() {}

// launch runs a command line as a server, which the system ends when this
// process dies. This process holds the lock.
func launch(_ *account, dir string, _, log *os.File, args []string) (*process, error) {
	job, err := killJob()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Env = dir, serverEnv()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	exited := make(chan struct{})
	go func() {
		cmd.Wait()
		close(exited)
	}()
	p := &process{cmd.Process, exited}
	if err := assign(job, cmd.Process.Pid); err != nil {
		p.end()
		<-exited
		return nil, err
	}
	return p, nil
}

var (
	kernel32                 = syscall.NewLazyDLL("kernel32.dll")
	createJobObject          = kernel32.NewProc("CreateJobObjectW")
	setInformationJobObject  = kernel32.NewProc("SetInformationJobObject")
	assignProcessToJobObject = kernel32.NewProc("AssignProcessToJobObject")
)

// killJob returns the job object whose only handle this process holds, so that
// its end ends every process in it.
var killJob = sync.OnceValues(func() (syscall.Handle, error) {
	const extendedLimitInformation, killOnJobClose = 9, 0x2000
	var limits struct { // JOBOBJECT_EXTENDED_LIMIT_INFORMATION
		_     [2]int64
		flags uint32
		_     [2]uintptr
		_     uint32
		_     uintptr
		_     [2]uint32
		_     [6]uint64
		_     [4]uintptr
	}
	limits.flags = killOnJobClose
	job, _, err := createJobObject.Call(0, 0)
	if job == 0 {
		return 0, os.NewSyscallError("CreateJobObject", err)
	}
	ok, _, err := setInformationJobObject.Call(job, extendedLimitInformation,
		uintptr(unsafe.Pointer(&limits)), unsafe.Sizeof(limits))
	if ok == 0 {
		return 0, os.NewSyscallError("SetInformationJobObject", err)
	}
	return syscall.Handle(job), nil
})

func assign(job syscall.Handle, pid int) error {
	const setQuotaAndTerminate = 0x0101
	process, err := syscall.OpenProcess(setQuotaAndTerminate, false, uint32(pid))
	if err != nil {
		return os.NewSyscallError("OpenProcess", err)
	}
	defer syscall.CloseHandle(process)
	if ok, _, err := assignProcessToJobObject.Call(uintptr(job), uintptr(process)); ok == 0 {
		return os.NewSyscallError("AssignProcessToJobObject", err)
	}
	return nil
}
