package jdapi

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"unicode/utf8"
)

// replyCase is one line of testdata/replies.jsonl.
type replyCase struct {
	Name       string
	Signer     string
	DoneCodes  []string
	RetryCodes []string
	Status     int
	Headers    map[string]string
	Body       string
	Bytes      []byte // of a body that is not UTF-8 text, in base64

	Want   string // updated, already, or the class of the error
	Outage bool   // counts for the circuit breaker
	Code   string // of the result or the error
	Says   string // a part of the error's text
}

// TestOddReplies has replies of JD's services, of its platform and of gateways that other programs have met.
func TestOddReplies(t *testing.T) {
	text, err := os.ReadFile("testdata/replies.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	classes := map[Class]string{Retry: "retry", Refused: "refused", Permanent: "permanent"}
	lines := json.NewDecoder(bytes.NewReader(text))
	lines.DisallowUnknownFields()
	for lines.More() {
		var tt replyCase
		if err := lines.Decode(&tt); err != nil {
			t.Fatal(err)
		}
		t.Run(tt.Name, func(t *testing.T) {
			o := Options{Signer: tt.Signer, DoneCodes: tt.DoneCodes, RetryCodes: tt.RetryCodes}
			if o.Signer == "jos" {
				o.Path, o.AppKey, o.AppSecret, o.AccessToken = "a.b", "key-1", "secret-1", "token-1"
			}
			c := serve(t, o, func(w http.ResponseWriter, _ *http.Request) {
				for name, value := range tt.Headers {
					w.Header().Set(name, value)
				}
				w.WriteHeader(tt.Status)
				_, _ = w.Write(append([]byte(tt.Body), tt.Bytes...))
			})
			res, err := c.UpdateWaybillStatus(t.Context(), paid)
			got, code, outage := "updated", res.Code, false
			switch {
			case err != nil:
				e := failure(t, err)
				got, code, outage = classes[e.Class], e.Code, e.down
			case res.Already:
				got = "already"
			}
			if got != tt.Want || code != tt.Code || outage != tt.Outage {
				t.Errorf("got %s, code %q, outage %v: %v", got, code, outage, err)
			}
			if err != nil && !strings.Contains(err.Error(), tt.Says) {
				t.Errorf("got %q, want %q in it", err, tt.Says)
			}
		})
	}
}

// TestPlatformOutageOpensTheBreaker: while the platform cannot reach JD's service, calls are held back.
func TestPlatformOutageOpensTheBreaker(t *testing.T) {
	for code := range outageCodes {
		o := josOptions()
		o.BaseURL = ""
		c := serve(t, o, respond(http.StatusOK, `{"error_response":{"code":"`+code+`"}}`))
		for range maxConsecutiveFailures {
			_, _ = c.UpdateWaybillStatus(t.Context(), paid)
		}
		if c.Breaker() != Open {
			t.Errorf("after %d errors %s the circuit breaker is not open", maxConsecutiveFailures, code)
		}
	}
}

// TestLimitOfDecompressedReplies: the limit of a reply is one of its text, so a small reply cannot become a large one.
func TestLimitOfDecompressedReplies(t *testing.T) {
	packed := func(size int) []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = io.WriteString(z, `{"success":true}`)
		_, _ = io.WriteString(z, strings.Repeat(" ", size-len(`{"success":true}`)))
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	c := newClient(t, Options{BaseURL: "http://127.0.0.1:1"})
	if _, err := c.interpret(200, packed(maxReply)); err != nil {
		t.Errorf("as long as the limit: %v", err)
	}
	for _, size := range []int{maxReply + 1, 2 << 20} {
		body := packed(size)
		_, err := c.interpret(200, body)
		if e := failure(t, err); e.Class != Retry || !strings.HasPrefix(e.Message, errTooLong.Error()+`: {"success":true}`) {
			t.Errorf("%d bytes in %d: %v", size, len(body), err)
		}
		if text, _ := readable(body); len(text) > maxReply+1 {
			t.Errorf("%d bytes in %d: %d bytes in memory", size, len(body), len(text))
		}
	}
}

// TestShownRepliesHideSecrets: a page that repeats the request, in any form, shows no key and no token, wherever the text
// is cut.
func TestShownRepliesHideSecrets(t *testing.T) {
	const secret, token, key = "se/cr+et&5f2c", `to"ken=9d1e/x`, "se/cr"
	jos := josOptions()
	jos.AppSecret, jos.AccessToken, jos.AppKey = secret, token, key
	bearer := Options{BaseURL: "http://127.0.0.1:1", Signer: "header", Headers: map[string]string{"Authorization": "Bearer " + token, "X-Key": secret, "X-App": key}}
	for _, o := range []Options{jos, bearer} {
		c := newClient(t, o)
		for _, s := range []string{secret, token, key} {
			quoted, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			for form, text := range map[string]string{
				"as it is": s, "in a form": url.QueryEscape(s), "in a form, lower case": strings.ToLower(url.QueryEscape(s)), "in a path": url.PathEscape(s),
				"in JSON": strings.Trim(string(quoted), `"`), "in PHP's JSON": strings.ReplaceAll(s, "/", `\/`), "in HTML": html.EscapeString(s),
			} {
				for _, before := range []int{0, maxMessage - 40, maxMessage - 34, maxMessage - 32} {
					body := "<p>" + strings.Repeat("x", before) + text + "</p>"
					_, err := c.interpret(502, []byte(body))
					e := failure(t, err)
					if strings.Contains(e.Message, text[:4]) {
						t.Errorf("%s, %s: %s", o.Signer, form, e.Message)
					}
					if n := utf8.RuneCountInString(e.Message); n > maxMessage+1 {
						t.Errorf("%d characters", n)
					}
				}
			}
		}
	}
}
