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

	// Many at once, of several tasks perhaps.
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
	// A declaration cannot fail; each use of it, and a test, can.
	task := admin.NewTask[Receipt]("send_receipt", &admin.TaskOptions{MaxAttempts: new(0)})
	fmt.Println(task.Err())
	// Output:
	// task "send_receipt": invalid input: max_attempts 0 is outside 1 to 32767
}
