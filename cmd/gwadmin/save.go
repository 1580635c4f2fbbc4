package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"

	"github.com/gwadmin/gwadmin/admin"
)

const saveHelp = `With --save FILE the jobs are first written to a file, as jobs export writes
them, and the file is synced before the deletion commits. A job that is deleted
is in the file. If the command fails in between, the file also has jobs that
were not deleted. A file that exists is refused, unless --append is given.`

// A saver writes jobs to the file of --save before they are deleted.
type saver struct {
	name   string
	append bool

	file *os.File
	jobs int64
}

func (s *saver) flags(flags *pflag.FlagSet) {
	flags.StringVar(&s.name, "save", "", "the file to write the jobs to before they are deleted")
	flags.BoolVar(&s.append, "append", false, "append to the file of --save if it exists")
}

// check refuses wrong usage and a file that exists.
func (s *saver) check() error {
	if s.name == "" {
		if s.append {
			return usage(errors.New("--append is for --save"))
		}
		return nil
	}
	info, err := os.Stat(s.name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return refused(fmt.Sprintf("%s is not a file", s.name))
	case !s.append:
		return refused(fmt.Sprintf("%s exists: pass --append to append to it", s.name))
	}
	return nil
}

// save returns the function that writes deleted jobs, or nil without --save.
func (s *saver) save(dryRun bool) func([]admin.Job) error {
	if s.name == "" || dryRun {
		return nil
	}
	return func(jobs []admin.Job) error {
		if len(jobs) == 0 {
			return nil
		}
		if err := s.write(jobs); err != nil {
			return fmt.Errorf("save the jobs: %w", err)
		}
		return nil
	}
}

func (s *saver) write(jobs []admin.Job) error {
	if s.file == nil {
		if err := s.open(); err != nil {
			return err
		}
	}
	size, err := s.file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if err := s.encode(jobs); err != nil {
		return errors.Join(err, s.file.Truncate(size)) // no half lines
	}
	s.jobs += int64(len(jobs))
	return nil
}

func (s *saver) encode(jobs []admin.Job) error {
	to := bufio.NewWriter(s.file)
	lines := newLineWriter(to)
	for i := range jobs {
		if err := lines.job(&jobs[i], &jobs[i].Payload); err != nil {
			return err
		}
	}
	if err := to.Flush(); err != nil {
		return err
	}
	return s.file.Sync()
}

// open opens the file. Only its owner may read a new one.
func (s *saver) open() (err error) {
	s.file, err = os.OpenFile(s.name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		dir, err := os.Open(filepath.Dir(s.name))
		if err != nil {
			return err
		}
		defer dir.Close()
		_ = dir.Sync() // not every file system can
		return nil
	}
	if !s.append || !errors.Is(err, fs.ErrExist) {
		return err
	}
	if s.file, err = os.OpenFile(s.name, os.O_RDWR|os.O_APPEND, 0); err != nil {
		return err
	}
	end, err := s.file.Seek(0, io.SeekEnd)
	if err != nil || end == 0 {
		return err
	}
	last := make([]byte, 1)
	if _, err := s.file.ReadAt(last, end-1); err != nil {
		return err
	}
	if last[0] != '\n' {
		return fmt.Errorf("the last line of %s has no end: it was cut off", s.name)
	}
	return nil
}

// close closes the file and says how many jobs are in it.
func (s *saver) close(a *app) {
	if s.file == nil {
		return
	}
	s.file.Close()
	if s.jobs == 0 {
		return
	}
	a.say("%s saved to %s", plural(s.jobs, "job"), s.name)
}
