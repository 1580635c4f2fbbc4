package admin_test

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/testdb"
)

// FuzzSpec adds a job by AddJob and by AddJobs. The job is stored byte by byte as given, or
// refused before anything is sent.
func FuzzSpec(f *testing.F) {
	f.Add("send", "queue", "key", "flag", []byte(`{"n": 1}`))
	f.Add("", "", "", "", []byte(""))
	f.Add(nasty, nasty, nasty, nasty, []byte(marshalled(nasty)))
	f.Add(`(a,"b",'c')`, `{"a",b\}`, `\"`, `""`, []byte(` [ null , "\\\"'$1" ]	`))
	f.Add(`\`, `'`, `"`, `,`, []byte(`"\u0000\ud800"`))
	f.Add("a\x00b", "ok", "ok", "ok", []byte("null"))
	f.Add("ok", "caf\xe9", "ok", "ok", []byte("\"caf\xe9\""))
	f.Add("ok", "ok", "ok", "\xff", []byte("{} {}"))
	f.Add("NULL", "null", "()", "{}", []byte("-0.0e-400"))
	f.Add(strings.Repeat("☃", 128), strings.Repeat("q", 129), strings.Repeat("🚀", 512), " ", []byte(`{"":{"":[]}}`))
	f.Add(strings.Repeat("t", 129), " q ", strings.Repeat("k", 513), "\u2028\ufeff\u200f", []byte("\xef\xbb\xbf1"))
	f.Add("%s $1 :a ?", "--", "/* ; */", "$$", []byte("\"\x7f\u00a0\""))
	f.Add("e\u0301", "é", "İ", "\r\n\t\v\f\b", []byte("\r\n\t 1 \r\n\t"))

	b := newBench(f, testdb.Ours(""))
	f.Fuzz(func(t *testing.T, identifier, queue, key, flag string, payload []byte) {
		tx, err := b.on.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tx.Rollback(t.Context()) }()
		inside := b.in(tx)
		inside.TB, inside.ctx = t, t.Context()

		text := func(s string, most int) bool {
			return utf8.ValidString(s) && !strings.Contains(s, "\x00") && utf8.RuneCountInString(s) <= most
		}
		valid := identifier != "" && text(identifier, 128) && text(queue, 128) && text(key, 512) && key != "" && text(flag, math.MaxInt) &&
			json.Valid(payload) && utf8.Valid(payload)
		raw := json.RawMessage(append([]byte{}, payload...)) // nil would mean no payload

		_, oneErr := inside.client.AddJob(t.Context(), identifier, raw, &admin.AddJobOptions{QueueName: &queue, JobKey: &key, Flags: []string{flag}})
		inside.checkAdded("AddJob", valid, oneErr, identifier, queue, key, flag, raw)
		if valid {
			inside.exec("delete from graphile_worker._private_jobs")
		}
		_, manyErr := inside.client.AddJobs(t.Context(), []admin.JobSpec{{
			TaskIdentifier: identifier, Payload: raw, QueueName: &queue, JobKey: &key, Flags: []string{flag},
		}}, nil)
		inside.checkAdded("AddJobs", valid, manyErr, identifier, queue, key, flag, raw)
	})
}

// checkAdded checks that the table has only this job, or that the job was refused.
func (b *bench) checkAdded(what string, valid bool, err error, identifier, queue, key, flag string, payload json.RawMessage) {
	b.Helper()
	if !valid {
		if !errors.Is(err, admin.ErrInvalid) {
			b.Fatalf("%s: %v, want it to match ErrInvalid", what, err)
		}
		return
	}
	if err != nil {
		b.Fatalf("%s: %v", what, err)
	}
	got := b.jobs()
	if len(got) != 1 {
		b.Fatalf("%s: %d jobs", what, len(got))
	}
	want := added(admin.Job{
		ID: got[0].ID, TaskIdentifier: identifier, QueueName: &queue, Payload: payload, Key: &key, Flags: []string{flag},
	})
	b.check(what, []admin.Job{want}, got)
}

// FuzzRunAtText checks that UnmarshalText reads the text of every time as the same time, and
// that every text that it reads is written in one form.
func FuzzRunAtText(f *testing.F) {
	for _, seed := range []admin.RunAt{
		*admin.Never(), {Infinity: pgtype.NegativeInfinity}, *admin.At(day0), *admin.At(later), {},
		*admin.At(firstMoment), *admin.At(lastMoment), *admin.At(time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC)),
		*admin.At(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)),
	} {
		f.Add(seed.Time.Unix(), int64(seed.Time.Nanosecond()), int8(seed.Infinity), seed.String())
	}
	for _, text := range []string{
		"", "Infinity", " infinity", "now", "2024-02-30T00:00:00Z", "2024-01-01T24:00:00Z", "2024-01-01T00:00:00", "2024-01-01",
		"2024-01-01T00:00:00+23:59", "0000-01-01T00:00:00Z", "2024-01-01T00:00:00,5Z", "2024-01-01T00:00:00.1234567891Z", "9999-12-31T23:59:59-01:00", "0000-01-01T00:00:00+01:00",
	} {
		f.Add(int64(0), int64(0), int8(0), text)
	}
	f.Fuzz(func(t *testing.T, seconds, nanoseconds int64, infinity int8, text string) {
		b := &bench{TB: t}
		moment := admin.RunAt{Infinity: pgtype.InfinityModifier(infinity % 2)}
		if moment.Infinity == pgtype.Finite {
			moment.Time = time.Unix(seconds, nanoseconds).UTC()
		}
		if year := moment.Time.Year(); year >= 1 && year <= 294275 {
			b.roundTrip(moment)
		}
		var read admin.RunAt
		if err := read.UnmarshalText([]byte(text)); err == nil {
			b.roundTrip(read)
		}
	})
}

func (b *bench) roundTrip(want admin.RunAt) {
	b.Helper()
	text, err := want.MarshalText()
	if err != nil {
		b.Fatal(err)
	}
	var got admin.RunAt
	if err := got.UnmarshalText(text); err != nil {
		b.Fatal(err)
	}
	if got.Infinity != want.Infinity || !got.Time.Equal(want.Time) {
		b.Fatalf("%#v was written as %s and read as %#v", want, text, got)
	}
}

// FuzzFilter lists and previews by a filter. It is refused or it works, in both calls.
func FuzzFilter(f *testing.F) {
	f.Add("send", "key", `{"a":1}`, "$.a", "ready", "boom", int64(1), int64(0))
	f.Add("", "%_\\", "null", "strict $[*] ? (@.a like_regex \"^(\" flag \"x\")", "running", "", int64(math.MaxInt64), int64(math.MinInt64))
	f.Add("\x00", "\xff", `{"a":1e400000}`, "$.a.datetime()", "Ready", "%", int64(-1), int64(math.MaxInt32))
	f.Add("a", "b", `"\u0000"`, "$x", "", "ﬀ", int64(math.MaxInt32+1), int64(253402300800))
	f.Add("a", "b", strings.Repeat("[", 9000)+strings.Repeat("]", 9000), "$"+strings.Repeat("[*]", 999), "stale", "İ", int64(32768), int64(-62135596801))
	f.Add("a", "b", `{"a":1,"a":2}`, "$.**{1 to last}.a / 0", "waiting", "'", int64(0), int64(1))
	f.Add("a", "b", "", "", "stranded", "b", int64(7), int64(7))
	b := newBench(f, testdb.Ours(""))
	b.fixture()
	f.Fuzz(func(t *testing.T, task, key, contains, path, state, failure string, n, seconds int64) {
		at := time.Unix(seconds, 0)
		for _, filter := range []admin.Filter{
			{TaskIdentifiers: []string{task}, QueueNames: []string{key}, Keys: []string{key}, WorkerIDs: []string{task}, Flags: []string{key}},
			{IDs: []int64{n, seconds}, KeyPrefix: &key, ErrorText: &failure, Priority: admin.IntRange{From: new(int(n))}, Attempts: admin.IntRange{To: new(int(seconds))}},
			{States: []admin.State{admin.State(state)}, CreatedAt: admin.TimeRange{From: &at}, RunAt: admin.TimeRange{Before: &at}, LockedAt: admin.TimeRange{From: &at}},
			{PayloadContains: json.RawMessage(contains)},
			{PayloadPath: &path},
		} {
			_, listErr := b.client.ListJobs(t.Context(), filter, &admin.ListOptions{PageSize: 3})
			_, whereErr := b.client.FailWhere(t.Context(), filter, &failure, &admin.WhereOptions{DryRun: true})
			for _, err := range []error{listErr, whereErr} {
				// PostgreSQL's own limits of nesting and of a path's size.
				if err != nil && !errors.Is(err, admin.ErrInvalid) && !strings.HasPrefix(code(err), "54") {
					t.Errorf("%+v: %v", filter, err)
				}
			}
			text := utf8.ValidString(failure) && !strings.Contains(failure, "\x00") // FailWhere's reason
			if text && (listErr == nil) != (whereErr == nil) {
				t.Errorf("%+v: list: %v, preview: %v", filter, listErr, whereErr)
			}
		}
	})
}
