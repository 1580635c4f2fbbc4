package admin_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/gwadmin/gwadmin/admin"
)

// Returning changes only the fields Jobs and IDs of a result, and not what the call does.
func TestReturning(t *testing.T) {
	t.Parallel()
	type call func(ctx context.Context, c *admin.Client, ids []int64, want admin.Returning, dry bool) (*admin.ChangeResult, error)
	calls := map[string]call{
		"complete": func(ctx context.Context, c *admin.Client, ids []int64, want admin.Returning, dry bool) (*admin.ChangeResult, error) {
			return c.CompleteJobs(ctx, ids, &admin.ChangeOptions{Return: want, DryRun: dry})
		},
		"fail": func(ctx context.Context, c *admin.Client, ids []int64, want admin.Returning, dry bool) (*admin.ChangeResult, error) {
			return c.FailJobs(ctx, ids, nil, &admin.ChangeOptions{Return: want, DryRun: dry})
		},
		"reschedule": func(ctx context.Context, c *admin.Client, ids []int64, want admin.Returning, dry bool) (*admin.ChangeResult, error) {
			return c.RescheduleJobs(ctx, ids, admin.RescheduleValues{Priority: new(0)}, &admin.ChangeOptions{Return: want, DryRun: dry})
		},
		"retry": func(ctx context.Context, c *admin.Client, ids []int64, want admin.Returning, dry bool) (*admin.ChangeResult, error) {
			return c.RetryJobs(ctx, ids, &admin.ChangeOptions{Return: want, DryRun: dry})
		},
	}
	for name, call := range calls {
		for want, what := range map[admin.Returning]string{admin.ReturnIDs: "ids", admin.ReturnCount: "count"} {
			t.Run(name+"/"+what, func(t *testing.T) {
				t.Parallel()
				onBoth(t, func(b *bench) {
					jobs := b.fixture()
					changed, table := changes[name].apply(jobs, 1, 2, 4, 5, 6)
					less := changedAll([]admin.Job{}, []admin.Skip{locked(jobs[2]), locked(jobs[6]), missing(404)})
					less.Changed, less.Matched = int64(len(changed)), int64(len(everyID))
					if want == admin.ReturnIDs {
						less.IDs = []int64{1, 2, 4, 5, 6}
					}
					dry := *less
					dry.DryRun = true
					b.check("a dry run", &dry, b.ok(call(b.ctx, b.client, everyID, want, true)))
					b.check("table after the dry run", jobs, b.jobs())
					b.check("result", less, b.ok(call(b.ctx, b.client, everyID, want, false)))
					b.check("table", table, b.jobs())
				})
			})
		}
	}
	t.Run("something else", func(t *testing.T) {
		t.Parallel()
		onBoth(t, func(b *bench) {
			b.fixture()
			_, err := b.client.CompleteJobs(b.ctx, []int64{1}, &admin.ChangeOptions{Return: 3})
			b.check("error", "complete jobs: invalid input: return 3 is unknown: use ReturnJobs, ReturnIDs or ReturnCount", fmt.Sprint(err))
		})
	})
}

// AddJobsIDs adds the same jobs as AddJobs, in more than one batch.
func TestAddJobsIDs(t *testing.T) {
	t.Parallel()
	onBoth(t, func(b *bench) {
		var specs []admin.JobSpec
		for i := range 5100 {
			spec := admin.JobSpec{TaskIdentifier: "send", Payload: map[string]int{"n": i}}
			if i%100 == 99 {
				spec.JobKey = new(fmt.Sprint("key ", i))
			}
			specs = append(specs, spec)
		}
		ids := b.ok(b.client.AddJobsIDs(b.ctx, specs, nil)).([]int64)
		jobs := b.jobs()
		b.check("number of jobs", len(specs), len(jobs))
		b.check("ids", jobIDs(jobs), slices.Sorted(slices.Values(ids)))

		// The jobs with keys are updated, and the first of them keeps its run_at.
		again := b.ok(b.client.AddJobsIDs(b.ctx, []admin.JobSpec{specs[99], specs[0], specs[199]}, &admin.AddJobsOptions{PreserveRunAt: true})).([]int64)
		byKey := map[string]int64{}
		for _, job := range jobs {
			if job.Key != nil {
				byKey[*job.Key] = job.ID
			}
		}
		b.check("ids of keyed jobs", []int64{byKey["key 99"], byKey["key 199"]}, []int64{again[0], again[2]})
		b.check("number of jobs after", len(specs)+1, len(b.jobs()))

		none := b.ok(b.client.AddJobsIDs(b.ctx, nil, nil)).([]int64)
		b.check("ids of no jobs", 0, len(none))
		_, err := b.client.AddJobsIDs(b.ctx, []admin.JobSpec{{TaskIdentifier: "t"}, {TaskIdentifier: "t", JobKey: new("")}}, nil)
		b.check("bad specs", "add jobs: invalid input: job 1: job_key is empty: leave it nil for none", fmt.Sprint(err))
	})
}

func jobIDs(jobs []admin.Job) []int64 {
	ids := make([]int64, len(jobs))
	for i, job := range jobs {
		ids[i] = job.ID
	}
	return ids
}
