package admin

import (
	"context"
	"errors"
	"fmt"

	"github.com/gwadmin/gwadmin/db"
)

// ErrJobNotFound means that no job has the id or the key.
var ErrJobNotFound = errors.New("job not found")

// GetJob reads the job with the id, with its state and its whole payload, whether or not a
// worker holds it. It takes no lock. The error matches [ErrJobNotFound] if no job has the
// id: a worker deletes a job that succeeded. With [WithReader] it reads from the replica,
// and does not find a job that has not been replicated yet.
func (c *Client) GetJob(ctx context.Context, id int64) (*ListedJob, error) {
	return c.get(ctx, fmt.Sprintf("get job %d", id), func(on db.DBTX) ([]db.JobListRow, error) {
		rows, err := c.queries.JobGet(ctx, on, db.JobGetParams{ID: id})
		return rowsOf(rows, func(r db.JobGetRow) db.JobListRow { return db.JobListRow(r) }), err
	})
}

// GetJobByKey reads the job with the key as [Client.GetJob] reads it by id.
func (c *Client) GetJobByKey(ctx context.Context, key string) (*ListedJob, error) {
	const call = "get job by key"
	var f faults
	f.text("job_key", key, 512)
	if err := f.err(call); err != nil {
		return nil, err
	}
	return c.get(ctx, call, func(on db.DBTX) ([]db.JobListRow, error) { return c.jobByKey(ctx, on, key) })
}

func (c *Client) jobByKey(ctx context.Context, on db.DBTX, key string) ([]db.JobListRow, error) {
	rows, err := c.queries.JobGetByKey(ctx, on, db.JobGetByKeyParams{Key: key})
	return rowsOf(rows, func(r db.JobGetByKeyRow) db.JobListRow { return db.JobListRow(r) }), err
}

func (c *Client) get(ctx context.Context, call string, read func(db.DBTX) ([]db.JobListRow, error)) (*ListedJob, error) {
	if err := c.onReader().ready(ctx, readJobs); err != nil {
		return nil, c.failure(call, err)
	}
	rows, err := read(c.reading())
	if err == nil && len(rows) == 0 {
		if err = c.onReader().recheck(ctx, readJobs); err == nil {
			err = ErrJobNotFound
		}
	}
	if err != nil {
		return nil, c.failure(call, err)
	}
	return new(newListedJob(rows[0])), nil
}
