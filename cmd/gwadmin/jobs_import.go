package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/dryrun"
	"github.com/gwadmin/gwadmin/internal/jsontext"
)

func jobsImportCommand(a *app) *cobra.Command {
	var c consent
	i := jobImport{app: a, file: "-"}
	cmd := &cobra.Command{
		Use:   "import [FILE]",
		Short: "Add the jobs of a file that jobs export has written",
		Long: `Add the jobs of a file that jobs export has written.

The file has a JSON object on each line, with the fields of jobs export. "-",
or no FILE, is standard input. Every line needs task_identifier and payload.
queue_name, priority, run_at, max_attempts, key and flags have the defaults of
jobs add.

The SQL function add_jobs adds the jobs. It cannot set everything: the jobs get
new ids, and no attempts, last error, lock or hold. A job that was running or
had used up its attempts will run, and one on hold never will. The command says how many lines had such values.
It ignores state, revision, payload_bytes, created_at, updated_at and the locks
of queues.

A line without a key always adds a job: importing a file twice adds its jobs
twice. A line with the key of an existing job updates that job, as jobs add
does.

Lines are sent in batches of up to 1000, each a transaction. If a line is
wrong, nothing of its batch is sent, and the command says with which line to go
on. Ctrl-C ends it after a batch. On a terminal it first makes a dry run of the
whole file, and asks. A dry run adds each batch in a transaction that it rolls
back.`,
		Example: `  gwadmin jobs import jobs.ndjson --dry-run
  gwadmin jobs export --state permafailed | gwadmin jobs import - --database-url "$OTHER" --yes
  gwadmin jobs import jobs.ndjson --rekey prod:=staging: --dry-run
  zcat jobs.ndjson.gz | gwadmin jobs import --yes`,
		Args: takes(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) == 1:
				i.file = args[0]
			case !isPiped(a.stdin):
				return usage(errors.New("nothing to import: give a FILE, or - for standard input"))
			}
			if err := checkRekey(i.rekey); err != nil {
				return err
			}
			if err := i.check(); err != nil {
				return err
			}
			if err := c.need(a); err != nil {
				return err
			}
			asks := !c.dryRun && !c.yes
			if asks && i.size == 0 {
				return refused("this input cannot be read twice, for a preview and for the import: pass --yes, or --dry-run")
			}
			ctx := cmd.Context()
			return a.withPool(ctx, func(pool *pgxpool.Pool) error {
				// A batch has the grace, and so its COMMIT needs none.
				i.client = admin.New(pool, admin.WithSchema(a.schema), admin.WithCommitGrace(0))
				if asks {
					preview, err := i.run(ctx, true)
					if err != nil {
						return err
					}
					a.say("%s", preview.sentence())
					if err := c.ask(a, "Go on?"); err != nil {
						return err
					}
				}
				result, err := i.run(ctx, c.dryRun)
				if err != nil && result.Lines == 0 {
					return err
				}
				result.OutcomeUnknown = unknownOf(err)
				printErr := a.print(result)
				a.say("%s", result.sentence())
				return errors.Join(err, printErr)
			})
		},
	}
	cmd.Flags().BoolVar(&i.options.PreserveRunAt, "preserve-run-at", false, "keep the run_at of existing jobs that have a line's key and were not attempted")
	cmd.Flags().StringArrayVar(&i.rekey, "rekey", nil, "OLD=NEW: keys that begin with OLD begin with NEW instead; can be repeated")
	c.flags(cmd)
	return cmd
}

// A jobImport is one run of the verb.
type jobImport struct {
	*app
	file    string // "-" is standard input
	size    int64  // of a regular file; 0 for anything else, which cannot be read twice
	client  *admin.Client
	options admin.AddJobsOptions
	rekey   []string
}

// check refuses a file that does not exist or is a directory.
func (i *jobImport) check() error {
	if i.file == "-" {
		return nil
	}
	info, err := os.Stat(i.file)
	switch {
	case err != nil:
		return err
	case info.IsDir():
		return usage(fmt.Errorf("%s is a directory", i.file))
	case info.Mode().IsRegular():
		i.size = info.Size()
	}
	return nil
}

// The most lines and bytes of a batch. It has at least one line.
const (
	importLines = 1000
	importBytes = 4 << 20
)

// imported prints what an import did.
type imported struct {
	DryRun  bool  `json:"dry_run"`
	Lines   int64 `json:"lines"`
	Added   int64 `json:"added"`
	Updated int64 `json:"updated"`
	// Reset is how many lines had values that add_jobs cannot set.
	Reset struct {
		Attempts  int64 `json:"attempts"`
		LastError int64 `json:"last_error"`
		Locks     int64 `json:"locks"`
		Holds     int64 `json:"holds"`
	} `json:"reset"`
	OutcomeUnknown *unknownOutcome `json:"outcome_unknown,omitempty"`
}

func (r *imported) lines() []any { return []any{r} }

func (r *imported) tables(*app) []table.Writer { return nil } // sentence says it

func (r *imported) sentence() string {
	text := fmt.Sprintf("%d %s, %d %s", r.Added, outcome(r.DryRun, "added"), r.Updated, outcome(r.DryRun, "updated"))
	var reset []string
	for _, part := range []struct {
		lines int64
		what  string
	}{{r.Reset.Attempts, "attempts"}, {r.Reset.LastError, "a last error"}, {r.Reset.Locks, "a lock"}, {r.Reset.Holds, "a hold"}} {
		if part.lines > 0 {
			reset = append(reset, fmt.Sprintf("%d had %s", part.lines, part.what))
		}
	}
	if len(reset) > 0 {
		text += "; not imported: " + strings.Join(reset, ", ")
	}
	return text
}

// count adds the result of a batch.
func (r *imported) count(batch *importBatch, jobs []admin.Job) {
	r.Lines += int64(len(batch.jobs))
	for _, job := range jobs {
		if job.Revision == 0 {
			r.Added++
		} else {
			r.Updated++
		}
	}
	for _, job := range batch.jobs {
		if job.Attempts > 0 {
			r.Reset.Attempts++
		}
		if job.LastError != nil {
			r.Reset.LastError++
		}
		if job.LockedAt != nil {
			r.Reset.Locks++
		}
		if job.Hold != nil {
			r.Reset.Holds++
		}
	}
}

// run reads the file and sends it, a batch at a time. Its result comes with the error, and
// says what was done before it.
func (i *jobImport) run(ctx context.Context, dryRun bool) (*imported, error) {
	total := &imported{DryRun: dryRun}
	in := io.NopCloser(i.stdin)
	if i.file != "-" {
		var err error
		if in, err = os.Open(i.file); err != nil {
			return total, err
		}
	}
	defer in.Close()
	from := bufio.NewReaderSize(in, 64<<10)
	bar := i.byteBar(i.size, outcome(dryRun, "imported"))
	defer bar.stop()

	var batch importBatch
	next := int64(1) // the first line that is not sent
	stop := func(err error) (*imported, error) {
		return total, stoppedImport(ctx, err, dryRun, next, batch.numbers)
	}
	send := func() error {
		if len(batch.jobs) == 0 {
			return nil
		}
		carried, done := i.carryThrough(ctx)
		jobs, err := i.send(carried, &batch, dryRun)
		done()
		if err != nil {
			return err
		}
		total.count(&batch, jobs)
		next = batch.numbers[len(batch.numbers)-1] + 1
		bar.add(batch.bytes)
		batch = importBatch{}
		return ctx.Err()
	}
	for n := int64(1); ; n++ {
		var text []byte
		err := i.read(func() (err error) {
			text, err = from.ReadBytes('\n')
			return err
		})
		ended := errors.Is(err, io.EOF)
		if err != nil && !ended {
			return stop(err)
		}
		if len(bytes.TrimSpace(text)) > 0 {
			job, err := parseImportedJob(text)
			if err == nil && job.Key != nil {
				*job.Key = rekeyed(*job.Key, i.rekey)
			}
			if err != nil {
				return stop(usage(fmt.Errorf("line %d: %w", n, err)))
			}
			if !batch.takes(job, len(text)) {
				if err := send(); err != nil {
					return stop(err)
				}
			}
			batch.add(n, job, len(text))
		}
		if ended {
			if err := send(); err != nil {
				return stop(err)
			}
			return total, nil
		}
	}
}

// send adds the jobs of a batch; in a dry run it rolls back.
func (i *jobImport) send(ctx context.Context, batch *importBatch, dryRun bool) (jobs []admin.Job, err error) {
	add := func(client *admin.Client) (err error) {
		jobs, err = client.AddJobs(ctx, batch.specs(), &i.options)
		return err
	}
	if dryRun {
		err = dryrun.RolledBack(ctx, i.client, add)
	} else {
		err = add(i.client)
	}
	if invalid, ok := errors.AsType[*admin.InvalidError](err); ok {
		err = usage(batch.explain(invalid))
	}
	return jobs, err
}

// stoppedImport says how far an import came. The batch has the lines that were sent last.
func stoppedImport(ctx context.Context, err error, dryRun bool, next int64, batch []int64) error {
	switch code := exitCode(err); {
	case code == exitUnknown:
		last := batch[len(batch)-1]
		return fmt.Errorf("stopped: the lines before %d are imported; all or none of %d to %d are: look, and go on with line %d or %d: %w", next, next, last, next, last+1, err)
	case ctx.Err() != nil && next == 1:
		return errInterrupted
	case ctx.Err() != nil:
		return &statusError{exitInterrupted, fmt.Errorf("interrupted: the lines before %d are imported: go on with line %d", next, next)}
	case dryRun || next == 1:
		return err
	case code == exitUsage: // a wrong line, and others were sent before
		return &statusError{exitError, fmt.Errorf("%w; the lines before %d are imported: go on with line %d", err, next, next)}
	default:
		return &statusError{code, fmt.Errorf("stopped: the lines before %d are imported: go on with line %d: %w", next, next, err)}
	}
}

// An importedJob is a line of an import. It has the fields of jobs export. Some are pointers,
// to distinguish absent from zero.
type importedJob struct {
	admin.ListedJob

	PayloadBytes *int         `json:"payload_bytes"`
	RunAt        *admin.RunAt `json:"run_at"`
	Priority     *int         `json:"priority"`
	MaxAttempts  *int         `json:"max_attempts"`
}

// parseImportedJob reads a line. Its errors show no values.
func parseImportedJob(text []byte) (*importedJob, error) {
	if !utf8.Valid(text) { // the decoder would replace what is not
		return nil, errors.New("it is not UTF-8")
	}
	var job importedJob
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&job); err != nil {
		switch wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); {
		case ok && wrong.Field == "":
			return nil, errors.New("it is not a JSON object")
		case ok:
			field := wrong.Field[strings.LastIndexByte(wrong.Field, '.')+1:]
			return nil, fmt.Errorf("%s is a %s, not of the type %s", field, wrong.Value, wrong.Type)
		case jsontext.TooDeep(err):
			return nil, errors.New("its payload is nested more than 10 000 levels deep")
		}
		return nil, errors.New("it is not a job in JSON: " + strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("it has more than one value")
	}
	size := job.PayloadBytes
	switch {
	case job.replaced(text):
		return nil, errors.New("it has half of a surrogate pair, such as \\ud800, in a text")
	case size != nil && *size != len("null") && (job.Payload == nil || string(job.Payload) == "null"):
		return nil, errors.New("its payload was left out: export it without --payload")
	case job.Payload == nil:
		return nil, errors.New("it has no payload: write \"payload\": {} if that is meant")
	}
	return &job, nil
}

// replaced reports whether the decoder has put U+FFFD in the place of half a surrogate pair.
func (j *importedJob) replaced(line []byte) bool {
	const replacement = "\ufffd"
	texts := append([]string{j.TaskIdentifier}, j.Flags...)
	for _, text := range []*string{j.QueueName, j.Key} {
		if text != nil {
			texts = append(texts, *text)
		}
	}
	return strings.Contains(strings.Join(texts, ""), replacement) &&
		!bytes.Contains(line, []byte(replacement)) && !bytes.Contains(bytes.ToLower(line), []byte(`\ufffd`))
}

// spec is the part of a job that add_jobs can set.
func (j *importedJob) spec() admin.JobSpec {
	return admin.JobSpec{
		TaskIdentifier: j.TaskIdentifier, Payload: j.Payload, QueueName: j.QueueName, RunAt: j.RunAt,
		MaxAttempts: j.MaxAttempts, JobKey: j.Key, Priority: j.Priority, Flags: j.Flags,
	}
}

// An importBatch is the lines of one transaction.
type importBatch struct {
	jobs    []*importedJob
	numbers []int64 // of their lines
	keys    map[string]bool
	bytes   int
}

// takes reports whether the batch has room for a job. It has none for a second job with the
// same key: that one updates the first, which must be added before.
func (b *importBatch) takes(job *importedJob, size int) bool {
	return len(b.jobs) < importLines && b.bytes+size <= importBytes && (job.Key == nil || !b.keys[*job.Key])
}

func (b *importBatch) add(number int64, job *importedJob, size int) {
	b.jobs, b.numbers, b.bytes = append(b.jobs, job), append(b.numbers, number), b.bytes+size
	if job.Key != nil {
		if b.keys == nil {
			b.keys = map[string]bool{}
		}
		b.keys[*job.Key] = true
	}
}

func (b *importBatch) specs() []admin.JobSpec {
	specs := make([]admin.JobSpec, len(b.jobs))
	for i, job := range b.jobs {
		specs[i] = job.spec()
	}
	return specs
}

// explain lists the faults with their lines, in the field names of the lines.
func (b *importBatch) explain(invalid *admin.InvalidError) error {
	const most = 10
	var faults []string
	for _, fault := range invalid.Faults {
		if len(faults) == most {
			faults = append(faults, fmt.Sprintf("and %d more", len(invalid.Faults)-most))
			break
		}
		place, field := "", fault.Field
		if fault.Index != nil {
			place = fmt.Sprintf("line %d: ", b.numbers[*fault.Index])
		}
		if field == "job_key" {
			field = "key"
		}
		faults = append(faults, place+field+" "+inputProblems.Replace(fault.Problem))
	}
	return errors.New(strings.Join(faults, "; "))
}
