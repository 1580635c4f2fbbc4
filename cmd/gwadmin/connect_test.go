package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gwadmin/gwadmin/internal/pgserver"
	"github.com/gwadmin/gwadmin/internal/testdb"
	"github.com/gwadmin/gwadmin/migrations"
)

// verbs are verbs that read or change jobs, with consent.
var verbs = [][]string{
	{"jobs", "add", "send", "--yes"},
	{"jobs", "show", "1"},
	{"jobs", "show", "--key", "k"},
	{"jobs", "complete", "1", "--yes"},
	{"jobs", "complete", "1", "--dry-run"},
	{"jobs", "fail", "1", "--yes"},
	{"jobs", "reschedule", "1", "--priority", "1", "--yes"},
	{"jobs", "retry", "1", "--yes"},
	{"jobs", "remove", "k", "--yes"},
	{"jobs", "remove", "k", "--dry-run"},
	{"workers", "unlock", "pool-a", "--yes"},
	{"cleanup", "--yes"},
	{"cleanup", "--dry-run"},
}

// Where no verb can work, each says why on standard error and prints nothing.
func TestNoUse(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := listener.Addr().String()
	listener.Close()

	old, breaking, compatible := ours(t), ours(t), fixture(t)
	old.exec(`delete from graphile_worker.migrations where id > 17`)
	breaking.exec(`insert into graphile_worker.migrations (id, breaking) values (21, true)`)
	compatible.exec(`insert into graphile_worker.migrations (id, breaking) values (21, false)`)
	checkCode(t, exitOK, compatible.run("jobs", "complete", "1", "--yes"))

	for _, tc := range []struct {
		reason, url, schema string
		code                int
		says                string
	}{
		{"nothing listens", "postgres://user:secret@" + closed + "/db", "", exitConnect, "failed to connect to `user=user database=db`"},
		{"no database", withDatabase(t, old.url, "gwadmin_test_none"), "", exitConnect, `database "gwadmin_test_none" does not exist`},
		{"a parameter of Prisma's", withParameter(t, old.url, "schema", "public"), "", exitConnect, `unrecognized configuration parameter "schema" (SQLSTATE 42704)` + "\nPostgreSQL does not know this parameter: remove it"},
		{"another of them", withParameter(t, old.url, "pgbouncer", "true"), "", exitConnect, `unrecognized configuration parameter "pgbouncer"`},
		{"no schema", newSite(t, nil).url, "", exitPending, `not installed: schema "graphile_worker": install it with gwadmin migrate up`},
		{"another schema", old.url, weird, exitPending, `not installed: schema "Weird \"Name\"": install it with gwadmin migrate up`},
		{"revision too old", old.url, "", exitUnsupported, "is at Graphile Worker revision 17 and gwadmin needs 18 or newer: upgrade it"},
		{"revision too new", breaking.url, "", exitUnsupported, "is at Graphile Worker revision 21 (breaking since 21) and this gwadmin knows revisions up to 20"},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			for _, args := range verbs {
				if tc.schema != "" {
					args = append([]string{"--schema", tc.schema}, args...)
				}
				got := gwadmin(t, []string{"DATABASE_URL=" + tc.url}, "", append(args, "-o", "json")...)
				checkCode(t, tc.code, got)
				check(t, fmt.Sprintf("%q printed", args), "", got.Stdout)
				if !strings.Contains(got.Stderr, tc.says) || strings.Contains(got.Stderr, "secret") {
					t.Errorf("%q said %s", args, got.Stderr)
				}
			}
		})
	}
}

// Wrong input is refused before the command connects.
func TestInvalidWithoutDatabase(t *testing.T) {
	t.Parallel()
	nowhere := []string{"DATABASE_URL=postgres://nobody@127.0.0.1:1/nothing"}
	for _, args := range [][]string{
		{"jobs", "list", "--state", "red"},
		{"jobs", "list", "--limit", "10001", "--watch=1s"},
		{"jobs", "list", "--cursor", "x"},
		{"jobs", "export", "--state", "red"},
		{"jobs", "export", "-o", "csv", "--run-after", "+2h", "--run-before", "+1h"},
		{"jobs", "complete", "--state", "red", "--yes"},
		{"jobs", "fail", "--state", "red", "--dry-run"},
		{"jobs", "reschedule", "--all", "--max-attempts", "0", "--yes"},
		{"jobs", "retry", "--all", "--batch", "10001", "--yes"},
		{"jobs", "remove", "", "--yes"},
		{"stats", "--errors", "1001"},
		{"stats", "--estimate", "--sample-pages", "1"},
	} {
		got := gwadmin(t, nowhere, "", args...)
		checkCode(t, exitUsage, got)
		if got.Stdout != "" || strings.Contains(got.Stderr, "connect") {
			t.Errorf("%q: %q, %q", args, got.Stdout, got.Stderr)
		}
	}
	for _, args := range [][]string{{"jobs", "list", "--state", "ready"}, {"jobs", "export"}, {"jobs", "retry", "--all", "--yes"}, {"stats"}, {"queues"}} {
		checkCode(t, exitConnect, gwadmin(t, nowhere, "", args...))
	}
}

func withDatabase(t testing.TB, base, name string) string {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

func withParameter(t testing.TB, base, name, value string) string {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	query.Set(name, value)
	u.RawQuery = query.Encode()
	return u.String()
}

func withUser(t testing.TB, base, name, password string) string {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(name, password)
	return u.String()
}

// The flag has precedence over DATABASE_URL, and that over the PG variables. The jobs in
// the databases tell which one was used.
func TestPrecedence(t *testing.T) {
	t.Parallel()
	named := func(task string) *site {
		s := ours(t)
		s.exec(`select graphile_worker.add_job($1)`, task)
		return s
	}
	flag, variable, other := named("flag"), named("DATABASE_URL"), named("PG")
	config, err := pgx.ParseConfig(other.url)
	if err != nil {
		t.Fatal(err)
	}
	port := fmt.Sprint(config.Port)
	pg := []string{"PGHOST=" + config.Host, "PGPORT=" + port, "PGUSER=" + config.User, "PGPASSWORD=" + config.Password, "PGDATABASE=" + config.Database, "PGSSLMODE=disable"}

	services := filepath.Join(t.TempDir(), "services")
	lines := fmt.Sprintf("[jobs]\nhost=%s\nport=%s\nuser=%s\npassword=%s\ndbname=%s\nsslmode=disable\n",
		config.Host, port, config.User, config.Password, config.Database)
	if err := os.WriteFile(services, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	service := "PGSERVICEFILE=" + services
	nowhere := "postgres://nobody@127.0.0.1:1/nothing"
	flagConfig, err := pgx.ParseConfig(flag.url)
	if err != nil {
		t.Fatal(err)
	}
	keywords := fmt.Sprintf(`host='%s' port=%d user='%s' password='%s' dbname='%s' sslmode=disable`,
		flagConfig.Host, flagConfig.Port, flagConfig.User, flagConfig.Password, flagConfig.Database)

	for _, tc := range []struct {
		reason string
		env    []string
		args   []string
		want   string
	}{
		{"flag over all", append(variable.env(), pg...), []string{"--database-url", flag.url}, "flag"},
		{"flag, joined to its value", append(variable.env(), pg...), []string{"--database-url=" + flag.url}, "flag"},
		{"flag over a DATABASE_URL of nowhere", []string{"DATABASE_URL=" + nowhere}, []string{"--database-url", flag.url}, "flag"},
		{"flag over PGDATABASE", []string{"PGDATABASE=" + config.Database}, []string{"--database-url", flag.url}, "flag"},
		{"flag of keywords and values", append(variable.env(), "PGDATABASE="+config.Database), []string{"--database-url", keywords}, "flag"},
		{"flag over a service", []string{service, "PGSERVICE=jobs"}, []string{"--database-url", flag.url}, "flag"},
		{"DATABASE_URL over PG variables", variable.env(pg...), nil, "DATABASE_URL"},
		{"DATABASE_URL over a service", variable.env(service, "PGSERVICE=jobs"), nil, "DATABASE_URL"},
		{"DATABASE_URL of keywords and values", append(pg, "DATABASE_URL="+keywords), nil, "flag"},
		{"PG variables alone", pg, nil, "PG"},
		{"an empty DATABASE_URL is none", append(pg, "DATABASE_URL="), nil, "PG"},
		{"a service alone", []string{service, "PGSERVICE=jobs"}, nil, "PG"},
		{"a service that the flag names", []string{service}, []string{"--database-url", "service=jobs"}, "PG"},
		{"what the flag leaves open", pg, []string{"--database-url", "dbname=" + flagConfig.Database}, "flag"},
		{"what the URL leaves open", pg, []string{"--database-url", "postgres:///" + flagConfig.Database}, "flag"},
		{"the last of two flags", nil, []string{"--database-url", nowhere, "--database-url=" + flag.url}, "flag"},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			got := gwadmin(t, tc.env, "", append(tc.args, "jobs", "show", "1", "-o", "json")...)
			checkCode(t, exitOK, got)
			check(t, "the database that was used", tc.want, fmt.Sprint(parse[map[string]any](t, got)["task_identifier"]))
		})
	}
}

// The connections have an application name.
func TestApplicationName(t *testing.T) {
	t.Parallel()
	for want, more := range map[string][]string{"gwadmin": nil, "mine": {"PGAPPNAME=mine"}} {
		s := fixture(t)
		s.holding(`lock table graphile_worker._private_jobs`)
		start(t, s.env(more...), strings.NewReader(""), "jobs", "complete", "1", "--yes")
		s.blocked()
		check(t, "application name", want, value[string](s,
			`select application_name from pg_catalog.pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`))
	}
}

// The process list has no password while the command runs.
func TestProcessList(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/cmdline"); err != nil {
		t.Skip("no process list to read here")
	}
	s := fixture(t)
	if strings.Contains(s.url, ":secret@") {
		t.Fatal("the test's password is in use")
	}
	config, err := pgx.ParseConfig(s.url)
	if err != nil {
		t.Fatal(err)
	}
	if config.Password != "" {
		t.Skip("the server wants its own password")
	}
	s.holding(`lock table graphile_worker._private_jobs`)
	address := withUser(t, s.url, config.User, "secret")
	keywords := fmt.Sprintf("host='%s' port=%d user=%s password=secret dbname=%s sslmode=disable", config.Host, config.Port, config.User, config.Database)
	for i, args := range [][]string{
		{"--database-url", address, "jobs", "complete", "1", "--yes"},
		{"jobs", "complete", "--database-url=" + address, "1", "--yes"},
		{"jobs", "complete", "1", "--yes", "--database-url", keywords},
		{"jobs", "complete", "1", "--target", "eu=" + address, "--yes"},
		{"jobs", "complete", "1", "--target=eu/graphile_worker=" + keywords, "--yes"},
	} {
		p := start(t, nil, strings.NewReader(""), args...)
		const waiting = `select count(*) from pg_catalog.pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
		for deadline := time.Now().Add(patience); value[int](s, waiting) < i+1; time.Sleep(2 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("it does not come to wait")
			}
		}
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		shown := strings.Split(strings.TrimRight(string(line), "\x00"), "\x00")
		check(t, "the command line", []string{"jobs", "complete", "1", "--yes"}, shown[1:])
		environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.cmd.Process.Pid))
		if err != nil || strings.Contains(string(environment), "secret") {
			t.Errorf("%q: the password is in the environment: %v", args, err)
		}
		if strings.Contains(value[string](s, `select string_agg(application_name, ',') from pg_catalog.pg_stat_activity`), "secret") {
			t.Error("the password is in the server's list")
		}
	}
}

// Errors about unusable connection strings never show the password.
func TestSecrets(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"postgres://u:hunter2@127.0.0.1:1/db",
		"postgres://u@127.0.0.1:1/db?password=hunter2",
		"host=127.0.0.1 port=1 user=u password=hunter2",
		"postgres://u:%zzhunter2@h/db",
		"postgres://u:hun/ter2@h/db",
		"postgres://u:first@hunter2@h:x/db",
		"postgres://u@h:x/db?password=hunter2",
		"postgres://u:hunter2@h/db?sslmode=frob",
		"postgres:/u:hunter2@h/db",
		"u:hunter2@h/db",
		"host=h port=x password=hunter2",
		"host=h port=x password='hunter2'",
		"host=h port=x password = 'not hunter2'",
		`host=h port=x password=not\ hunter2`,
		`host=h port=x password='it\'s hunter2'`,
		"password='hunter2",
		"PASSWORD=hunter2 port=x",
	} {
		for _, run := range []struct {
			env, args []string
		}{
			{nil, []string{"--database-url", text, "jobs", "complete", "1", "--yes"}},
			{[]string{"DATABASE_URL=" + text}, []string{"jobs", "complete", "1", "--yes"}},
			{[]string{"DATABASE_URL=" + text}, []string{"migrate", "status", "-o", "json"}},
			{[]string{"DATABASE_URL=" + text}, []string{"demo", "--yes"}},
			{nil, []string{"demo", "--yes", "--database-url", text}},
		} {
			got := gwadmin(t, run.env, "", run.args...)
			if got.Code != exitUsage && got.Code != exitConnect {
				t.Errorf("%s: %s", text, got.transcript())
			}
			if said := got.Stdout + got.Stderr; strings.Contains(said, "hunter2") || strings.Contains(said, "ter2@") {
				t.Errorf("%s: the password is shown: %s", text, said)
			}
		}
	}
}

// ownServer starts a server that is reached by TCP.
func ownServer(t *testing.T) (*pgserver.Server, *pgxpool.Pool) {
	t.Helper()
	found, err := pgserver.Find(t.Context(), pgserver.FindOptions{Fetch: true})
	if errors.Is(err, pgserver.ErrNoPostgres) && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	server, err := pgserver.Start(t.Context(), pgserver.Options{Installation: found, TCP: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop() })
	pool, err := pgxpool.New(t.Context(), server.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return server, pool
}

// TestServer uses a server that is reached by TCP, with a password and a certificate.
func TestServer(t *testing.T) {
	t.Parallel()
	server, pool := ownServer(t)
	migrator, err := migrations.New(pool, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := migrator.Up(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(t.Context(), "select graphile_worker.add_job('send')"); err != nil {
		t.Fatal(err)
	}
	config := pool.Config().ConnConfig
	show := func(t *testing.T, env []string, args ...string) result {
		t.Helper()
		got := gwadmin(t, env, "", append([]string{"jobs", "show", "1", "-o", "json"}, args...)...)
		if strings.Contains(got.Stdout+got.Stderr, config.Password) {
			t.Error("the password is shown")
		}
		return got
	}

	t.Run("right password", func(t *testing.T) {
		t.Parallel()
		checkCode(t, exitOK, show(t, nil, "--database-url", server.URL("postgres")))
		open := fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", config.Port)
		checkCode(t, exitOK, show(t, []string{"PGPASSWORD=" + config.Password}, "--database-url", open))
		passwords := filepath.Join(t.TempDir(), "passwords")
		if err := os.WriteFile(passwords, fmt.Appendf(nil, "127.0.0.1:*:postgres:postgres:%s\n", config.Password), 0o600); err != nil {
			t.Fatal(err)
		}
		checkCode(t, exitOK, show(t, []string{"PGPASSFILE=" + passwords, "DATABASE_URL=" + open}))
	})
	t.Run("wrong password", func(t *testing.T) {
		t.Parallel()
		wrong := withUser(t, server.URL("postgres"), "postgres", "hunter2")
		for _, got := range []result{
			show(t, nil, "--database-url", wrong),
			show(t, []string{"DATABASE_URL=" + wrong}),
			show(t, []string{"DATABASE_URL=" + wrong, "PGPASSWORD=" + config.Password}),
		} {
			checkCode(t, exitConnect, got)
			check(t, "stdout", "", got.Stdout)
			if !strings.Contains(got.Stderr, "password authentication failed") || strings.Contains(got.Stderr, "hunter2") {
				t.Errorf("said %s", got.Stderr)
			}
		}
	})
	t.Run("TLS", func(t *testing.T) {
		t.Parallel()
		var dir string
		if err := pool.QueryRow(t.Context(), "show data_directory").Scan(&dir); err != nil {
			t.Fatal(err)
		}
		authority := certify(t, dir)
		for _, sql := range []string{"alter system set ssl = on", "select pg_catalog.pg_reload_conf()"} {
			if _, err := pool.Exec(t.Context(), sql); err != nil {
				t.Skipf("the server has no TLS: %v", err)
			}
		}
		base := fmt.Sprintf("host=127.0.0.1 port=%d user=postgres dbname=postgres sslmode=verify-full sslrootcert=", config.Port)
		password := []string{"PGPASSWORD=" + config.Password}
		got := show(t, password, "--database-url", base+authority)
		for deadline := time.Now().Add(patience / 4); got.Code != exitOK && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			got = show(t, password, "--database-url", base+authority) // the server reads its certificate after a while
		}
		checkCode(t, exitOK, got)
		checkCode(t, exitOK, show(t, append(password, "PGHOST=127.0.0.1", fmt.Sprintf("PGPORT=%d", config.Port),
			"PGUSER=postgres", "PGDATABASE=postgres", "PGSSLMODE=verify-full", "PGSSLROOTCERT="+authority)))

		stranger := certify(t, t.TempDir())
		for _, unproven := range []string{base + stranger, strings.Replace(base, "host=127.0.0.1", "host=localhost", 1) + authority} {
			got := show(t, password, "--database-url", unproven)
			checkCode(t, exitConnect, got)
			if !strings.Contains(got.Stderr, "x509: ") {
				t.Errorf("it does not say that it does not trust the server: %s", got.Stderr)
			}
		}
	})
}

// certify writes a self-signed certificate for 127.0.0.1, server.crt and server.key, into a
// directory. It gives them to the directory's owner, and returns a copy of the certificate.
func certify(t testing.TB, dir string) (file string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "gwadmin test"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})
	write := func(file string, text []byte) string {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	giveAway(t, dir, write(filepath.Join(dir, "server.crt"), public))
	giveAway(t, dir, write(filepath.Join(dir, "server.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	return write(filepath.Join(t.TempDir(), "root.crt"), public)
}

// The schema is --schema or, without it, GWADMIN_SCHEMA.
func TestSchema(t *testing.T) {
	t.Parallel()
	s := siteIn(t, testdb.Ours(weird), weird)
	s.exec(`select graphile_worker.add_job('send')`)
	named := "GWADMIN_SCHEMA=" + weird
	for _, tc := range []struct {
		reason string
		env    []string
		args   []string
		code   int
	}{
		{"flag", nil, []string{"--schema", weird}, exitOK},
		{"variable", []string{named}, nil, exitOK},
		{"flag over the variable", []string{"GWADMIN_SCHEMA=none"}, []string{"--schema", weird}, exitOK},
		{"the default as a flag over the variable", []string{named}, []string{"--schema", "graphile_worker"}, exitPending},
		{"an empty variable is none", []string{"GWADMIN_SCHEMA="}, nil, exitPending},
	} {
		got := gwadmin(t, s.env(tc.env...), "", append(tc.args, "jobs", "show", "1")...)
		if got.Code != tc.code {
			t.Errorf("%s: %s", tc.reason, got.transcript())
		}
	}
}

// Verbs have short names.
func TestAliases(t *testing.T) {
	t.Parallel()
	s := fixture(t)
	check(t, "jobs ls", s.run("jobs", "list"), s.run("jobs", "ls"))
	check(t, "workers ls", s.run("workers", "list"), s.run("workers", "ls"))
	check(t, "jobs rm", s.run("jobs", "remove", "key 2", "--dry-run"), s.run("jobs", "rm", "key 2", "--dry-run"))
}
