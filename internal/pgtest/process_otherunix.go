//go:build unix && !linux

package pgtest

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// startTime tells two processes apart that had the same id one after the other.
func startTime(pid int) (string, error) {
	out := ps(pid, "state=,lstart=")
	if out == "" || out[0] == 'Z' {
		return "", errors.New("process has ended")
	}
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, out), nil
}

func commandName(pid int) string { return filepath.Base(ps(pid, "comm=")) }

func ps(pid int, columns string) string {
	out, _ := exec.Command("ps", "-o", columns, "-p", strconv.Itoa(pid)).Output()
	return strings.TrimSpace(string(out))
}
