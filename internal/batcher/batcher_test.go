package batcher_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"jdpay-listener/internal/batcher"
)

func TestDo(t *testing.T) {
	t.Run("a single item is handled at once", func(t *testing.T) {
		batches := batcher.New(10, 1, func(items []int) []error { return nil })
		if err := batches.Do(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	})

	t.Run("items that arrive during a batch wait for the next, within the limits", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			var mu sync.Mutex
			var sizes []int
			batches := batcher.New(4, 1, func(items []int) []error {
				mu.Lock()
				sizes = append(sizes, len(items))
				mu.Unlock()
				<-release
				return nil
			})
			var wg sync.WaitGroup
			wg.Go(func() { _ = batches.Do(t.Context(), 0) })
			synctest.Wait()
			for i := range 6 {
				wg.Go(func() { _ = batches.Do(t.Context(), i) })
			}
			synctest.Wait()
			close(release)
			wg.Wait()
			if got, want := fmt.Sprint(sizes), "[1 4 2]"; got != want {
				t.Errorf("batch sizes %s, want %s", got, want)
			}
		})
	})

	t.Run("each item gets its own error", func(t *testing.T) {
		bad := errors.New("odd")
		batches := batcher.New(100, 2, func(items []int) []error {
			errs := make([]error, len(items))
			for i, n := range items {
				if n%2 == 1 {
					errs[i] = bad
				}
			}
			return errs
		})
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				if err := batches.Do(t.Context(), i); errors.Is(err, bad) != (i%2 == 1) {
					t.Errorf("item %d: %v", i, err)
				}
			})
		}
		wg.Wait()
	})

	t.Run("a panic is an error and later batches run", func(t *testing.T) {
		batches := batcher.New(10, 1, func(items []string) []error {
			if items[0] == "boom" {
				panic("boom")
			}
			return nil
		})
		if err := batches.Do(t.Context(), "boom"); err == nil || !strings.Contains(err.Error(), "panic in a batch of 1: boom") {
			t.Errorf("got %v", err)
		}
		if err := batches.Do(t.Context(), "fine"); err != nil {
			t.Errorf("after a panic: %v", err)
		}
	})

	t.Run("a wrong number of results is an error", func(t *testing.T) {
		batches := batcher.New(10, 1, func(items []string) []error { return make([]error, 7) })
		if err := batches.Do(t.Context(), "x"); err == nil {
			t.Error("no error")
		}
	})

	t.Run("a caller whose context ends gets its cause", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			batches := batcher.New(10, 1, func(items []string) []error { <-release; return nil })
			ctx, cancel := context.WithCancelCause(t.Context())
			cause := errors.New("shutdown")
			done := make(chan error)
			go func() { done <- batches.Do(ctx, "x") }()
			synctest.Wait()
			cancel(cause)
			if err := <-done; !errors.Is(err, cause) {
				t.Errorf("got %v", err)
			}
			close(release)
		})
	})
}

func BenchmarkDo(b *testing.B) {
	batches := batcher.New(64, 2, func(items []int) []error { return nil })
	b.SetParallelism(64)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			_ = batches.Do(context.Background(), 1)
		}
	})
}
