package payment

import (
	"fmt"
	"log/slog"
	"testing"

	"github.com/go-sql-driver/mysql"

	"jdpay-listener/internal/job"
	"jdpay-listener/internal/message"
	"jdpay-listener/internal/migrate"
	"jdpay-listener/internal/sandbox/schema"
	"jdpay-listener/internal/sqldb"
	"jdpay-listener/internal/testenv"
)

// BenchmarkSettle measures the transaction that settles a batch, on MariaDB with durable commits. No runner is started: the
// steps are stored for a later claim, as when all slots are taken, and nothing else uses the database meanwhile.
func BenchmarkSettle(b *testing.B) {
	for _, size := range []int{1, 16, maxSettlements} {
		b.Run(fmt.Sprint("batch=", size), func(b *testing.B) {
			c := newSettleBench(b)
			for b.Loop() {
				b.StopTimer()
				batch := c.batch(size)
				b.StartTimer()
				if err := c.settler.settleBatch(batch); err != nil {
					b.Fatal(err)
				}
				for _, st := range batch {
					if st.outcome != Settled {
						b.Fatalf("order %s: %s, %v", st.n.OrderNo, st.outcome, st.err)
					}
				}
			}
			b.ReportMetric(float64(size*b.N)/b.Elapsed().Seconds(), "payments/s")
		})
	}
}

// settleBench has a settler, and makes payable orders.
type settleBench struct {
	b       *testing.B
	store   *job.MySQL
	settler *Settler
	orders  int64 // made so far
}

const benchLease = "bench"

func newSettleBench(b *testing.B) *settleBench {
	b.Helper()
	server := testenv.MariaDB(b)
	cfg, err := mysql.ParseDSN(server.DSN(server.Create(b, schema.Account)))
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
	store := job.NewMySQL(db)
	runner := job.NewRunner(store, benchLease, job.Options{})
	steps := &StepHandlers{}
	for _, err := range []error{
		job.Register(runner, KindPayComplete, job.Kind{}, job.Policy{}, steps.PayComplete),
		job.Register(runner, KindWaybillStatus, job.Kind{}, job.Policy{}, steps.WaybillStatus),
		job.Register(runner, KindPayInfo, job.Kind{}, job.Policy{}, steps.PayInfo),
	} {
		if err != nil {
			b.Fatal(err)
		}
	}
	types := PayTypes{Known: map[string]int{"WXPAY": 2}, Default: 10}
	return &settleBench{b: b, store: store, settler: NewSettler(testRules, types, db, runner, Report{Log: slog.New(slog.DiscardHandler)})}
}

// batch makes unpaid orders and the settle jobs of their payments.
func (c *settleBench) batch(size int) []*settlement {
	c.b.Helper()
	var rows []any
	var news []job.NewRow
	payments := make(map[string]message.Notification, size)
	for range size {
		c.orders++
		no := fmt.Sprint("R", c.orders)
		rows = append(rows, c.orders, no, "8.00")
		body := pay(no, "8.00")
		env, p, err := testRules.Message.Open(body)
		if err != nil {
			c.b.Fatal(err)
		}
		key := "settle:notify:" + no
		if payments[key], err = testRules.Message.Notification(env, p); err != nil {
			c.b.Fatal(err)
		}
		news = append(news, job.NewRow{Kind: KindSettle, Key: key, Args: []byte(body), Leased: true})
	}
	insert := sqldb.Rows("INSERT INTO kernelorder_charge (order_id, order_no, amount) VALUES ", "(?, ?, ?)", "", size)
	if _, err := c.settler.account.Exec(insert, rows...); err != nil {
		c.b.Fatal(err)
	}
	jobs, err := c.store.Insert(c.b.Context(), nil, benchLease, news)
	if err != nil || len(jobs) != size {
		c.b.Fatalf("%d settle jobs of %d: %v", len(jobs), size, err)
	}
	batch := make([]*settlement, size)
	for i, j := range jobs {
		batch[i] = &settlement{job: j, n: payments[j.Key], payType: 2}
	}
	return batch
}
