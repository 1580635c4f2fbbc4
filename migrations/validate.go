package migrations

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/gwadmin/gwadmin/internal/catalog"
	"github.com/gwadmin/gwadmin/internal/graphile"
)

// A DifferenceKind is the way in which an object differs.
type DifferenceKind string

// The kinds of differences.
const (
	Missing    DifferenceKind = "missing"
	Unexpected DifferenceKind = "unexpected"
	Changed    DifferenceKind = "changed"
)

// A Difference is an object of a database that is not as this package's migrations build
// it.
type Difference struct {
	Kind DifferenceKind `json:"kind"`
	// Object is the object's kind and name, such as "index jobs_main_index", "column
	// _private_jobs.priority", "function add_job" or "revision 19".
	Object string `json:"object"`
	// Want is the definition that the object should have, in PostgreSQL's words; empty
	// if it is unexpected.
	Want string `json:"want,omitempty"`
	// Got is the definition in the database; empty if the object is missing.
	Got string `json:"got,omitempty"`
}

// String describes the difference in one line. It shortens the parts that two long
// definitions have in common.
func (d Difference) String() string {
	switch d.Kind {
	case Missing:
		return fmt.Sprintf("%s is missing: %s", d.Object, d.Want)
	case Unexpected:
		return fmt.Sprintf("%s is unexpected: %s", d.Object, d.Got)
	}
	want, got := shorten(d.Want, d.Got)
	return fmt.Sprintf("%s is changed: want %s; got %s", d.Object, want, got)
}

// shorten cuts what two long texts have in common at both ends, but for a few words.
func shorten(a, b string) (string, string) {
	const long = 60
	if len(a) <= long && len(b) <= long {
		return a, b
	}
	wordsA, wordsB := strings.Fields(a), strings.Fields(b)
	const kept = 3
	head, tail := 0, 0
	for head < min(len(wordsA), len(wordsB)) && wordsA[head] == wordsB[head] {
		head++
	}
	for tail < min(len(wordsA), len(wordsB))-head && wordsA[len(wordsA)-1-tail] == wordsB[len(wordsB)-1-tail] {
		tail++
	}
	cut := func(words []string) string {
		from, to := max(0, head-kept), min(len(words), len(words)-tail+kept)
		text := strings.Join(words[from:to], " ")
		if from > 0 {
			text = "… " + text
		}
		if to < len(words) {
			text += " …"
		}
		return text
	}
	return cut(wordsA), cut(wordsB)
}

// A Validation is what [Migrator.Validate] found.
type Validation struct {
	Revision int // the newest revision in Graphile Worker's ledger
	// Differences are in the order of the objects' names. There are none if the schema
	// is right, whoever installed it.
	Differences []Difference
	// Unknown are differences that may come from a newer revision than this package
	// knows: objects that are unexpected, and functions and views that are changed.
	// Unless the schema is newer there are none.
	Unknown []Difference
}

// Newer reports whether the schema is at a newer revision than this package knows.
func (v *Validation) Newer() bool { return v.Revision > graphile.NewestRevision }

// Validate compares a schema with the one that this package's migrations build. A function
// may have the body that it has here or in one of Graphile Worker's releases 0.16.6,
// 0.17.3 and 0.18.0. If an object is missing or unexpected as a whole, its parts are not
// listed. A newer revision is not a difference in itself.
//
// Validate ignores owners, privileges, comments, storage parameters and statistics, and
// objects whose names begin with gwadmin_ or goose_.
//
// It reads the server's catalog and the table migrations in one read-only transaction, and
// blocks no worker. It waits only for whoever holds a table's access exclusive lock, up to
// Options.LockTimeout. The role needs usage on the schema and select on the table
// migrations, all of whose rows it must see.
//
// The error is [ErrNotInstalled] if nothing is installed, [ErrForeign] if an application
// has a table migrations of its own there, and a [*RevisionError] if the revision is older
// than 18 or there is a breaking one after 20.
func (m *Migrator) Validate(ctx context.Context) (*Validation, error) {
	var live *catalog.Catalog
	var ledger *graphile.Ledger
	err := m.read(ctx, pgx.RepeatableRead, func(tx pgx.Tx) (err error) {
		if live, err = catalog.Read(ctx, tx, m.schema); err == nil {
			ledger, err = graphile.ReadLedger(ctx, tx, m.schema)
		}
		return err
	})
	// A damaged ledger is a difference.
	damaged := err == nil && (ledger.Abandoned || live.Has("table _private_jobs") && (ledger.Foreign || ledger.Revision == 0))
	if err == nil && !damaged {
		err = ledger.Check()
	}
	if err != nil {
		return nil, fmt.Errorf("validate: %w", err)
	}
	found := differences(catalog.Expected(live.Schema).Comparable(), live.Comparable())
	v := &Validation{Revision: ledger.Revision, Differences: found}
	if v.Newer() {
		v.Differences = slices.DeleteFunc(v.Differences, func(d Difference) bool {
			unknown := d.Kind == Unexpected || d.Kind == Changed && replaceable.MatchString(d.Object)
			if unknown {
				v.Unknown = append(v.Unknown, d)
			}
			return unknown
		})
	}
	return v, nil
}

// replaceable are the objects that a revision may replace without breaking anything.
var replaceable = regexp.MustCompile("^(view|function|attributes of function|body of function) ")

// differences compares facts by their objects. Several may have the same name, as
// functions do.
func differences(want, got []catalog.Fact) (found []Difference) {
	type sides struct{ want, got []catalog.Fact }
	objects := map[string]*sides{}
	of := func(object string) *sides {
		if objects[object] == nil {
			objects[object] = &sides{}
		}
		return objects[object]
	}
	for _, f := range want {
		s := of(f.Object)
		s.want = append(s.want, f)
	}
	for _, f := range got {
		s := of(f.Object)
		equal := slices.IndexFunc(s.want, func(w catalog.Fact) bool { return w.Definition == f.Definition })
		if equal < 0 {
			s.got = append(s.got, f)
		} else {
			s.want = slices.Delete(s.want, equal, equal+1)
		}
	}

	partOf := map[Difference]string{}
	whole := map[Difference]bool{} // by Kind and Object
	for object, s := range objects {
		for i := range max(len(s.want), len(s.got)) {
			d := Difference{Kind: Changed, Object: object}
			var part string
			if i < len(s.want) {
				d.Want, part = s.want[i].Definition, s.want[i].PartOf
			} else {
				d.Kind = Unexpected
			}
			if i < len(s.got) {
				d.Got, part = s.got[i].Definition, s.got[i].PartOf
			} else {
				d.Kind = Missing
			}
			found = append(found, d)
			partOf[d] = part
			whole[Difference{Kind: d.Kind, Object: object}] = true
		}
	}
	found = slices.DeleteFunc(found, func(d Difference) bool {
		return d.Kind != Changed && whole[Difference{Kind: d.Kind, Object: partOf[d]}]
	})
	slices.SortFunc(found, func(a, b Difference) int {
		return cmp.Or(cmp.Compare(a.Object, b.Object), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Got, b.Got))
	})
	return found
}
