// Package dryrun makes changes that have no dry run of their own in a transaction that is
// rolled back.
package dryrun

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/gwadmin/gwadmin/admin"
)

// RolledBack calls fn in a transaction, and rolls that back.
func RolledBack(ctx context.Context, client *admin.Client, fn func(*admin.Client) error) error {
	tx, err := client.DB().Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }()
	return fn(client.WithTx(tx))
}

// AddJob adds a job; in a dry run it rolls back. before is the job that had the key, if
// there was one.
func AddJob(ctx context.Context, client *admin.Client, dryRun bool, task string, payload any, options *admin.AddJobOptions) (job, before *admin.Job, err error) {
	add := func(client *admin.Client) (err error) {
		if options.JobKey != nil {
			// AddJob reports any other error.
			found, err := client.GetJobByKey(ctx, *options.JobKey)
			if _, ok := errors.AsType[*pgconn.PgError](err); ok {
				return err
			}
			if err == nil {
				before = &found.Job
			}
		}
		job, err = client.AddJob(ctx, task, payload, options)
		return err
	}
	if dryRun {
		err = RolledBack(ctx, client, add)
	} else {
		err = add(client)
	}
	if err != nil {
		return nil, nil, err
	}
	return job, before, nil
}
