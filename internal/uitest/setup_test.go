package uitest

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/jackc/pgx/v5/pgxpool"

	_ "embed"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/cache"
	"github.com/gwadmin/gwadmin/internal/pgtest"
	"github.com/gwadmin/gwadmin/internal/testdb"
	"github.com/gwadmin/gwadmin/ui"
)

var screenshots = flag.Bool("screenshots", false, "write the pictures of the pages to docs/ui")

// chromium is the browser that all tests share. Each test has a profile of its own in it.
var chromium struct {
	once sync.Once
	ctx  context.Context
	end  context.CancelFunc
	err  error
}

func TestMain(m *testing.M) {
	flag.Parse()
	code := pgtest.Main(m)
	if chromium.end != nil {
		chromium.end()
	}
	os.Exit(code)
}

func startChromium() {
	path, err := exec.LookPath("chromium")
	if err != nil {
		chromium.err = err
		return
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("force-device-scale-factor", "1"), chromedp.Flag("hide-scrollbars", true),
		chromedp.WSURLReadTimeout(2*time.Minute),
	)
	allocator, endAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, end := chromedp.NewContext(allocator)
	chromium.ctx, chromium.end = ctx, func() { end(); endAllocator() }
	chromium.err = chromedp.Do(ctx)
}

// A browser is a tab on a page of its own server and database.
type browser struct {
	testing.TB
	ctx    context.Context
	pool   *pgxpool.Pool
	client *admin.Client
	server *httptest.Server
	url    string // of the page, with a slash at its end

	mu     sync.Mutex
	faults []string // what the console says, and dialogs
}

// open opens a tab on the admin page of a database.
func open(tb testing.TB, options *ui.Options, pool *pgxpool.Pool) *browser {
	tb.Helper()
	chromium.once.Do(startChromium)
	if chromium.err != nil {
		if os.Getenv("CI") != "" {
			tb.Fatalf("chromium is needed: %v", chromium.err)
		}
		tb.Skipf("chromium is needed: %v", chromium.err)
	}
	if pool == nil {
		pool = pgtest.Pool(tb, testdb.Ours(""))
	}
	b := &browser{TB: tb, pool: pool, client: admin.New(pool)}
	if options == nil {
		options = &ui.Options{}
	}
	options.Logger = slog.New(slog.DiscardHandler)
	// Below a prefix, so that every test shows that links are relative.
	mux := http.NewServeMux()
	mux.Handle("/team/queue/", http.StripPrefix("/team/queue", ui.New(b.client, options)))
	mux.Handle("/team/targets/", http.StripPrefix("/team/targets", ui.Targets(
		ui.Target{Name: "eu", Handler: ui.New(b.client, options)},
		ui.Target{Name: "us", Handler: ui.New(admin.New(pool, admin.WithSchema("elsewhere")), options)},
	)))
	server := httptest.NewServer(mux)
	b.server, b.url = server, server.URL+"/team/queue/"
	ctx, end := chromedp.NewContext(chromium.ctx, chromedp.WithNewBrowserContext())
	if err := chromedp.Do(ctx); err != nil { // the first call must have no timeout
		tb.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(ctx, 8*time.Minute)
	b.ctx = ctx
	tb.Cleanup(func() {
		cancel()
		end()
		server.CloseClientConnections()
		server.Close()
	})
	b.do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		listen(b, target, runtime.ExceptionThrown, func(e runtime.EventExceptionThrown) string { return fmt.Sprintf("%+v", e.ExceptionDetails) })
		listen(b, target, runtime.ConsoleAPICalled, func(e runtime.EventConsoleAPICalled) string {
			if e.Type != runtime.ConsoleAPICalledTypeError {
				return ""
			}
			return fmt.Sprint(e.Args)
		})
		listen(b, target, page.JavascriptDialogOpening, func(e page.EventJavascriptDialogOpening) string { return "a dialog: " + e.Message })
		return nil
	}))
	b.do(chromedp.EmulateViewport(1024, 800))
	return b
}

// listen notes what events say.
func listen[E any](b *browser, target *chromedp.Target, event cdp.Event[E], say func(E) string) {
	events := cdp.Events(b.ctx, target, event)
	go func() {
		for e, err := range events {
			if err != nil {
				return
			}
			if text := say(e); text != "" {
				b.mu.Lock()
				b.faults = append(b.faults, text)
				b.mu.Unlock()
			}
		}
	}()
}

// do runs actions in the tab.
func (b *browser) do(actions ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.Fatal(err)
	}
}

// to opens a page of the site.
func (b *browser) to(path string) {
	b.Helper()
	b.do(chromedp.Navigate(b.url+path), chromedp.WaitReady(chromedp.CSS("#main")))
}

// eval returns the value of an expression of JavaScript.
func eval[T any](b *browser, expression string) T {
	b.Helper()
	value, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.Fatal(err)
	}
	return value
}

// wait waits until an expression is true, on this page or on one that follows.
func (b *browser) wait(expression string) {
	b.Helper()
	for {
		met, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](expression))
		if met && err == nil {
			return
		}
		select {
		case <-b.ctx.Done():
			b.Fatalf("waited for %s: %v", expression, err)
		case <-time.After(30 * time.Millisecond):
		}
	}
}

// quiet fails the test if a page has complained or opened a dialog.
func (b *browser) quiet() {
	b.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.faults) > 0 {
		b.Errorf("the browser says: %s", strings.Join(b.faults, "\n"))
	}
}

// look emulates a width and a colour scheme.
func (b *browser) look(width int64, scheme string) {
	b.Helper()
	b.do(chromedp.EmulateViewport(width, 800), chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return err
	}))
}

func (b *browser) exec(sql string, args ...any) {
	b.Helper()
	if _, err := b.pool.Exec(context.Background(), sql, args...); err != nil {
		b.Fatal(err)
	}
}

//go:embed packages/package.json
var manifest []byte

//go:embed packages/package-lock.json
var lock []byte

// axe is the source of axe-core.
var axe = sync.OnceValues(func() (string, error) {
	dir, err := cache.Dir()
	if err != nil {
		return "", err
	}
	dir = filepath.Join(dir, "axe-core-4.14.1")
	if err := cache.Make(context.Background(), dir, func(dir string) error {
		return cache.NPM(context.Background(), dir, manifest, lock)
	}); err != nil {
		return "", err
	}
	source, err := os.ReadFile(filepath.Join(dir, "node_modules", "axe-core", "axe.min.js"))
	return string(source), err
})

// seed fills the database as a busy service would.
func (b *browser) seed() {
	b.Helper()
	b.exec(`
		select graphile_worker.add_job(
			(array['send_email', 'resize_image', 'charge_card', 'sync_account'])[1 + i % 4],
			json_build_object('order', i, 'to', format('customer-%s@example.com', i), 'lines', json_build_array(json_build_object('sku', 'pen', 'count', 2))),
			queue_name => case when i % 4 = 1 then 'images-' || i % 3 end,
			run_at => case when i % 5 = 0 then now() + i * interval '1 minute' end,
			job_key => case when i % 4 = 3 then 'account-' || i end,
			priority => i % 3,
			flags => case when i % 20 = 0 then array['slow'] end)
		from generate_series(1, 160) as i`)
	b.exec(`update graphile_worker._private_jobs set attempts = max_attempts, last_error = (array['connect ETIMEDOUT: the mail server did not answer within 3000 ms', 'card declined for order ' || id, 'image ' || id || ' is not a picture'])[1 + id % 3] where id % 7 = 0`)
	b.exec(`update graphile_worker._private_jobs set attempts = 2, last_error = 'HTTP 429 Too Many Requests', run_at = now() + interval '5 minutes' where id % 11 = 1`)
	b.exec(`update graphile_worker._private_jobs set locked_by = 'worker-1f3a9c', locked_at = now() - interval '3 seconds', attempts = 1 where id in (2, 5, 9)`)
	b.exec(`update graphile_worker._private_jobs set locked_by = 'worker-dead', locked_at = now() - interval '6 hours', attempts = 1 where id in (12, 16)`)
	b.exec(`update graphile_worker._private_job_queues set locked_by = 'worker-1f3a9c', locked_at = now() - interval '3 seconds' where queue_name = 'images-2'`)
	b.exec(`insert into graphile_worker._private_known_crontabs (identifier, known_since, last_execution) values ('monthly_report', now() - interval '40 days', now() - interval '3 days'), ('nightly', now() - interval '2 days', null)`)
	ctx := admin.WithActor(b.ctx, "ada")
	if _, err := b.client.PauseQueue(ctx, "images-0", &admin.PauseOptions{Reason: "the image server moves"}); err != nil {
		b.Fatal(err)
	}
	b.exec(`vacuum analyze`)
}
