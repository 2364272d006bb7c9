// Package batcher is group commit: it makes few batches out of many items, without a timer. Items that arrive while a batch
// is being written wait for the next one. A single item is written at once, and under load the batches grow.
package batcher

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
)

// Batcher collects items of type T for a function that handles many of them at once.
type Batcher[T any] struct {
	run        func([]T) []error
	maxItems   int
	maxBatches int

	mu     sync.Mutex
	queue  []pending[T]
	active int
}

type pending[T any] struct {
	item   T
	result *Result
}

// Result is the result of one item, which is known when its batch has ended.
type Result struct {
	done chan struct{}
	err  error
}

// Wait waits for the item's own result. It returns the context's error if ctx ends first; then the item may still be
// handled, and its outcome is unknown.
func (r *Result) Wait(ctx context.Context) error {
	select {
	case <-r.done:
		return r.err
	default:
	}
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// New returns a Batcher that calls run with 1 to maxItems items, in at most maxBatches goroutines at once. run returns nil when
// every item succeeded, else one error (or nil) for each item in order; it must end by itself.
func New[T any](maxItems, maxBatches int, run func([]T) []error) *Batcher[T] {
	return &Batcher[T]{run: run, maxItems: maxItems, maxBatches: maxBatches}
}

// Do adds an item and waits for its result; see Result.Wait.
func (b *Batcher[T]) Do(ctx context.Context, item T) error { return b.Add(item).Wait(ctx) }

// Add adds an item and does not wait for its result.
func (b *Batcher[T]) Add(item T) *Result {
	result := &Result{done: make(chan struct{})}
	b.mu.Lock()
	b.queue = append(b.queue, pending[T]{item, result})
	if b.active < b.maxBatches {
		b.active++
		go b.work()
	}
	b.mu.Unlock()
	return result
}

// Waiting is how many items wait for a batch at the moment.
func (b *Batcher[T]) Waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.queue)
}

// work handles batches until the queue is empty.
func (b *Batcher[T]) work() {
	for {
		// Goroutines that are about to add their items run first: one receive of 16 messages wakes 16 of them, and they
		// should share a commit.
		runtime.Gosched()
		b.mu.Lock()
		n := min(len(b.queue), b.maxItems)
		if n == 0 {
			b.queue = nil
			b.active--
			b.mu.Unlock()
			return
		}
		batch := b.queue[:n:n]
		b.queue = b.queue[n:]
		b.mu.Unlock()

		items := make([]T, n)
		for i, p := range batch {
			items[i] = p.item
		}
		errs := b.call(items)
		for i, p := range batch {
			if errs != nil {
				p.result.err = errs[i]
			}
			close(p.result.done)
		}
	}
}

// call runs a batch; a panic or a wrong number of errors becomes every item's error, so that every caller gets a result.
func (b *Batcher[T]) call(items []T) (errs []error) {
	fail := func(err error) []error { return slices.Repeat([]error{err}, len(items)) }
	defer func() {
		if p := recover(); p != nil {
			errs = fail(fmt.Errorf("panic in a batch of %d: %v\n%s", len(items), p, debug.Stack()))
		}
	}()
	errs = b.run(items)
	if errs != nil && len(errs) != len(items) {
		return fail(fmt.Errorf("the batch function returned %d results for %d items", len(errs), len(items)))
	}
	return errs
}
