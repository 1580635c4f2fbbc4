package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/gwadmin/gwadmin/admin"
)

func jobsExportCommand(a *app) *cobra.Command {
	e := export{app: a, format: exportNDJSON, found: map[string]bool{}}
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write all jobs that match, with their payloads, as NDJSON or CSV",
		Long: `Write all jobs that match, with their payloads, as NDJSON or CSV.

The filters are those of jobs list. The jobs are in the order of their ids.
They are read and written a page at a time, and memory holds one page. Pages
are shorter if payloads are longer.

The export reads in many short statements: a long transaction would keep
PostgreSQL from vacuuming what the workers leave. It is no snapshot of one
moment. A job that exists and matches the whole time is in the export once, as
it was when its page was read. A job that is added, deleted or changed during
the export may be in it or not.

NDJSON has the fields of jobs list -o ndjson; jobs import reads it. CSV has a
header and the same columns. The payload and the flags are JSON in one column,
times are RFC 3339 in UTC, and run_at may be infinity or -infinity. Null is
empty, like the empty text, unless --null sets another text. Values are not
altered, even if a spreadsheet takes them for a formula.

With --to the file appears under its name when it is complete. Only its owner
may read it. A file that exists is replaced only with --overwrite.`,
		Example: `  gwadmin jobs export > jobs.ndjson
  gwadmin jobs export --state permafailed --task send_email --to failed.ndjson
  gwadmin jobs export -o csv --null '\N' --payload 1000 --to jobs.csv --overwrite`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if e.to == "" && cmd.Flags().Changed("to") { // from an unset variable
				return usage(errors.New("--to is empty: leave it out for standard output"))
			}
			if err := e.check(); err != nil {
				return err
			}
			ctx := cmd.Context()
			return a.withClient(ctx, func(client *admin.Client) error {
				filter, err := e.filter.filter(ctx, client)
				if err != nil {
					return err
				}
				return e.run(ctx, client, filter)
			})
		},
	}
	flags := cmd.Flags()
	e.filter.flags(flags)
	flags.Var(optionalInt(&e.payload), "payload", "leave out payloads of more bytes (default none; 0 leaves out all)")
	flags.VarP(&e.format, "output", "o", "ndjson or csv")
	flags.StringVar(&e.null, "null", "", "the text for null in CSV (default empty)")
	flags.StringSliceVar(&e.redact, "redact", nil, "fields of payloads to replace by "+redacted+", as in to,customer.email,*.token")
	redact := flags.Lookup("redact")
	redact.Value, redact.DefValue = filled{redact.Value, "none"}, ""
	flags.StringVar(&e.to, "to", "", "the file to write to, instead of standard output")
	flags.BoolVar(&e.overwrite, "overwrite", false, "replace the file if it exists")
	return cmd
}

// An exportFormat is the value of an export's --output.
type exportFormat string

const (
	exportNDJSON exportFormat = "ndjson"
	exportCSV    exportFormat = "csv"
)

func (f *exportFormat) String() string { return string(*f) }
func (f *exportFormat) Type() string   { return "format" }

func (f *exportFormat) names() []string { return []string{string(exportNDJSON), string(exportCSV)} }

func (f *exportFormat) Set(value string) error {
	if !slices.Contains(f.names(), value) {
		return fmt.Errorf("must be %s or %s", exportNDJSON, exportCSV)
	}
	*f = exportFormat(value)
	return nil
}

// An export is one run of the verb.
type export struct {
	*app
	filter    filterFlags
	format    exportFormat
	payload   *int
	null      string
	to        string
	overwrite bool
	redact    []string
	found     map[string]bool // those of redact that a payload has
}

// check refuses wrong flags, and a file that must not be written.
func (e *export) check() error {
	if err := checkRedact(e.redact); err != nil {
		return err
	}
	switch {
	case e.null != "" && e.format != exportCSV:
		return usage(errors.New("--null is for -o csv: NDJSON has null"))
	case e.overwrite && e.to == "":
		return usage(errors.New("--overwrite is for --to"))
	case e.payload != nil && (*e.payload < 0 || *e.payload > math.MaxInt32):
		return usage(fmt.Errorf("--payload %d is outside 0 to %d", *e.payload, math.MaxInt32))
	case e.to == "":
		return nil
	}
	info, err := os.Stat(e.to)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return refused(fmt.Sprintf("%s is no file", e.to))
	case !e.overwrite:
		return refused(fmt.Sprintf("%s exists: pass --overwrite to replace it", e.to))
	}
	// Replace the file that a link points to, and not the link.
	e.to, err = filepath.EvalSymlinks(e.to)
	return err
}

func (e *export) run(ctx context.Context, client *admin.Client, filter admin.Filter) error {
	if e.to == "" {
		n, err := e.write(ctx, client, filter, e.stdout)
		if err == nil {
			e.say("%s exported", plural(n, "job"))
			e.sayNotFound(n)
		}
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(e.to), "."+filepath.Base(e.to)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) // fails after the rename
	defer file.Close()
	n, err := e.write(ctx, client, filter, file)
	if err != nil {
		return err
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := e.check(); err != nil { // somebody may have created the file
		return err
	}
	if err := os.Rename(file.Name(), e.to); err != nil {
		return err
	}
	e.say("%s exported to %s", plural(n, "job"), e.to)
	e.sayNotFound(n)
	return nil
}

// sayNotFound names the fields that --redact has not found.
func (e *export) sayNotFound(jobs int) {
	for _, field := range e.redact {
		if jobs > 0 && !e.found[field] {
			e.say("--redact %s: no payload has this field", field)
		}
	}
}

// A page aims at pageBytes of payloads and never has more than twice as many. The first one
// is short, and each next one at most four times as long.
const (
	pageBytes = 8 << 20
	firstPage = 10
	mostPage  = 1000
)

// write writes the jobs, a page at a time, and counts them.
func (e *export) write(ctx context.Context, client *admin.Client, filter admin.Filter, to io.Writer) (n int, err error) {
	buffered := bufio.NewWriterSize(to, 64<<10)
	encode, err := e.encoder(buffered)
	if err != nil {
		return 0, err
	}
	bar := &bar{}
	if _, tty := terminalWidth(to); !tty { // there the jobs themselves are progress
		bar = e.bar(0, "exported")
	}
	defer bar.stop()
	longest := math.MaxInt32
	if e.payload != nil {
		longest = *e.payload
	}
	options := admin.ListOptions{PageSize: firstPage}
	for {
		options.PayloadBytes = min(longest, 2*pageBytes/options.PageSize)
		page, err := client.ListJobs(ctx, filter, &options)
		if err != nil {
			return n, err
		}
		bytes := 0
		for i := range page.Jobs {
			job := &page.Jobs[i]
			if size := job.PayloadBytes; size > options.PayloadBytes && size <= longest {
				if job, err = whole(ctx, client, filter, job.ID, longest); err != nil {
					return n, err
				}
				if job == nil {
					continue
				}
				bytes += size
			}
			if job.Payload, err = redact(job.Payload, e.redact, e.found); err != nil {
				return n, err
			}
			if err := encode(job); err != nil {
				return n, err
			}
			bytes += len(page.Jobs[i].Payload)
			n++
			bar.add(1)
		}
		// A reader of a pipe sees whole pages.
		if err := buffered.Flush(); err != nil {
			return n, err
		}
		if page.Next == "" {
			return n, nil
		}
		fits := pageBytes / (bytes/len(page.Jobs) + 1)
		options.Cursor, options.PageSize = page.Next, max(1, min(fits, 4*options.PageSize, mostPage))
	}
}

// whole reads a job again, with its payload. It returns nil if the job no longer matches.
func whole(ctx context.Context, client *admin.Client, filter admin.Filter, id int64, longest int) (*admin.ListedJob, error) {
	filter.IDs = []int64{id}
	page, err := client.ListJobs(ctx, filter, &admin.ListOptions{PageSize: 1, PayloadBytes: longest})
	if err != nil || len(page.Jobs) == 0 {
		return nil, err
	}
	return &page.Jobs[0], nil
}

// encoder returns the function that writes a job. It has written the header.
func (e *export) encoder(to *bufio.Writer) (encode func(*admin.ListedJob) error, err error) {
	if e.format == exportNDJSON {
		lines := newLineWriter(to)
		return func(job *admin.ListedJob) error { return lines.job(job, &job.Payload) }, nil
	}
	writer := csv.NewWriter(to) // which uses the buffer of to
	return func(job *admin.ListedJob) error { return writer.Write(e.record(job)) }, writer.Write(exportColumns)
}

// exportColumns are the header of a CSV: the fields of a job, in the order of its JSON.
var exportColumns = []string{
	"id", "task_identifier", "queue_name", "payload", "priority", "run_at", "attempts", "max_attempts", "last_error", "created_at", "updated_at",
	"key", "locked_at", "locked_by", "revision", "flags", "state", "payload_bytes", "queue_locked_at", "queue_locked_by",
}

// record is a job in the order of exportColumns.
func (e *export) record(job *admin.ListedJob) []string {
	text := func(s *string) string {
		if s == nil {
			return e.null
		}
		return *s
	}
	at := func(t *time.Time) string {
		if t == nil {
			return e.null
		}
		return t.UTC().Format(time.RFC3339Nano)
	}
	value := func(json []byte) string {
		if json == nil {
			return e.null
		}
		return string(json)
	}
	var flags []byte
	if job.Flags != nil {
		flags, _ = json.Marshal(job.Flags) // cannot fail
	}
	return []string{
		strconv.FormatInt(job.ID, 10), job.TaskIdentifier, text(job.QueueName), value(job.Payload), strconv.Itoa(job.Priority), job.RunAt.String(),
		strconv.Itoa(job.Attempts), strconv.Itoa(job.MaxAttempts), text(job.LastError), at(&job.CreatedAt), at(&job.UpdatedAt),
		text(job.Key), at(job.LockedAt), text(job.LockedBy), strconv.Itoa(job.Revision), value(flags), string(job.State), strconv.Itoa(job.PayloadBytes),
		at(job.QueueLockedAt), text(job.QueueLockedBy),
	}
}
