package mnsserver

import (
	"net/http"
	"testing"
	"time"
)

// The value is that of the protocol notes, and of
// printf 'GET\n\n\nFri, ...' | openssl dgst -sha1 -hmac sandbox-sk -binary | base64.
func TestSignatureWorkedValue(t *testing.T) {
	r := newClient(t, newServer()).request("GET", "/queues/demo/messages?waitseconds=10", "")
	r.Header = http.Header{"X-Mns-Version": {"2015-06-06"}}
	text := stringToSign(r, "Fri, 20 Nov 2026 19:00:00 GMT")
	if want := "GET\n\n\nFri, 20 Nov 2026 19:00:00 GMT\nx-mns-version:2015-06-06\n/queues/demo/messages?waitseconds=10"; text != want {
		t.Errorf("string to sign %q, want %q", text, want)
	}
	if got, want := sign("sandbox-sk", text), "q2FLjGD6lwstWvR7Jt7DTkrVUNs="; got != want {
		t.Errorf("signature %s, want %s", got, want)
	}
}

func TestAuthorize(t *testing.T) {
	future := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	tests := []struct {
		name   string
		change func(http.Header)
		status int
		code   string
	}{
		{"signed well", func(http.Header) {}, 204, ""},
		{"no authorization", func(h http.Header) { h.Del("Authorization") }, 400, "MissingAuthorizationHeader"},
		{"signature version 4", func(h http.Header) {
			h.Set("Authorization", "MNS4-HMAC-SHA256 Credential=ak/20261120/cn/mns/aliyun_v4_request,Signature=00")
		}, 400, "InvalidAuthorizationHeader"},
		{"no colon", func(h http.Header) { h.Set("Authorization", "MNS nonsense") }, 400, "InvalidAuthorizationHeader"},
		{"no date", func(h http.Header) { h.Del("Date") }, 400, "MissingDateHeader"},
		{"date of another form", func(h http.Header) { h.Set("Date", "2026-11-20T19:00:00Z") }, 400, "InvalidDateHeader"},
		{"no version", func(h http.Header) { h.Del("x-mns-version") }, 400, "MissingVersionHeader"},
		{"another version", func(h http.Header) { h.Set("x-mns-version", "2014-07-08") }, 400, "InvalidVersionHeader"},
		{"unknown key", func(h http.Header) { h.Set("Authorization", "MNS other:AAAA") }, 403, "InvalidAccessKeyId"},
		{"wrong signature", func(h http.Header) { h.Set("Authorization", "MNS "+testKey+":AAAA") }, 403, "SignatureDoesNotMatch"},
		{"changed header", func(h http.Header) { h.Set("Content-Type", "text/plain") }, 403, "SignatureDoesNotMatch"},
		{"added x-mns header", func(h http.Header) { h.Set("x-mns-extra", "1") }, 403, "SignatureDoesNotMatch"},
		{"clock 16 minutes ahead", func(h http.Header) { h.Set("Date", future(16*time.Minute)) }, 408, "TimeExpired"},
		{"clock 16 minutes behind", func(h http.Header) { h.Set("Date", future(-16*time.Minute)) }, 408, "TimeExpired"},
		{"clock 14 minutes ahead, signed for another date", func(h http.Header) { h.Set("Date", future(14*time.Minute)) }, 403, "SignatureDoesNotMatch"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newClient(t, newServer()).overTCP()
			r := c.request("DELETE", "/queues/none", "")
			tt.change(r.Header)
			a := c.send(r).want(t, tt.status, tt.code)
			if tt.code == "" {
				return
			}
			if id := a.Header.Get("x-mns-request-id"); len(id) != 24 || a.RequestID != id {
				t.Errorf("request id in the header %q, in the body %q", id, a.RequestID)
			}
		})
	}
}

func TestAuthorizeWithDateReplaced(t *testing.T) {
	c := newClient(t, newServer())
	r := c.request("GET", "/queues/"+testQueue, "")
	date := r.Header.Get("Date")
	r.Header.Del("Date")
	r.Header.Set("x-mns-date", date)
	text := "GET\n" + r.Header.Get("Content-Md5") + "\napplication/xml\n" + date +
		"\nx-mns-date:" + date + "\nx-mns-version:2015-06-06\n/queues/" + testQueue
	r.Header.Set("Authorization", "MNS "+testKey+":"+sign(testSecret, text))
	c.send(r).want(t, 200, "")
}

func TestAuthorizeChecksTheDigest(t *testing.T) {
	c := newClient(t, newServer())
	for name, digest := range map[string]func([]byte) string{
		"of another body":         func([]byte) string { return digestOfHex([]byte("other")) },
		"hexadecimal, not base64": func([]byte) string { return "d41d8cd98f00b204e9800998ecf8427e" },
	} {
		t.Run(name, func(t *testing.T) {
			c.style.digest = digest
			c.t = t
			c.put("x", "").want(t, 400, "InvalidDegist")
		})
	}
}

// TestRequestsOfAnotherTimeAreRefused shifts the server's clock, and then the client's to the same time.
func TestRequestsOfAnotherTimeAreRefused(t *testing.T) {
	s := newServer()
	s.ShiftClock(20 * time.Minute)
	c := newClient(t, s)
	a := c.receive("").want(t, 408, "TimeExpired")
	date, err := http.ParseTime(a.Header.Get("Date"))
	if off := time.Until(date); err != nil || off < 19*time.Minute {
		t.Errorf("the Date header should be the server's time; it is %s ahead, %v", off, err)
	}
	c.now = func() time.Time { return time.Now().Add(20 * time.Minute) }
	c.receive("").want(t, 404, "MessageNotExist")
}
