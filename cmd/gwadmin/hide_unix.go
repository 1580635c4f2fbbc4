//go:build unix

package main

import (
	"os"
	"slices"
	"strings"
	"syscall"
)

// urlHandover is how the command hands a connection string to itself.
const urlHandover = "GWADMIN_DATABASE_URL_HANDOVER"

// hideURL takes a connection string that may hold a password out of the process
// list, where every user of the machine could read it: the command runs itself
// again without the flag, under the same process id.
func hideURL() {
	args := slices.Clone(os.Args)
	for i := 1; i < len(args) && args[i] != "--"; i++ {
		url, joined := strings.CutPrefix(args[i], "--database-url=")
		next := i + 1
		if !joined {
			if args[i] != "--database-url" || next == len(args) {
				continue
			}
			url = args[next]
			next++
		}
		if url == "" {
			return // for the flags to refuse
		}
		self, err := os.Executable()
		if err != nil {
			return
		}
		args = slices.Delete(args, i, next)
		_ = syscall.Exec(self, args, append(os.Environ(), urlHandover+"="+url))
		return
	}
}
