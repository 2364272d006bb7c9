// Package batcher makes few batches out of many single pieces of work, without a timer: while a batch is being written,
// what arrives meanwhile waits for the next one. A lone piece of work never waits for company, and under load the batches
// grow by themselves. Databases call this group commit.
package batcher

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
)

// Batcher collects items of type T for a function that handles many of them at once.
type Batcher[T any] struct {
	run   func([]T) []error
	max   int
	width int

	mu     sync.Mutex
	queue  []pending[T]
	active int
}

type pending[T any] struct {
	item   T
	result *Result
}

// Result is that of one item, which comes with its batch.
type Result struct {
	done chan struct{}
	err  error
}

// Wait waits for the item's own result. It returns the context's error if ctx ends first; the item may be handled all the
// same, so the caller must treat that as doubt.
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

// New returns a Batcher that calls run with 1 to limit items, in at most width goroutines at once. run returns nil when
// every item succeeded, else one error (or nil) for each item in order; it must bound its own waits.
func New[T any](limit, width int, run func([]T) []error) *Batcher[T] {
	return &Batcher[T]{run: run, max: limit, width: width}
}

// Do hands the item over and waits for its result; see Result.Wait.
func (b *Batcher[T]) Do(ctx context.Context, item T) error { return b.Add(item).Wait(ctx) }

// Add hands the item over and does not wait for its result.
func (b *Batcher[T]) Add(item T) *Result {
	result := &Result{done: make(chan struct{})}
	b.mu.Lock()
	b.queue = append(b.queue, pending[T]{item, result})
	if b.active < b.width {
		b.active++
		go b.work()
	}
	b.mu.Unlock()
	return result
}

// work handles batches until nothing is left.
func (b *Batcher[T]) work() {
	for {
		// Goroutines that are about to hand over their items get the processor first: one batch of 16 messages wakes
		// 16 of them, and they should share a commit.
		runtime.Gosched()
		b.mu.Lock()
		n := min(len(b.queue), b.max)
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

// call runs a batch; a panic or a wrong number of errors becomes every item's error, so that nobody waits for ever.
func (b *Batcher[T]) call(items []T) (errs []error) {
	fail := func(err error) []error { return slices.Repeat([]error{err}, len(items)) }
	defer func() {
		if p := recover(); p != nil {
			errs = fail(fmt.Errorf("panic in a batch of %d: %v\n%s", len(items), p, debug.Stack()))
		}
	}()
	errs = b.run(items)
	if errs != nil && len(errs) != len(items) {
		return fail(errors.New("a batch answered with the wrong number of results"))
	}
	return errs
}
