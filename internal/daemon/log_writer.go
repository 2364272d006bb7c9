package daemon

import (
	"bytes"
	"io"
	"log/slog"
	"sync"
	"time"

	"jdpay-listener/internal/ops"
)

const (
	// maxLogWaiting is how many bytes of log lines wait for a reader that stands still. The last part of it is for alerts.
	maxLogWaiting = 4 << 20
	logForAlerts  = 1 << 20
	// logFlushTimeout is how long the process waits, before it ends, until its last lines are written.
	logFlushTimeout = 2 * time.Second
)

// LogWriter writes log lines to a file, a pipe or a terminal, whose reader may stand still or be gone: Write never waits.
// Lines for which there is no room, and those that cannot be written, are dropped and counted; a line of the log says how
// many when others are written again. Each Write must be one line.
type LogWriter struct {
	out     io.Writer
	onError func(error)

	mu      sync.Mutex
	waiting []byte
	dropped lineCount // not yet reported in the log
	total   lineCount // before count was set
	count   func(alert bool, lines int)
	log     *slog.Logger
	closed  bool

	wake chan struct{}
	done chan struct{}
}

// lineCount counts lines, and those of them that are alerts.
type lineCount struct{ lines, alerts int }

// NewLogWriter returns a LogWriter, which Close ends. onError is called with the first error of an outage of out.
func NewLogWriter(out io.Writer, onError func(error)) *LogWriter {
	w := &LogWriter{out: out, onError: onError, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go w.run()
	return w
}

// Write implements io.Writer. It returns no error.
func (w *LogWriter) Write(line []byte) (int, error) {
	alert := isAlertLine(line)
	room := maxLogWaiting
	if !alert {
		room -= logForAlerts
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || len(w.waiting)+len(line) > room {
		w.drop(line)
		return len(line), nil
	}
	w.waiting = append(w.waiting, line...)
	select {
	case w.wake <- struct{}{}:
	default:
	}
	return len(line), nil
}

// isAlertLine recognizes the attribute alert in JSON lines, in those of the Elastic Common Schema and in text. In JSON no value
// looks like it, since its quotes would be escaped.
func isAlertLine(line []byte) bool {
	return bytes.Contains(line, []byte(`alert":true`)) || bytes.Contains(line, []byte(" alert=true"))
}

// drop counts lines that are lost. mu is held.
func (w *LogWriter) drop(lines []byte) {
	for line := range bytes.Lines(lines) {
		alert := isAlertLine(line)
		w.dropped.lines++
		w.total.lines++
		if alert {
			w.dropped.alerts++
			w.total.alerts++
		}
		if w.count != nil {
			w.count(alert, 1)
		}
	}
}

// attach has dropped lines counted by the metric and reported by the log, which writes to w.
func (w *LogWriter) attach(log *slog.Logger, m *ops.Metrics) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = log
	w.count = func(alert bool, lines int) {
		label := "false"
		if alert {
			label = "true"
		}
		m.LogDropped.WithLabelValues(label).Add(float64(lines))
	}
	w.count(true, w.total.alerts)
	w.count(false, w.total.lines-w.total.alerts)
}

// run writes what waits, until Close.
func (w *LogWriter) run() {
	defer close(w.done)
	broken, inLine := false, false
	for range w.wake {
		for {
			lines, end := w.take()
			if len(lines) == 0 {
				if end {
					return
				}
				break
			}
			text := lines
			if inLine { // the last write ended within a line
				text = append([]byte{'\n'}, lines...)
			}
			n, err := w.out.Write(text)
			if n > 0 {
				inLine = text[n-1] != '\n'
			}
			if err == nil {
				broken = false
				w.report()
				continue
			}
			w.mu.Lock()
			w.drop(lines[max(0, n-(len(text)-len(lines))):])
			w.mu.Unlock()
			if !broken && w.onError != nil {
				w.onError(err)
			}
			broken = true
		}
	}
}

// take returns what waits, and whether nothing will follow it.
func (w *LogWriter) take() (lines []byte, end bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	lines, w.waiting = w.waiting, nil
	return lines, w.closed
}

// report says in the log how many lines were dropped, once there is room for it.
func (w *LogWriter) report() {
	w.mu.Lock()
	dropped, log := w.dropped, w.log
	if log == nil || w.closed || len(w.waiting) > maxLogWaiting/2 {
		dropped.lines = 0
	}
	if dropped.lines > 0 {
		w.dropped = lineCount{}
	}
	w.mu.Unlock()
	if dropped.lines > 0 {
		log.Warn("lines of this log were dropped: their reader stood still, or they could not be written", "lines", dropped.lines, "alerts", dropped.alerts)
	}
}

// Close writes what waits and ends the writer. It gives up after two seconds if nobody reads. Later lines are dropped.
func (w *LogWriter) Close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
	select {
	case <-w.done:
	case <-time.After(logFlushTimeout):
	}
}
