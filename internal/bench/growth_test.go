package bench

import (
	"fmt"
	"testing"
	"time"

	"github.com/gwadmin/gwadmin/admin"
)

// BenchmarkGrowth completes few and many ids, in random order. The changes are rolled
// back.
func BenchmarkGrowth(b *testing.B) {
	d := theSuite(b).database(b, manyJobs())
	ctx, pool := b.Context(), poolOf(b, d, 1)
	client, deck := admin.New(pool), newDeck(largeTable())
	sizes := []int{10_000, 100_000, 1_000_000}
	if testing.Short() {
		sizes = []int{1_000, 5_000, 20_000}
	}
	few, complete := sizes[0], changes()[0].leanest()
	c := comparison{
		work:   "Complete by ids, time for one",
		size:   fmt.Sprintf("of %s jobs", count(largeTable())),
		unit:   "jobs",
		per:    few,
		times:  1,
		rounds: 3,
	}
	name := func(size int) string { return count(size) + " ids" }
	for _, size := range sizes {
		c.ways = append(c.ways, way{name(size), func(int) (took time.Duration, err error) {
			// Few ids are completed several times, since one takes too short to measure.
			again := max(1, 50_000/size)
			for range again {
				tx, err := pool.Begin(ctx)
				if err != nil {
					return 0, err
				}
				ids := deck.deal(size)
				once, err := stopwatch(func() error { return complete.call(ctx, client.WithTx(tx), ids) })
				tx.Rollback(ctx)
				if err != nil {
					return 0, err
				}
				took += once
			}
			return took / time.Duration(again*size/few), nil
		}})
		if size != few {
			c.ratios = append(c.ratios, ratio{name(size), name(few), growth})
		}
	}
	c.compare(b)
}
