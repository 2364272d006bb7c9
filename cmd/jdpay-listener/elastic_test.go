package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

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
	s := newSite(t, jdserver.Options{})
	es := esserver.New(esserver.Options{APIKey: "key"})
	url, err := es.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(es.Close)
	if _, errOut, code := s.try("migrate", "--elasticsearch"); code != exitUsage || !strings.Contains(errOut, "Elasticsearch:Url") {
		t.Errorf("without an address: exit %d: %s", code, errOut)
	}
	s.extra["Elasticsearch__Url"], s.extra["Elasticsearch__ApiKey"] = url, "key"
	for _, want := range []string{"index template jdpay-events installed in Elasticsearch\n", "index template jdpay-events is up to date in Elasticsearch\n"} {
		if out := s.run("migrate", "--elasticsearch"); !strings.HasSuffix(out, want) {
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
	ended := func() int { return s.count("SELECT COUNT(*) FROM jdpay_job WHERE finished_at IS NOT NULL") }
	complete := func() bool { return s.unfinished() == 0 && len(documents()) == ended() }

	es.FailNext(1<<30, 503)
	stream := ordinary(60)
	for _, m := range stream {
		if err := sandbox.AddOrders(s.db, *m.Order); err != nil {
			t.Fatal(err)
		}
	}
	first, second := s.start(), s.start()
	sent := 0
	send := func(payments int) {
		t.Helper()
		for _, m := range stream[sent : sent+payments] {
			s.mns.Put(notifyQueue, m.Body)
		}
		sent += payments
		s.eventually(60*time.Second, "the payments are carried out", func() bool {
			return s.unfinished() == 0 && s.count("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'pay-info'") == sent
		})
	}
	send(30)
	const away, back = "Elasticsearch does not take documents; they wait in jdpay_job, payments are not affected", "Elasticsearch takes documents again"
	s.eventually(60*time.Second, "an instance says that Elasticsearch is away", func() bool { return len(first.lines(away))+len(second.lines(away)) > 0 })
	first.kill()
	if n := len(documents()); n != 0 {
		t.Errorf("%d documents are there", n)
	}
	third := s.start()
	es.FailNext(0, 0)
	s.eventually(60*time.Second, "each concluded job has a document", complete)
	if n := len(second.lines(away)); n > 1 || len(second.lines(back)) > n {
		t.Errorf("an instance says %d times that Elasticsearch is away, %d times that it is back", n, len(second.lines(back)))
	}

	send(1)
	done := time.Now()
	s.eventually(10*time.Second, "a payment's documents are there soon", complete)
	t.Logf("a payment's documents were there %s after its last step", time.Since(done))
	send(len(stream) - sent)
	second.stop()
	third.stop()
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
