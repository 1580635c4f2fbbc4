// Package ui is an admin page for a Graphile Worker job queue: an [http.Handler] for a
// team's own server. The command gwadmin ui serves it, too.
//
// Pages are rendered on the server and work without JavaScript. With it they follow the
// queue as it changes. All links are relative, so that the handler works under any
// prefix:
//
//	mux.Handle("/queue/", http.StripPrefix("/queue", ui.New(client, nil)))
//
// Every request is authorized on the server, see [Options]. Without Authenticate and
// Authorize the handler answers only requests that come from this machine, to a loopback
// name.
package ui

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/gwadmin/gwadmin/admin"
	"github.com/gwadmin/gwadmin/observe"
)

// Options are the options of [New]. A nil struct means the defaults.
type Options struct {
	// Authenticate says who makes a request. [Basic], [ProxyHeader] and [Token] make such
	// functions. Nil: everybody on this machine, without a name.
	Authenticate Authenticator
	// Authorize is asked for every read and write. An error refuses it, and is shown.
	// [User] tells who asks. Nil: whoever Authenticate lets in may do everything.
	Authorize func(r *http.Request, action Action) error
	// ReadOnly refuses every action but [View] and [Export]. The database refuses changes,
	// too: every statement of the handler runs in a transaction that is read-only.
	ReadOnly bool
	// Hosts are the names, without ports, that requests may be addressed to. Nil: the
	// loopback names without Authenticate and Authorize, and else any name.
	Hosts []string
	// Redact replaces payloads and last errors before anything leaves the server. Searches
	// by payload and error are refused then, since they would tell what is redacted. Nil:
	// nothing is redacted.
	Redact Redactor
	// Declared are the identifiers of the tasks that the page for adding jobs proposes,
	// beside those that the queue has.
	Declared []string
	// Crontab returns the text of the workers' crontab. The page of crontabs then shows when
	// its items run next, and runs one now. It is called for each such request. Nil: the page
	// shows what the workers have recorded.
	Crontab func() (string, error)
	// Observer takes the snapshots that the pages show. It must observe the client's schema.
	// Nil: one on the client's database, which reads while somebody watches.
	Observer *observe.Observer
	// Logger logs each change with the user, what was shown before it, and its result.
	// Payloads are not logged. Nil: [slog.Default].
	Logger *slog.Logger
}

// A Redactor returns the text to show in place of a payload or a last error. The task is
// that of the job; it is empty for the errors of the overview, which are of many jobs.
type Redactor func(task string, field Field, text string) string

// A Field is what a [Redactor] redacts.
type Field string

const (
	Payload   Field = "payload"
	LastError Field = "last_error"
)

// A Handler serves the admin page of one schema. It is made by [New].
type Handler struct {
	client     *admin.Client
	target     string // its name among several; empty: there is only this one
	options    Options
	log        *slog.Logger
	routes     http.Handler
	patterns   []route
	reads      reads
	observer   *observe.Observer
	live       live
	operations operations
	previews   previews
	open       context.Context // ends with Close
	shut       context.CancelFunc
}

// A route is a pattern of requests, and the action that they must be allowed to do.
type route struct {
	pattern string
	action  Action
}

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed static
var staticFiles embed.FS

// New returns a handler that administers the client's schema. The client must be safe for
// concurrent use: one on a pool.
func New(client *admin.Client, options *Options) *Handler {
	h := &Handler{client: client, log: slog.Default()}
	h.open, h.shut = context.WithCancel(context.Background())
	if options != nil {
		h.options = *options
	}
	if h.options.Logger != nil {
		h.log = h.options.Logger
	}
	if h.observer = h.options.Observer; h.observer == nil {
		h.observer = newObserver(client)
	}
	if h.options.ReadOnly {
		h.client = readOnlyClient(client)
	}
	h.live.read = h.readPulse
	mux := http.NewServeMux()
	page := func(pattern string, action Action, serve func(w http.ResponseWriter, r *http.Request) error) {
		mux.Handle(pattern, h.allowed(action, serve))
		h.patterns = append(h.patterns, route{pattern, action})
	}
	page("GET /{$}", View, h.overview)
	page("GET /jobs", View, h.jobs)
	page("GET /jobs/{id}", View, h.job)
	page("GET /jobs/{id}/job.json", Export, h.downloadJob)
	page("GET /queues", View, h.queues)
	page("GET /tasks", View, h.tasks)
	page("GET /workers", View, h.workers)
	page("GET /crontabs", View, h.crontabs)
	page("POST /crontabs/run", Add, h.runCron)
	page("GET /add", Add, h.addForm)
	page("POST /add", Add, h.add)
	page("GET /complete", View, h.complete)
	page("GET /events", View, h.events)
	page("POST /jobs/preview", View, h.previewJobs)
	page("POST /jobs/stop", View, h.stopSearch)
	page("GET /previews/{id}", View, h.slowPreview)
	page("POST /previews/{id}/stop", View, h.stopPreview)
	for _, v := range verbs {
		page("POST /jobs/"+v.Name, v.Action, func(w http.ResponseWriter, r *http.Request) error { return h.runVerb(w, r, v) })
	}
	page("POST /workers/unlock", Unlock, h.unlock)
	page("POST /queues/pause", Pause, h.pause)
	page("POST /queues/resume", Resume, h.resume)
	page("GET /operations", View, h.listOperations)
	page("GET /operations/{id}", View, h.operation)
	page("GET /operations/{id}/result.ndjson", Export, h.operationResult)
	page("POST /operations/{id}/cancel", View, h.cancelOperation)
	mux.Handle("GET /static/", static())
	mux.Handle("/", h.allowed(View, func(w http.ResponseWriter, r *http.Request) error { return errNoPage }))
	h.routes = secured(compressed(mux))
	return h
}

// Close ends the streams that open pages follow, and the bulk changes that run, each after a
// whole batch, and waits for these until ctx ends. It returns what they have done, and the
// error of ctx if some still run: their batch in hand is committed whole or not at all, also
// if the process ends. No bulk change can be started any more. Call it before the client's
// pool is closed, and before [http.Server.Shutdown], which waits for streams: for up to ten
// minutes while a page is open.
func (h *Handler) Close(ctx context.Context) ([]Stopped, error) {
	h.shut()
	if h.options.Observer == nil {
		h.observer.Close()
	}
	return h.operations.close(ctx)
}

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "" { // the prefix without its slash, where relative links would not work
		last := path.Base(strings.SplitN(r.RequestURI, "?", 2)[0])
		w.Header().Set("Location", last+"/")
		w.WriteHeader(http.StatusMovedPermanently)
		return
	}
	h.routes.ServeHTTP(w, r)
}

// static serves the embedded files. Their addresses contain their version.
func static() http.Handler {
	files := http.FileServerFS(staticFiles)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/") {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		files.ServeHTTP(w, r)
	})
}

// assets is the version of the embedded files.
var assets = func() string {
	sum := sha256.New()
	_ = fs.WalkDir(staticFiles, ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			content, _ := staticFiles.ReadFile(name)
			sum.Write(content)
		}
		return err
	})
	return hex.EncodeToString(sum.Sum(nil))[:12]
}()

// pages are the templates by the name of their page. Each has the layout.
var pages = func() map[string]*template.Template {
	layout := template.Must(template.New("layout.html").Funcs(functions).ParseFS(templateFiles, "templates/layout.html", "templates/parts.html"))
	all := make(map[string]*template.Template)
	names, _ := fs.Glob(templateFiles, "templates/*.html")
	for _, name := range names {
		base := strings.TrimSuffix(path.Base(name), ".html")
		if base != "layout" && base != "parts" {
			all[base] = template.Must(template.Must(layout.Clone()).ParseFS(templateFiles, name))
		}
	}
	return all
}()

// A view is what the layout shows around a page.
type view struct {
	Title   string
	Section string  // the entry of the navigation
	Nav     []entry // nil: there is no navigation, and no search
	Root    string  // the address of the handler's root, relative to the page
	Here    string  // the address of the page, relative to the root
	Assets  string
	Schema  string
	User    string
	Search  string // the text in the search field
	Now     time.Time
	AsOf    time.Time // when the data was read
	Live    bool      // the page follows the queue
	Slow    bool      // a part of the page is still being read
	Reload  int       // seconds after which the page loads again; 0: it does not
	// ReadOnly and Searchable say what the options allow: changes, and searches by payload
	// and error.
	ReadOnly, Searchable bool
	Snippet              snippet
	Error                string
	Page                 any // what the page's own template shows

	may func(Action) bool
}

// May says whether the user may do the action. Pages show nothing that he may not do.
func (v view) May(action Action) bool { return v.may(action) }

// An entry leads to a page.
type entry struct{ Section, Title, Address string }

var navigation = []entry{
	{"overview", "Overview", "./"},
	{"jobs", "Jobs", "jobs"},
	{"queues", "Queues", "queues"},
	{"tasks", "Tasks", "tasks"},
	{"workers", "Workers", "workers"},
	{"crontabs", "Crontabs", "crontabs"},
	{"operations", "Operations", "operations"},
	{"add", "Add", "add"},
}

// render writes a page.
func (h *Handler) render(w http.ResponseWriter, r *http.Request, status int, name string, v view) error {
	v.Root, v.Here, v.Nav = root(r), strings.TrimPrefix(r.URL.Path, "/"), navigation
	if r.URL.RawQuery != "" {
		v.Here += "?" + r.URL.RawQuery
	}
	v.ReadOnly, v.Searchable = h.options.ReadOnly, h.options.Redact == nil
	v.Schema, v.User = h.client.Schema(), User(r)
	if h.target != "" {
		v.Schema = h.target + ": " + v.Schema
		v.Nav = append([]entry{{"targets", "Targets", "../../"}}, navigation...)
	}
	v.may = func(action Action) bool { return h.may(r, action) == nil }
	return write(w, status, name, v)
}

// write writes a page whose view says what is around it.
func write(w http.ResponseWriter, status int, name string, v view) error {
	v.Assets = assets
	if v.Now.IsZero() {
		v.Now = time.Now()
	}
	if v.AsOf.IsZero() {
		v.AsOf = v.Now
	}
	var page bytes.Buffer
	if err := pages[name].ExecuteTemplate(&page, "layout.html", v); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = page.WriteTo(w) // an error means that the browser has gone
	return nil
}

// root is the address of the handler's root relative to the request's path.
func root(r *http.Request) string {
	if depth := strings.Count(r.URL.Path, "/") - 1; depth > 0 {
		return strings.Repeat("../", depth)
	}
	return "./"
}

// redirect sends the browser to an address relative to the handler's root.
func redirect(w http.ResponseWriter, r *http.Request, to string) error {
	w.Header().Set("Location", root(r)+to)
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// now is the database's clock.
func (h *Handler) now(ctx context.Context) (time.Time, error) {
	skew, _, err := read(ctx, &h.reads, "clock", time.Minute, func(ctx context.Context) (time.Duration, error) {
		now, err := h.client.Now(ctx)
		return time.Until(now), err
	})
	return time.Now().Add(skew), err
}
