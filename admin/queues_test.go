package admin_test

import (
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/testdb"
)

func TestListQueues(t *testing.T) {
	t.Parallel()
	b := newBench(t, testdb.Ours(""))
	for _, name := range []string{"mail-2", "mail-1", "image", "%", "mail-3"} {
		if _, err := b.client.AddJob(b.ctx, "a", nil, &admin.AddJobOptions{QueueName: &name}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.client.PauseQueue(b.ctx, "mail-2", nil); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		options *admin.ListQueuesOptions
		want    []string
	}{
		{nil, []string{"%", "image", "mail-1", "mail-2", "mail-3"}},
		{&admin.ListQueuesOptions{Prefix: "mail", Limit: 2}, []string{"mail-1", "mail-2"}},
		{&admin.ListQueuesOptions{Prefix: "mail", After: "mail-2"}, []string{"mail-3"}},
		{&admin.ListQueuesOptions{Prefix: "%"}, []string{"%"}},
		{&admin.ListQueuesOptions{Locked: true}, []string{"mail-2"}},
		{&admin.ListQueuesOptions{Prefix: "none"}, []string{}},
	} {
		queues, err := b.client.ListQueues(b.ctx, tc.options)
		names := []string{}
		for _, queue := range queues {
			names = append(names, queue.Name)
			if (queue.Paused != nil) != (queue.Name == "mail-2") || queue.Jobs != nil {
				t.Errorf("queue %+v", queue)
			}
		}
		if diff := gocmp.Diff(tc.want, names); err != nil || diff != "" {
			t.Errorf("%+v: %v (-want +got):\n%s", tc.options, err, diff)
		}
	}
	for _, options := range []admin.ListQueuesOptions{{Limit: -1}, {Limit: admin.MaxPageSize + 1}, {Prefix: "\x00"}, {After: "\xff"}} {
		if _, err := b.client.ListQueues(b.ctx, &options); err == nil {
			t.Errorf("%+v has no error", options)
		}
	}
}
