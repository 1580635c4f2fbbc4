// Command river does pieces of work with River and measures how long they take, so that
// the pipe does not count. Requests come on stdin, one a line; see upstream.Process. Its
// argument is the database's URL.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"riverqueue.com/riverui"
)

// args are the payload of the other peers' jobs.
type args struct {
	N    int    `json:"n"`
	Text string `json:"text"`
}

func (args) Kind() string { return "task_1" }

func argsOf(n int) args { return args{n, "a short text that stands for a payload"} }

type request struct {
	ID     int64    `json:"id"`
	Method string   `json:"method"`
	Args   []params `json:"args"` // one
}

type params struct {
	Conns    int `json:"conns"`
	InFlight int `json:"inFlight"`
	N        int `json:"n"`    // times
	Jobs     int `json:"jobs"` // in a batch
}

// clients has a client on a pool of each size, all of whose connections are open.
type clients struct {
	url string
	of  map[int]*river.Client[pgx.Tx]
}

func (c *clients) get(ctx context.Context, conns int) (*river.Client[pgx.Tx], error) {
	if client := c.of[conns]; client != nil {
		return client, nil
	}
	config, err := pgxpool.ParseConfig(c.url)
	if err != nil {
		return nil, err
	}
	config.MaxConns, config.MinConns = int32(conns), int32(conns)
	config.MaxConnLifetime, config.MaxConnIdleTime = 24*time.Hour, 24*time.Hour
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{})
	if err == nil {
		c.of[conns] = client
	}
	return client, err
}

// do calls a method and returns how long that took.
func (c *clients) do(ctx context.Context, method string, p params) (time.Duration, error) {
	client, err := c.get(ctx, max(p.Conns, 1))
	if err != nil {
		return 0, err
	}
	batch := make([]river.InsertManyParams, p.Jobs)
	for i := range batch {
		batch[i].Args = argsOf(i)
	}
	start := time.Now()
	switch method {
	case "insert":
		err = insert(ctx, client, p.InFlight, p.N)
	case "insertMany":
		for range p.N {
			if _, err = client.InsertMany(ctx, batch); err != nil {
				break
			}
		}
	case "insertManyFast":
		for range p.N {
			if _, err = client.InsertManyFast(ctx, batch); err != nil {
				break
			}
		}
	default:
		err = fmt.Errorf("there is no method %q", method)
	}
	return time.Since(start), err
}

// insert inserts n jobs, so many at a time.
func insert(ctx context.Context, client *river.Client[pgx.Tx], inFlight, n int) error {
	var left atomic.Int64
	left.Store(int64(n))
	failures := make(chan error, inFlight)
	var workers sync.WaitGroup
	for range inFlight {
		workers.Go(func() {
			for i := left.Add(-1); i >= 0; i = left.Add(-1) {
				if _, err := client.Insert(ctx, argsOf(int(i)), nil); err != nil {
					failures <- err
					return
				}
			}
		})
	}
	workers.Wait()
	close(failures)
	return <-failures
}

// serve serves River UI on the loopback address, and returns where.
func serve(ctx context.Context, url string) (string, error) {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return "", err
	}
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{})
	if err != nil {
		return "", err
	}
	page, err := riverui.NewHandler(&riverui.HandlerOpts{Endpoints: riverui.NewEndpoints(client, nil), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return "", err
	}
	if err := page.Start(ctx); err != nil {
		return "", err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	go func() { _ = http.Serve(listener, page) }()
	return "http://" + listener.Addr().String() + "/", nil
}

func run(ctx context.Context, url string) error {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return err
	}
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), nil)
	if err != nil {
		return err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return err
	}
	pool.Close()
	c := clients{url: url, of: map[int]*river.Client[pgx.Tx]{}}
	answers := json.NewEncoder(os.Stdout)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var r request
		if err := json.Unmarshal(in.Bytes(), &r); err != nil {
			return err
		}
		answer := map[string]any{"id": r.ID}
		if r.Method == "serve" {
			address, err := serve(ctx, url)
			if err != nil {
				return err
			}
			answer["result"] = address
		} else if took, err := c.do(ctx, r.Method, r.Args[0]); err != nil {
			answer["error"] = map[string]any{"message": err.Error()}
		} else {
			answer["result"] = took
		}
		if err := answers.Encode(answer); err != nil {
			return err
		}
	}
	return nil
}

func main() {
	if err := run(context.Background(), os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "river:", err)
		os.Exit(1)
	}
}
