package ui

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/gwadmin/gwadmin/admin"
)

// An Action is what [Options.Authorize] is asked for.
type Action string

const (
	View       Action = "view"       // read a page; the preview of a change asks for that action, too
	Export     Action = "export"     // download jobs
	Add        Action = "add"        // add a job, or that of a cron item
	Complete   Action = "complete"   // delete jobs as completed
	Fail       Action = "fail"       // fail jobs permanently
	Reschedule Action = "reschedule" // change when jobs run, and how often
	Retry      Action = "retry"      // run jobs again
	Hold       Action = "hold"       // put jobs on hold
	Release    Action = "release"    // release jobs on hold
	Unlock     Action = "unlock"     // unlock a dead worker's jobs and queues
	Pause      Action = "pause"      // pause a queue
	Resume     Action = "resume"     // resume a queue
)

// Actions are all actions.
var Actions = []Action{View, Export, Add, Complete, Fail, Reschedule, Retry, Hold, Release, Unlock, Pause, Resume}

// reads reports whether the action changes nothing.
func (a Action) reads() bool { return a == View || a == Export }

// An Authenticator says who makes a request. It writes the answer itself and returns
// false where the request must not go on, for example to ask for a password.
type Authenticator func(w http.ResponseWriter, r *http.Request) (user string, ok bool)

// Basic asks the browser for a name and a password. Check must take as long for a wrong
// name as for a wrong password. Serve the page by TLS then.
func Basic(check func(user, password string) bool) Authenticator {
	return func(w http.ResponseWriter, r *http.Request) (string, bool) {
		if user, password, ok := r.BasicAuth(); ok && check(user, password) {
			return user, true
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="gwadmin", charset="UTF-8"`)
		http.Error(w, "A name and a password are required.", http.StatusUnauthorized)
		return "", false
	}
}

// ProxyHeader takes the user from a header that a proxy sets, such as X-Forwarded-User. It
// trusts only proxies whose addresses are in one of the prefixes, and refuses every other
// request. The proxy must replace the header if a client sends it.
func ProxyHeader(header string, trusted ...netip.Prefix) Authenticator {
	return func(w http.ResponseWriter, r *http.Request) (string, bool) {
		peer, err := netip.ParseAddrPort(r.RemoteAddr)
		isTrusted := err == nil && slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(peer.Addr().Unmap()) })
		values := r.Header.Values(header)
		if !isTrusted || len(values) != 1 || values[0] == "" {
			http.Error(w, "Requests must come through the proxy that signs users in.", http.StatusForbidden)
			return "", false
		}
		return values[0], true
	}
}

// NewToken returns a random token for [Token].
func NewToken() string { return rand.Text() }

// Token lets in a browser that has once opened the page with ?token=TOKEN. A cookie
// remembers it, and the address is shown without the token from then on. All such
// browsers are one user, without a name.
func Token(token string) Authenticator {
	sum := sha256.Sum256([]byte(token))
	// Cookies are shared by all ports of a host. The name keeps two servers apart.
	name := "gwadmin_" + hex.EncodeToString(sum[:4])
	cookie := hex.EncodeToString(sum[4:])
	return func(w http.ResponseWriter, r *http.Request) (string, bool) {
		if c, err := r.Cookie(name); err == nil && same(c.Value, cookie) && !r.URL.Query().Has("token") {
			return "", true
		}
		if r.Method != http.MethodGet || !same(r.URL.Query().Get("token"), token) {
			http.Error(w, "Open the link that gwadmin ui has printed: it has the token.", http.StatusUnauthorized)
			return "", false
		}
		http.SetCookie(w, &http.Cookie{Name: name, Value: cookie, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: r.TLS != nil})
		query := r.URL.Query()
		query.Del("token")
		to := root(r) + strings.TrimPrefix(r.URL.EscapedPath(), "/")
		if len(query) > 0 {
			to += "?" + query.Encode()
		}
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusSeeOther)
		return "", false
	}
}

func same(a, b string) bool { return b != "" && subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

type userKey struct{}

// User is the name of the user who makes the request; empty: nobody gave one. It is for
// [Options.Authorize].
func User(r *http.Request) string {
	user, _ := r.Context().Value(userKey{}).(string)
	return user
}

var loopback = []string{"localhost", "127.0.0.1", "::1"}

// admit lets a request in: it is to a name that it may be to, from somebody who may ask.
func (h *Handler) admit(w http.ResponseWriter, r *http.Request) (*http.Request, bool) {
	o := &h.options
	open := o.Authenticate == nil && o.Authorize == nil
	if open {
		peer, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil || !peer.Addr().Unmap().IsLoopback() {
			http.Error(w, "This page answers only this machine until its server authenticates users: see ui.Options.", http.StatusForbidden)
			return nil, false
		}
	}
	hosts := o.Hosts
	if hosts == nil && open {
		hosts = loopback
	}
	if hosts != nil && !slices.Contains(hosts, hostname(r.Host)) {
		http.Error(w, "This page does not answer to the name in the address: see ui.Options.Hosts.", http.StatusMisdirectedRequest)
		return nil, false
	}
	user := ""
	if o.Authenticate != nil {
		var ok bool
		if user, ok = o.Authenticate(w, r); !ok {
			return nil, false
		}
	}
	ctx := context.WithValue(r.Context(), userKey{}, user)
	if user != "" {
		ctx = admin.WithActor(ctx, user)
	}
	return r.WithContext(ctx), true
}

func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
}

// errReadOnly is the error of every change where the page is read-only.
var errReadOnly = errors.New("this page is read-only")

// may says whether the request may do the action.
func (h *Handler) may(r *http.Request, action Action) error {
	if h.options.ReadOnly && !action.reads() {
		return errReadOnly
	}
	if h.options.Authorize != nil {
		return h.options.Authorize(r, action)
	}
	return nil
}

// maxBody is the greatest size of a request's body. A payload may be large.
const maxBody = 16 << 20

// allowed serves requests that are let in and may do the action.
func (h *Handler) allowed(action Action, serve func(w http.ResponseWriter, r *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r, ok := h.admit(w, r)
		if !ok {
			return
		}
		err := h.may(r, action)
		if err == nil {
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
			if r.Method == http.MethodPost {
				err = parseForm(r)
			}
			if err == nil {
				err = serve(w, r)
			}
		} else {
			err = &forbiddenError{err}
		}
		if err != nil {
			h.fail(w, r, err)
		}
	})
}

func parseForm(r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return &statusError{http.StatusRequestEntityTooLarge, errors.New("the form is larger than 16 MB")}
		}
		return &statusError{http.StatusBadRequest, errors.New("the form cannot be read")}
	}
	return nil
}

// secured adds the headers that keep others out of the page, and refuses requests that
// other sites make.
func secured(next http.Handler) http.Handler {
	origin := http.NewCrossOriginProtection()
	return origin.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'self'; frame-ancestors 'none'")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "same-origin")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		header.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	}))
}
