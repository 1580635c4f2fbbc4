package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/pgtest"
	"github.com/gwadmin/gwadmin/internal/testdb"
	"github.com/gwadmin/gwadmin/ui"
)

func TestUIFlags(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	empty, plain := write("empty", "# nobody\n"), write("plain", "ada:secret\n")
	for _, tc := range []struct {
		flags uiFlags
		want  string
	}{
		{uiFlags{listen: "0.0.0.0:7070"}, "--listen 0.0.0.0:7070 can be reached from other machines: add --password-file, or --user-header and --trusted-proxy"},
		{uiFlags{listen: ":7070"}, "--listen :7070 can be reached from other machines: add --password-file, or --user-header and --trusted-proxy"},
		{uiFlags{listen: "7070"}, `--listen "7070" is not an address and a port, such as 127.0.0.1:7070`},
		{uiFlags{listen: ":7070", header: "X-User"}, "--user-header and --trusted-proxy need each other"},
		{uiFlags{listen: ":7070", header: "X-User", proxies: []string{"proxy"}}, `--trusted-proxy "proxy" is neither an address nor a network such as 10.0.0.0/8`},
		{uiFlags{listen: ":7070", header: "X-User", proxies: []string{"::1"}, passwords: "x"}, "--password-file and --user-header exclude each other"},
		{uiFlags{listen: ":7070", passwords: empty}, empty + " has no users: add one with htpasswd -B " + empty + " NAME"},
		{uiFlags{listen: ":7070", passwords: plain}, plain + ", line 1, is not NAME:HASH with a bcrypt hash: make it with htpasswd -nB NAME"},
	} {
		if _, _, err := tc.flags.options(); err == nil || err.Error() != tc.want {
			t.Errorf("%+v: %v, want %s", tc.flags, err, tc.want)
		}
	}
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	check, err := readPasswords(write("users", "\n# team\nada:"+string(hash)+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		user, password string
		want           bool
	}{{"ada", "secret", true}, {"ada", "wrong", false}, {"ada", "", false}, {"eve", "secret", false}, {"", "", false}} {
		if got := check(tc.user, tc.password); got != tc.want {
			t.Errorf("%s with %q: %v", tc.user, tc.password, got)
		}
	}
}

// The printed link opens the page, and nothing else does. The database refuses changes if
// the page is read-only.
func TestUI(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t, testdb.Ours(""))
	ctx, interrupt := context.WithCancel(t.Context())
	out, in := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"ui", "--listen", "127.0.0.1:0", "--read-only", "--database-url", url}, strings.NewReader(""), in, io.Discard)
		in.Close()
	}()
	link, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	link = strings.TrimSpace(link)
	get := func(client *http.Client, url string) int {
		response, err := client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		return response.StatusCode
	}
	bare, _, _ := strings.Cut(link, "?")
	if got := get(&http.Client{}, bare); got != http.StatusUnauthorized {
		t.Errorf("without the token: %d", got)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar}
	if got := get(browser, link); got != http.StatusOK {
		t.Errorf("with the token: %d", got)
	}
	if got := get(browser, bare+"jobs"); got != http.StatusOK {
		t.Errorf("with the cookie: %d", got)
	}
	stream, err := browser.Get(bare + "events") // of an open page, which does not keep the server
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	interrupt()
	if got := <-code; got != exitOK {
		t.Errorf("exit code %d", got)
	}
}

func TestStoppedText(t *testing.T) {
	t.Parallel()
	stopped := ui.Stopped{Change: "retry", Jobs: "all jobs", Changed: 1000, Aim: 2500}
	for _, tc := range []struct {
		running bool
		err     error
		want    string
	}{
		{false, context.Canceled, "retry of all jobs was stopped after 1000 of 2500 jobs; the others are as they were"},
		{true, nil, "retry of all jobs still runs, and is stopped now, after 1000 of 2500 jobs; the batch in hand is done whole or not at all, and the others are as they were"},
		{false, &admin.OutcomeUnknownError{Sent: admin.Sent{Jobs: 1000, Batch: 2}, Err: context.Canceled}, "retry of all jobs was stopped after 1000 of 2500 jobs; nobody knows whether batch 2 with 1000 jobs was changed too: look before you repeat it"},
	} {
		stopped.Running, stopped.Err = tc.running, tc.err
		check(t, "text", tc.want, stoppedText(stopped))
	}
}

// A signal ends a bulk change after whole batches, says how far it came, and then the page.
func TestUIEndsChanges(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t, testdb.Ours(""))
	for _, sql := range []string{
		`select graphile_worker.add_job('a', '{}') from generate_series(1, 2500)`,
		// The second batch waits for this trigger.
		`create function public.wait() returns trigger language plpgsql as $$ begin if old.id = 1500 then perform pg_advisory_xact_lock(7); end if; return new; end $$`,
		`create trigger wait before update on graphile_worker._private_jobs for each row execute function public.wait()`,
	} {
		if _, err := pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	blocker, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer blocker.Rollback(context.WithoutCancel(t.Context()))
	if _, err := blocker.Exec(t.Context(), `select pg_advisory_xact_lock(7)`); err != nil {
		t.Fatal(err)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	out, in := io.Pipe()
	var said strings.Builder
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"ui", "--listen", "127.0.0.1:0", "--database-url", pool.Config().ConnString()}, strings.NewReader(""), in, &said)
		in.Close()
	}()
	link, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar}
	response, err := browser.Get(strings.TrimSpace(link))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	bare, _, _ := strings.Cut(link, "?")
	response, err = browser.PostForm(bare+"jobs/retry", url.Values{"scope": {"matching"}, "q": {"task:a"}, "previewed": {"2500"}})
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%v %v", response, err)
	}
	response.Body.Close()
	waiting := func() (n int) {
		if err := pool.QueryRow(t.Context(), `select count(*) from pg_locks where locktype = 'advisory' and not granted`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for waiting() == 0 { // the second batch
		time.Sleep(5 * time.Millisecond)
	}
	interrupt()
	if got := <-code; got != exitOK {
		t.Errorf("exit code %d\n%s", got, &said)
	}
	if want := "retry of all jobs that match task:a was stopped after 1000 of 2500 jobs; the others are as they were"; !strings.Contains(said.String(), want) {
		t.Errorf("it says\n%s\nwithout %s", &said, want)
	}
	if err := blocker.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	for {
		var busy, changed int
		if err := pool.QueryRow(t.Context(), `select count(*) from pg_stat_activity where datname = current_database() and state <> 'idle' and pid <> pg_backend_pid()`).Scan(&busy); err != nil {
			t.Fatal(err)
		}
		if err := pool.QueryRow(t.Context(), `select count(*) from graphile_worker._private_jobs where updated_at > created_at`).Scan(&changed); err != nil {
			t.Fatal(err)
		}
		if busy == 0 {
			if changed != 1000 {
				t.Errorf("%d jobs were changed", changed)
			}
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}
