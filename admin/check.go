package admin

import (
	"context"
	"fmt"

	"github.com/gwadmin/gwadmin/db"
	"github.com/gwadmin/gwadmin/internal/graphile"
)

// Check reports why the client's calls cannot work: [ErrNotInstalled]; a
// [*RevisionError] for a schema older than revision 18 or with a breaking revision after
// 20; [ErrRowSecurity] if the role would see empty tables. It changes nothing.
//
// Every client checks by itself before its first call, and again when a call finds
// nothing at all. A role that may not read the ledger of revisions is not told of an
// unsupported one.
//
// With the identifiers of declared tasks, such as those of [Identifiers], Check also
// returns an [*UndeclaredError] if there are jobs of other tasks: see
// [Client.UndeclaredTasks]. An empty list that is not nil declares none.
func (c *Client) Check(ctx context.Context, declared ...string) error {
	const call = "check"
	if c.err != nil {
		return c.err
	}
	if err := c.recheck(ctx, readJobs); err != nil {
		return c.failure(call, err)
	}
	if declared == nil {
		return nil
	}
	tasks, err := c.UndeclaredTasks(ctx, declared)
	if err == nil && len(tasks) > 0 {
		err = &UndeclaredError{Tasks: tasks}
	}
	return c.failure(call, err)
}

func (c *Client) check(ctx context.Context) (db.InstallationGetRow, error) {
	found, err := c.queries.InstallationGet(ctx, c.conn, db.InstallationGetParams{SchemaName: c.Schema()})
	if err != nil {
		return found, err
	}
	if !found.Installed {
		return found, c.whyNotInstalled(ctx, found)
	}
	if found.RevisionReadable {
		ledger, err := c.queries.RevisionGet(ctx, c.conn)
		if err != nil {
			return found, err
		}
		if err := graphile.CheckRevision(c.Schema(), int(ledger.Revision), int(ledger.Breaking)); err != nil {
			return found, err
		}
	}
	if !found.ReadsSome {
		return found, fmt.Errorf("%w: use the owner of the tables in schema %q, or give the role policies on them",
			ErrRowSecurity, c.Schema())
	}
	return found, nil
}

// whyNotInstalled tells a schema that is too old, whose tables have other names, from one
// that is missing.
func (c *Client) whyNotInstalled(ctx context.Context, found db.InstallationGetRow) error {
	if found.HasLedger && found.RevisionReadable {
		revision, err := c.queries.RevisionGetNewest(ctx, c.conn)
		if err != nil {
			return err
		}
		if 0 < revision && revision < graphile.OldestRevision {
			return graphile.CheckRevision(c.Schema(), int(revision), 0)
		}
	}
	return notInstalled(c.Schema(), nil)
}

// A right is what a call needs to be allowed to do.
type right int

const (
	readJobs     right = iota // read some jobs
	removeJobs                // delete some jobs
	updateAnyJob              // update any job
	deleteAnyJob              // delete any job
	unlockAny                 // update any job and any queue
	cleanUpAll                // delete any job, queue and task
)

// ready is called before every call. It checks the schema and the role until they have
// passed once.
func (c *Client) ready(ctx context.Context, need right) error {
	if c.err != nil {
		return c.err
	}
	if found := c.found.Load(); found != nil && allows(*found, need) {
		return nil
	}
	return c.recheck(ctx, need)
}

// recheck checks again. It is called when a call found nothing, or could not change what
// it found: so row security treats a role that has lost a right.
func (c *Client) recheck(ctx context.Context, need right) error {
	found, err := c.check(ctx)
	if err != nil {
		return err
	}
	if !allows(found, need) {
		return fmt.Errorf("%w: in schema %q it may not see and change every row that the call is about", ErrRowSecurity, c.Schema())
	}
	c.found.Store(&found)
	return nil
}

func allows(found db.InstallationGetRow, need right) bool {
	switch need {
	case removeJobs:
		return found.DeletesSomeJobs
	case updateAnyJob:
		return found.ReadsAll && found.UpdatesJobs
	case deleteAnyJob:
		return found.ReadsAll && found.DeletesJobs
	case unlockAny:
		return found.ReadsAll && found.UpdatesJobs && found.UpdatesQueues
	case cleanUpAll:
		return found.ReadsAll && found.DeletesAll
	}
	return true
}
