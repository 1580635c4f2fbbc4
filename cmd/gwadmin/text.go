package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/gwadmin/gwadmin/admin"
)

// A sink is standard output. It remembers the first error of a write.
type sink struct {
	io.Writer
	err     error
	printed bool
}

func (s *sink) Write(text []byte) (int, error) {
	n, err := s.Writer.Write(text)
	s.printed = true
	if s.err == nil {
		s.err = err
	}
	return n, err
}

// visible escapes control characters as Go does, such as \x1b and \n.
func visible(text string) string {
	steers := func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }
	if strings.IndexFunc(text, steers) < 0 {
		return text
	}
	var shown strings.Builder
	for _, r := range text {
		if steers(r) {
			shown.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		} else {
			shown.WriteRune(r)
		}
	}
	return shown.String()
}

// visibleLines is like visible, but keeps line ends, and replaces tabs by two spaces.
func visibleLines(text string) string {
	lines := strings.Split(strings.ReplaceAll(text, "\t", "  "), "\n")
	for i, line := range lines {
		lines[i] = visible(line)
	}
	return strings.Join(lines, "\n")
}

// plural counts things: "1 job", "2 jobs".
func plural[N int | int64](n N, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// inputNames are the flags and arguments for the fields in errors of package admin. A key
// may begin with the call, or with "filter".
var inputNames = map[string]string{
	"task_identifier": "TASK", "payload": "PAYLOAD", "queue_name": "--queue", "job_key": "--key", "job_key_mode": "--key-mode", "flags": "--flag",
	"run_at": "--run-at", "priority": "--priority", "attempts": "--attempts", "max_attempts": "--max-attempts", "reason": "--reason",
	"tasks": "--tasks", "keep_tasks": "--keep", "error_shapes": "--errors", "sample_pages": "--sample-pages", "worker_ids": "WORKER-ID",
	"remove job job_key": "KEY", "pause queue queue_name": "QUEUE", "resume queue queue_name": "QUEUE", "actor": "--by", "declared": "--declared",

	"states": "--state", "task_identifiers": "--task", "queue_names": "--queue", "keys": "--key", "key_prefix": "--key-prefix",
	"error_text": "--error", "payload_contains": "--payload-contains", "payload_path": "--payload-path",
	"payload_path or payload_contains": "--payload-path or --payload-contains",
	"filter worker_ids":                "--worker", "filter priority": "--priority-from, --priority-to:", "filter attempts": "--attempts-from, --attempts-to:",
	"filter run_at": "--run-after, --run-before:", "filter on_hold": "--on-hold", "created_at": "--created-after, --created-before:",
	"updated_at": "--updated-after, --updated-before:", "locked_at": "--locked-after, --locked-before:",
	"sort": "--sort", "page_size": "--limit", "payload_bytes": "--payload", "cursor": "--cursor",
	"filter": "the filter", "all": "--all", "limit": "--limit", "batch_size": "--batch", "pause": "--pause", "sample": "--sample",
}

// inputProblems replaces advice for Go programs.
var inputProblems = strings.NewReplacer(
	": leave it nil for none", ": leave it out for none",
	": set All if that is meant", ": give --all if that is meant",
	": take it from Page.Next as it is", ": give it as it was printed",
	"needs the task", "needs --tasks",
	": use ResumeQueue", ": use gwadmin queues resume",
	": use ReleaseJobs", ": use gwadmin jobs release",
	"would change: leave it nil", "would change: leave it out",
)

// describe is the text of an error, with flags in place of Go's fields.
func describe(err error) string {
	text := err.Error()
	if invalid, ok := errors.AsType[*admin.InvalidError](err); ok {
		said := &admin.InvalidError{Call: invalid.Call}
		for _, fault := range invalid.Faults {
			field, _, _ := strings.Cut(fault.Field, "[") // of worker_ids[0]
			field, filtered := strings.CutPrefix(field, "filter ")
			of := invalid.Call
			if filtered || of == "list jobs" {
				of = "filter"
			}
			fault.Field = cmp.Or(inputNames[of+" "+field], inputNames[field], fault.Field)
			fault.Problem = inputProblems.Replace(fault.Problem)
			said.Faults = append(said.Faults, fault)
		}
		text = strings.Replace(text, invalid.Error(), said.Error(), 1)
	}
	_, connecting := errors.AsType[*pgconn.ConnectError](err)
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok && connecting && pgErr.Code == "42704" {
		text += "\nPostgreSQL does not know this parameter: remove it from the connection string"
	}
	if unknown := unknownOf(err); unknown != nil {
		text = strings.Replace(text, ": look before you repeat the call", "", 1) + "\n" + lookFor(unknown)
	}
	return visibleLines(text)
}
