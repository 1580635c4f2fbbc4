package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"
	"golang.org/x/crypto/bcrypt"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/internal/crontab"
	"github.com/gwadmin/gwadmin/ui"
)

// uiFlags are the flags of the admin page.
type uiFlags struct {
	listen    string
	readOnly  bool
	passwords string
	header    string
	proxies   []string
	hosts     []string
	declared  []string
	crontab   string
}

func uiCommand(a *app) *cobra.Command {
	var flags uiFlags
	cmd := &cobra.Command{
		Use:   "ui",
		Short: "Serve the admin page",
		Long: `Serve the admin page until Ctrl-C.

The page listens on the loopback address and prints a link with a token: whoever
has the link may use the page. Another address needs --password-file, or
--user-header with --trusted-proxy.

The file has a line for each user, as "htpasswd -B" writes it: NAME:HASH. The
header is one that a proxy sets to the name of the user whom it has signed in.
--read-only also makes the database refuse changes.

With --crontab, the file that the workers run by, the page shows when its items
run next, and runs one now. The file is read again for each such request.

With --target it lists the targets, and serves the page of each under t/NAME/.`,
		Example: `  gwadmin ui
  gwadmin ui --listen 0.0.0.0:7070 --password-file users --host queue.example.com
  gwadmin ui --read-only
  gwadmin ui --crontab crontab
  gwadmin ui --target eu=$EU_URL --target us=$US_URL`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			options, token, err := flags.options()
			if err != nil {
				return usage(err)
			}
			apps, done, err := a.eachTarget(cmd.Context())
			if err != nil {
				return err
			}
			defer done()
			var pages []uiPage
			for _, one := range apps {
				config, err := one.config()
				if err != nil {
					return err
				}
				if flags.readOnly {
					config.ConnConfig.RuntimeParams["default_transaction_read_only"] = "on"
				}
				pool, err := pgxpool.NewWithConfig(cmd.Context(), config)
				if err != nil {
					return err
				}
				defer pool.Close()
				pages = append(pages, newUIPage(one.name, pool, one.schema, options))
			}
			return a.serveUI(cmd.Context(), pages, flags.listen, token)
		},
	}
	f := cmd.Flags()
	f.StringVar(&flags.listen, "listen", "127.0.0.1:7070", "address and port; port 0 is any that is free")
	f.BoolVar(&flags.readOnly, "read-only", false, "refuse every change")
	f.StringVar(&flags.passwords, "password-file", "", "file of users and their bcrypt hashes")
	f.StringVar(&flags.header, "user-header", "", "header in which a trusted proxy names the user, such as X-Forwarded-User")
	f.StringSliceVar(&flags.proxies, "trusted-proxy", nil, "address or network of such a proxy, such as 10.0.0.0/8")
	f.StringSliceVar(&flags.hosts, "host", nil, "name that requests may be addressed to (default any with authentication, else the loopback names)")
	f.StringSliceVar(&flags.declared, "declared", nil, "identifiers of tasks to propose for new jobs")
	f.StringVar(&flags.crontab, "crontab", "", "the crontab of the workers")
	return cmd
}

// options checks the flags. The token is empty if users are authenticated otherwise.
func (f *uiFlags) options() (options *ui.Options, token string, err error) {
	options = &ui.Options{ReadOnly: f.readOnly, Hosts: f.hosts, Declared: f.declared}
	if f.crontab != "" {
		options.Crontab = func() (string, error) {
			text, err := os.ReadFile(f.crontab)
			return string(text), err
		}
		text, err := options.Crontab()
		if err == nil {
			_, err = crontab.Parse(text)
		}
		if err != nil {
			return nil, "", fmt.Errorf("--crontab %s: %w", f.crontab, err)
		}
	}
	host, _, err := net.SplitHostPort(f.listen)
	if err != nil {
		return nil, "", fmt.Errorf("--listen %q is not an address and a port, such as 127.0.0.1:7070", f.listen)
	}
	switch {
	case f.passwords != "" && f.header != "":
		return nil, "", errors.New("--password-file and --user-header exclude each other")
	case (f.header == "") != (len(f.proxies) == 0):
		return nil, "", errors.New("--user-header and --trusted-proxy need each other")
	case f.passwords != "":
		check, err := readPasswords(f.passwords)
		if err != nil {
			return nil, "", err
		}
		options.Authenticate = ui.Basic(check)
		return options, "", nil
	case f.header != "":
		trusted := make([]netip.Prefix, len(f.proxies))
		for i, text := range f.proxies {
			if trusted[i], err = parseNetwork(text); err != nil {
				return nil, "", err
			}
		}
		options.Authenticate = ui.ProxyHeader(f.header, trusted...)
		return options, "", nil
	}
	if ip, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !ip.IsLoopback()) {
		return nil, "", fmt.Errorf("--listen %s can be reached from other machines: add --password-file, or --user-header and --trusted-proxy", f.listen)
	}
	if options.Hosts == nil {
		options.Hosts = []string{"localhost", "127.0.0.1", "::1"}
	}
	token = ui.NewToken()
	options.Authenticate = ui.Token(token)
	return options, token, nil
}

func parseNetwork(text string) (netip.Prefix, error) {
	if network, err := netip.ParsePrefix(text); err == nil {
		return network, nil
	}
	ip, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("--trusted-proxy %q is neither an address nor a network such as 10.0.0.0/8", text)
	}
	return netip.PrefixFrom(ip, ip.BitLen()), nil
}

// readPasswords reads users and their hashes, and returns the function that checks them.
func readPasswords(name string) (func(user, password string) bool, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	hashes := make(map[string][]byte)
	var any []byte
	for i, line := range strings.Split(string(text), "\n") {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		user, hash, found := strings.Cut(line, ":")
		if _, err := bcrypt.Cost([]byte(hash)); !found || user == "" || err != nil {
			return nil, fmt.Errorf("%s, line %d, is not NAME:HASH with a bcrypt hash: make it with htpasswd -nB NAME", name, i+1)
		}
		hashes[user], any = []byte(hash), []byte(hash)
	}
	if any == nil {
		return nil, fmt.Errorf("%s has no users: add one with htpasswd -B %s NAME", name, name)
	}
	return func(user, password string) bool {
		hash, known := hashes[user]
		if !known {
			hash = any // so that a wrong name takes as long as a wrong password
		}
		return bcrypt.CompareHashAndPassword(hash, []byte(password)) == nil && known
	}, nil
}

// A uiPage is the page of the database, or of a target.
type uiPage struct {
	ui.Target
	client *admin.Client
}

func newUIPage(name string, pool *pgxpool.Pool, schema string, options *ui.Options) uiPage {
	client := admin.New(pool, admin.WithSchema(schema))
	return uiPage{ui.Target{Name: name, Handler: ui.New(client, options)}, client}
}

// check says what is wrong. The page shows it, too, and looks again.
func (p uiPage) check(ctx context.Context, a *app) {
	about := "note"
	if p.Name != "" {
		about = p.Name
	}
	if err := p.client.Check(ctx); err != nil && ctx.Err() == nil {
		a.say("%s: %s", about, describe(err))
	}
}

// close ends the bulk changes of the page, and says how far they came.
func (p uiPage) close(ctx context.Context, a *app) error {
	stopped, err := p.Handler.Close(ctx)
	about := ""
	if p.Name != "" {
		about = p.Name + ": "
	}
	for _, s := range stopped {
		a.say("%s%s", about, stoppedText(s))
	}
	return err
}

// stoppedText says how far a bulk change came.
func stoppedText(s ui.Stopped) string {
	ended, others := "was stopped", "the others are as they were"
	if s.Running {
		ended, others = "still runs, and is stopped now,", "the batch in hand is done whole or not at all, and "+others
	} else if unknown, ok := errors.AsType[*admin.OutcomeUnknownError](s.Err); ok {
		others = "nobody knows whether " + cmp.Or(unknown.Sent.String(), "what was sent last") + " was changed too: look before you repeat it"
	}
	return fmt.Sprintf("%s of %s %s after %d of %d jobs; %s", s.Change, s.Jobs, ended, s.Changed, s.Aim, others)
}

// serveUI serves the pages until ctx ends.
func (a *app) serveUI(ctx context.Context, pages []uiPage, listen, token string) error {
	var handler http.Handler = pages[0].Handler
	what := "schema " + pages[0].client.Schema()
	if pages[0].Name != "" {
		var targets []ui.Target
		for _, page := range pages {
			targets = append(targets, page.Target)
		}
		handler, what = ui.Targets(targets...), plural(len(pages), "target")
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("the page cannot listen on %s: %w", listen, err)
	}
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		IdleTimeout:       2 * time.Minute,
	}
	link := "http://" + listener.Addr().String() + "/"
	if token != "" {
		link += "?token=" + token
	}
	fmt.Fprintln(a.stdout, link)
	a.say("The admin page of %s. Ctrl-C ends it.", what)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	var checking sync.WaitGroup
	for _, page := range pages {
		checking.Go(func() { page.check(ctx, a) })
	}
	checking.Wait()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	failures := make([]error, len(pages))
	var closing sync.WaitGroup
	for i, page := range pages {
		closing.Go(func() { failures[i] = page.close(within, a) })
	}
	closing.Wait()
	failures = append(failures, server.Shutdown(within))
	return errors.Join(append(failures, server.Close())...) // Close ends requests that still wait for the database
}
