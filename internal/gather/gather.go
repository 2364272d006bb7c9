// Package gather turns many single pieces of work into few batches, without a timer: while a batch is being written,
// what arrives meanwhile gathers for the next one. A lone piece of work is never held back to wait for company, and
// under load the batches grow by themselves. Databases call this group commit.
package gather

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
)

// Group gathers items of type T for a function that handles many of them at once.
type Group[T any] struct {
	run   func([]T) []error
	most  int
	width int

	mu     sync.Mutex
	queue  []waiting[T]
	active int
}

type waiting[T any] struct {
	item T
	done chan error
}

// New returns a Group that calls run with 1 to most items, in at most width goroutines at once. run returns nil when
// every item succeeded, else one error (or nil) for each item in order; it must bound its own waits.
func New[T any](most, width int, run func([]T) []error) *Group[T] {
	return &Group[T]{run: run, most: most, width: width}
}

// Do hands the item over and waits for its own result. It returns the context's error if ctx ends first; the item may
// be handled all the same, so the caller must treat that as doubt.
func (g *Group[T]) Do(ctx context.Context, item T) error {
	done := make(chan error, 1)
	g.mu.Lock()
	g.queue = append(g.queue, waiting[T]{item, done})
	if g.active < g.width {
		g.active++
		go g.work()
	}
	g.mu.Unlock()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		select {
		case err := <-done:
			return err
		default:
			return context.Cause(ctx)
		}
	}
}

// work handles batches until nothing is left.
func (g *Group[T]) work() {
	for {
		// Goroutines that are about to hand over their items get the processor first: one batch of 16 messages wakes
		// 16 of them, and they should share a commit.
		runtime.Gosched()
		g.mu.Lock()
		n := min(len(g.queue), g.most)
		if n == 0 {
			g.queue = nil
			g.active--
			g.mu.Unlock()
			return
		}
		batch := g.queue[:n:n]
		g.queue = g.queue[n:]
		g.mu.Unlock()

		items := make([]T, n)
		for i, w := range batch {
			items[i] = w.item
		}
		errs := g.call(items)
		for i, w := range batch {
			if errs == nil {
				w.done <- nil
			} else {
				w.done <- errs[i]
			}
		}
	}
}

// call runs a batch; a panic or a wrong number of errors becomes every item's error, so that nobody waits for ever.
func (g *Group[T]) call(items []T) (errs []error) {
	fail := func(err error) []error {
		all := make([]error, len(items))
		for i := range all {
			all[i] = err
		}
		return all
	}
	defer func() {
		if p := recover(); p != nil {
			errs = fail(fmt.Errorf("panic in a batch of %d: %v\n%s", len(items), p, debug.Stack()))
		}
	}()
	errs = g.run(items)
	if errs != nil && len(errs) != len(items) {
		return fail(errors.New("a batch answered with the wrong number of results"))
	}
	return errs
}
