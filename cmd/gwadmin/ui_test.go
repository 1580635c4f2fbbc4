package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/gwadmin/gwadmin/internal/pgtest"
	"github.com/gwadmin/gwadmin/internal/testdb"
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
	interrupt()
	if got := <-code; got != exitOK {
		t.Errorf("exit code %d", got)
	}
}
