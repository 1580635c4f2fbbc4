package admin_test

import (
	"slices"
	"testing"

	"github.com/gwadmin/gwadmin/admin"
)

func TestRemoveJob(t *testing.T) {
	t.Parallel()
	left := func(skip admin.Skip) *admin.RemoveResult {
		return &admin.RemoveResult{Outcome: admin.Left, Skip: &skip}
	}
	for _, tc := range []struct {
		reason  string
		key     string
		options *admin.RemoveOptions
		// want is the result, and table the jobs in the table afterwards.
		want func(jobs []admin.Job) (result *admin.RemoveResult, table []admin.Job)
		// dry is the result of a dry run, if it differs.
		dry *admin.RemoveResult
	}{
		{
			"an unlocked job is deleted, and returned as it was", "key 2", nil,
			func(jobs []admin.Job) (*admin.RemoveResult, []admin.Job) {
				return &admin.RemoveResult{Outcome: admin.Removed, Job: new(jobs[1])}, slices.Delete(jobs, 1, 2)
			}, nil,
		},
		{
			"also with an empty option struct", "key 6", &admin.RemoveOptions{},
			func(jobs []admin.Job) (*admin.RemoveResult, []admin.Job) {
				return &admin.RemoveResult{Outcome: admin.Removed, Job: new(jobs[5])}, slices.Delete(jobs, 5, 6)
			}, nil,
		},
		{
			"a stale lock counts as none", "key 4", nil,
			func(jobs []admin.Job) (*admin.RemoveResult, []admin.Job) {
				return &admin.RemoveResult{Outcome: admin.Removed, Job: new(jobs[3])}, slices.Delete(jobs, 3, 4)
			}, nil,
		},
		{
			"nor is it detached", "key 4", &admin.RemoveOptions{DetachLocked: true},
			func(jobs []admin.Job) (*admin.RemoveResult, []admin.Job) {
				return &admin.RemoveResult{Outcome: admin.Removed, Job: new(jobs[3])}, slices.Delete(jobs, 3, 4)
			}, nil,
		},
		{
			"a locked job is left alone", "key 3", nil,
			func(jobs []admin.Job) (*admin.RemoveResult, []admin.Job) { return left(locked(jobs[2])), jobs }, nil,
		},
		{
			"unless asked for", "key 3", &admin.RemoveOptions{DetachLocked: true},
			func(jobs []admin.Job) (*admin.RemoveResult, []admin.Job) {
				jobs[2].Key, jobs[2].Attempts, jobs[2].UpdatedAt = nil, jobs[2].MaxAttempts, now()
				return &admin.RemoveResult{Outcome: admin.Detached, Job: new(jobs[2])}, jobs
			},
			&admin.RemoveResult{Outcome: admin.Detached},
		},
		{
			"a key that no job has", "key 404", nil,
			func(jobs []admin.Job) (*admin.RemoveResult, []admin.Job) {
				return &admin.RemoveResult{Outcome: admin.NoSuch}, jobs
			}, nil,
		},
		{
			"nor then is anything detached", "key 404", &admin.RemoveOptions{DetachLocked: true},
			func(jobs []admin.Job) (*admin.RemoveResult, []admin.Job) {
				return &admin.RemoveResult{Outcome: admin.NoSuch}, jobs
			}, nil,
		},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			onBoth(t, func(b *bench) {
				result, table := tc.want(b.fixture())
				before := b.tables()
				dry := admin.RemoveOptions{DryRun: true}
				if tc.options != nil {
					dry.DetachLocked = tc.options.DetachLocked
				}
				predicted := result
				if tc.dry != nil {
					predicted = tc.dry
				}
				b.check("dry run", predicted, b.ok(b.client.RemoveJob(b.ctx, tc.key, &dry)))
				b.check("tables after the dry run", before, b.tables())

				b.check("result", result, b.ok(b.client.RemoveJob(b.ctx, tc.key, tc.options)))
				b.check("table", table, b.jobs())
			})
		})
	}
}

func TestRemoveJobByAnyKey(t *testing.T) {
	t.Parallel()
	onBoth(t, func(b *bench) {
		job := b.add("send", nil, &admin.AddJobOptions{JobKey: new(nasty)})
		b.check("result", &admin.RemoveResult{Outcome: admin.Removed, Job: job}, b.ok(b.client.RemoveJob(b.ctx, nasty, nil)))
		b.check("table", []admin.Job{}, b.jobs())
	})
}
