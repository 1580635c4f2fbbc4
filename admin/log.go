package admin

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// WithLogger writes a record for every call that changes something, when it ends. A nil
// logger writes nothing, which is the default.
//
// The message is the call, such as "complete jobs". The attributes are the schema, the
// actor from [WithActor], the duration, whether it was a dry run or in the caller's
// transaction, numbers such as matched, changed and skipped by reason, the id and task of an
// added job, and the class of an error with its SQLSTATE. They contain no payload, key or
// reason, and no text of an error.
//
// The level is Info, Warn after an error, and Error if the outcome is unknown. Without an
// error it is Debug for dry runs and for [Adder.AddJob].
func WithLogger(logger *slog.Logger) Option {
	return func(c *Client) { c.logger = logger }
}

// A counted is the result of a call, in numbers.
type counted interface{ counts() []slog.Attr }

// log returns the function that writes the record of a call at its end. The result may be
// nil.
func (c *Client) log(ctx context.Context, call string, dryRun bool) func(result counted, err error) {
	level := slog.LevelInfo
	if dryRun {
		level = slog.LevelDebug
	}
	return c.logAt(ctx, level, call, dryRun)
}

// logAt is log with a level for a call without an error.
func (c *Client) logAt(ctx context.Context, level slog.Level, call string, dryRun bool) func(result counted, err error) {
	if c.logger == nil {
		return func(counted, error) {}
	}
	start, inside := time.Now(), c.err == nil && c.inTransaction()
	return func(result counted, err error) {
		switch {
		case errors.Is(err, ErrOutcomeUnknown):
			level = slog.LevelError
		case err != nil:
			level = slog.LevelWarn
		}
		record := []slog.Attr{slog.String("schema", c.Schema())}
		if actor := Actor(ctx); actor != "" {
			record = append(record, slog.String("actor", actor))
		}
		if dryRun {
			record = append(record, slog.Bool("dry_run", true))
		}
		if inside {
			record = append(record, slog.Bool("in_transaction", true))
		}
		record = append(record, slog.Duration("duration", time.Since(start)))
		if !isNil(result) {
			record = append(record, result.counts()...)
		}
		record = append(record, errorAttrs(err)...)
		c.logger.LogAttrs(ctx, level, call, record...)
	}
}

// errorAttrs are the class of an error, its SQLSTATE, and what was sent. They have nothing
// of its text.
func errorAttrs(err error) []slog.Attr {
	if err == nil {
		return nil
	}
	class := "failed"
	for _, known := range []struct {
		err  error
		name string
	}{
		{ErrOutcomeUnknown, "unknown"}, {ErrInvalid, "invalid"}, {ErrContended, "contended"}, {ErrAdderClosed, "closed"},
		{ErrNotInstalled, "not installed"}, {ErrRevisionTooOld, "revision"}, {ErrRevisionTooNew, "revision"}, {ErrRowSecurity, "row security"},
		{context.Canceled, "canceled"}, {context.DeadlineExceeded, "timeout"},
	} {
		if errors.Is(err, known.err) {
			class = known.name
			break
		}
	}
	var attrs []slog.Attr
	refusal, refused := errors.AsType[*pgconn.PgError](err)
	_, unconnected := errors.AsType[*pgconn.ConnectError](err)
	switch {
	case class != "failed":
	case unconnected:
		class = "no connection"
	case refused:
		class = "refused"
	}
	attrs = append(attrs, slog.String("error", class))
	if refused {
		attrs = append(attrs, slog.String("sqlstate", refusal.Code))
	}
	if unknown, ok := errors.AsType[*OutcomeUnknownError](err); ok {
		attrs = append(attrs, slog.String("sent", unknown.Sent.String()))
	}
	return attrs
}

func (r *ChangeResult) counts() []slog.Attr {
	attrs := []slog.Attr{slog.Int64("matched", r.Matched), slog.Int64("changed", r.Changed)}
	return append(attrs, group("skipped", r.Skipped)...)
}

// group returns numbers by name as a group, if there are any.
func group[K ~string](name string, numbers map[K]int64) []slog.Attr {
	var attrs []slog.Attr
	for _, key := range slices.Sorted(maps.Keys(numbers)) {
		attrs = append(attrs, slog.Int64(strings.ReplaceAll(string(key), " ", "_"), numbers[key]))
	}
	if attrs == nil {
		return nil
	}
	return []slog.Attr{slog.GroupAttrs(name, attrs...)}
}

func (j *Job) counts() []slog.Attr {
	return []slog.Attr{slog.Int64("id", j.ID), slog.String("task", j.TaskIdentifier)}
}

// A number is how many jobs were added.
type number int

func (n number) counts() []slog.Attr { return []slog.Attr{slog.Int("added", int(n))} }

func (r *RemoveResult) counts() []slog.Attr {
	return []slog.Attr{slog.String("outcome", string(r.Outcome))}
}

func (r *UnlockResult) counts() []slog.Attr {
	var jobs, queues int64
	for _, worker := range r.Unlocked {
		jobs, queues = jobs+worker.Jobs, queues+worker.Queues
	}
	return []slog.Attr{
		slog.Int("workers", len(r.Unlocked)), slog.Int("idle_workers", len(r.Idle)),
		slog.Int64("jobs", jobs), slog.Int64("queues", queues),
	}
}

func (r *CleanupResult) counts() []slog.Attr {
	return append(group("deleted", r.Deleted), slog.Int64("stranded", r.Stranded))
}

func (r *RestoreResult) counts() []slog.Attr {
	return []slog.Attr{slog.Int64("jobs", r.Jobs), slog.Int("queues", len(r.Queues))}
}

func (r *PauseResult) counts() []slog.Attr {
	return []slog.Attr{slog.String("queue", r.Queue), slog.Bool("paused_before", r.Already)}
}

func (r *ResumeResult) counts() []slog.Attr {
	return []slog.Attr{slog.String("queue", r.Queue), slog.Bool("paused_before", r.Pause != nil)}
}
