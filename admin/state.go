package admin

// A State is the state of a job for a worker that fetches jobs now. Every job is in one
// state.
type State string

const (
	Ready       State = "ready"       // a worker would take the job
	Scheduled   State = "scheduled"   // run_at is in the future, and the job has no attempts
	Retrying    State = "retrying"    // run_at is in the future, and the job has attempts
	Waiting     State = "waiting"     // run_at has come, and another job of the queue is running
	Paused      State = "paused"      // run_at has come, and the queue is paused: see [Client.PauseQueue]
	Running     State = "running"     // a worker holds the job
	Stale       State = "stale"       // the lock of the job is older than StaleAfter
	Permafailed State = "permafailed" // the job has used all its attempts
	// Stranded means that the job's queue does not exist: a cleanup has deleted it while
	// an open transaction added the job. No worker takes the job. [Client.RestoreQueues]
	// gives it a queue.
	Stranded State = "stranded"
)

// States are all states, in the order of a job's life.
var States = []State{Scheduled, Waiting, Paused, Ready, Running, Stale, Retrying, Stranded, Permafailed}
