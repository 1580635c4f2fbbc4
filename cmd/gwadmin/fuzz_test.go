package main

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gwadmin/gwadmin/admin"
)

// FuzzDatabaseURL puts a password into connection strings. No error shows it.
func FuzzDatabaseURL(f *testing.F) {
	for _, seed := range [][3]string{
		{"u", "", "h/db"}, {"u", "/x", "h/db"}, {"u", "%zz", "h/db"}, {"u", "@", "h:x/db"}, {"", "'", "h:1,h/db?sslmode=frob"},
		{"u?", "#", "[::1]:5432/db"}, {"a b", `\`, "%2Ftmp/db?host=/tmp"}, {"\x00", "\xff", "h/db?connect_timeout=x"}, {"u", " port=x", "?service=none"},
		{"u", "", "h/?pool_max_conns=0"}, {"u", "", "h/?target_session_attrs=x&min_protocol_version=9"}, {"u", ":1", "h:99999"},
		{"postress://u", "", "h/db?sslmode=disable"}, {" postgres://u", "", "h/db?sslmode=disable"}, {"\"postgres://u", "", "h/db?sslmode=disable\""},
		{"Postgres://u", "", "h/db?sslmode=disable"}, {"jdbc:postgresql://u", "=", "h/db"},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, user, more, rest string) {
		const secret = "hunter2"
		for _, text := range []string{
			"postgres://" + user + ":" + secret + more + "@" + rest,
			"postgresql://" + user + ":" + more + secret + "@" + rest,
			"postgres://" + rest + "?password=" + secret + more,
			"password=" + secret + more + " " + rest,
			"password='" + secret + more + "' " + rest,
			rest + " password = " + secret + more,
			user + ":" + secret + more + "@" + rest,
		} {
			config, err := parseConfig(text)
			if err != nil && strings.Contains(describe(err), secret) {
				t.Errorf("%q: %v", text, err)
			}
			if err == nil && strings.HasPrefix(text, user+":") { // the server sees and shows the names of parameters
				for name := range config.ConnConfig.RuntimeParams {
					if strings.Contains(name, secret) {
						t.Errorf("%q: the password is in the name of the parameter %q", text, name)
					}
				}
			}
		}
	})
}

// FuzzFlags gives one text to every flag that parses its value, and to --database-url and
// its neighbours on a command line.
func FuzzFlags(f *testing.F) {
	for _, text := range []string{
		"", "now", "+5m", "-3d", "+1h30m", "infinity", "-infinity", "2027-01-01T00:00:00Z", "65535d", "+106752d", "99999999999h", "1,2,3", "9223372036854775807",
		"9223372036854775808", "0", "-1", "1_000", "0x10", "+1", "1e3", "--database-url", "--database-url=x", "-o", "--", "\x00", "\xff", "٣", "2s", "99ms",
		`{"a":1}`, "=", ",", "--schema=--database-url", "jobs show 1 --database-url x",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var at *admin.RunAt
		if err := runAtFlag(&at).Set(text); err == nil && at.In == nil {
			var again *admin.RunAt
			if err := runAtFlag(&again).Set(at.String()); err != nil || again.String() != at.String() {
				t.Errorf("--run-at %q is %s, and that is %v: %v", text, at, again, err)
			}
		}
		var filtered timeFlag
		if err := filtered.Set(text); err == nil && (filtered.at == nil) == (filtered.from == nil) {
			t.Errorf("--run-after %q is neither a time nor a duration, or both", text)
		}
		if d, err := parseDuration(text); err == nil && d < 0 {
			t.Errorf("duration %q is %s", text, d)
		}
		var watch watchFlag
		if err := watch.Set(text); err == nil && watch < watchFlag(leastInterval) {
			t.Errorf("--watch=%q is %v", text, watch)
		}
		var ids idsFlag
		if err := ids.Set(text); err == nil && len(ids) != strings.Count(text, ",")+1 {
			t.Errorf("--id %q is %v", text, ids)
		}
		for _, id := range ids {
			if id < 1 {
				t.Errorf("--id %q is %v", text, ids)
			}
		}
		var n *int
		_ = optionalInt(&n).Set(text)
		_ = visibleLines(text)
	})
}

// FuzzImport reads a line of an import and adds its job. It is stored as it is in the line,
// or refused, and neither shows a value.
func FuzzImport(f *testing.F) {
	for _, line := range []string{
		`{"task_identifier":"send","payload":{"n":1}}`, `{"task_identifier":"send","payload":null,"payload_bytes":4}`, `{"payload":{}}`, `[]`, `null`, `{}`, "",
		`{"task_identifier":"send","payload":[1],"queue_name":"q","priority":-32768,"run_at":"infinity","max_attempts":32767,"key":"k","flags":["a","b"]}`,
		`{"task_identifier":"send","payload":{},"priority":32768}`, `{"task_identifier":"send","payload":{},"run_at":"yesterday"}`,
		`{"task_identifier":"a","task_identifier":"b","payload":1,"payload":2}`, `{"task_identifier":"send","payload":"\u0000\ud800"}`,
		"{\"task_identifier\":\"caf\xe9\",\"payload\":\"caf\xe9\"}", `{"task_identifier":"send","payload":{}} {}`, `{"id":9223372036854775808,"payload":{}}`,
		`{"task_identifier":"send","payload":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`, `{"TASK_IDENTIFIER":"send","Payload":{}}`,
		`{"task_identifier":"send","payload":{},"locked_at":"2024-01-01T00:00:00Z","attempts":99999999999999999999}`,
	} {
		f.Add([]byte(line))
	}
	s := ours(f)
	client := admin.New(s.pool)
	f.Fuzz(func(t *testing.T, line []byte) {
		job, err := parseImportedJob(line)
		if err != nil {
			return
		}
		tx, err := s.pool.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tx.Rollback(t.Context()) }()
		added, err := client.WithTx(tx).AddJobs(t.Context(), []admin.JobSpec{job.spec()}, nil)
		if err != nil {
			if !errors.Is(err, admin.ErrInvalid) {
				t.Fatalf("%q: %v", line, err)
			}
			return
		}
		got := added[0]
		if got.TaskIdentifier != job.TaskIdentifier || string(got.Payload) != string(job.Payload) || !utf8.Valid(got.Payload) || !json.Valid(got.Payload) {
			t.Fatalf("%q is added as %+v", line, got)
		}
		written, err := json.Marshal(admin.ListedJob{Job: got})
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseImportedJob(written)
		if err != nil || normalJSON(again.Payload) != normalJSON(got.Payload) {
			t.Fatalf("%q is exported as %s, which is not read again: %v", line, written, err)
		}
	})
}

func normalJSON(text json.RawMessage) string {
	var value any
	_ = json.Unmarshal(text, &value)
	compact, _ := json.Marshal(value)
	return string(compact)
}
