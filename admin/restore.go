package admin

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/gwadmin/gwadmin/db"
)

// RestoreOptions are the options of [Client.RestoreQueues]. Nil means the defaults.
type RestoreOptions struct {
	// QueueName is the queue to put all stranded jobs into, which is added if it is
	// missing. Nil adds every missing queue again, with its old id and the name
	// restored-ID: its name is not known, but its jobs still run one after another.
	QueueName *string
	DryRun    bool // only say what would be done
}

// A RestoreResult says what [Client.RestoreQueues] did.
type RestoreResult struct {
	DryRun bool            `json:"dry_run"`
	Jobs   int64           `json:"jobs"`   // how many were put back in reach
	Queues []RestoredQueue `json:"queues"` // the missing queues, by id
}

// A RestoredQueue is a queue that was missing.
type RestoredQueue struct {
	ID   int    `json:"id"`
	Name string `json:"name"` // that of the queue which its jobs are in now
	Jobs int64  `json:"jobs"` // how many jobs referred to it
}

// RestoreQueues puts [Stranded] jobs back in reach of workers: those whose queue is gone.
// It reads the whole table. All of them are put back or, if there is an error, none.
// With RestoreOptions.QueueName, jobs that a worker holds are left alone.
func (c *Client) RestoreQueues(ctx context.Context, options *RestoreOptions) (*RestoreResult, error) {
	const call = "restore queues"
	if options == nil {
		options = &RestoreOptions{}
	}
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
	var result *RestoreResult
	err := c.retryOnDeadlock(func() error {
		return c.atomically(ctx, func(c *Client) (err error) {
			result, err = c.restore(ctx, options)
			return err
		})
	})
	if err == nil && len(result.Queues) == 0 {
		err = c.recheck(ctx, need)
	}
	if err != nil {
		return nil, c.failure(call, err)
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
			err = fmt.Errorf("%w: another transaction added some of the queues", ErrContended)
		}
		return result, err
	}
	for range tries {
		id, err := c.queries.QueueEnsure(ctx, c.conn, db.QueueEnsureParams{QueueName: *options.QueueName})
		if errors.Is(err, pgx.ErrNoRows) { // another transaction has just added it
			continue
		}
		if err != nil {
			return nil, err
		}
		moved, err := c.queries.JobMoveStranded(ctx, c.conn, db.JobMoveStrandedParams{QueueID: id})
		result.Jobs = int64(len(moved))
		return result, err
	}
	return nil, ErrContended
}
