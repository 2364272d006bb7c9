package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"

	"jdpay-listener/internal/job"
	"jdpay-listener/internal/sqldb"
	"jdpay-listener/internal/testenv"
)

// runner measures the job runner with an empty handler, and for comparison asynq, which many Go programs use, with the same
// jobs on Redis: once with its usual settings and once with Redis as durable as the job table.
func (b *bench) runner(ctx context.Context) error {
	for _, workers := range b.sizes.workers {
		r, err := b.ownRunner(ctx, workers, b.sizes.jobs)
		if err != nil {
			return err
		}
		b.results.Runner = append(b.results.Runner, r)
	}
	binary := filepath.Join(b.dir, "asynq")
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return fmt.Errorf("finding the module: %w", err)
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, ".")
	build.Dir = filepath.Join(strings.TrimSpace(string(root)), "cmd", "jdpay-bench", "asynq")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building cmd/jdpay-bench/asynq: %w: %s", err, out)
	}
	for _, store := range []struct {
		name     string
		settings []string
	}{{"Redis", nil}, {"Redis, every write synced", []string{"--appendonly", "yes", "--appendfsync", "always"}}} {
		server, err := testenv.StartRedis(store.settings...)
		if err != nil {
			return err
		}
		for _, workers := range b.sizes.workers {
			r := Runner{Library: "asynq", Store: store.name, Workers: workers, Jobs: b.sizes.jobs}
			out, err := exec.CommandContext(ctx, binary, server.Addr(), fmt.Sprint(r.Jobs), fmt.Sprint(workers)).Output()
			if err == nil {
				err = r.parse(out)
			}
			if err != nil {
				server.Close()
				return fmt.Errorf("measuring asynq: %w", err)
			}
			b.results.Runner = append(b.results.Runner, r)
		}
		server.Close()
	}
	for _, r := range b.results.Runner {
		progress("%s on %s, %d workers: %.0f jobs/s", r.Library, r.Store, r.Workers, r.PerSecond)
	}
	return nil
}

// times are the total times of all jobs, in seconds.
type times struct{ Insert, Run float64 }

// parse reads the output of cmd/jdpay-bench/asynq.
func (r *Runner) parse(out []byte) error {
	var t times
	if err := json.Unmarshal(out, &t); err != nil {
		return fmt.Errorf("reading its figures: %w", err)
	}
	r.count(t)
	return nil
}

func (r *Runner) count(t times) {
	n := float64(r.Jobs)
	r.Inserts, r.Runs, r.PerSecond = n/t.Insert, n/t.Run, n/(t.Insert+t.Run)
}

// empty is the arguments of the jobs that are measured.
type empty struct {
	N int `json:"n"`
}

// ownRunner inserts jobs one by one from as many goroutines as there are workers, then runs them all.
func (b *bench) ownRunner(ctx context.Context, workers, n int) (Runner, error) {
	result := Runner{Library: "internal/job", Store: "MariaDB", Workers: workers, Jobs: n}
	c, err := b.newCompany(ctx)
	if err != nil {
		return result, err
	}
	cfg, err := mysql.ParseDSN(b.mysql.DSN(c.name))
	if err != nil {
		return result, err
	}
	db, err := sqldb.Open(cfg, 20)
	if err != nil {
		return result, err
	}
	defer db.Close()
	var ended atomic.Int64
	all := make(chan struct{})
	r := job.NewRunner(job.NewMySQL(db), fmt.Sprint("bench-", os.Getpid(), "-", workers), job.Options{OnEnd: func(e job.End) {
		if e.Kind == "empty" && ended.Add(1) == int64(n) {
			close(all)
		}
	}})
	policy := job.Policy{Concurrency: workers, Schedule: job.Schedule{FirstWait: time.Second, Factor: 1, MaxWait: time.Second, Timeout: time.Hour}}
	if err := job.Register(r, "empty", job.Kind{}, policy, func(context.Context, *job.Job, empty) (job.Outcome, error) { return "done", nil }); err != nil {
		return result, err
	}
	var t times
	begin := time.Now()
	if err := inParallel(workers, n, func(i int) error {
		_, err := r.Insert(ctx, nil, job.New{Kind: "empty", Args: empty{i}, Key: fmt.Sprint("empty:", i)})
		return err
	}); err != nil {
		return result, err
	}
	t.Insert = time.Since(begin).Seconds()
	if err := analyze(ctx, c.db); err != nil {
		return result, err
	}
	serving, stop := context.WithCancel(ctx)
	served := make(chan error, 1)
	begin = time.Now()
	go func() { served <- r.Serve(serving) }()
	select {
	case <-all:
		t.Run = time.Since(begin).Seconds()
	case <-time.After(time.Minute):
		err = fmt.Errorf("%d workers ended only %d of %d jobs in a minute", workers, ended.Load(), n)
	}
	stop()
	if e := <-served; !errors.Is(e, context.Canceled) {
		err = errors.Join(err, e)
	}
	result.count(t)
	return result, errors.Join(err, c.close())
}

// inParallel calls do with 0 to n-1 from several goroutines.
func inParallel(width, n int, do func(i int) error) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, width)
	for w := range width {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && errs[w] == nil; i = int(next.Add(1)) - 1 {
				errs[w] = do(i)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
