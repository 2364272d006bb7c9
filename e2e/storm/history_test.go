package storm

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"jdpay-listener/e2e/box"

	"github.com/anishathalye/porcupine"
)

// history has the events of each order, as observed.
type history struct {
	mu     sync.Mutex
	orders map[string][]porcupine.Operation // by the order's id
	lose   map[string]int                   // how many replies of JD to accepted calls to drop, by the order's id
}

func newHistory() *history {
	return &history{orders: map[string][]porcupine.Operation{}, lose: map[string]int{}}
}

// add adds an event that happened between begin and end.
func (h *history) add(order string, begin, end time.Time, e event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.orders[order] = append(h.orders[order], porcupine.Operation{ClientId: int(e.what), Input: e, Call: begin.UnixNano(), Return: end.UnixNano()})
}

// count returns how often an event happened to an order.
func (h *history) count(order string, w what) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, op := range h.orders[order] {
		if op.Input.(event).what == w {
			n++
		}
	}
	return n
}

// loseReplies drops JD's replies to the order's next accepted calls.
func (h *history) loseReplies(order string, times int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lose[order] = times
}

// watchJD adds the calls that reach JD, and their acceptance, to the history.
func (h *history) watchJD(jd http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin := time.Now()
		body, err := io.ReadAll(r.Body)
		var call struct{ WaybillCode string }
		if err != nil || json.Unmarshal(body, &call) != nil {
			panic(http.ErrAbortHandler) // the caller was killed during the call
		}
		order := strings.TrimPrefix(call.WaybillCode, "JDVC")
		h.add(order, begin, begin, event{what: callJD})
		r.Body = io.NopCloser(bytes.NewReader(body))
		reply := httptest.NewRecorder()
		jd.ServeHTTP(reply, r)
		if reply.Code == http.StatusOK {
			h.add(order, begin, time.Now(), event{what: acceptJD})
			h.mu.Lock()
			h.lose[order]--
			lost := h.lose[order] >= 0
			h.mu.Unlock()
			if lost {
				panic(http.ErrAbortHandler)
			}
		}
		maps.Copy(w.Header(), reply.Header())
		w.WriteHeader(reply.Code)
		_, _ = w.Write(reply.Body.Bytes())
	})
}

// readDatabase adds the events that the tables show at the end. Their times are by the same machine's clock.
func (h *history) readDatabase(db *sql.DB) error {
	rows, err := db.Query(`SELECT j.kind, SUBSTR(j.ref, 2), COALESCE(j.outcome, ''), j.try_count, j.created_at, j.finished_at, s.created_at
		FROM jdpay_job j LEFT JOIN jdpay_job s ON s.unique_key = CONCAT('pay-complete:', SUBSTR(j.ref, 2)) WHERE j.ref IS NOT NULL AND j.finished_at IS NOT NULL`)
	if err != nil {
		return err
	}
	defer rows.Close()
	type times struct{ created, finished time.Time }
	writers := map[string]times{} // the pay-info jobs
	for rows.Next() {
		var kind, order, outcome string
		var tries int
		var t times
		var steps sql.NullTime
		if err := rows.Scan(&kind, &order, &outcome, &tries, &t.created, &t.finished, &steps); err != nil {
			return err
		}
		switch {
		case outcome == "settled" && steps.Valid && steps.Time.Before(t.finished):
			h.add(order, steps.Time, t.finished, event{what: settle})
		case outcome == "settled": // a second settlement has no steps of its own
			h.add(order, t.finished, t.finished, event{what: settle})
		case kind == "reply" && outcome == "confirmed":
			h.add(order, t.created, t.finished, event{what: confirm})
		case kind == "waybill-status" && outcome == "updated":
			h.add(order, t.created, t.finished, event{what: updated})
		case kind == "pay-info":
			writers[order] = t
		case kind == "pay-complete":
			h.add(order, time.Now(), time.Now(), event{what: theEnd, tries: tries})
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	infos, err := db.Query("SELECT post_order_id FROM kernel_postorder_pay_info")
	if err != nil {
		return err
	}
	defer infos.Close()
	for infos.Next() {
		var order string
		if err := infos.Scan(&order); err != nil {
			return err
		}
		t := writers[order] // without a job, the times are zero and precede all events
		h.add(order, t.created, t.finished, event{what: payInfo})
	}
	return infos.Err()
}

// readLogs adds to each confirmation how many tries its command had had. Only the log line of the instance that concluded the
// command has that number; if the instance was killed before it wrote the line, the number stays unknown.
func (h *history) readLogs(processes []*box.Process) {
	tries := map[string]int{}
	for _, p := range processes {
		for _, line := range p.Lines("job done") {
			if no, ok := line["order_no"].(string); ok && line["kind"] == "pay-complete" && line["outcome"] == "confirmed" {
				n, _ := line["try"].(float64)
				tries[strings.TrimPrefix(no, "R")] = int(n)
			}
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for order, ops := range h.orders {
		for i := range ops {
			if e := ops[i].Input.(event); e.what == confirm {
				e.tries = tries[order]
				ops[i].Input = e
			}
		}
	}
}

// maxPictures is how many failing histories are drawn.
const maxPictures = 5

// check returns the orders' histories that the model does not allow, with the files of their pictures, which are kept.
func (h *history) check() (problems []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, order := range slices.Sorted(maps.Keys(h.orders)) {
		result, info := porcupine.CheckOperationsVerbose(orderModel, h.orders[order], time.Minute)
		if result == porcupine.Ok {
			continue
		}
		text := fmt.Sprintf("the history of order %s is %s", order, result)
		if len(problems) < maxPictures {
			text += ", see " + picture(order, info)
		}
		problems = append(problems, text)
	}
	return problems
}

func picture(order string, info porcupine.LinearizationInfo) string {
	f, err := os.CreateTemp("", "storm-history-"+order+"-*.html")
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if err := porcupine.Visualize(orderModel, info, f); err != nil {
		return err.Error()
	}
	return f.Name()
}
