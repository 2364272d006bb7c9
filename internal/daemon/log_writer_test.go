package daemon

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/ops"
	"jdpay-listener/internal/testenv"
)

// droppedLines are the lines and the alerts that the metrics count as dropped.
func droppedLines(t *testing.T, m *ops.Metrics) (lines, alerts int) {
	t.Helper()
	series := testenv.Gather(t, m)
	return int(series["jdpay_log_lines_dropped_total false"]), int(series["jdpay_log_lines_dropped_total true"])
}

// reader is what a log is written to: it stands still, or fails, while a test wants it to. Its lock is a channel, since in
// synthetic time nothing may wait for a mutex.
type reader struct {
	lock    chan struct{}
	text    strings.Builder
	failure error
	most    int // bytes that one write takes before it fails
}

func newReader() *reader { return &reader{lock: make(chan struct{}, 1)} }

func (r *reader) stop() { r.lock <- struct{}{} }

func (r *reader) goOn() { <-r.lock }

func (r *reader) Write(b []byte) (int, error) {
	r.stop()
	defer r.goOn()
	if r.failure != nil {
		n := min(r.most, len(b))
		r.text.Write(b[:n])
		return n, r.failure
	}
	return r.text.Write(b)
}

func (r *reader) lines() []string {
	r.stop()
	defer r.goOn()
	return strings.Split(strings.TrimSuffix(r.text.String(), "\n"), "\n")
}

func (r *reader) fail(err error, most int) {
	r.stop()
	defer r.goOn()
	r.failure, r.most = err, most
}

// TestLogReaderStandsStill: nothing waits for the reader, alerts have room of their own, and what was dropped is said and counted.
func TestLogReaderStandsStill(t *testing.T) {
	for _, format := range []string{"json", "text", "ecs"} {
		t.Run(format, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newReader()
				w := NewLogWriter(r, nil)
				log, _ := NewLogger(config.Logging{Format: format}, w, "1.2.3")
				m := ops.NewMetrics()
				w.attach(log, m)

				r.stop() // it stands still
				log.Info("first")
				synctest.Wait()
				text := strings.Repeat("x", 1000)
				for i := range 5000 {
					log.Info("line", "n", i, "text", text)
				}
				log.Error("someone must know", "alert", true)
				for range 5000 {
					log.Error("line", "alert", true, "text", text)
				}
				r.goOn()
				synctest.Wait()
				log.Info("last")
				w.Close()

				lines := r.lines()
				written, alerts, reports := 0, 0, 0
				for i, line := range lines {
					switch {
					case isAlertLine([]byte(line)):
						alerts++
					case strings.Contains(line, "dropped"):
						reports++
						if i != len(lines)-2 || !strings.Contains(line, fmt.Sprint(10_003-len(lines)+1)) {
							t.Errorf("line %d of %d: %s", i, len(lines), line)
						}
					default:
						written++
					}
				}
				if reports != 1 || !strings.Contains(lines[0], "first") || !strings.Contains(lines[len(lines)-1], "last") {
					t.Errorf("%d lines say what was dropped; the first is %s, the last %s", reports, lines[0], lines[len(lines)-1])
				}
				if written < 2000 || written > 3200 || alerts < 500 || alerts > 1100 || !strings.Contains(strings.Join(lines, ""), "someone must know") {
					t.Errorf("%d lines and %d alerts are written", written, alerts)
				}
				if lost, lostAlerts := droppedLines(t, m); lost != 5002-written || lostAlerts != 5001-alerts {
					t.Errorf("%d lines and %d alerts are counted as dropped; %d and %d were written", lost, lostAlerts, written, alerts)
				}
			})
		})
	}
}

// TestLogCannotBeWritten: the reader is gone or the disk is full, and comes back.
func TestLogCannotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReader()
		var told []error
		w := NewLogWriter(r, func(err error) { told = append(told, err) })
		log, _ := NewLogger(config.Logging{Format: "json"}, w, "")
		full := errors.New("no space left on device")
		r.fail(full, 10)
		log.Info("lost before the metrics exist")
		synctest.Wait()
		m := ops.NewMetrics()
		w.attach(log, m)
		r.fail(full, 0)
		log.Error("lost", "alert", true)
		synctest.Wait()
		r.fail(nil, 0)
		log.Info("there again")
		synctest.Wait()
		if lines := r.lines(); len(lines) != 3 || !strings.Contains(lines[1], "there again") || !strings.Contains(lines[2], `"lines":2,"alerts":1`) {
			t.Errorf("the log is %q", lines)
		}
		if len(told) != 1 || !errors.Is(told[0], full) {
			t.Errorf("told %v", told)
		}
		if n, alerts := droppedLines(t, m); n != 1 || alerts != 1 {
			t.Errorf("counted %d and %d", n, alerts)
		}
		w.Close()
	})
}

// TestLogIsCompleteAtTheEnd: Close writes what waits, and gives up on a reader that stands still.
func TestLogIsCompleteAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReader()
		w := NewLogWriter(r, nil)
		log, _ := NewLogger(config.Logging{Format: "json"}, w, "")
		r.stop()
		for range 1000 {
			log.Info("line")
		}
		begun := time.Now()
		time.AfterFunc(logFlushTimeout/2, r.goOn)
		w.Close()
		if took := time.Since(begun); took != logFlushTimeout/2 || len(r.lines()) != 1000 {
			t.Errorf("%d lines after %s", len(r.lines()), took)
		}
		w = NewLogWriter(r, nil)
		log, _ = NewLogger(config.Logging{Format: "json"}, w, "")
		r.stop()
		log.Info("nobody reads it")
		begun = time.Now()
		w.Close()
		if took := time.Since(begun); took != logFlushTimeout {
			t.Errorf("the end waits %s for a reader that stands still", took)
		}
		r.goOn()
	})
}
