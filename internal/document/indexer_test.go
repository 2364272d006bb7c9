package document

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	dto "github.com/prometheus/client_model/go"

	"jdpay-listener/internal/elastic"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/migrate"
	"jdpay-listener/internal/ops"
	"jdpay-listener/internal/sandbox/esserver"
	"jdpay-listener/internal/sqldb"
	"jdpay-listener/internal/testenv"
)

// indexed is a job table with an Elasticsearch.
type indexed struct {
	db  *sql.DB
	es  *esserver.Server
	url string
	log *testenv.Buffer
}

func newIndexed(t *testing.T) *indexed {
	t.Helper()
	server := testenv.MariaDB(t)
	dsn, err := mysql.ParseDSN(server.DSN(server.Create(t)))
	if err != nil {
		t.Fatal(err)
	}
	db, err := sqldb.Open(dsn, 10)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	w := &indexed{db: db, es: esserver.New(esserver.Options{}), log: &testenv.Buffer{}}
	if _, _, err := migrate.Up(t.Context(), w.db); err != nil {
		t.Fatal(err)
	}
	if w.url, err = w.es.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.es.Close)
	return w
}

// indexer is one of a replica that has just started.
func (w *indexed) indexer(t *testing.T) *Indexer {
	t.Helper()
	client, err := elastic.New(elastic.Options{URL: w.url, Index: "jdpay-events"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return NewIndexer(client, testBuilder(), job.NewMySQL(w.db), func() {}, ops.NewMetrics(), slog.New(slog.NewTextHandler(w.log, nil)))
}

// end adds jobs that ended just now.
func (w *indexed) end(t *testing.T, jobs int) {
	t.Helper()
	if _, err := w.db.Exec(`INSERT INTO jdpay_job (kind, args, state, outcome, next_try_at, created_at, finished_at)
		SELECT 'k', '{}', 'done', 'x', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), UTC_TIMESTAMP(6) FROM seq_1_to_` + fmt.Sprint(jobs)); err != nil {
		t.Fatal(err)
	}
}

// want requires one document of each job of the table, without those that were refused.
func (w *indexed) want(t *testing.T, refused int) {
	t.Helper()
	var jobs int
	if err := w.db.QueryRow("SELECT COUNT(*) FROM jdpay_job WHERE finished_at IS NOT NULL").Scan(&jobs); err != nil {
		t.Fatal(err)
	}
	documents, of := 0, map[int64]int{}
	for _, docs := range w.es.Docs() {
		for _, d := range docs {
			var body struct {
				Job int64 `json:"job_id"`
			}
			if err := json.Unmarshal(d, &body); err != nil {
				t.Fatal(err)
			}
			documents++
			of[body.Job]++
		}
	}
	if documents != jobs-refused || len(of) != documents {
		t.Errorf("%d documents of %d jobs, %d ended and %d were refused", documents, len(of), jobs, refused)
	}
}

// counted is how many documents are counted with this result.
func counted(t *testing.T, x *Indexer, result string) float64 {
	t.Helper()
	var m dto.Metric
	if err := x.metrics.Documents.WithLabelValues(result).Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.Counter.GetValue()
}

func (w *indexed) logged(t *testing.T, times int, line string) {
	t.Helper()
	if n := strings.Count(w.log.String(), line); n != times {
		t.Errorf("%q is logged %d times, want %d:\n%s", line, n, times, w.log)
	}
}

// TestIndexerOutage: Elasticsearch is away while thousands of jobs end and replicas come and go. All have a document
// afterwards, and one line says that the outage began, one that it ended.
func TestIndexerOutage(t *testing.T) {
	t.Parallel()
	w := newIndexed(t)
	x := w.indexer(t)
	w.end(t, 300)
	if err := x.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.want(t, 0)
	for _, status := range []int{503, 429, 500, 401, 502} {
		w.es.FailNext(1_000_000, status)
		w.end(t, 700)
		if err := x.run(t.Context()); err == nil || !strings.Contains(err.Error(), fmt.Sprint("http status ", status)) {
			t.Errorf("run: %v", err)
		}
	}
	w.logged(t, 1, "Elasticsearch does not take documents")
	other := w.indexer(t) // of a replica that starts during the outage, and dies
	if err := other.run(t.Context()); err == nil {
		t.Error("run: no error")
	}
	w.es.FailNext(0, 0)
	if err := x.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.want(t, 0)
	w.logged(t, 1, "Elasticsearch takes documents again")
	w.logged(t, 2, "Elasticsearch does not take documents")
	if n := counted(t, x, "stored"); n != 3800 {
		t.Errorf("%v documents are counted", n)
	}
}

// TestIndexersTogether: two replicas look at once, after a lease was lost, and one dies after Elasticsearch stored documents
// and before the cursor moved.
func TestIndexersTogether(t *testing.T) {
	t.Parallel()
	w := newIndexed(t)
	if err := w.indexer(t).run(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		w.end(t, 500)
		ctx, kill := context.WithCancel(t.Context())
		dying := w.indexer(t)
		take := dying.follower.Take
		dying.follower.Take = func(ctx context.Context, rows []job.Row) error {
			defer kill()
			return take(ctx, rows)
		}
		var both sync.WaitGroup
		both.Go(func() { _ = dying.run(ctx) })
		both.Go(func() {
			if err := w.indexer(t).run(t.Context()); err != nil {
				t.Error(err)
			}
		})
		both.Wait()
		w.want(t, 0)
	}
	w.logged(t, 0, "level=WARN")
}

// TestIndexerRefusals: a document that is refused for good stops no other one, is counted by the type of its error, told of
// once, and not sent again.
func TestIndexerRefusals(t *testing.T) {
	t.Parallel()
	w := newIndexed(t)
	x := w.indexer(t)
	w.es.Refuse(func(_, id string) (int, string) {
		number, _, _ := strings.Cut(id, "-")
		switch {
		case strings.HasSuffix(number, "7"):
			return 400, "document_parsing_exception"
		case number == "12":
			return 400, "Odd Type " + number
		}
		return 0, ""
	})
	for range 2 {
		w.end(t, 50)
		if err := x.run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w.want(t, 11)
	w.logged(t, 1, "error_type=document_parsing_exception documents=5")
	w.logged(t, 1, "error_type=other")
	for result, want := range map[string]float64{"document_parsing_exception": 10, "other": 1, "stored": 89} {
		if n := counted(t, x, result); n != want {
			t.Errorf("%v documents are counted as %s, want %v", n, result, want)
		}
	}
	w.es.Refuse(nil)
	if err := x.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.want(t, 11)
}

// TestIndexerTemplate: the template is installed at first use, again when Elasticsearch comes back empty, and documents are
// written also without the right to install it.
func TestIndexerTemplate(t *testing.T) {
	t.Parallel()
	w := newIndexed(t)
	x := w.indexer(t)
	w.end(t, 1)
	if err := x.run(t.Context()); err != nil || w.es.Templates()["jdpay-events"] == nil {
		t.Errorf("run: %v; templates %v", err, w.es.Templates())
	}
	w.es = esserver.New(esserver.Options{}) // an empty one
	forbidden := 0
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/_index_template") {
			forbidden++
			rw.WriteHeader(http.StatusForbidden)
			return
		}
		w.es.ServeHTTP(rw, r)
	}))
	defer server.Close()
	w.url = server.URL
	x = w.indexer(t)
	for range 2 {
		w.end(t, 1)
		if err := x.run(t.Context()); err != nil {
			t.Error(err)
		}
	}
	w.want(t, 0)
	w.logged(t, 1, "the index template cannot be installed")
	if forbidden != 1 {
		t.Errorf("it was tried %d times", forbidden)
	}
}

// TestIndexerWithoutTemplates: a server that takes documents and knows no index templates gets them at the first look, whatever
// it answers to the rest.
func TestIndexerWithoutTemplates(t *testing.T) {
	t.Parallel()
	w := newIndexed(t)
	for name, other := range map[string]struct {
		status int
		body   string
	}{
		"not found": {404, ""}, "bad request": {400, `{"error":"no handler"}`}, "method not allowed": {405, ""}, "not implemented": {501, "<html>"},
		"anything": {200, `{}`}, "nothing": {200, ""}, "a bulk answer": {200, `{"errors":false,"items":[]}`},
	} {
		t.Run(name, func(t *testing.T) {
			w.es = esserver.New(esserver.Options{})
			server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPost && r.RequestURI == "/_bulk" {
					w.es.ServeHTTP(rw, r)
					return
				}
				rw.WriteHeader(other.status)
				_, _ = rw.Write([]byte(other.body))
			}))
			defer server.Close()
			w.url = server.URL
			if _, err := w.db.Exec("TRUNCATE jdpay_job"); err != nil {
				t.Fatal(err)
			}
			w.end(t, 3)
			if err := w.indexer(t).run(t.Context()); err != nil {
				t.Error(err)
			}
			w.want(t, 0)
		})
	}
	w.logged(t, 7, "the index template cannot be installed")
	w.logged(t, 0, "Elasticsearch does not take documents")
}

// TestIndexerHastens: a job that ends makes the worker due at once, and a stop writes what is left.
func TestIndexerHastens(t *testing.T) {
	t.Parallel()
	w := newIndexed(t)
	x := w.indexer(t)
	runner := job.NewRunner(x.store, "a", job.Options{})
	x.resume = func() { runner.Resume(WorkerName) }
	if err := runner.AddWorker(x.Worker()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var services sync.WaitGroup
	defer services.Wait()
	defer cancel()
	running, stop := context.WithCancel(ctx)
	services.Go(func() { _ = runner.Serve(running) })
	testenv.Eventually(t, 20*time.Second, "the first run", func() bool { return x.lastRun.Load() != 0 })
	served := make(chan error, 1)
	go func() { served <- x.Serve(ctx) }()
	stored := func() (n int) {
		for _, docs := range w.es.Docs() {
			n += len(docs)
		}
		return n
	}
	for i := range 3 {
		w.end(t, 1)
		begun := time.Now()
		x.Ring()
		testenv.Eventually(t, 20*time.Second, "the document", func() bool { return stored() == i+1 })
		if took := time.Since(begun); took > indexInterval/2 {
			t.Errorf("the document was there after %s", took)
		}
	}
	stop() // the worker, as the daemon does first
	services.Wait()
	w.end(t, 5)
	x.Ring()
	cancel()
	if err := <-served; err != context.Canceled {
		t.Error(err)
	}
	w.want(t, 0)
}

// TestStopAfterTheWorkerWasMadeDue: the process stops when the worker is due and has not begun. What has ended is written all the same.
func TestStopAfterTheWorkerWasMadeDue(t *testing.T) {
	w := newIndexed(t)
	if _, err := w.db.Exec("INSERT INTO jdpay_job (kind, unique_key, args, state, next_try_at, created_at) VALUES ('worker', ?, '{}', 'ready', UTC_TIMESTAMP(6) + INTERVAL 10 SECOND, UTC_TIMESTAMP(6))",
		job.WorkerKey+WorkerName); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	x := w.indexer(t)
	w.end(t, 3)
	x.Ring()
	if <-x.rung; !x.hasten(ctx) { // as Serve does
		t.Fatal("the worker was not made due")
	}
	stop() // before any instance has claimed it
	if err := x.Serve(ctx); err != context.Canceled {
		t.Errorf("Serve ends with %v", err)
	}
	w.want(t, 0)
}

// TestStopWritesWhatBecameVisibleLate: a transaction whose commit took longer than a look reads back ends between the last look of the
// worker and the stop.
func TestStopWritesWhatBecameVisibleLate(t *testing.T) {
	w := newIndexed(t)
	x := w.indexer(t)
	late, err := w.db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer late.Rollback()
	if _, err := late.Exec(`INSERT INTO jdpay_job (kind, unique_key, args, state, outcome, next_try_at, created_at, finished_at)
		VALUES ('pay-info', 'late', '{}', 'done', 'written', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), UTC_TIMESTAMP(6) - INTERVAL 5 SECOND)`); err != nil {
		t.Fatal(err)
	}
	w.end(t, 3)
	if err := x.look(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := late.Commit(); err != nil {
		t.Fatal(err)
	}
	x.Ring()
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := x.Serve(ctx); err != context.Canceled {
		t.Errorf("Serve ends with %v", err)
	}
	w.want(t, 0)
}

// TestStopWhileElasticsearchHangs: a server that does not answer delays the stop by little, and its documents are written after
// the next start.
func TestStopWhileElasticsearchHangs(t *testing.T) {
	t.Parallel()
	w := newIndexed(t)
	asked, hang := make(chan struct{}, 10), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-hang
	}))
	defer server.Close()
	defer close(hang)
	good := w.url
	w.url = server.URL
	x := w.indexer(t)
	w.end(t, 3)
	stopping, stop := context.WithCancel(t.Context())
	var services sync.WaitGroup
	services.Go(func() { x.Hurry(stopping) })
	services.Go(func() {
		if err := x.run(t.Context()); err == nil {
			t.Error("run: no error")
		}
		x.Ring()
		_ = x.Serve(stopping)
	})
	<-asked
	begun := time.Now()
	stop()
	services.Wait()
	if took := time.Since(begun); took > stopGrace+lastLookTimeout-time.Second {
		t.Errorf("the stop took %s", took)
	}
	w.url = good
	if err := w.indexer(t).run(t.Context()); err != nil {
		t.Error(err)
	}
	w.want(t, 0)
	w.logged(t, 0, "level=WARN")
}

// TestPurgeTellsOfMissingDocuments: what is deleted before Elasticsearch had it is said.
func TestPurgeTellsOfMissingDocuments(t *testing.T) {
	t.Parallel()
	w := newIndexed(t)
	x := w.indexer(t)
	w.es.FailNext(1_000_000, 503)
	w.end(t, 3)
	if err := x.run(t.Context()); err == nil {
		t.Error("run: no error")
	}
	if _, err := w.db.Exec("UPDATE jdpay_cursor SET finished_at = DATE_SUB(finished_at, INTERVAL 8 DAY)"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.db.Exec("UPDATE jdpay_job SET created_at = DATE_SUB(created_at, INTERVAL 8 DAY), finished_at = DATE_SUB(finished_at, INTERVAL 8 DAY) WHERE id <= 2"); err != nil {
		t.Fatal(err)
	}
	const keep = 7 * 24 * time.Hour
	for range 2 {
		if err := x.TellUnwritten(t.Context(), keep); err != nil {
			t.Fatal(err)
		}
		if _, err := x.store.Purge(t.Context(), keep, keep); err != nil {
			t.Fatal(err)
		}
	}
	w.logged(t, 1, `jobs are deleted that Elasticsearch has no documents of: it did not take them for longer than Jobs:KeepDone" jobs=2`)
}
