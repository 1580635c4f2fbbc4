package migrations

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/gwadmin/gwadmin/internal/catalog"
	"github.com/gwadmin/gwadmin/internal/graphile"
)

// ErrNotInstalled says that the schema is not there, or nothing of Graphile
// Worker's is in it.
var ErrNotInstalled = graphile.ErrNotInstalled

// A DifferenceKind says in which way a database differs.
type DifferenceKind string

// The kinds of differences.
const (
	Missing    DifferenceKind = "missing"    // an object that should be there is not
	Unexpected DifferenceKind = "unexpected" // an object that should not be there is
	Changed    DifferenceKind = "changed"    // an object is not what it should be
)

// A Difference is one way in which a database is not what this package builds.
type Difference struct {
	Kind DifferenceKind `json:"kind"`
	// Object is what differs, by kind and name, such as "index jobs_main_index",
	// "column _private_jobs.priority", "function add_job", "revision 19".
	Object string `json:"object"`
	// Want is its definition here, in PostgreSQL's words; empty where it is unexpected.
	Want string `json:"want,omitempty"`
	// Got is its definition in the database; empty where it is missing.
	Got string `json:"got,omitempty"`
}

// String is the difference as one line. What a long definition has in common
// with the one it should be is cut.
func (d Difference) String() string {
	switch d.Kind {
	case Missing:
		return fmt.Sprintf("%s is missing: %s", d.Object, d.Want)
	case Unexpected:
		return fmt.Sprintf("%s is unexpected: %s", d.Object, d.Got)
	}
	want, got := apart(d.Want, d.Got)
	return fmt.Sprintf("%s is changed: want %s; got %s", d.Object, want, got)
}

// apart cuts what two texts have in common at their ends, but for a few words.
func apart(a, b string) (string, string) {
	const enough = 60 // characters that nobody minds reading twice
	if len(a) <= enough && len(b) <= enough {
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

// Validate compares a schema with the one that this package's migrations build
// and returns every difference, in the order of the objects' names; none when
// the schema is right, whoever built it. A function may have the body that it has
// here or in one of Graphile Worker's releases 0.16.6, 0.17.3 and 0.18.0. Of an
// object that is missing or unexpected as a whole the parts are not listed.
//
// It does not look at owners, privileges, comments, storage parameters and
// statistics, nor at anything whose name begins with gwadmin_ or goose_.
//
// Validate reads, in one read-only transaction, the server's catalog and the
// migrations table. It holds up no worker, and waits for none, but, within
// Options.LockTimeout, for whoever has a table locked in access exclusive mode. The role needs usage on the schema
// and select on the migrations table, all of whose rows it must see.
//
// Where nothing is installed the error is [ErrNotInstalled], or [ErrForeign] when
// an application has a table migrations of its own there; a revision older than 18
// or a breaking one after 20 is a [*RevisionError].
func (m *Migrator) Validate(ctx context.Context) ([]Difference, error) {
	var live *catalog.Catalog
	err := m.read(ctx, pgx.RepeatableRead, func(tx pgx.Tx) (err error) {
		live, err = catalog.Read(ctx, tx, m.schema)
		return err
	})
	switch {
	case err != nil:
	case isForeign(live):
		err = m.foreign()
	case live.Revision > 0:
		err = graphile.CheckRevision(m.schema, live.Revision, live.Breaking)
	case !live.Has("table _private_jobs"):
		err = fmt.Errorf("%w: schema %q: install it with gwadmin migrate up or graphile-worker --schema-only",
			ErrNotInstalled, m.schema)
	}
	if err != nil {
		return nil, fmt.Errorf("validate: %w", err)
	}
	want := catalog.Expected(live.Schema)
	return differences(
		slices.Concat(want.Facts, withOrigins(want.Bodies)),
		slices.Concat(live.Facts, withOrigins(live.Bodies)),
	), nil
}

// isForeign says whether the table migrations is an application's own. As opposed
// to Up, Validate believes a ledger whose tables are gone, and says so.
func isForeign(live *catalog.Catalog) bool {
	switch {
	case !live.Has("table migrations") || live.Has("table _private_jobs"):
		return false
	case !live.Has("column migrations.id") || !live.Has("column migrations.ts"):
		return true
	}
	old := live.Revision < graphile.OldestRevision && live.Has("table job_queues")
	return live.Revision > 0 && !live.Has("column migrations.breaking") && !old
}

// withOrigins defines each known body by where it may come from, so that they all
// are the same.
func withOrigins(bodies []catalog.Fact) []catalog.Fact {
	origins := catalog.Origins()
	newest := len(origins) - 1
	known := fmt.Sprintf("that of %s or of Graphile Worker %s or %s",
		origins[0], strings.Join(origins[1:newest], ", "), origins[newest])
	bodies = slices.Clone(bodies)
	for i, body := range bodies {
		if len(catalog.OriginsOf(body)) > 0 {
			bodies[i].Definition = known
		} else {
			language, hash, _ := strings.Cut(body.Definition, " ")
			bodies[i].Definition = fmt.Sprintf("another, in %s, with SHA-256 %s", language, hash)
		}
	}
	return bodies
}

// differences compares facts by their objects. There may be several of one
// name, as functions have it.
func differences(want, got []catalog.Fact) []Difference {
	type pair struct{ want, got []catalog.Fact }
	objects := make(map[string]*pair)
	for _, f := range want {
		if objects[f.Object] == nil {
			objects[f.Object] = &pair{}
		}
		objects[f.Object].want = append(objects[f.Object].want, f)
	}
	for _, f := range got {
		p := objects[f.Object]
		if p == nil {
			p = &pair{}
			objects[f.Object] = p
		}
		same := slices.IndexFunc(p.want, func(w catalog.Fact) bool { return w.Definition == f.Definition })
		if same < 0 {
			p.got = append(p.got, f)
		} else {
			p.want = slices.Delete(p.want, same, same+1)
		}
	}

	type part struct {
		Difference
		of string
	}
	type whole struct {
		kind   DifferenceKind
		object string
	}
	var parts []part
	wholes := make(map[whole]bool)
	for object, p := range objects {
		for i := range max(len(p.want), len(p.got)) {
			d := part{Difference: Difference{Kind: Changed, Object: object}}
			if i < len(p.want) {
				d.Want, d.of = p.want[i].Definition, p.want[i].PartOf
			} else {
				d.Kind = Unexpected
			}
			if i < len(p.got) {
				d.Got, d.of = p.got[i].Definition, p.got[i].PartOf
			} else {
				d.Kind = Missing
			}
			parts = append(parts, d)
			wholes[whole{d.Kind, object}] = true
		}
	}
	var found []Difference
	for _, d := range parts {
		if d.Kind == Changed || !wholes[whole{d.Kind, d.of}] {
			found = append(found, d.Difference)
		}
	}
	slices.SortFunc(found, func(a, b Difference) int {
		return cmp.Or(cmp.Compare(a.Object, b.Object), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Got, b.Got))
	})
	return found
}
