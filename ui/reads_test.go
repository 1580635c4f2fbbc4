package ui

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A search that takes long is shown to a page that comes again every second, whenever it
// ends, and is made once. So is its error.
func TestSlowReadIsShownOnce(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, failure := range []error{nil, broken} {
		for takes := 300 * time.Millisecond; takes < 6*time.Second; takes += 100 * time.Millisecond {
			synctest.Test(t, func(t *testing.T) {
				var r reads
				var made atomic.Int64
				ask := func() error {
					_, _, err := readPatiently(t.Context(), &r, "key", listIsNew, patience, func(context.Context) (int, error) {
						made.Add(1)
						time.Sleep(takes)
						return 0, failure
					})
					return err
				}
				began := time.Now()
				for {
					err := ask()
					if _, slow := errors.AsType[*slowError](err); !slow {
						if err != failure {
							t.Errorf("a search of %s: %v", takes, err)
						}
						break
					}
					if time.Since(began) > 20*time.Second {
						break
					}
					time.Sleep(time.Second)
				}
				if took := time.Since(began); made.Load() != 1 || took > takes+2*time.Second {
					t.Errorf("a search of %s was made %d times, and shown after %s", takes, made.Load(), took)
				}
				time.Sleep(listIsNew + 1)
				_ = ask()
				if made.Load() != 2 {
					t.Errorf("a search of %s is kept for good", takes)
				}
				time.Sleep(2 * takes)
			})
		}
	}
}

// Nobody joins a read that is being cancelled.
func TestCancelledReadIsNotJoined(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(r *reads, leave context.CancelFunc){
		"on demand":        func(r *reads, _ context.CancelFunc) { r.cancel("key") },
		"the browser left": func(_ *reads, leave context.CancelFunc) { leave() },
		"abandoned":        func(*reads, context.CancelFunc) { time.Sleep(2 * abandonment) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var r reads
				ctx, leave := context.WithCancel(t.Context())
				wait := time.Duration(0)
				if name == "abandoned" {
					wait = patience
				}
				first := make(chan error, 1)
				go func() {
					_, _, err := readPatiently(ctx, &r, "key", listIsNew, wait, func(ctx context.Context) (int, error) {
						<-ctx.Done()
						time.Sleep(time.Second) // PostgreSQL ends the statement in its own time
						return 1, ctx.Err()
					})
					first <- err
				}()
				synctest.Wait()
				end(&r, leave)
				synctest.Wait()
				got, _, err := read(t.Context(), &r, "key", listIsNew, func(context.Context) (int, error) { return 2, nil })
				if got != 2 || err != nil {
					t.Errorf("%d %v", got, err)
				}
				if err := <-first; err == nil {
					t.Error("the first was not cancelled")
				}
				leave()
				time.Sleep(2 * time.Second)
				if _, _, err := read(t.Context(), &r, "key", time.Hour, func(context.Context) (int, error) { return 3, nil }); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// What has ended is dropped when it is too old, without a further request. What runs is not
// dropped, however much there is, and can be cancelled.
func TestReadsAreDropped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var r reads
		slow := func() error {
			_, _, err := readPatiently(t.Context(), &r, "slow", listIsNew, patience, func(ctx context.Context) (int, error) {
				<-ctx.Done()
				return 0, ctx.Err()
			})
			return err
		}
		if _, isSlow := errors.AsType[*slowError](slow()); !isSlow {
			t.Fatal("it is not slow")
		}
		readings := func() (n int, slow *reading) {
			r.mu.Lock()
			defer r.mu.Unlock()
			return len(r.made), r.made["slow"]
		}
		_, running := readings()
		for i := range mostReadings + 10 {
			_, _, _ = read(t.Context(), &r, fmt.Sprint(i), time.Second, func(context.Context) (int, error) { return i, nil })
		}
		if n, _ := readings(); n > mostReadings {
			t.Errorf("%d readings", n)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n, slow := readings(); n != 1 || slow != running {
			t.Errorf("%d readings are left", n)
		}
		r.cancel("slow")
		synctest.Wait()
		if !errors.Is(running.err, errCancelled) {
			t.Errorf("the slow one: %v", running.err)
		}
	})
}
