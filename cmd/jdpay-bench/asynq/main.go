// Command asynq measures asynq as the benchmark measures internal/job: it inserts jobs one by one from as many goroutines
// as there are workers, runs them with an empty handler, and prints how long each took in all, in seconds.
//
// It is a module of its own, so that asynq is no dependency of the product.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "asynq:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("usage: asynq ADDRESS JOBS WORKERS")
	}
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	workers, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	redis := asynq.RedisClientOpt{Addr: args[0]}
	queue := "w" + args[2]
	insert, err := insertAll(asynq.NewClient(redis), queue, n, workers)
	if err != nil {
		return err
	}

	var ended atomic.Int64
	all := make(chan struct{})
	server := asynq.NewServer(redis, asynq.Config{Concurrency: workers, Queues: map[string]int{queue: 1}, LogLevel: asynq.FatalLevel})
	begin := time.Now()
	if err := server.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error {
		if ended.Add(1) == int64(n) {
			close(all)
		}
		return nil
	})); err != nil {
		return err
	}
	<-all
	took := time.Since(begin) // the last few conclusions are still being written: in asynq's favour
	server.Shutdown()
	return json.NewEncoder(os.Stdout).Encode(map[string]float64{"Insert": insert.Seconds(), "Run": took.Seconds()})
}

func insertAll(client *asynq.Client, queue string, n, workers int) (time.Duration, error) {
	defer client.Close()
	begin := time.Now()
	var next atomic.Int64
	var wg sync.WaitGroup
	failed := make(chan error, workers)
	for range workers {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				task := asynq.NewTask("empty", []byte(`{"n":1}`))
				if _, err := client.Enqueue(task, asynq.Queue(queue), asynq.TaskID(fmt.Sprint("empty:", queue, ":", i)), asynq.Retention(time.Hour)); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(begin)
	select {
	case err := <-failed:
		return took, err
	default:
		return took, nil
	}
}
