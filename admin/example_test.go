package admin_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/stdlib"

	"github.com/gwadmin/gwadmin/admin"
)

func ExampleNew() {
	ctx := context.Background()
	pool, done := database() // a *pgxpool.Pool, as pgxpool.New returns it
	defer done()

	client := admin.New(pool)
	fmt.Println(client.Check(ctx))
	// Output:
	// <nil>
}

func ExampleWithSchema() {
	ctx := context.Background()
	pool, done := database()
	defer done()

	client := admin.New(pool, admin.WithSchema("my jobs"))
	err := client.Check(ctx)
	fmt.Println(errors.Is(err, admin.ErrNotInstalled))
	// Output:
	// true
}

func ExampleWithReader() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	replica := pool // in production a pool on a read replica

	client := admin.New(pool, admin.WithReader(replica))
	stats, err := client.Stats(ctx, nil) // reads from the replica
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(stats.Jobs.Total(), "jobs")
	// Output:
	// 0 jobs
}

func ExampleWithCommitGrace() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	pool, done := database()
	defer done()

	// A call that adds many jobs may take a minute, and its COMMIT two seconds more.
	client := admin.New(pool, admin.WithCommitGrace(2*time.Second))
	ids, err := client.AddJobsIDs(ctx, []admin.JobSpec{{TaskIdentifier: "send_email"}, {TaskIdentifier: "send_email"}}, nil)
	if errors.Is(err, admin.ErrOutcomeUnknown) {
		log.Fatal("they may have been added: ", err)
	}
	fmt.Println(len(ids), err)
	// Output:
	// 2 <nil>
}

func ExampleClient_Schema() {
	pool, done := database()
	defer done()

	fmt.Println(admin.New(pool).Schema())
	// Output:
	// graphile_worker
}

func ExampleClient_AddJob() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	client := admin.New(pool)

	job, err := client.AddJob(ctx, "send_email", map[string]string{"to": "ada@example.com"}, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d: %s %s\n", job.ID, job.TaskIdentifier, job.Payload)

	// Adding a job with the same key again updates it.
	for _, hour := range []int{9, 17} {
		job, err = client.AddJob(ctx, "remind", nil, &admin.AddJobOptions{
			JobKey:      new("remind ada"),
			RunAt:       admin.At(time.Date(2100, 1, 1, hour, 0, 0, 0, time.UTC)),
			MaxAttempts: new(3),
		})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%d: %s at %s, revision %d\n", job.ID, *job.Key, job.RunAt, job.Revision)
	}
	// Output:
	// 1: send_email {"to":"ada@example.com"}
	// 2: remind ada at 2100-01-01T09:00:00Z, revision 0
	// 2: remind ada at 2100-01-01T17:00:00Z, revision 1
}

func ExampleClient_AddJobs() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	client := admin.New(pool)

	jobs, err := client.AddJobs(ctx, []admin.JobSpec{
		{TaskIdentifier: "resize", Payload: []int{640, 480}, QueueName: new("images")},
		{TaskIdentifier: "publish", QueueName: new("images"), Priority: new(5), Flags: []string{"network"}},
	}, nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, job := range jobs {
		fmt.Printf("%d: %s %s, priority %d, flags %q\n", job.ID, job.TaskIdentifier, job.Payload, job.Priority, job.Flags)
	}

	// The error lists all faults. Nothing is added.
	_, err = client.AddJobs(ctx, []admin.JobSpec{
		{TaskIdentifier: "resize", MaxAttempts: new(0)},
		{TaskIdentifier: "publish", Payload: make(chan int)},
	}, nil)
	fmt.Println(errors.Is(err, admin.ErrInvalid))
	if invalid, ok := errors.AsType[*admin.InvalidError](err); ok {
		for _, fault := range invalid.Faults {
			fmt.Println(fault)
		}
	}
	// Output:
	// 1: resize [640,480], priority 0, flags []
	// 2: publish {}, priority 5, flags ["network"]
	// true
	// job 0: max_attempts 0 is outside 1 to 32767
	// job 1: payload cannot be marshalled to JSON: it is a chan int
}

func ExampleClient_AddJobsIDs() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	client := admin.New(pool)

	specs := make([]admin.JobSpec, 10_000)
	for i := range specs {
		specs[i] = admin.JobSpec{TaskIdentifier: "send_email", Payload: map[string]int{"user": i}}
	}
	ids, err := client.AddJobsIDs(ctx, specs, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(ids), "jobs added")
	// Output:
	// 10000 jobs added
}

// Goroutines that add jobs at once share commits.
func ExampleNewAdder() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	client := admin.New(pool)
	adder := admin.NewAdder(client, nil)

	var requests sync.WaitGroup
	for i := range 100 {
		requests.Go(func() {
			_, err := adder.AddJob(ctx, "send_email", map[string]int{"order": i}, nil)
			switch {
			case errors.Is(err, admin.ErrOutcomeUnknown):
				log.Printf("the job may have been added: %v", err)
			case err != nil:
				log.Printf("the job was not added: %v", err)
			}
		})
	}
	requests.Wait()

	// When the program ends, wait for the calls that are still under way.
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := adder.Close(ctx); err != nil {
		log.Fatal(err)
	}
	stats, err := client.Stats(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(stats.Jobs[admin.Ready], "jobs are ready")
	// Output:
	// 100 jobs are ready
}

func ExampleClient_WithTx() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	client := admin.New(pool)

	// The job is added when the transaction commits.
	tx, err := pool.Begin(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = tx.Rollback(ctx) }() // does nothing after a commit
	job, err := client.WithTx(tx).AddJob(ctx, "welcome", nil, nil)
	if err != nil {
		log.Fatal(err)
	}
	ids := []int64{job.ID}
	before, err := client.CompleteJobs(ctx, ids, &admin.ChangeOptions{DryRun: true})
	if err != nil {
		log.Fatal(err)
	}
	if err := tx.Commit(ctx); err != nil {
		log.Fatal(err)
	}
	after, err := client.CompleteJobs(ctx, ids, &admin.ChangeOptions{DryRun: true})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(before.SkippedJobs, len(after.Jobs))
	// Output:
	// [1: not found] 1
}

func ExampleSQL() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	db := stdlib.OpenDBFromPool(pool) // or sql.Open("pgx", url)
	client := admin.New(admin.SQL(db))

	// The job is added when the transaction commits.
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }() // does nothing after a commit
	job, err := client.WithTx(admin.SQL(tx)).AddJob(ctx, "welcome", nil, nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		log.Fatal(err)
	}
	added, err := client.GetJob(ctx, job.ID)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(added.TaskIdentifier, added.State)
	// Output:
	// welcome ready
}

func ExampleClient_GetJob() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	client := admin.New(pool)

	added, err := client.AddJob(ctx, "send_email", nil, nil)
	if err != nil {
		log.Fatal(err)
	}
	job, err := client.GetJob(ctx, added.ID)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(job.ID, job.TaskIdentifier, job.State, job.Permafailed())

	_, err = client.GetJob(ctx, 404)
	fmt.Println(errors.Is(err, admin.ErrJobNotFound))
	// Output:
	// 1 send_email ready false
	// true
}

func ExampleClient_GetJobByKey() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	client := admin.New(pool)

	if _, err := client.AddJob(ctx, "remind", nil, &admin.AddJobOptions{JobKey: new("remind ada")}); err != nil {
		log.Fatal(err)
	}
	job, err := client.GetJobByKey(ctx, "remind ada")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(job.ID, job.TaskIdentifier)
	// Output:
	// 1 remind
}

func ExampleClient_CompleteJobs() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	client := admin.New(pool)

	job, err := client.AddJob(ctx, "send_email", nil, nil)
	if err != nil {
		log.Fatal(err)
	}
	result, err := client.CompleteJobs(ctx, []int64{job.ID, 404}, nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, job := range result.Jobs {
		fmt.Println("deleted", job.ID, job.TaskIdentifier)
	}
	for _, skip := range result.SkippedJobs {
		fmt.Println("left", skip)
	}
	// Output:
	// deleted 1 send_email
	// left 404: not found
}

func ExampleClient_FailJobs() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	client := admin.New(pool)

	job, err := client.AddJob(ctx, "send_email", nil, nil)
	if err != nil {
		log.Fatal(err)
	}
	result, err := client.FailJobs(ctx, []int64{job.ID}, new("the address is gone"), nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, job := range result.Jobs {
		fmt.Printf("%d: attempt %d of %d, %s\n", job.ID, job.Attempts, job.MaxAttempts, *job.LastError)
	}
	// Output:
	// 1: attempt 25 of 25, the address is gone
}

func ExampleClient_RescheduleJobs() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	client := admin.New(pool)

	job, err := client.AddJob(ctx, "report", nil, &admin.AddJobOptions{Priority: new(7)})
	if err != nil {
		log.Fatal(err)
	}
	// A nil value leaves its column. A zero is set.
	result, err := client.RescheduleJobs(ctx, []int64{job.ID}, admin.RescheduleValues{
		RunAt:    admin.Never(),
		Priority: new(0),
	}, nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, job := range result.Jobs {
		fmt.Printf("%d: at %s, priority %d, %d attempts at most\n", job.ID, job.RunAt, job.Priority, job.MaxAttempts)
	}
	// Output:
	// 1: at infinity, priority 0, 25 attempts at most
}

func ExampleClient_RetryJobs() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	client := admin.New(pool)

	job, err := client.AddJob(ctx, "send_email", nil, nil)
	if err != nil {
		log.Fatal(err)
	}
	ids := []int64{job.ID}
	if _, err := client.FailJobs(ctx, ids, nil, nil); err != nil {
		log.Fatal(err)
	}
	result, err := client.RetryJobs(ctx, ids, nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, job := range result.Jobs {
		fmt.Printf("%d: attempt %d of %d, %s\n", job.ID, job.Attempts, job.MaxAttempts, *job.LastError)
	}
	// Output:
	// 1: attempt 0 of 25, Manually marked as failed
}

func ExampleClient_RemoveJob() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	client := admin.New(pool)

	if _, err := client.AddJob(ctx, "remind", nil, &admin.AddJobOptions{JobKey: new("remind ada")}); err != nil {
		log.Fatal(err)
	}
	for range 2 {
		result, err := client.RemoveJob(ctx, "remind ada", nil)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(result.Outcome)
	}
	// Output:
	// removed
	// not found
}

func ExampleClient_ForceUnlockWorkers() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	client := admin.New(pool)

	if _, err := client.AddJob(ctx, "send_email", nil, nil); err != nil {
		log.Fatal(err)
	}
	// A worker takes the job and dies.
	_, err := pool.Exec(ctx, "update graphile_worker._private_jobs set attempts = 1, locked_at = now(), locked_by = 'pool-1'")
	if err != nil {
		log.Fatal(err)
	}

	result, err := client.ForceUnlockWorkers(ctx, []string{"pool-1", "pool-2"}, nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, worker := range result.Unlocked {
		fmt.Printf("%s held %d job and %d queues\n", worker.WorkerID, worker.Jobs, worker.Queues)
	}
	fmt.Println("idle:", result.Idle)
	// Output:
	// pool-1 held 1 job and 0 queues
	// idle: [pool-2]
}

func ExampleClient_Cleanup() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	client := admin.New(pool)

	job, err := client.AddJob(ctx, "send_email", nil, &admin.AddJobOptions{QueueName: new("mail")})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := client.FailJobs(ctx, []int64{job.ID}, nil, nil); err != nil {
		log.Fatal(err)
	}

	result, err := client.Cleanup(ctx, admin.CleanupOptions{
		Tasks: []admin.CleanupTask{admin.DeletePermafailedJobs, admin.GCJobQueues},
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, task := range []admin.CleanupTask{admin.DeletePermafailedJobs, admin.GCJobQueues} {
		fmt.Println(task, result.Deleted[task])
	}
	// Output:
	// DELETE_PERMAFAILED_JOBS 1
	// GC_JOB_QUEUES 1
}

func ExampleClient_RestoreQueues() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	client := admin.New(pool)

	job, err := client.AddJob(ctx, "send_email", nil, &admin.AddJobOptions{QueueName: new("mail")})
	if err != nil {
		log.Fatal(err)
	}
	// A cleanup deletes the queue while another transaction adds a job to it.
	if _, err := pool.Exec(ctx, "delete from graphile_worker._private_job_queues"); err != nil {
		log.Fatal(err)
	}
	stranded, err := client.GetJob(ctx, job.ID)
	if err != nil {
		log.Fatal(err)
	}
	result, err := client.RestoreQueues(ctx, &admin.RestoreOptions{QueueName: new("mail")})
	if err != nil {
		log.Fatal(err)
	}
	restored, err := client.GetJob(ctx, job.ID)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(stranded.State, result.Jobs, restored.State, *restored.QueueName)
	// Output:
	// stranded 1 ready mail
}

func ExampleClient_PauseQueue() {
	ctx := admin.WithActor(context.Background(), "ada")
	pool, done := database()
	defer done()
	client := admin.New(pool)

	if _, err := client.PauseQueue(ctx, "mail", &admin.PauseOptions{Reason: "the mail server moves"}); err != nil {
		log.Fatal(err)
	}
	job, err := client.AddJob(ctx, "send_email", nil, &admin.AddJobOptions{QueueName: new("mail")})
	if err != nil {
		log.Fatal(err)
	}
	now, err := client.GetJob(ctx, job.ID)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(now.State, "by", now.QueuePaused.By+":", now.QueuePaused.Reason)
	// Output:
	// paused by ada: the mail server moves
}

func ExampleClient_ResumeQueue() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	client := admin.New(pool)

	if _, err := client.PauseQueue(ctx, "mail", nil); err != nil {
		log.Fatal(err)
	}
	for range 2 {
		resumed, err := client.ResumeQueue(ctx, "mail", nil)
		if err != nil {
			log.Fatal(err)
		}
		switch {
		case resumed.Pause == nil:
			fmt.Println("not paused")
		case resumed.Running != nil:
			fmt.Println("resumed, and job", resumed.Running.ID, "still runs")
		default:
			fmt.Println("resumed")
		}
	}
	// Output:
	// resumed
	// not paused
}

func ExampleClient_HoldJobs() {
	ctx := admin.WithActor(context.Background(), "ada")
	pool, done := database()
	defer done()
	client := admin.New(pool)

	job, err := client.AddJob(ctx, "send_email", nil, &admin.AddJobOptions{RunAt: admin.At(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))})
	if err != nil {
		log.Fatal(err)
	}
	held, err := client.HoldJobs(ctx, []int64{job.ID}, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(held.Jobs[0].RunAt, "by", held.Jobs[0].Hold.By)
	// Output:
	// infinity by ada
}

func ExampleClient_ReleaseJobs() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	client := admin.New(pool)

	job, err := client.AddJob(ctx, "send_email", nil, &admin.AddJobOptions{RunAt: admin.At(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := client.HoldJobs(ctx, []int64{job.ID}, nil); err != nil {
		log.Fatal(err)
	}
	released, err := client.ReleaseJobs(ctx, []int64{job.ID}, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(released.Jobs[0].RunAt)
	// Output:
	// 2030-01-01T00:00:00Z
}

func ExampleClient_HoldWhere() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	client := admin.New(pool)
	addEmails(ctx, client, 3)

	emails := admin.Filter{TaskIdentifiers: []string{"send_email"}}
	held, err := client.HoldWhere(ctx, emails, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(held.Changed, "on hold")
	// Output:
	// 3 on hold
}

func ExampleClient_ReleaseWhere() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	client := admin.New(pool)
	addEmails(ctx, client, 3)

	emails := admin.Filter{TaskIdentifiers: []string{"send_email"}}
	if _, err := client.HoldWhere(ctx, emails, &admin.WhereOptions{Limit: 2}); err != nil {
		log.Fatal(err)
	}
	released, err := client.ReleaseWhere(ctx, emails, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(released.Changed, "released")
	// Output:
	// 2 released
}

func ExampleClient_Explain() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	client := admin.New(pool)

	job, err := client.AddJob(ctx, "send_email", nil, &admin.AddJobOptions{QueueName: new("mail"), RunAt: admin.Never()})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := client.PauseQueue(ctx, "mail", nil); err != nil {
		log.Fatal(err)
	}
	explanation, err := client.Explain(ctx, job.ID)
	if err != nil {
		log.Fatal(err)
	}
	for _, reason := range explanation.Reasons {
		fmt.Println(reason.Kind, "->", reason.Do)
	}
	// Output:
	// never due -> gwadmin jobs reschedule 1 --run-at now
	// paused -> gwadmin queues resume mail
}

func ExampleClient_Check() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	client := admin.New(pool)

	switch err := client.Check(ctx); {
	case err == nil:
		fmt.Println("ready")
	case errors.Is(err, admin.ErrNotInstalled):
		fmt.Println("install Graphile Worker, or its schema with gwadmin migrate up")
	case errors.Is(err, admin.ErrRevisionTooOld), errors.Is(err, admin.ErrRevisionTooNew):
		fmt.Println("upgrade one or the other:", err)
	case errors.Is(err, admin.ErrRowSecurity):
		fmt.Println("use the owner of the tables, or give this role policies:", err)
	default:
		log.Fatal(err)
	}
	// Output:
	// ready
}

func ExampleClient_Stats() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	client := admin.New(pool)

	for i := range 3 {
		job, err := client.AddJob(ctx, "send_email", nil, &admin.AddJobOptions{QueueName: new("mail")})
		if err != nil {
			log.Fatal(err)
		}
		if i > 0 {
			reason := fmt.Sprintf("no mailbox user%d@example.com", i)
			if _, err := client.FailJobs(ctx, []int64{job.ID}, &reason, nil); err != nil {
				log.Fatal(err)
			}
		}
	}

	// Estimate reads a part of a large table and returns the margins of the numbers.
	stats, err := client.Stats(ctx, &admin.StatsOptions{ErrorShapes: 10, Estimate: true})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(stats.Jobs[admin.Ready], "ready,", stats.Jobs[admin.Permafailed], "failed for good, exact:", stats.Estimate == nil)
	for _, n := range stats.Attempts {
		fmt.Println(n.Jobs, "with", n.Attempts, "attempts")
	}
	for _, e := range stats.Errors {
		fmt.Printf("%d like job %d: %s\n", e.Jobs, e.ExampleID, e.Shape)
	}
	// Output:
	// 1 ready, 2 failed for good, exact: true
	// 1 with 0 attempts
	// 2 with 25 attempts
	// 2 like job 2: no mailbox *
}

func ExampleClient_Queues() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	client := admin.New(pool)

	for range 2 {
		if _, err := client.AddJob(ctx, "send_email", nil, &admin.AddJobOptions{QueueName: new("mail")}); err != nil {
			log.Fatal(err)
		}
	}
	// A worker takes the first job, and with it the queue.
	_, err := pool.Exec(ctx, `
		with job as (update graphile_worker._private_jobs set locked_at = now(), locked_by = 'pool-1' where id = 1)
		update graphile_worker._private_job_queues set locked_at = now(), locked_by = 'pool-1'`)
	if err != nil {
		log.Fatal(err)
	}

	queues, err := client.Queues(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for _, queue := range queues {
		fmt.Println(queue.Name, "is held by", *queue.LockedBy, queue.Jobs)
	}
	// Output:
	// mail is held by pool-1 map[running:1 waiting:1]
}

func ExampleClient_Tasks() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	client := admin.New(pool)

	for _, task := range []string{"send_email", "resize", "send_email"} {
		if _, err := client.AddJob(ctx, task, nil, nil); err != nil {
			log.Fatal(err)
		}
	}
	tasks, err := client.Tasks(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for _, task := range tasks {
		fmt.Println(task.Identifier, task.Jobs[admin.Ready], "ready")
	}
	// Output:
	// resize 1 ready
	// send_email 2 ready
}

func ExampleClient_Workers() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	client := admin.New(pool)

	if _, err := client.AddJob(ctx, "send_email", nil, nil); err != nil {
		log.Fatal(err)
	}
	// A worker took the job 20 minutes ago.
	_, err := pool.Exec(ctx, "update graphile_worker._private_jobs set locked_at = now() - interval '20 minutes', locked_by = 'pool-1'")
	if err != nil {
		log.Fatal(err)
	}
	workers, err := client.Workers(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for _, worker := range workers {
		fmt.Printf("%s holds %d job and %d queues, the newest lock for %s\n",
			worker.ID, worker.Jobs, worker.Queues, worker.NewestAge.Round(time.Minute))
	}
	// Output:
	// pool-1 holds 1 job and 0 queues, the newest lock for 20m0s
}

func ExampleClient_Crontabs() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	client := admin.New(pool)

	// A worker starts with a crontab that has the item "rollup", and has not run it yet.
	_, err := pool.Exec(ctx, "insert into graphile_worker._private_known_crontabs (identifier, known_since) values ('rollup', '2024-05-01')")
	if err != nil {
		log.Fatal(err)
	}
	crontabs, err := client.Crontabs(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for _, crontab := range crontabs {
		fmt.Println(crontab.Identifier, crontab.KnownSince.Year(), crontab.LastExecution == nil)
	}
	// Output:
	// rollup 2024 true
}

func ExampleClient_TaskIdentifiers() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	client := admin.New(pool)

	for _, task := range []string{"send_email", "resize"} {
		if _, err := client.AddJob(ctx, task, nil, nil); err != nil {
			log.Fatal(err)
		}
	}
	identifiers, err := client.TaskIdentifiers(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(identifiers)
	// Output:
	// [resize send_email]
}

func ExampleClient_QueueNames() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	client := admin.New(pool)

	for _, queue := range []string{"mail 1", "mail 2", "images"} {
		if _, err := client.AddJob(ctx, "run", nil, &admin.AddJobOptions{QueueName: &queue}); err != nil {
			log.Fatal(err)
		}
	}
	names, err := client.QueueNames(ctx, "mail", 10)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%q\n", names)
	// Output:
	// ["mail 1" "mail 2"]
}

func ExampleClient_Now() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	client := admin.New(pool)

	for _, in := range []time.Duration{-time.Hour, time.Hour} {
		if _, err := client.AddJob(ctx, "report", nil, &admin.AddJobOptions{RunAt: admin.In(in)}); err != nil {
			log.Fatal(err)
		}
	}
	now, err := client.Now(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for job, err := range client.AllJobs(ctx, admin.Filter{RunAt: admin.TimeRange{Before: &now}}, nil) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(job.ID, "is due")
	}
	// Output:
	// 1 is due
}

func ExampleAt() {
	berlin := time.FixedZone("CET", 3600)
	fmt.Println(admin.At(time.Date(2100, 1, 1, 9, 0, 0, 0, berlin)))
	// Output:
	// 2100-01-01T08:00:00Z
}

func ExampleIn() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	client := admin.New(pool)

	job, err := client.AddJob(ctx, "remind", nil, &admin.AddJobOptions{RunAt: admin.In(24 * time.Hour)})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(job.RunAt.Time.Sub(job.CreatedAt))
	// Output:
	// 24h0m0s
}

func ExampleNever() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	client := admin.New(pool)

	// The job waits until it is rescheduled.
	job, err := client.AddJob(ctx, "publish", nil, &admin.AddJobOptions{RunAt: admin.Never()})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(job.RunAt)
	// Output:
	// infinity
}

func ExampleClient_ListJobs() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	client := admin.New(pool)

	for n := range 5 {
		if _, err := client.AddJob(ctx, "send_email", map[string]int{"n": n}, &admin.AddJobOptions{RunAt: admin.Never()}); err != nil {
			log.Fatal(err)
		}
	}
	filter := admin.Filter{States: []admin.State{admin.Scheduled}, PayloadPath: new("$.n ? (@ > 1)")}
	options := admin.ListOptions{Descending: true, PageSize: 2, PayloadBytes: 1000}
	for {
		page, err := client.ListJobs(ctx, filter, &options)
		if err != nil {
			log.Fatal(err)
		}
		for _, job := range page.Jobs {
			fmt.Println(job.ID, job.State, job.RunAt, string(job.Payload))
		}
		if page.Next == "" {
			break
		}
		fmt.Println("next page")
		options.Cursor = page.Next
	}

	_, err := client.ListJobs(ctx, admin.Filter{States: []admin.State{"done"}}, nil)
	var invalid *admin.InvalidError
	fmt.Println(errors.As(err, &invalid), invalid.Faults[0].Field)
	// Output:
	// 5 scheduled infinity {"n":4}
	// 4 scheduled infinity {"n":3}
	// next page
	// 3 scheduled infinity {"n":2}
	// true states
}

func ExampleClient_AllJobs() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	client := admin.New(pool)

	for _, task := range []string{"send_email", "resize_image", "send_email"} {
		if _, err := client.AddJob(ctx, task, nil, nil); err != nil {
			log.Fatal(err)
		}
	}
	for job, err := range client.AllJobs(ctx, admin.Filter{TaskIdentifiers: []string{"send_email"}}, nil) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(job.ID, job.TaskIdentifier, job.State)
	}
	// Output:
	// 1 send_email ready
	// 3 send_email ready
}

// A waiting job names the worker that holds its queue.
func ExampleClient_GetJob_waiting() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	client := admin.New(pool)

	job, err := client.AddJob(ctx, "bill", nil, &admin.AddJobOptions{QueueName: new("customer 7")})
	if err != nil {
		log.Fatal(err)
	}
	// A worker runs another job of the queue.
	if _, err := pool.Exec(ctx, "update graphile_worker._private_job_queues set locked_at = now(), locked_by = 'pool-1'"); err != nil {
		log.Fatal(err)
	}
	now, err := client.GetJob(ctx, job.ID)
	if err != nil {
		log.Fatal(err)
	}
	if now.State == admin.Waiting {
		fmt.Printf("%d waits for %s, which %s holds\n", now.ID, *now.QueueName, *now.QueueLockedBy)
	}
	// Output:
	// 1 waits for customer 7, which pool-1 holds
}
