package job

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Failure is an entry of a job's history: a try that failed, a try whose process ended (ClassTakeover), or the end of a
// replay, which has an outcome.
type Failure struct {
	At      time.Time `json:"at"`
	Try     int       `json:"try"`
	Error   string    `json:"error"`
	Outcome Outcome   `json:"outcome,omitempty"` // of a replay
	Class   string    `json:"class,omitempty"`   // see Retry
}

// ClassTakeover is the class of the entry that a takeover leaves. The try did not fail: nobody knows how far it came.
const ClassTakeover = "takeover"

// Failed reports whether the entry is a try that failed.
func (f Failure) Failed() bool { return f.Outcome == "" && f.Class != ClassTakeover }

// LastFailure is the last try that failed, of those that the history remembers.
func LastFailure(history []Failure) (last Failure, found bool) {
	for _, f := range slices.Backward(history) {
		if f.Failed() {
			return f, true
		}
	}
	return last, false
}

// keptFailures is how many entries a job's row remembers.
const keptFailures = 10

// remember adds to a job's history, which has a limit.
func remember(history []Failure, f Failure) []Failure {
	return append(history[max(0, len(history)-keptFailures+1):len(history):len(history)], f)
}

// current is the part of the history since a person's last retry, which numbers tries anew.
func (j *Job) current() []Failure {
	next, begin := j.Tries, len(j.Errors)
	for begin > 0 && j.Errors[begin-1].Try < next {
		begin--
		next = j.Errors[begin].Try
	}
	return j.Errors[begin:]
}

// Failures is how many earlier tries failed with this class, of those that the history remembers. Tries before a person's
// retry do not count.
func (j *Job) Failures(class string) (n int) {
	for _, f := range j.current() {
		if f.Class == class {
			n++
		}
	}
	return n
}

// failed is how many earlier tries failed, since a person's retry. Of those before the oldest entry of a full history, each
// is taken for a failure.
func (j *Job) failed() (n int) {
	history := j.current()
	for _, f := range history {
		if f.Failed() {
			n++
		}
	}
	if len(history) == keptFailures {
		n += history[0].Try - 1
	}
	return n
}

// maxTakeovers is how often in a row a job is taken over. Its process ended each time, so the job may be the reason.
const maxTakeovers = 5

// takeovers is how many of the tries right before this one ended with their process.
func (j *Job) takeovers() (n int) {
	for _, f := range slices.Backward(j.Errors) {
		if f.Class != ClassTakeover || f.Try != j.Tries-1-n {
			break
		}
		n++
	}
	return n
}

// takenOver is the history of a job whose try ended with its process, that of an instance with this lease.
func takenOver(history []Failure, at time.Time, try int, lease string) []Failure {
	return remember(history, Failure{At: at.UTC(), Try: try, Class: ClassTakeover, Error: fmt.Sprintf("instance %s ended during this try, or lost its lease: taken over", lease)})
}

// encodeHistory is what the errors column holds.
func encodeHistory(fs []Failure) []byte {
	b, err := json.Marshal(fs)
	if err != nil { // strings, numbers and times always encode
		panic(err)
	}
	return b
}

// failures reads the errors column; nil if it is empty. A text that is not ours is no reason to leave the job undone.
func failures(history []byte) (fs []Failure) {
	if len(history) == 0 {
		return nil
	}
	if json.Unmarshal(history, &fs) != nil {
		return []Failure{}
	}
	return fs
}

// history is where a query's errors column goes.
type history []Failure

// Scan implements [sql.Scanner].
func (h *history) Scan(column any) error {
	text, _ := column.([]byte) // else it is NULL
	*h = failures(text)
	return nil
}
