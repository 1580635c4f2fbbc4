package admin

import (
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// What PostgreSQL's infinities become when they are read as a time.Time: moments that
// it has no other name for.
var (
	afterAll  = time.Date(294277, 1, 1, 0, 0, 0, 0, time.UTC)
	beforeAll = time.Date(-4713, 11, 24, 0, 0, 0, 0, time.UTC).Add(-time.Microsecond)
)

// The moments that RFC 3339, and so JSON, can write.
var (
	firstMoment = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	lastMoment  = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC).Add(-time.Microsecond)
)

// within returns the moment in UTC, or the nearest one that RFC 3339 can write.
func within(t time.Time) time.Time {
	switch {
	case t.Before(firstMoment):
		return firstMoment
	case t.After(lastMoment):
		return lastMoment
	}
	return t.UTC()
}

// utc is within, of a moment that may be none.
func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	return new(within(*t))
}

// timeRow is a row whose times may be infinite, which a time.Time otherwise refuses.
// A whole page need not fail for one row that somebody wrote by hand.
type timeRow struct{ pgx.Row }

func (r timeRow) Scan(dest ...any) error { return new(timeScan).scan(r.Row.Scan, dest) }

// timeRows are rows like [timeRow].
type timeRows struct {
	pgx.Rows
	timeScan
}

func (r *timeRows) Scan(dest ...any) error { return r.scan(r.Rows.Scan, dest) }

// timeScan is what the times of a row are read into, and those of the next one again.
type timeScan struct {
	read  []any
	times []pgtype.Timestamptz // as many as read, of which the times' are used
}

func (s *timeScan) scan(scan func(...any) error, dest []any) error {
	if len(s.read) != len(dest) {
		s.read, s.times = make([]any, len(dest)), make([]pgtype.Timestamptz, len(dest))
	}
	for i, to := range dest {
		switch to.(type) {
		case *time.Time, **time.Time:
			s.read[i] = &s.times[i]
		default:
			s.read[i] = to
		}
	}
	if err := scan(s.read...); err != nil {
		return err
	}
	for i, to := range dest {
		switch to := to.(type) {
		case *time.Time:
			if !s.times[i].Valid {
				return fmt.Errorf("column %d is null, and is no time", i+1)
			}
			*to = finite(&s.times[i])
		case **time.Time:
			*to = nil
			if s.times[i].Valid {
				*to = new(finite(&s.times[i]))
			}
		}
	}
	return nil
}

func finite(t *pgtype.Timestamptz) time.Time {
	switch t.InfinityModifier {
	case pgtype.Infinity:
		return afterAll
	case pgtype.NegativeInfinity:
		return beforeAll
	}
	return t.Time
}
