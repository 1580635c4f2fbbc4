package admin

// A State is what a worker that fetches now would make of a job. Every job is in
// one state.
type State string

const (
	Ready       State = "ready"       // it would take the job
	Scheduled   State = "scheduled"   // run_at is in the future, and no worker has taken the job yet
	Retrying    State = "retrying"    // the job has failed, and run_at is in the future
	Waiting     State = "waiting"     // run_at has come, and the job's queue is held
	Running     State = "running"     // a worker holds the job
	Stale       State = "stale"       // a worker has held the job for longer than StaleAfter
	Permafailed State = "permafailed" // the job has used up its attempts
	// Stranded is a job whose queue is gone, which a queue's cleanup during an open
	// transaction leads to. No worker ever takes it, until [Client.RestoreQueues].
	Stranded State = "stranded"
)

// States are all states, in the order of a job's life.
var States = []State{Scheduled, Waiting, Ready, Running, Stale, Retrying, Stranded, Permafailed}
