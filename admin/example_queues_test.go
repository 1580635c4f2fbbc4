package admin_test

import (
	"context"
	"fmt"
	"log"

	"github.com/gwadmin/gwadmin/admin"
)

func ExampleClient_ListQueues() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	client := admin.New(pool)

	for _, queue := range []string{"mail", "print"} {
		if _, err := client.AddJob(ctx, "send", nil, &admin.AddJobOptions{QueueName: &queue}); err != nil {
			log.Fatal(err)
		}
	}
	if _, err := client.PauseQueue(ctx, "mail", nil); err != nil {
		log.Fatal(err)
	}
	queues, err := client.ListQueues(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, queue := range queues {
		fmt.Println(queue.Name, "paused:", queue.Paused != nil)
	}
	// Output:
	// mail paused: true
	// print paused: false
}

func ExampleClient_DB() {
	pool, done := database()
	defer done()
	client := admin.New(pool)

	fmt.Println(client.DB() == admin.DB(pool))
	// Output:
	// true
}

func ExampleClient_Reader() {
	pool, done := database()
	defer done()

	fmt.Println(admin.New(pool).Reader() == nil, admin.New(pool, admin.WithReader(pool)).Reader() == admin.DB(pool))
	// Output:
	// true true
}
