package job

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"jdpay-listener/internal/migrate"
	"jdpay-listener/internal/sqldb"
	"jdpay-listener/internal/testenv"
)

const benchLease = "bench"

// benchArgs are as long as a payment notification.
var benchArgs = []byte(fmt.Sprintf("%0500d", 1))

// The benchmarks measure the three writes of a job, one batch at a time, on MariaDB with durable commits.

// BenchmarkInsert stores jobs that are leased from the start.
func BenchmarkInsert(b *testing.B) {
	eachBatch(b, func(b *testing.B, s *benchStore, size int) {
		for b.Loop() {
			s.insert(b, size, true)
		}
	})
}

// BenchmarkClaim claims due jobs; no others are due.
func BenchmarkClaim(b *testing.B) {
	eachBatch(b, func(b *testing.B, s *benchStore, size int) {
		for b.Loop() {
			b.StopTimer()
			s.insert(b, size, false)
			b.StartTimer()
			jobs, err := lookAndClaim(b.Context(), s, benchLease, map[string]int{"k": size})
			if err != nil || len(jobs) != size {
				b.Fatalf("claimed %d of %d: %v", len(jobs), size, err)
			}
			b.StopTimer()
			s.conclude(b, jobs)
			b.StartTimer()
		}
	})
}

// BenchmarkConclude finishes jobs as done.
func BenchmarkConclude(b *testing.B) {
	eachBatch(b, func(b *testing.B, s *benchStore, size int) {
		for b.Loop() {
			b.StopTimer()
			jobs := s.insert(b, size, true)
			b.StartTimer()
			s.conclude(b, jobs)
		}
	})
}

func eachBatch(b *testing.B, run func(b *testing.B, s *benchStore, size int)) {
	for _, size := range []int{1, 16, 64} {
		b.Run(fmt.Sprint("batch=", size), func(b *testing.B) {
			server := testenv.MariaDB(b)
			cfg, err := mysql.ParseDSN(server.DSN(server.Create(b)))
			if err != nil {
				b.Fatal(err)
			}
			db, err := sqldb.Open(cfg, 4)
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { db.Close() })
			if _, _, err := migrate.Up(b.Context(), db); err != nil {
				b.Fatal(err)
			}
			run(b, &benchStore{MySQL: NewMySQL(db)}, size)
			b.ReportMetric(float64(size*b.N)/b.Elapsed().Seconds(), "jobs/s")
		})
	}
}

// benchStore counts the jobs that it stored, to give each a key of its own.
type benchStore struct {
	*MySQL
	stored int
}

func (s *benchStore) insert(b *testing.B, n int, leased bool) []*Job {
	b.Helper()
	news := make([]NewRow, n)
	for i := range news {
		s.stored++
		news[i] = NewRow{Kind: "k", Key: fmt.Sprint("k:", s.stored), Ref: fmt.Sprint("R", s.stored), Args: benchArgs, Timeout: time.Hour, Leased: leased}
	}
	jobs, err := s.Insert(b.Context(), nil, benchLease, news)
	if err != nil || leased && len(jobs) != n {
		b.Fatalf("stored %d of %d: %v", len(jobs), n, err)
	}
	return jobs
}

func (s *benchStore) conclude(b *testing.B, jobs []*Job) {
	b.Helper()
	cs := make([]Result, len(jobs))
	for i, j := range jobs {
		cs[i] = Result{ID: j.ID, State: Done, Outcome: "sent"}
	}
	if concluded, err := s.Finish(b.Context(), nil, benchLease, cs); err != nil || concluded != len(cs) {
		b.Fatalf("concluded %d of %d: %v", concluded, len(cs), err)
	}
}

// BenchmarkTry carries jobs out on the memory store, without and with an observer of tries.
func BenchmarkTry(b *testing.B) {
	for name, try := range map[string]func(context.Context, *Job) (context.Context, func(End)){
		"unobserved": nil,
		"observed":   func(ctx context.Context, _ *Job) (context.Context, func(End)) { return ctx, func(End) {} },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			done := make(chan End)
			r := NewRunner(&Memory{}, benchLease, Options{Try: try, OnEnd: func(e End) { done <- e }})
			if err := Register(r, "k", Kind{}, Policy{Concurrency: 1, Schedule: Schedule{Timeout: time.Hour}}, func(context.Context, *Job, Raw) (Outcome, error) { return "ok", nil }); err != nil {
				b.Fatal(err)
			}
			ctx, stop := context.WithCancel(b.Context())
			served := make(chan error, 1)
			go func() { served <- r.Serve(ctx) }()
			for b.Loop() {
				jobs, err := r.Insert(ctx, nil, New{Kind: "k", Args: Raw("x")})
				if err != nil {
					b.Fatal(err)
				}
				r.Start(jobs)
				<-done
			}
			stop()
			<-served
		})
	}
}
