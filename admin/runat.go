package admin

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// A RunAt is the time from which a job may run. It is a time, PostgreSQL's infinity or
// -infinity, or a duration from now. A job with infinity waits until it is rescheduled.
type RunAt struct {
	Time     time.Time // the zero time if Infinity is not pgtype.Finite or In is not nil
	Infinity pgtype.InfinityModifier
	In       *time.Duration // a duration from now, by the database's clock; nil in every job that a call returns
}

// At returns the time t. PostgreSQL stores it to the microsecond.
func At(t time.Time) *RunAt { return &RunAt{Time: t} }

// In returns the time d from now, by the database's clock. In(0) is now.
func In(d time.Duration) *RunAt { return &RunAt{In: &d} }

// Never returns infinity: the job waits until it is rescheduled.
func Never() *RunAt { return &RunAt{Infinity: pgtype.Infinity} }

// Before reports whether r is earlier than t. It ignores r.In.
func (r RunAt) Before(t time.Time) bool {
	if r.Infinity != pgtype.Finite {
		return r.Infinity == pgtype.NegativeInfinity
	}
	return r.Time.Before(t)
}

// String returns the time in RFC 3339 and UTC, "infinity", "-infinity", or a duration from
// now such as "+5m0s".
func (r RunAt) String() string {
	switch {
	case r.In != nil:
		if *r.In < 0 {
			return r.In.String()
		}
		return "+" + r.In.String()
	case r.Infinity != pgtype.Finite:
		return r.Infinity.String()
	}
	return r.Time.UTC().Format(time.RFC3339Nano)
}

// MarshalText returns the text of [RunAt.String].
func (r RunAt) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads a time, infinity or -infinity as [RunAt.MarshalText] writes it. It
// does not read a duration.
func (r *RunAt) UnmarshalText(text []byte) error {
	switch string(text) {
	case "infinity":
		*r = RunAt{Infinity: pgtype.Infinity}
	case "-infinity":
		*r = RunAt{Infinity: pgtype.NegativeInfinity}
	default:
		t, err := parseTime(string(text))
		if err != nil {
			return fmt.Errorf("run_at is neither RFC 3339 nor infinity: %w", err)
		}
		*r = RunAt{Time: t.UTC()}
	}
	return nil
}

// parseTime parses RFC 3339. It also accepts the years before 1 and after 9999 that
// PostgreSQL can store.
func parseTime(text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err == nil || text == "" {
		return t, err
	}
	end := 1 + strings.IndexByte(text[1:], '-')
	year, yearErr := strconv.Atoi(text[:max(end, 0)])
	if yearErr != nil || end < 5 || year < -4713 || year > 294276 {
		return t, err
	}
	// Parse the rest in a leap year, then check that the day exists in the year.
	rest, restErr := time.Parse(time.RFC3339Nano, "2000"+text[end:])
	if restErr != nil {
		return t, err
	}
	moved := time.Date(year, rest.Month(), rest.Day(), rest.Hour(), rest.Minute(), rest.Second(), rest.Nanosecond(), rest.Location())
	if moved.Day() != rest.Day() {
		return t, err
	}
	return moved, nil
}

// fault returns what is wrong with r, or "".
func (r *RunAt) fault() string {
	switch {
	case r == nil:
		return ""
	case r.In != nil:
		if r.Infinity != pgtype.Finite || !r.Time.IsZero() {
			return "has more than one of Time, Infinity and In"
		}
		return ""
	case r.Infinity == pgtype.Infinity || r.Infinity == pgtype.NegativeInfinity:
		return ""
	case r.Infinity != pgtype.Finite:
		return "has an unknown Infinity: use a value of pgtype.InfinityModifier"
	case r.Time.IsZero():
		return "is the zero time: leave RunAt nil for now, or use In"
	}
	return timeFault(r.Time)
}

func timeFault(t time.Time) string {
	if year := t.UTC().Year(); year < 1 || year > 294275 {
		return "is outside the years 1 to 294275"
	}
	return ""
}

// parameters returns r as parameters of a query: a time or an interval from now.
func (r *RunAt) parameters() (at pgtype.Timestamptz, in pgtype.Interval) {
	switch {
	case r == nil:
	case r.In != nil:
		in = pgtype.Interval{Microseconds: r.In.Microseconds(), Valid: true}
	case r.Infinity != pgtype.Finite:
		at = pgtype.Timestamptz{InfinityModifier: r.Infinity, Valid: true}
	default:
		at = timestamptz(r.Time)
	}
	return at, in
}

// timestamptz returns the time cut to a microsecond. PostgreSQL would round a parameter in
// the text format, and pgx cuts one in the binary format.
func timestamptz(t time.Time) pgtype.Timestamptz {
	return pgtype.Timestamptz{Time: t.UTC().Truncate(time.Microsecond), Valid: true}
}

func newRunAt(t pgtype.Timestamptz) RunAt {
	if t.InfinityModifier != pgtype.Finite {
		return RunAt{Infinity: t.InfinityModifier}
	}
	return RunAt{Time: t.Time.UTC()}
}

// The first and last moments that RFC 3339, and so JSON, can write.
var (
	firstMoment = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	lastMoment  = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC).Add(-time.Microsecond)
)

// newTime returns the time in UTC. It returns firstMoment or lastMoment for a time outside
// of these, such as an infinite one.
func newTime(t pgtype.Timestamptz) time.Time {
	switch {
	case t.InfinityModifier == pgtype.NegativeInfinity || t.InfinityModifier == pgtype.Finite && t.Time.Before(firstMoment):
		return firstMoment
	case t.InfinityModifier == pgtype.Infinity || t.Time.After(lastMoment):
		return lastMoment
	}
	return t.Time.UTC()
}

// optionalTime returns newTime's result, or nil for null.
func optionalTime(t pgtype.Timestamptz) *time.Time {
	if !t.Valid {
		return nil
	}
	return new(newTime(t))
}
