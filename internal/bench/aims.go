package bench

import (
	"cmp"
	"fmt"
)

// An aim is what a ratio should be. With the zero aim the ratio is only measured and
// shown.
type aim struct {
	atLeast float64 // of throughputs, ours by theirs
	atMost  float64 // of times, ours by theirs
	// alarm is the ratio beyond which something has regressed. Zero means half of
	// atLeast, or twice atMost. An aim that is not met needs one farther off.
	alarm float64
}

func (a aim) alarming(at float64) aim { a.alarm = at; return a }

func atLeast(ratio float64) aim { return aim{atLeast: ratio} }
func atMost(ratio float64) aim  { return aim{atMost: ratio} }

// All aims.
var (
	none aim

	addByJS    = atLeast(2.5)               // AddJob, against JavaScript's on upstream's schema
	addByLimit = atLeast(0.8).alarming(0.2) // against one bare insert with the same notification
	addJSOurs  = atLeast(2)                 // JavaScript's addJob on our schema, against upstream's

	adderLatency = atMost(1).alarming(3) // the median of a call among 64, against Client.AddJob

	addManyByJS   = atLeast(3).alarming(1)      // AddJobs, against JavaScript's
	addManyByCopy = atLeast(0.8).alarming(0.25) // against COPY

	changeBySQL = atLeast(0.9) // Complete, Fail, Reschedule, against one SQL statement

	cleanup    = atLeast(1).alarming(0.25) // against upstream's statement; on a small table round trips decide
	cleanupNot = atLeast(100)              // where the hash for its "not in" is too large

	deepPage = atMost(1.5) // page 50 000, against page 1

	facadeTime   = atMost(1.03)           // a call, against the generated query alone
	facadeAllocs = atMost(5).alarming(15) // allocations more than that

	growth = atMost(1.3) // time for an id among many, against one among few

	fetchBusy = atMost(2) // fetching a job during a bulk call, against without it

	heldQueues     = atMost(1.3) // Stats with held queues, against without
	manyQueues     = atMost(1.2) // a change of one id, against few queues
	getJob         = atMost(4)   // against the same row by a prepared select
	whereIndexed   = atMost(2)   // a preview, against a list of the same jobs
	whereConfirmed = atMost(2.5) // preview and run, against the preview alone: a pass more, in the order of ids
	manyKeys       = atMost(2)   // against as many ids

	pageTime = atMost(1).alarming(4) // a page, against its limit; on a busy machine a page waits for its turn

	serverMemory = atMost(10) // MB over idle, for a million ids in batches
	clientMemory = atMost(1.3)
)

// changeByJS is the aim of a change of so many ids, against JavaScript's.
func changeByJS(ids int) aim {
	switch {
	case ids >= 1_000_000:
		return atLeast(5)
	case ids >= 100_000:
		return atLeast(2)
	default:
		return atLeast(1.5)
	}
}

func (a aim) none() bool { return a == aim{} }

// value returns the ratio that the aim is about: of throughputs, or of times.
func (a aim) value(ours, theirs float64) float64 {
	if a.atMost > 0 {
		return ours / theirs
	}
	return theirs / ours
}

func (a aim) met(ratio float64) bool {
	return a.none() || a.atLeast > 0 && ratio >= a.atLeast || a.atMost > 0 && ratio <= a.atMost
}

// broken reports whether a ratio is so far off that something has regressed.
func (a aim) broken(ratio float64) bool {
	switch {
	case a.atLeast > 0:
		return ratio < cmp.Or(a.alarm, a.atLeast/2)
	case a.atMost > 0:
		return ratio > cmp.Or(a.alarm, a.atMost*2)
	}
	return false
}

func (a aim) String() string {
	switch {
	case a.atLeast > 0:
		return fmt.Sprintf("≥ %g", a.atLeast)
	case a.atMost > 0:
		return fmt.Sprintf("≤ %g", a.atMost)
	default:
		return "–"
	}
}

// adderByClient is the aim of an Adder with so many goroutines, against Client.AddJob.
func adderByClient(goroutines int) aim {
	switch {
	case goroutines >= 256:
		return atLeast(15).alarming(1)
	case goroutines >= 64:
		return atLeast(8).alarming(1)
	case goroutines >= 8:
		return atLeast(1.2).alarming(0.4)
	}
	return atLeast(0.9).alarming(0.4)
}

// adderByRiver is the aim of an Adder, against River's Insert.
func adderByRiver(goroutines int) aim {
	switch goroutines {
	case 64:
		return atLeast(4).alarming(1.2)
	case 8:
		return atLeast(1).alarming(0.25)
	}
	return none
}

// adderByJS is the aim of an Adder, against JavaScript with as many calls in flight.
func adderByJS(goroutines int) aim {
	if goroutines == 64 {
		return atLeast(10).alarming(1)
	}
	return none
}
