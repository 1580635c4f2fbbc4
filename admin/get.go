package admin

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/gwadmin/gwadmin/db"
)

// ErrJobNotFound says that no job has the id, or the key, that was asked for.
var ErrJobNotFound = errors.New("job not found")

// GetJob reads the job with the id, which a worker may hold or not. There is none
// any more once it has been run: the error then matches [ErrJobNotFound].
func (c *Client) GetJob(ctx context.Context, id int64) (*Job, error) {
	return c.get(ctx, fmt.Sprintf("get job %d", id), func() (db.JobAddRow, error) {
		row, err := c.queries.JobGet(ctx, c.conn, db.JobGetParams{ID: id})
		return db.JobAddRow(row), err
	})
}

// GetJobByKey reads the job that has the key, as [Client.GetJob] does by id.
func (c *Client) GetJobByKey(ctx context.Context, key string) (*Job, error) {
	const call = "get job by key"
	var f faults
	f.text("job_key", key, 512)
	if err := f.err(call); err != nil {
		return nil, err
	}
	return c.get(ctx, call, func() (db.JobAddRow, error) {
		row, err := c.queries.JobGetByKey(ctx, c.conn, db.JobGetByKeyParams{JobKey: key})
		return db.JobAddRow(row), err
	})
}

func (c *Client) get(ctx context.Context, call string, query func() (db.JobAddRow, error)) (*Job, error) {
	if err := c.ready(ctx, readJobs); err != nil {
		return nil, c.failure(call, err)
	}
	row, err := query()
	if errors.Is(err, pgx.ErrNoRows) {
		if err = c.recheck(ctx, readJobs); err == nil {
			err = ErrJobNotFound
		}
	}
	if err == nil && row.TaskIdentifier == nil {
		err = fmt.Errorf("its task %d is gone", row.TaskID)
	}
	if err != nil {
		return nil, c.failure(call, err)
	}
	return new(newJob(row)), nil
}
