// Package job runs durable work: what is a row of table jdpay_job is carried out, whatever crashes, by this process or
// another one. A payment passes through it twice: as the kept message (kind settle) and as the steps that settling creates.
//
// Reading order: a job and its states (job.go), its row (row.go), its history (history.go), when the next try comes (schedule.go); new jobs
// (insert.go), the runner (runner.go), what it has leased (slots.go), its claim loop (claim.go, claims.go, wake.go), one try: what its handler can
// say of it, and how that is written (run.go, finish.go, locked.go), leases and the instance lock (lease.go); where jobs live (store.go,
// mysql*.go); workers that run at intervals (worker.go); how another system gets finished jobs (follow.go); what operators ask of the table
// (admin.go, acts.go), and what is deleted (purge.go).
package job

import (
	"encoding/json"
	"fmt"
	"math"
	"time"
)

// State says where a job stands.
type State string

// The states of a job. Ready, Running and Waiting are unfinished; Done and Rejected are final; Parked needs a person.
const (
	Ready    State = "ready"    // due at its next try
	Running  State = "running"  // leased by an instance
	Waiting  State = "waiting"  // for a reply; due again at its next try
	Done     State = "done"     // finished
	Rejected State = "rejected" // not worth a try; kept as evidence
	Parked   State = "parked"   // given up until a person acts
)

// States lists all states in the order of a job's life.
var States = []State{Ready, Running, Waiting, Done, Rejected, Parked}

// Finished reports whether nobody will work on a job in this state by itself.
func (s State) Finished() bool { return s == Done || s == Rejected || s == Parked }

// Outcome says how a job ended. The handlers of a kind choose their own; these belong to all kinds.
type Outcome string

// The outcomes of any kind.
const (
	Abandoned     Outcome = "abandoned"      // given up when its time was over, unless the kind says it otherwise (Kind.GaveUp)
	Discarded     Outcome = "discarded"      // ended by an operator without being carried out
	MalformedArgs Outcome = "malformed_args" // the row's arguments cannot be read
	Crashed       Outcome = "crashed"        // one process after the other ended while it ran the job
)

// Priorities of kinds: higher runs first.
const (
	Low         = 5
	Normal      = 15
	AboveNormal = 20
	High        = 25
)

// Job is one try of a durable unit of work, as its handler sees it.
type Job struct {
	ID       int64
	Kind     string
	Key      string // unique: the same work is never stored twice
	Ref      string // the order number, once known
	Args     []byte
	Priority int
	Tries    int // tries begun, this one included
	Errors   []Failure

	// Notes are what the handler found out, as pairs of names and values, for the log line about the job's end.
	Notes []any

	// Enqueued is when the message that the job comes from was put into its queue, by the queue's clock, in UTC; zero if that
	// is not known. Trace is the W3C traceparent of the message's trace, empty if there is none. Jobs that a job creates inherit
	// both (New).
	Enqueued time.Time
	Trace    string

	// Waited means that the try before this one ended well and the job then waited for a reply, which has not come.
	Waited bool

	// Created and Age are by the store's clock, so that a wrong clock of this machine does no harm: the age was taken
	// when the job was handed to this instance.
	Created time.Time
	Age     time.Duration
	// Left is what remained until the job is given up when it was handed to this instance.
	Left time.Duration

	newRef string
	replay bool      // it was finished before, and an operator had it carried out again
	began  time.Time // by this machine's monotonic clock: when it was handed to this instance; zero if it was not
	value  any       // the typed arguments, when this process enqueued the job itself
}

// SetRef notes the order number when the handler has found it out; it is written with the try's result. An
// empty one changes nothing.
func (j *Job) SetRef(ref string) {
	if ref != "" && ref != j.Ref {
		j.Ref, j.newRef = ref, ref
	}
}

// Now is the store's clock at the moment: what is compared with Created or written for others to read.
func (j *Job) Now() time.Time { return j.Created.Add(j.Elapsed()) }

// Expiry is when the job will be given up, by the store's clock.
func (j *Job) Expiry() time.Time {
	if j.Left == Forever {
		return time.Time{}
	}
	return j.Created.Add(j.Age + j.Left)
}

// Elapsed is the job's age at the moment; of a job that another one finished, its age at that time.
func (j *Job) Elapsed() time.Duration {
	if j.began.IsZero() {
		return j.Age
	}
	return j.Age + time.Since(j.began)
}

// Began is when this instance took the job, by its own monotonic clock.
func (j *Job) Began() time.Time { return j.began }

// Replayed reports whether the job was finished before, and an operator had it carried out again.
func (j *Job) Replayed() bool { return j.replay }

// remaining is what is left at the moment until the job is given up.
func (j *Job) remaining() time.Duration {
	if j.Left == Forever {
		return Forever
	}
	return j.Left - time.Since(j.began)
}

// Forever is the time left to a job that is never given up.
const Forever = time.Duration(math.MaxInt64)

// Raw marks arguments that are stored as they are instead of as JSON: a kept message body.
type Raw string

// encode turns typed arguments into what the args column holds.
func encode(args any) ([]byte, error) {
	if raw, ok := args.(Raw); ok {
		return []byte(raw), nil
	}
	b, err := json.Marshal(args)
	if err != nil {
		return nil, fmt.Errorf("encoding arguments of type %T: %w", args, err)
	}
	return b, nil
}

// decode is the inverse of encode for arguments of type T.
func decode[T any](b []byte) (args T, err error) {
	if raw, ok := any(&args).(*Raw); ok {
		*raw = Raw(b)
		return args, nil
	}
	if err := json.Unmarshal(b, &args); err != nil {
		return args, fmt.Errorf("decoding arguments as %T: %w", args, err)
	}
	return args, nil
}
