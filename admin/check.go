package admin

import (
	"context"
	"fmt"

	"github.com/gwadmin/gwadmin/db"
	"github.com/gwadmin/gwadmin/internal/graphile"
)

// Check returns an error if the client cannot work on the schema: [ErrNotInstalled], a
// [*RevisionError] for a schema older than revision 18 or with a breaking revision after
// 20, or [ErrRowSecurity] if row security hides all rows from the role. It changes nothing.
//
// Every client checks the schema before its first call, and again when a call finds no row.
// If the role may not read the table of revisions, the revision is not checked.
//
// If declared is not nil, Check also returns an [*UndeclaredError] if there are jobs of
// tasks that are not among these identifiers: see [Client.UndeclaredTasks]. [Identifiers]
// returns the identifiers of typed tasks. An empty list that is not nil declares no task.
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
		return found, fmt.Errorf("%w: use the owner of the tables in schema %q, or give the role its rights by gwadmin migrate grants producer|admin|reader ROLE%s",
			ErrRowSecurity, c.Schema(), graphile.SchemaFlag(c.Schema()))
	}
	return found, nil
}

// whyNotInstalled returns the error for a schema without the tables: a [*RevisionError] if
// it is too old, when the tables had other names, or else [ErrNotInstalled].
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

// A right is what the role must be allowed to do for a call.
type right int

const (
	readJobs     right = iota // read some jobs
	removeJobs                // delete some jobs
	updateAnyJob              // update any job
	deleteAnyJob              // delete any job
	updateQueues              // update any queue
	unlockAny                 // update any job and any queue
	cleanUpAll                // delete any job, queue and task
)

// ready is called before every call. It checks the schema and the role, and does not check
// them again after they have passed.
func (c *Client) ready(ctx context.Context, need right) error {
	if c.err != nil {
		return c.err
	}
	if found := c.found.Load(); found != nil && allows(*found, need) {
		return nil
	}
	return c.recheck(ctx, need)
}

// recheck checks the schema and the role. It is called when a call found no row or could
// not change the rows that it found: row security has this effect on a role that has lost
// a right.
func (c *Client) recheck(ctx context.Context, need right) error {
	found, err := c.check(ctx)
	if err != nil {
		return err
	}
	if !allows(found, need) {
		return fmt.Errorf("%w: in schema %q the role may not see and change every row that the call needs: use the owner of the tables, or give the role its rights by gwadmin migrate grants admin ROLE%s",
			ErrRowSecurity, c.Schema(), graphile.SchemaFlag(c.Schema()))
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
	case updateQueues:
		return found.ReadsAll && found.UpdatesQueues
	case unlockAny:
		return found.ReadsAll && found.UpdatesJobs && found.UpdatesQueues
	case cleanUpAll:
		return found.ReadsAll && found.DeletesAll
	}
	return true
}
