package job

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"reflect"
	"strings"
	"time"
)

// Option changes how a job is enqueued.
type Option func(*New)

// Key makes the job unique: while another job has the same key, finished or not, enqueuing it again does nothing.
func Key(key string) Option { return func(n *New) { n.Key = key } }

// Ref notes the order number that the job belongs to.
func Ref(ref string) Option { return func(n *New) { n.Ref = ref } }

// Priority overrides the kind's priority.
func Priority(p int) Option { return func(n *New) { n.Priority = p } }

// Delay puts the first try off.
func Delay(d time.Duration) Option { return func(n *New) { n.Delay = d } }

// Batch is work that becomes durable in one go, usually together with other writes of a transaction, and begins at
// once in this process as far as there is room: Add jobs, Insert them in the transaction, then Start after its commit
// or Cancel after its end without one.
type Batch struct {
	r      *Runner
	news   []New
	values map[string]any  // typed arguments of leased jobs by key
	places map[string]int  // reserved by kind
	full   map[string]bool // kinds of which jobs that are due at once found no place
	jobs   []*Job
}

// NewBatch returns an empty batch.
func (r *Runner) NewBatch() *Batch {
	return &Batch{r: r, values: map[string]any{}, places: map[string]int{}, full: map[string]bool{}}
}

// Add adds a job. It returns an error if the kind is not registered or its arguments have another type.
func (b *Batch) Add(kind string, args any, opts ...Option) error {
	k := b.r.kinds[kind] // kinds are registered before work begins
	if k == nil {
		return fmt.Errorf("enqueuing %q: %w", kind, errUnknownKind)
	}
	if t := reflect.TypeOf(args); t != k.args {
		return fmt.Errorf("enqueuing %q: arguments are of type %v, want %v", kind, t, k.args)
	}
	text, err := encode(args)
	if err != nil {
		return fmt.Errorf("enqueuing %q: %w", kind, err)
	}
	n := New{Kind: kind, Args: text, Priority: k.Priority}
	b.r.mu.Lock()
	n.Timeout = k.policy.Schedule.Timeout
	for _, opt := range opts {
		opt(&n)
	}
	switch {
	case n.Delay > 0:
	case b.r.reserve(k):
		n.Leased = true
		b.places[kind]++
	default:
		b.full[kind] = true
	}
	if n.Key == "" && n.Leased {
		n.Key = kind + ":" + rand.Text() // rows are found again by their key
	}
	n.Key = fitKey(n.Key)
	if n.Leased {
		b.values[n.Key] = args
		b.r.starting[n.Key]++
	}
	b.r.mu.Unlock()
	b.news = append(b.news, n)
	return nil
}

// reserve takes a place for a new job if there is one; the caller holds mu.
func (r *Runner) reserve(k *kind) bool {
	if !r.serving || k.spilled || time.Now().Before(k.heldUntil) {
		return false
	}
	if k.held >= k.policy.Concurrency {
		k.spilled = true
		return false
	}
	k.held++
	return true
}

// Insert stores the jobs in the caller's transaction, or by itself if tx is nil. After an error it may be called
// again.
func (b *Batch) Insert(ctx context.Context, tx *sql.Tx) error {
	return b.r.Insert(ctx, tx, b)
}

// Insert stores the jobs of several batches in one go.
func (r *Runner) Insert(ctx context.Context, tx *sql.Tx, batches ...*Batch) error {
	news := batches[0].news
	if len(batches) > 1 {
		news = nil
		for _, b := range batches {
			news = append(news, b.news...)
		}
	}
	jobs, err := r.store.Insert(ctx, tx, r.lease, news)
	if err != nil {
		return err
	}
	owner := map[string]*Batch{}
	for _, b := range batches {
		b.jobs = nil
		for key := range b.values {
			owner[key] = b
		}
	}
	for _, j := range jobs {
		b := owner[j.Key]
		b.jobs = append(b.jobs, j)
	}
	return nil
}

// Start begins the jobs for which there is room. The others wait in the table.
func (b *Batch) Start() {
	r := b.r
	r.mu.Lock()
	mine := b.jobs[:0]
	for _, j := range b.jobs {
		// R-START-ONCE: a job that this instance works on is not started a second time.
		if r.held[j.ID] == nil { // else a redelivery of what is being worked on
			j.value = b.values[j.Key]
			b.places[j.Kind]--
			r.hold(j)
			mine = append(mine, j)
		}
	}
	// A claim may have looked between the moment at which there was no place and the commit, and have missed these.
	missed := false
	for kind := range b.full {
		k := r.kinds[kind]
		k.spilled = true
		missed = missed || k.held <= k.policy.Concurrency/2 && !time.Now().Before(k.heldUntil)
	}
	r.mu.Unlock()
	b.Cancel()
	for _, j := range mine {
		go r.run(j)
	}
	if missed {
		r.wakeUp()
	}
}

// Cancel gives up the places that were reserved for the jobs. Should they have been stored all the same, because only the
// answer was lost, a claim finds them.
func (b *Batch) Cancel() {
	b.giveBack()
	b.r.mu.Lock()
	defer b.r.mu.Unlock()
	for key := range b.values {
		if b.r.starting[key]--; b.r.starting[key] <= 0 {
			delete(b.r.starting, key)
		}
	}
	clear(b.values)
}

// Reset cancels the batch and empties it for another attempt.
func (b *Batch) Reset() {
	b.Cancel()
	b.news, b.jobs = nil, nil
	clear(b.full)
}

func (b *Batch) giveBack() {
	b.r.mu.Lock()
	defer b.r.mu.Unlock()
	for kind, n := range b.places {
		b.r.kinds[kind].held -= n
	}
	clear(b.places)
}

// Enqueue stores one job, in the caller's transaction if tx is not nil. Outside of a transaction it begins at once if
// there is room; inside of one it is taken up soon after the commit.
func (r *Runner) Enqueue(ctx context.Context, tx *sql.Tx, kind string, args any, opts ...Option) error {
	b := r.NewBatch()
	if err := b.Add(kind, args, opts...); err != nil {
		return err
	}
	if tx != nil {
		b.Cancel()
		for i := range b.news {
			b.news[i].Leased = false
		}
	}
	if err := b.Insert(ctx, tx); err != nil {
		b.Cancel()
		return fmt.Errorf("enqueuing %q: %w", kind, err)
	}
	b.Start()
	return nil
}

// maxKey is what column unique_key holds, in bytes.
const maxKey = 191

// fitKey returns a key that fits its column: a longer one keeps its first and its last part, and a hash of the whole stands
// between them. Cut instead, two messages of a queue with a long name would be one.
func fitKey(key string) string {
	if len(key) <= maxKey {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	hash := "#" + hex.EncodeToString(sum[:])
	first, _, _ := strings.Cut(key, ":")
	last := key[strings.LastIndexByte(key, ':')+1:]
	if len(first)+len(hash)+len(last)+2 > maxKey {
		return hash
	}
	return first + ":" + hash + ":" + last
}
