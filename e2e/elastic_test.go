package e2e

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"jdpay-listener/e2e/box"

	"github.com/google/go-cmp/cmp"

	"jdpay-listener/internal/sandbox"
	"jdpay-listener/internal/sandbox/esserver"
	"jdpay-listener/internal/sandbox/jdserver"
)

// eventDoc is what the test reads of a document.
type eventDoc struct {
	JobID    int64       `json:"job_id"`
	Action   string      `json:"event.action"`
	Outcome  string      `json:"event.outcome"`
	Result   string      `json:"outcome"`
	Order    string      `json:"order_no"`
	Device   string      `json:"device_sn"`
	Waybill  string      `json:"waybill"`
	Amount   json.Number `json:"amount"`
	Duration int64       `json:"event.duration"`
}

// TestElasticsearch: payments are carried out while Elasticsearch is away and replicas are killed. When it is back, each
// concluded job has one document.
func TestElasticsearch(t *testing.T) {
	t.Parallel()
	s := box.New(t, jdserver.Options{})
	es := esserver.New(esserver.Options{APIKey: "key"})
	url, err := es.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(es.Close)
	if _, errOut, code := s.Try("migrate", "--elasticsearch"); code != 2 || !strings.Contains(errOut, "Elasticsearch:Url") {
		t.Errorf("without an address: exit %d: %s", code, errOut)
	}
	s.Extra["Elasticsearch__Url"], s.Extra["Elasticsearch__ApiKey"] = url, "key"
	for _, want := range []string{"index template jdpay-events installed in Elasticsearch\n", "index template jdpay-events is up to date in Elasticsearch\n"} {
		if out := s.Run("migrate", "--elasticsearch"); !strings.HasSuffix(out, want) {
			t.Errorf("migrate prints %q, want %q", out, want)
		}
	}
	documents := func() (docs []eventDoc) {
		for _, index := range es.Docs() {
			for _, text := range index {
				var d eventDoc
				if err := json.Unmarshal(text, &d); err != nil {
					t.Fatalf("%s: %v", text, err)
				}
				docs = append(docs, d)
			}
		}
		return docs
	}
	ended := func() int { return s.Count("SELECT COUNT(*) FROM jdpay_job WHERE finished_at IS NOT NULL") }
	complete := func() bool { return s.Unfinished() == 0 && len(documents()) == ended() }

	es.FailNext(1<<30, 503)
	stream := box.Ordinary(60)
	for _, m := range stream {
		if err := sandbox.AddOrders(s.DB, *m.Order); err != nil {
			t.Fatal(err)
		}
	}
	first, second := s.Start(), s.Start()
	sent := 0
	send := func(payments int) {
		t.Helper()
		for _, m := range stream[sent : sent+payments] {
			s.MNS.Put(box.NotifyQueue, m.Body)
		}
		sent += payments
		s.Eventually(60*time.Second, "the payments are carried out", func() bool {
			return s.Unfinished() == 0 && s.Count("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'pay-info'") == sent
		})
	}
	send(30)
	const away, back = "Elasticsearch does not take documents; they wait in jdpay_job, payments are not affected", "Elasticsearch takes documents again"
	s.Eventually(60*time.Second, "an instance says that Elasticsearch is away", func() bool { return len(first.Lines(away))+len(second.Lines(away)) > 0 })
	first.Kill()
	if n := len(documents()); n != 0 {
		t.Errorf("%d documents are there", n)
	}
	third := s.Start()
	es.FailNext(0, 0)
	s.Eventually(60*time.Second, "each concluded job has a document", complete)
	if n := len(second.Lines(away)); n > 1 || len(second.Lines(back)) > n {
		t.Errorf("an instance says %d times that Elasticsearch is away, %d times that it is back", n, len(second.Lines(back)))
	}

	send(1)
	done := time.Now()
	s.Eventually(10*time.Second, "a payment's documents are there soon", complete)
	t.Logf("a payment's documents were there %s after its last step", time.Since(done))
	send(len(stream) - sent)
	second.Stop()
	third.Stop()
	docs := documents()
	if n := ended(); len(docs) != n {
		t.Errorf("%d documents of %d concluded jobs after the stop", len(docs), n)
	}
	seen, got := map[int64]bool{}, map[string]eventDoc{}
	o := *stream[30].Order
	for _, d := range docs {
		if seen[d.JobID] || d.Duration <= 0 {
			t.Errorf("document %+v", d)
		}
		seen[d.JobID] = true
		if d.Order == o.No() {
			d.JobID, d.Duration = 0, 0
			got[d.Action] = d
		}
	}
	want := map[string]eventDoc{
		"settle":         {Action: "settle", Outcome: "success", Result: "settled", Order: o.No(), Amount: json.Number(o.Amount)},
		"pay-complete":   {Action: "pay-complete", Outcome: "success", Result: "sent", Order: o.No(), Device: o.Device, Waybill: o.Waybill()},
		"waybill-status": {Action: "waybill-status", Outcome: "success", Result: "updated", Order: o.No(), Device: o.Device, Waybill: o.Waybill()},
		"pay-info":       {Action: "pay-info", Outcome: "success", Result: "written", Order: o.No(), Device: o.Device, Waybill: o.Waybill()},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
