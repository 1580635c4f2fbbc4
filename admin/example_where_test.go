package admin_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/gwadmin/gwadmin/admin"
)

func ExampleClient_CompleteWhere() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	client := admin.New(pool)
	addEmails(ctx, client, 3)

	filter := admin.Filter{TaskIdentifiers: []string{"send_email"}, PayloadContains: []byte(`{"campaign": "spring"}`)}
	result, err := client.CompleteWhere(ctx, filter, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.Changed, "deleted")
	// Output:
	// 3 deleted
}

func ExampleClient_FailWhere() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	client := admin.New(pool)
	addEmails(ctx, client, 3)

	result, err := client.FailWhere(ctx, admin.Filter{States: []admin.State{admin.Ready}},
		new("the campaign is cancelled"), &admin.WhereOptions{Limit: 2, Sample: new(1)})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.Changed, "failed, more may match:", result.More)
	for _, job := range result.Jobs {
		fmt.Printf("%d: %s\n", job.ID, *job.LastError)
	}
	// Output:
	// 2 failed, more may match: true
	// 1: the campaign is cancelled
}

func ExampleClient_RescheduleWhere() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	client := admin.New(pool)
	addEmails(ctx, client, 3)

	values := admin.RescheduleValues{RunAt: admin.In(time.Hour), Priority: new(10)}
	result, err := client.RescheduleWhere(ctx, admin.Filter{}, values, &admin.WhereOptions{All: true})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.Changed, "run in an hour, with priority", result.Jobs[0].Priority)
	// Output:
	// 3 run in an hour, with priority 10
}

// Retry the permanently failed jobs of a task, after a dry run.
func ExampleClient_RetryWhere() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	client := admin.New(pool)
	if _, err := client.FailJobs(ctx, addEmails(ctx, client, 3), nil, nil); err != nil {
		log.Fatal(err)
	}

	failed := admin.Filter{States: []admin.State{admin.Permafailed}, TaskIdentifiers: []string{"send_email"}}
	preview, err := client.RetryWhere(ctx, failed, &admin.WhereOptions{DryRun: true})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(preview.Changed, "would be retried; the first has", preview.Jobs[0].Attempts, "attempts")

	result, err := client.RetryWhere(ctx, failed, &admin.WhereOptions{BatchSize: 2, Progress: func(r admin.ChangeResult) {
		fmt.Println(r.Changed, "so far")
	}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.Changed, "retried,", result.Matched-result.Changed, "skipped")
	// Output:
	// 3 would be retried; the first has 25 attempts
	// 2 so far
	// 3 so far
	// 3 retried, 0 skipped
}

// addEmails adds n jobs for the examples and returns their ids.
func addEmails(ctx context.Context, client *admin.Client, n int) []int64 {
	specs := make([]admin.JobSpec, n)
	for i := range specs {
		specs[i] = admin.JobSpec{TaskIdentifier: "send_email", Payload: map[string]string{"campaign": "spring"}}
	}
	ids, err := client.AddJobsIDs(ctx, specs, nil)
	if err != nil {
		log.Fatal(err)
	}
	return ids
}
