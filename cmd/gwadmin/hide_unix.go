//go:build unix

package main

import (
	"os"
	"strings"
	"syscall"
)

// urlHandover is how the command hands a connection string to itself.
const urlHandover = "GWADMIN_DATABASE_URL_HANDOVER"

// hideURL takes a connection string that may hold a password out of the process
// list, where every user of the machine could read it: the command runs itself
// again without the flag, under the same process id.
func hideURL() {
	var args []string
	var url string
	for i := 0; i < len(os.Args); i++ {
		arg := os.Args[i]
		if arg == "--" {
			args = append(args, os.Args[i:]...)
			break
		}
		text, given := strings.CutPrefix(arg, "--database-url=")
		if arg == "--database-url" && i+1 < len(os.Args) {
			i++
			text, given = os.Args[i], true
		}
		switch {
		case !given:
			args = append(args, arg)
		case text == "":
			return // for the flag to refuse
		default:
			url = text // the last one counts
		}
	}
	self, err := os.Executable()
	if url == "" || err != nil || os.Setenv(urlHandover, url) != nil {
		return
	}
	_ = syscall.Exec(self, args, os.Environ())
}
