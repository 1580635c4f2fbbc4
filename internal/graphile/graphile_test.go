package graphile_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gwadmin/gwadmin/internal/graphile"
)

func TestCheckRevision(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		reason             string
		revision, breaking int
		want               error
	}{
		{"nothing is installed", 0, 0, graphile.ErrRevisionTooOld},
		{"0.15", 14, 14, graphile.ErrRevisionTooOld},
		{"one before the oldest", 17, 16, graphile.ErrRevisionTooOld},
		{"0.16", 18, 16, nil},
		{"0.17", 19, 19, nil},
		{"0.18", 20, 19, nil},
		{"a newer one that breaks nothing", 21, 19, nil},
		{"a newer breaking one", 21, 21, graphile.ErrRevisionTooNew},
		{"one after a breaking one", 22, 21, graphile.ErrRevisionTooNew},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			err := graphile.CheckRevision("jobs", tc.revision, tc.breaking)
			if tc.want == nil {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var got *graphile.RevisionError
			if !errors.As(err, &got) || !errors.Is(err, tc.want) {
				t.Fatalf("got %v, want a RevisionError that is %v", err, tc.want)
			}
			want := graphile.RevisionError{Schema: "jobs", Revision: tc.revision, Breaking: tc.breaking, Err: tc.want}
			if diff := cmp.Diff(want, *got, cmpopts.EquateErrors()); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestCheckSchema(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		reason, name, want string
	}{
		{"the default", "graphile_worker", ""},
		{"any identifier can be quoted", `Weird "Name"`, ""},
		{"letters of any script", "Ünï 日本 👩‍🚀", ""},
		{"quotes and dollars", "a'b $body$ \\", ""},
		{"the longest", strings.Repeat("é", 31) + "x", ""},
		{"nothing", "", `schema name is empty: leave it out for "graphile_worker"`},
		{"bytes count, not letters", "x" + strings.Repeat("é", 32),
			`schema name "x` + strings.Repeat("é", 32) + `" has 65 bytes: PostgreSQL keeps only 63`},
		{"PostgreSQL takes no zero byte", "a\x00b", `schema name "a\x00b" has a control character`},
		{"a line break would end a comment", "a\nb", `schema name "a\nb" has a control character`},
		{"not text", "a\xff", `schema name "a\xff" is not UTF-8`},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			var got string
			if err := graphile.CheckSchema(tc.name); err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestRename(t *testing.T) {
	t.Parallel()
	const sql = "do $body$ begin perform graphile_worker.f('graphile_worker', 'graphile'); end $body$"
	for _, tc := range []struct {
		reason, schema, want string
	}{
		{"the default is left as it is", "graphile_worker", sql},
		{"an identifier and a literal", "jobs",
			`do $body$ begin perform "jobs".f('jobs', 'graphile'); end $body$`},
		{"each has quotes of its own", `it's "x"`,
			`do $body$ begin perform "it's ""x""".f('it''s "x"', 'graphile'); end $body$`},
		{"a body must not end in the middle", "$body$",
			`do $body_$ begin perform "$body$".f('$body$', 'graphile'); end $body_$`},
		{"nor under its second name", "$body$body_$",
			`do $body__$ begin perform "$body$body_$".f('$body$body_$', 'graphile'); end $body__$`},
		{"what was put in is not looked at again", "'graphile_worker'",
			`do $body$ begin perform "'graphile_worker'".f('''graphile_worker''', 'graphile'); end $body$`},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, graphile.Rename(sql, tc.schema)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}
