package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"

	"github.com/gwadmin/gwadmin/admin"
)

// A Receipt is the payload of the task send_receipt.
type Receipt struct {
	Order int    `json:"order"`
	Email string `json:"email,omitempty"`
}

var SendReceipt = admin.NewTask[Receipt]("send_receipt", &admin.TaskOptions{MaxAttempts: new(5)})

func ExampleNewTask() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	client := admin.New(pool)

	job, err := SendReceipt.Add(ctx, client, Receipt{Order: 7}, &admin.AddJobOptions{JobKey: new("order-7")})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s %s %s, up to %d times\n", job.TaskIdentifier, *job.Key, job.Payload, job.MaxAttempts)

	// AddJobs takes jobs of one or several tasks.
	_, err = client.AddJobs(ctx, []admin.JobSpec{
		SendReceipt.Spec(Receipt{Order: 8}, nil),
		SendReceipt.Spec(Receipt{Order: 9}, &admin.AddJobOptions{Priority: new(-1)}),
	}, nil)
	if err != nil {
		log.Fatal(err)
	}
	for job, err := range client.AllJobs(ctx, admin.Filter{TaskIdentifiers: []string{"send_receipt"}}, &admin.ListOptions{PayloadBytes: 1 << 20}) {
		if err != nil {
			log.Fatal(err)
		}
		receipt, err := SendReceipt.Decode(&job.Job)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(receipt.Order)
	}
	// Output:
	// send_receipt order-7 {"order":7}, up to 5 times
	// 7
	// 8
	// 9
}

func ExampleIdentifiers() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	client := admin.New(pool)

	if _, err := client.AddJob(ctx, "send_reciept", nil, nil); err != nil {
		log.Fatal(err)
	}
	declared := admin.Identifiers(SendReceipt)
	fmt.Println(client.Check(ctx, declared...))
	// Output:
	// check: jobs of undeclared tasks: "send_reciept" (1 job; did you mean "send_receipt"?)
}

func ExampleClient_UndeclaredTasks() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	client := admin.New(pool)

	if _, err := client.AddJob(ctx, "send_reciept", nil, nil); err != nil {
		log.Fatal(err)
	}
	tasks, err := client.UndeclaredTasks(ctx, []string{"send_receipt", "resize"})
	if err != nil {
		log.Fatal(err)
	}
	for _, task := range tasks {
		fmt.Println(task.Identifier, task.Pending, *task.DidYouMean)
	}
	// Output:
	// send_reciept 1 send_receipt
}

func ExampleTypedTask_Decode() {
	job := &admin.Job{ID: 7, TaskIdentifier: "send_receipt", Payload: json.RawMessage(`{"order":"seven"}`)}
	_, err := SendReceipt.Decode(job)
	fmt.Println(err)
	if decode, ok := errors.AsType[*admin.DecodeError](err); ok {
		fmt.Println(decode.Field, decode.Type)
	}
	// Output:
	// decode job 7 of task "send_receipt": payload field order: JSON string does not fit Go type int
	// order int
}

func ExampleTypedTask_Err() {
	// NewTask returns no error. Err and every use of the task do.
	task := admin.NewTask[Receipt]("send_receipt", &admin.TaskOptions{MaxAttempts: new(0)})
	fmt.Println(task.Err())
	// Output:
	// task "send_receipt": invalid input: max_attempts 0 is outside 1 to 32767
}
