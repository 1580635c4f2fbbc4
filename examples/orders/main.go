// Command orders is a small service on gwadmin. It takes orders over HTTP, and a Graphile
// Worker in TypeScript charges them and sends their receipts.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/admin"
)

// grace is how long requests and jobs may take to finish when the program ends.
const grace = 15 * time.Second

type options struct {
	addr        string
	databaseURL string
	worker      string
}

func main() {
	var o options
	flag.StringVar(&o.addr, "addr", "127.0.0.1:8080", "`address` to listen on; port 0 is any free one")
	flag.StringVar(&o.databaseURL, "database-url", "", "postgres:// `URL` of your own database, which is migrated (default: a server that ends with this program)")
	flag.StringVar(&o.worker, "worker", "worker", "`directory` of the worker; empty: start none")
	flag.Parse()

	if flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "orders: there are flags only, see -help")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	if err := run(ctx, o, os.Stdout); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "orders:", err)
		os.Exit(1)
	}
}

// run starts everything, and ends it in the opposite order when ctx does.
func run(ctx context.Context, o options, out io.Writer) (err error) {
	atEnd := func(end func() error) { err = errors.Join(err, end()) }

	if o.databaseURL != "" && !strings.HasPrefix(o.databaseURL, "postgres") {
		return errors.New("-database-url must begin with postgres://, since the worker reads it, too")
	}
	listener, err := net.Listen("tcp", o.addr)
	if err != nil {
		return fmt.Errorf("%w: choose another address with -addr", err)
	}
	defer listener.Close()
	if o.worker != "" {
		if err := buildWorker(ctx, o.worker, out); err != nil {
			return err
		}
	}
	if o.databaseURL == "" {
		postgres, err := startPostgres(ctx, out)
		if err != nil {
			return err
		}
		defer atEnd(postgres.Stop)
		o.databaseURL = postgres.URL("postgres")
	}
	pool, err := pgxpool.New(ctx, o.databaseURL)
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := migrate(ctx, pool); err != nil {
		return err
	}
	var workerEnded <-chan struct{}
	if o.worker != "" {
		worker, err := startWorker(o.worker, o.databaseURL, out)
		if err != nil {
			return err
		}
		defer atEnd(worker.stop)
		workerEnded = worker.ended
	}
	fmt.Fprintf(out, "%s\n", try("http://"+listener.Addr().String()))
	return serve(ctx, listener, pool, workerEnded)
}

// serve answers requests until ctx ends, and finishes those that it has begun.
func serve(ctx context.Context, listener net.Listener, pool *pgxpool.Pool, workerEnded <-chan struct{}) error {
	client := admin.New(pool)
	adder := admin.NewAdder(client, nil)
	s := &service{pool: pool, client: client, views: adder}
	server := &http.Server{Handler: s.routes(), ReadHeaderTimeout: 5 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	var err error
	select {
	case <-ctx.Done():
	case err = <-served:
	case <-workerEnded:
		err = errors.New("the worker has ended")
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	return errors.Join(err, server.Shutdown(ending), adder.Close(ending))
}
