package mnsserver

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"
)

// recorder is a response writer with the last reply only.
type recorder struct {
	header http.Header
	status int
	body   []byte
}

func (q *recorder) Header() http.Header    { return q.header }
func (q *recorder) WriteHeader(status int) { q.status = status }
func (q *recorder) Write(p []byte) (int, error) {
	q.body = append(q.body[:0], p...)
	return len(p), nil
}

func (q *recorder) serve(s *Server, r *http.Request) {
	clear(q.header)
	s.ServeHTTP(q, r)
}

// BenchmarkReceive is one receive of 16 messages of 500 bytes from a queue of 100,000.
func BenchmarkReceive(b *testing.B) {
	s := newServer()
	c := newClient(b, s)
	r := c.request("GET", messages+"?numOfMessages=16&waitseconds=30", "")
	body := strings.Repeat("0123456789", 50)
	w := &recorder{header: http.Header{}}
	refill := 0
	for b.Loop() {
		if refill--; refill < 0 {
			b.StopTimer()
			refill = 6249
			s.fill(testQueue, 100_000, body)
			b.StartTimer()
		}
		w.serve(s, r)
	}
	if w.status != 200 || strings.Count(string(w.body), body) != 16 {
		b.Fatalf("%d %.300s", w.status, w.body)
	}
}

// BenchmarkReceiveAndDelete is a receive of 16 and their batch delete.
func BenchmarkReceiveAndDelete(b *testing.B) {
	s := newServer()
	c := newClient(b, s)
	body := strings.Repeat("0123456789", 50)
	receive := c.request("GET", messages+"?numOfMessages=16&waitseconds=30", "")
	w := &recorder{header: http.Header{}}
	for b.Loop() {
		b.StopTimer()
		s.fill(testQueue, 16, body)
		b.StartTimer()
		w.serve(s, receive)
		b.StopTimer()
		var doc strings.Builder
		doc.WriteString("<ReceiptHandles>")
		for _, part := range strings.Split(string(w.body), "<ReceiptHandle>")[1:] {
			handle, _, _ := strings.Cut(part, "<")
			doc.WriteString("<ReceiptHandle>" + handle + "</ReceiptHandle>")
		}
		doc.WriteString("</ReceiptHandles>")
		r := c.request("DELETE", messages, doc.String())
		b.StartTimer()
		w.serve(s, r)
		if w.status != 204 {
			b.Fatalf("%d %s", w.status, w.body)
		}
	}
}

// BenchmarkReceiveOverTCP is the same receive with net/http on both sides.
func BenchmarkReceiveOverTCP(b *testing.B) {
	s := newServer()
	c := newClient(b, s).overTCP()
	body := strings.Repeat("0123456789", 50)
	refill := 0
	for b.Loop() {
		if refill--; refill < 0 {
			b.StopTimer()
			refill = 6249
			s.fill(testQueue, 100_000, body)
			b.StartTimer()
		}
		response, err := http.DefaultClient.Do(c.request("GET", messages+"?numOfMessages=16&waitseconds=30", ""))
		if err != nil {
			b.Fatal(err)
		}
		n, _ := io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if response.StatusCode != 200 || n < 8000 {
			b.Fatalf("%d, %d bytes", response.StatusCode, n)
		}
	}
}

// BenchmarkPut puts 100,000 messages and reports their memory without the body, which they share.
func BenchmarkPut(b *testing.B) {
	body := strings.Repeat("0123456789", 50)
	var before, after runtime.MemStats
	for b.Loop() {
		s := newServer()
		runtime.GC()
		runtime.ReadMemStats(&before)
		start := time.Now()
		s.fill(testQueue, 100_000, body)
		b.ReportMetric(float64(time.Since(start).Milliseconds()), "ms/100k")
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/100_000, "B/message")
		if got := s.Stats(testQueue).Active; got != 100_000 {
			b.Fatal(fmt.Sprint(got))
		}
	}
}

func (s *Server) fill(queue string, n int, body string) {
	bodies := make([]string, n)
	for i := range bodies {
		bodies[i] = body
	}
	s.Put(queue, bodies...)
}
