package admin

import (
	"context"
	"fmt"

	"github.com/gwadmin/gwadmin/db"
	"github.com/gwadmin/gwadmin/internal/graphile"
)

// Check makes sure that the client's calls can work, and says why not:
// [ErrNotInstalled]; a [*RevisionError] for a schema older than revision 18 or
// with a breaking revision after 20; [ErrRowSecurity] when the role would see
// empty tables. It changes nothing.
//
// Every client does this by itself before its first call, and again when a call
// finds nothing at all. A role that may not read the ledger of revisions is not
// told of an unsupported one.
func (c *Client) Check(ctx context.Context) error {
	if c.err != nil {
		return c.err
	}
	_, err := c.check(ctx)
	return c.failure("check", err)
}

func (c *Client) check(ctx context.Context) (db.InstallationGetRow, error) {
	found, err := c.queries.InstallationGet(ctx, c.conn, db.InstallationGetParams{SchemaName: c.Schema()})
	if err != nil {
		return found, err
	}
	if !found.Installed {
		return found, fmt.Errorf("%w: schema %q: install it with gwadmin migrate or graphile-worker --schema-only",
			ErrNotInstalled, c.Schema())
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
	if found.Hidden {
		return found, fmt.Errorf("%w: use the owner of the tables in schema %q, or give the role policies on them",
			ErrRowSecurity, c.Schema())
	}
	return found, nil
}

// ready is asked before every call: the check is made until it has passed once.
func (c *Client) ready(ctx context.Context) error {
	if c.err != nil {
		return c.err
	}
	if c.checked.Load() {
		return nil
	}
	if _, err := c.check(ctx); err != nil {
		return err
	}
	c.checked.Store(true)
	return nil
}

// explainNothing is asked when a call found nothing, which may be because the
// role has been kept from the tables since the first check.
func (c *Client) explainNothing(ctx context.Context) error {
	_, err := c.check(ctx)
	return err
}

// explainUnchanged is asked when jobs in plain sight would not be changed, which
// is how row security treats a role that may read more than it may write.
func (c *Client) explainUnchanged(ctx context.Context) error {
	found, err := c.check(ctx)
	if err == nil && found.Restricted {
		err = fmt.Errorf("%w: in schema %q it may read jobs that it may not change", ErrRowSecurity, c.Schema())
	}
	return err
}
