package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// A target is a database and the schema in it, under a name. The verbs that read, and those
// of migrate, work on several.
type target struct{ name, schema, url string }

const (
	// targetsEnv is the variable with targets, one a line.
	targetsEnv = "GWADMIN_TARGETS"
	// targetsAtOnce is how many targets a verb works on at the same time.
	targetsAtOnce = 8
	// targetConnect is how long connecting may take if the connection string does not say.
	targetConnect = 10 * time.Second
)

// targetName is what the name of a target looks like. It is part of the page's addresses.
var targetName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// parseTarget reads NAME=CONNECTION or NAME/SCHEMA=CONNECTION. Its error shows no part of it:
// any may be a password.
func (a *app) parseTarget(text string) (target, error) {
	place, url, found := strings.Cut(text, "=")
	name, schema, named := strings.Cut(place, "/")
	switch {
	case !found || !targetName.MatchString(name):
		return target{}, errors.New("is not NAME=CONNECTION or NAME/SCHEMA=CONNECTION, with a name of letters, digits, dots, hyphens and underscores")
	case named && schema == "":
		return target{}, fmt.Errorf("%s has an empty schema: write it as %[1]s=CONNECTION for that of --schema", name)
	case url == "": // as from an unset variable
		return target{}, fmt.Errorf("%s has no connection string", name)
	case !named:
		schema = a.schema
	}
	return target{name, schema, url}, nil
}

// envTargets are the targets of GWADMIN_TARGETS.
func (a *app) envTargets() (all []target, err error) {
	for i, line := range strings.Split(os.Getenv(targetsEnv), "\n") {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		t, err := a.parseTarget(line)
		if err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", targetsEnv, i+1, err)
		}
		all = append(all, t)
	}
	return all, nil
}

// findTargets reads --target or, if neither that nor --database-url is given,
// GWADMIN_TARGETS. --target NAME is a target of GWADMIN_TARGETS. A single target is the
// database of every verb.
func (a *app) findTargets() error {
	given := a.targetFlags
	a.targets = nil // it is called again to complete
	if a.databaseURL != "" {
		if len(given) > 0 {
			return errors.New("--target and --database-url exclude each other")
		}
		return nil
	}
	known, err := a.envTargets()
	if err != nil {
		return err
	}
	if len(given) == 0 {
		a.targets = known
	}
	for _, text := range given {
		if i := slices.IndexFunc(known, func(t target) bool { return t.name == text }); i >= 0 {
			a.targets = append(a.targets, known[i])
			continue
		}
		if targetName.MatchString(text) {
			return fmt.Errorf("--target has no connection string, and %s has no target of this name%s", targetsEnv, didYouMean(text, namesOf(known)))
		}
		t, err := a.parseTarget(text)
		if err != nil {
			return fmt.Errorf("--target %w", err)
		}
		a.targets = append(a.targets, t)
	}
	names := namesOf(a.targets)
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			return fmt.Errorf("two targets are named %s", name)
		}
	}
	if len(a.targets) == 1 {
		a.schema = a.targets[0].schema
	}
	return nil
}

func namesOf(targets []target) (names []string) {
	for _, t := range targets {
		names = append(names, t.name)
	}
	return names
}

// eachTarget returns a copy of the app for each target, with a pool of its own, or the app
// itself if no target is named. The function closes the pools.
func (a *app) eachTarget(ctx context.Context) (apps []*app, done func(), err error) {
	if len(a.targets) == 0 {
		return []*app{a}, func() {}, nil
	}
	done = func() {
		for _, one := range apps {
			closePool(one.pool)
		}
	}
	for _, t := range a.targets {
		one := *a
		one.name, one.schema, one.databaseURL, one.targets = t.name, t.schema, t.url, nil
		config, err := one.config()
		if err == nil {
			config.MaxConns = 1
			config.ConnConfig.ConnectTimeout = cmp.Or(config.ConnConfig.ConnectTimeout, targetConnect)
			one.pool, err = pgxpool.NewWithConfig(ctx, config)
		}
		if err != nil {
			done()
			return nil, nil, usage(fmt.Errorf("target %s: %w", t.name, err))
		}
		apps = append(apps, &one)
	}
	return apps, done, nil
}

// onTargets runs a verb on the database or, if targets are named, on each of them. Then it
// prints what the verb prints for all, and ends with the worst of their exit codes.
func (a *app) onTargets(ctx context.Context, run func(context.Context, *app) error) error {
	if len(a.targets) == 0 {
		return run(ctx, a)
	}
	apps, done, err := a.eachTarget(ctx)
	if err != nil {
		return err
	}
	defer done()
	all, err := collect(ctx, apps, run)
	if err != nil {
		return err
	}
	return a.report(all)
}

// collect runs a verb on several targets at a time, and collects what it prints and says on
// each. Wrong usage is an error, since it is the same on all.
func collect(ctx context.Context, apps []*app, run func(context.Context, *app) error) (outcomes, error) {
	all := make(outcomes, len(apps))
	free := make(chan struct{}, targetsAtOnce)
	var running sync.WaitGroup
	for i, a := range apps {
		running.Go(func() {
			free <- struct{}{}
			defer func() { <-free }()
			o, one := &all[i], *a
			o.app, o.Target, one.outcome = a, a.name, o
			o.err = run(context.WithValue(ctx, targetKey{}, a.name), &one)
			if o.err != nil {
				o.ExitCode, o.Error = a.verdict(o.err)
			}
		})
	}
	running.Wait()
	for _, o := range all {
		if o.ExitCode == exitUsage {
			return nil, o.err
		}
	}
	return all, nil
}

// targetKey is the key of the target's name in a context.
type targetKey struct{}

// targetOf is the name of the target that a verb runs on; empty: targets are not named.
func targetOf(ctx context.Context) string {
	name, _ := ctx.Value(targetKey{}).(string)
	return name
}

// parseCursors reads the cursors of several targets, as outcomes.cursors writes them. Targets
// that have none have been listed to their end.
func (a *app) parseCursors(text string) error {
	a.cursors = map[string]string{}
	for part := range strings.SplitSeq(text, ",") {
		name, cursor, found := strings.Cut(part, "=")
		if !found || !slices.Contains(namesOf(a.targets), name) {
			return fmt.Errorf("--cursor is not of these targets: give it as it was printed, and the same targets (%s)", strings.Join(namesOf(a.targets), ", "))
		}
		a.cursors[name] = cursor
	}
	a.targets = slices.DeleteFunc(a.targets, func(t target) bool {
		_, left := a.cursors[t.name]
		return !left
	})
	return nil
}

// cursors is where the next pages of the targets begin; empty: there are none. A target that
// failed begins again where this page should have.
func (all outcomes) cursors() string {
	var parts []string
	more, failed := false, false
	for _, o := range all {
		page, isPage := o.Result.(jobPage)
		switch at := o.app.cursors[o.Target]; {
		case isPage && page.Next != "":
			more = true
			parts = append(parts, o.Target+"="+page.Next)
		case !isPage:
			failed = failed || at != ""
			parts = append(parts, o.Target+"="+at)
		}
	}
	if !more && !failed {
		return ""
	}
	return strings.Join(parts, ",")
}
