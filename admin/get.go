package admin

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/gwadmin/gwadmin/db"
)

// ErrJobNotFound says that no job has the id, or the key, that was asked for.
var ErrJobNotFound = errors.New("job not found")

// GetJob reads the job with the id, which a worker may hold or not, with its state
// and its whole payload. It takes no lock. There is none any more once it has been
// run: the error then matches [ErrJobNotFound]. With [WithReader] it reads there, and
// so does not find a job that has not reached the replica.
func (c *Client) GetJob(ctx context.Context, id int64) (*ListedJob, error) {
	return c.get(ctx, fmt.Sprintf("get job %d", id), db.JobListParams{Ids: []int64{id}})
}

// GetJobByKey reads the job that has the key, as [Client.GetJob] does by id.
func (c *Client) GetJobByKey(ctx context.Context, key string) (*ListedJob, error) {
	const call = "get job by key"
	var f faults
	f.text("job_key", key, 512)
	if err := f.err(call); err != nil {
		return nil, err
	}
	return c.get(ctx, call, db.JobListParams{Keys: []string{key}})
}

func (c *Client) get(ctx context.Context, call string, params db.JobListParams) (*ListedJob, error) {
	if err := c.ready(ctx, readJobs); err != nil {
		return nil, c.failure(call, err)
	}
	job, err := c.one(ctx, c.planned(), params)
	if err == nil && job == nil {
		err = ErrJobNotFound
	}
	if err != nil {
		return nil, c.failure(call, err)
	}
	return job, nil
}

// one reads the whole job that the parameters pick; nil where there is none, and the
// role could see it.
func (c *Client) one(ctx context.Context, on db.DBTX, params db.JobListParams) (*ListedJob, error) {
	const whole = math.MaxInt32 // more than PostgreSQL keeps in a payload
	params.Sort, params.PageSize, params.PayloadCap = string(ByID), 1, whole
	rows, err := c.queries.JobList(ctx, on, params)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, c.recheck(ctx, readJobs)
	}
	return new(newListedJob(rows[0], whole)), nil
}
