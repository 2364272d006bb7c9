package mnsserver

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
)

// reply is an answer before its headers.
type reply struct {
	status      int
	body        []byte
	contentType string // text/xml when empty
	location    string
}

// write sends a reply, or with cut half of it, and closes the connection then.
func (a reply) write(w http.ResponseWriter, cut bool) {
	h := w.Header()
	if a.location != "" {
		h["Location"] = []string{a.location}
	}
	if a.contentType == "" && len(a.body) > 0 {
		a.contentType = "text/xml;charset=utf-8"
	}
	if a.contentType != "" {
		h["Content-Type"] = []string{a.contentType}
	}
	if a.status != http.StatusNoContent {
		h["Content-Length"] = []string{strconv.Itoa(len(a.body))}
	}
	if cut {
		writeHalf(w, a)
		return
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // an error means that the client has hung up
}

// writeHalf sends a reply's headers and the first half of its body, or half of the headers where there is no body, and
// closes the connection.
func writeHalf(w http.ResponseWriter, a reply) {
	var whole bytes.Buffer
	response := http.Response{
		StatusCode: a.status, ProtoMajor: 1, ProtoMinor: 1, Header: w.Header(),
		ContentLength: int64(len(a.body)), Body: io.NopCloser(bytes.NewReader(a.body)),
	}
	_ = response.Write(&whole) // a buffer returns no error
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	missing := (len(a.body) + 1) / 2
	if missing == 0 {
		missing = whole.Len() / 2
	}
	_, _ = conn.Write(whole.Bytes()[:whole.Len()-missing])
	_ = conn.Close()
}
