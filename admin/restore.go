package admin

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/gwadmin/gwadmin/db"
)

// RestoreOptions are the options of [Client.RestoreQueues]. A nil struct means the defaults.
type RestoreOptions struct {
	// QueueName is the queue to move all stranded jobs to. It is added if it does not
	// exist. Nil adds every missing queue with its old id and the name restored-ID, since
	// its old name is lost. Its jobs still run one after another.
	QueueName *string
	DryRun    bool // change nothing, and return what the call would do
}

// A RestoreResult is the result of [Client.RestoreQueues].
type RestoreResult struct {
	DryRun bool            `json:"dry_run"`
	Jobs   int64           `json:"jobs"`   // the number of jobs that are no longer stranded
	Queues []RestoredQueue `json:"queues"` // the missing queues, sorted by id
}

// A RestoredQueue is a queue that was missing.
type RestoredQueue struct {
	ID   int    `json:"id"`
	Name string `json:"name"` // the name of the queue that its jobs are in now
	Jobs int64  `json:"jobs"` // the number of jobs that referred to it
}

// RestoreQueues gives [Stranded] jobs a queue, so that workers take them again. It adds the
// missing queues, or moves the jobs to RestoreOptions.QueueName. It does not move a job that
// a worker holds. Jobs that it moves to a paused queue wait there. It reads the whole table of jobs. If there is an error, nothing is
// changed.
func (c *Client) RestoreQueues(ctx context.Context, options *RestoreOptions) (result *RestoreResult, err error) {
	const call = "restore queues"
	if options == nil {
		options = &RestoreOptions{}
	}
	done := c.log(ctx, call, options.DryRun)
	defer func() { done(result, err) }()
	var f faults
	if options.QueueName != nil {
		f.text("queue_name", *options.QueueName, 128)
	}
	if err := f.err(call); err != nil {
		return nil, err
	}
	need := updateAnyJob
	if options.DryRun {
		need = readJobs
	}
	if err := c.ready(ctx, need); err != nil {
		return nil, c.failure(call, err)
	}
	restore := func(c *Client) (err error) {
		result, err = c.restore(ctx, options)
		return err
	}
	err = c.retryOnDeadlock(func() error {
		if options.DryRun {
			return restore(c)
		}
		return c.atomically(ctx, restore)
	})
	if err == nil && len(result.Queues) == 0 {
		err = c.recheck(ctx, need)
	}
	if err != nil {
		if result == nil {
			result = &RestoreResult{}
		}
		return nil, c.failure(call, sentAs(Sent{Jobs: int(result.Jobs), Queues: len(result.Queues)}, err))
	}
	return result, nil
}

func (c *Client) restore(ctx context.Context, options *RestoreOptions) (*RestoreResult, error) {
	missing, err := c.queries.QueueMissing(ctx, c.conn)
	if err != nil {
		return nil, err
	}
	result := &RestoreResult{DryRun: options.DryRun, Queues: []RestoredQueue{}}
	var params db.QueueRestoreParams
	for _, queue := range missing {
		name := fmt.Sprintf("restored-%d", queue.ID)
		if options.QueueName != nil {
			name = *options.QueueName
		}
		params.Ids, params.Names = append(params.Ids, queue.ID), append(params.Names, name)
		result.Queues = append(result.Queues, RestoredQueue{ID: int(queue.ID), Name: name, Jobs: queue.Jobs})
		result.Jobs += queue.Jobs
	}
	if options.DryRun || len(missing) == 0 {
		return result, nil
	}
	if options.QueueName == nil {
		added, err := c.queries.QueueRestore(ctx, c.conn, params)
		if err == nil && len(added) < len(missing) {
			err = fmt.Errorf("%w: another transaction added some of the queues: try again", ErrContended)
		}
		return result, err
	}
	id, err := c.ensureQueue(ctx, *options.QueueName)
	if err != nil {
		return nil, err
	}
	moved, err := c.queries.JobMoveStranded(ctx, c.conn, db.JobMoveStrandedParams{QueueID: id})
	result.Jobs = int64(len(moved))
	return result, err
}

// ensureQueue returns the id of the queue with this name, and adds it if there is none.
func (c *Client) ensureQueue(ctx context.Context, name string) (int32, error) {
	for range tries {
		id, err := c.queries.QueueEnsure(ctx, c.conn, db.QueueEnsureParams{QueueName: name})
		if !errors.Is(err, pgx.ErrNoRows) { // another transaction adds it at the same time
			return id, err
		}
	}
	return 0, ErrContended
}
