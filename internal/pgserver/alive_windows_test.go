package pgserver

import "os"

func alive(pid int) bool {
	p, err := os.FindProcess(pid) // which opens it here
	if err == nil {
		p.Release()
	}
	return err == nil
}
