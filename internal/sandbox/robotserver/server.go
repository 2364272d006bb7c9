// Package robotserver stands in for the receivers of alerts: the group robots of DingTalk, WeCom and Feishu, and a receiver of
// webhooks that are signed as of Standard Webhooks. It checks what the real ones check: signature, age of the time, form,
// length, and 20 messages a minute.
package robotserver

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Token is part of each address, and Secret what requests are signed with.
const (
	Token  = "token-0123456789abcdef"
	Secret = "SECret-0123456789abcdef"
)

// The receivers.
const (
	DingTalk = "DingTalk"
	WeCom    = "WeCom"
	Feishu   = "Feishu"
	Webhook  = "Webhook"
)

// Server is one receiver. Use New, or Serve without a network.
type Server struct {
	Name string

	server *httptest.Server

	mu     sync.Mutex
	answer string
	status int
	cards  []string
	at     []string // who was mentioned last
	times  []time.Time
	lines  []string
}

// New starts a receiver on a free loopback port.
func New(name string) *Server {
	s := &Server{Name: name}
	s.server = httptest.NewServer(http.HandlerFunc(s.Serve))
	return s
}

// Close stops the receiver.
func (s *Server) Close() { s.server.Close() }

// URL is the receiver's address with its token.
func (s *Server) URL() string { return s.server.URL + paths[s.Name] }

var paths = map[string]string{
	DingTalk: "/robot/send?access_token=" + Token, WeCom: "/cgi-bin/webhook/send?key=" + Token, Feishu: "/open-apis/bot/v2/hook/" + Token,
	Webhook: "/alerts?token=" + Token,
}

// Answer makes the receiver answer everything with this text and HTTP status (0: 200), until both are empty.
func (s *Server) Answer(status int, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status, s.answer = status, text
}

// Cards returns the messages that were taken: their Markdown, or the webhook's body.
func (s *Server) Cards() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.cards...)
}

// Mentioned returns who the last message that was taken mentions; "all" is everybody.
func (s *Server) Mentioned() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at
}

// Requests is how many requests came, refused ones included.
func (s *Server) Requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.lines)
}

// Serve answers a request.
func (s *Server) Serve(w http.ResponseWriter, req *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, _ := io.ReadAll(req.Body) // an unreadable body fails the checks
	s.lines = append(s.lines, req.Method+" "+req.URL.Path)
	if s.status != 0 {
		w.WriteHeader(s.status)
	}
	if s.answer != "" || s.status != 0 {
		_, _ = io.WriteString(w, s.answer)
		return
	}
	now := time.Now()
	for len(s.times) > 0 && now.Sub(s.times[0]) >= time.Minute {
		s.times = s.times[1:]
	}
	s.times = append(s.times, now)
	code, text := s.check(req, body, len(s.times) > 20)
	if code == 0 {
		s.cards, s.at = append(s.cards, text), mentioned(s.Name, body)
		text = "ok"
	}
	switch s.Name {
	case Feishu:
		fmt.Fprintf(w, `{"code":%d,"msg":%q,"data":{}}`, code, text)
	case Webhook:
		if code != 0 {
			w.WriteHeader(code)
		}
	default:
		fmt.Fprintf(w, `{"errcode":%d,"errmsg":%q}`, code, text)
	}
}

// check returns 0 and the message, or the number and the text of a refusal.
func (s *Server) check(req *http.Request, body []byte, tooMany bool) (code int, text string) {
	if req.Method != http.MethodPost || req.Header.Get("Content-Type") != "application/json; charset=utf-8" {
		return 43002, "require POST method"
	}
	switch s.Name {
	case DingTalk:
		return checkDingTalk(req, body, tooMany)
	case WeCom:
		return checkWeCom(req, body, tooMany)
	case Feishu:
		return checkFeishu(req, body, tooMany)
	}
	stamp := req.Header.Get("webhook-timestamp")
	switch {
	case !isFresh(stamp, time.Second) || req.Header.Get("webhook-signature") != "v1,"+mac(Secret, req.Header.Get("webhook-id")+"."+stamp+"."+string(body)):
		return http.StatusUnauthorized, ""
	case tooMany:
		return http.StatusTooManyRequests, ""
	}
	return 0, string(body)
}

// mentioned are those whom a message mentions.
func mentioned(name string, body []byte) (at []string) {
	var m struct {
		At struct {
			AtMobiles []string
			IsAtAll   bool
		}
		Markdown struct{ Text string }
		Text     struct {
			List []string `json:"mentioned_mobile_list"`
		}
		Card struct {
			Body struct{ Elements []struct{ Content string } }
		}
	}
	if json.Unmarshal(body, &m) != nil {
		return nil
	}
	switch name {
	case DingTalk:
		for _, mobile := range m.At.AtMobiles {
			if strings.Contains(m.Markdown.Text, "@"+mobile) { // Markdown has to name them, too
				at = append(at, mobile)
			}
		}
		if m.At.IsAtAll {
			at = append(at, "all")
		}
	case WeCom:
		for _, mobile := range m.Text.List {
			at = append(at, strings.TrimPrefix(mobile, "@"))
		}
	case Feishu:
		for _, e := range m.Card.Body.Elements {
			for _, part := range mention.FindAllStringSubmatch(e.Content, -1) {
				at = append(at, part[1])
			}
		}
		slices.Sort(at)
	}
	return at
}

var mention = regexp.MustCompile(`<at id=([^>]+)></at>`)

func checkDingTalk(req *http.Request, body []byte, tooMany bool) (int, string) {
	var m struct {
		MsgType  string `json:"msgtype"`
		Markdown struct{ Title, Text string }
	}
	q := req.URL.Query()
	stamp := q.Get("timestamp")
	switch {
	case q.Get("access_token") != Token:
		return 300001, "token is not exist"
	case !isFresh(stamp, time.Millisecond) || q.Get("sign") != mac(Secret, stamp+"\n"+Secret):
		return 310000, "sign not match, token " + q.Get("access_token")
	case tooMany:
		return 130101, "send too fast, exceed 20 times per minute"
	case json.Unmarshal(body, &m) != nil || m.MsgType != "markdown" || m.Markdown.Title == "" || m.Markdown.Text == "" || len(body) > 20000:
		return 400501, "bad message"
	}
	return 0, m.Markdown.Text
}

func checkWeCom(req *http.Request, body []byte, tooMany bool) (int, string) {
	var m struct {
		MsgType  string `json:"msgtype"`
		Markdown struct{ Content string }
		Text     struct{ Content string }
	}
	switch {
	case req.URL.Query().Get("key") != Token:
		return 93000, "invalid webhook url"
	case tooMany:
		return 45009, "api freq out of limit"
	case json.Unmarshal(body, &m) == nil && m.MsgType == "text" && m.Text.Content != "":
		if len(m.Text.Content) > 2048 {
			return 40058, "text.content exceed max length 2048"
		}
		return 0, m.Text.Content
	case m.MsgType != "markdown" || m.Markdown.Content == "" || len(m.Markdown.Content) > 4096:
		return 40058, "markdown.content exceed max length 4096"
	}
	return 0, m.Markdown.Content
}

func checkFeishu(req *http.Request, body []byte, tooMany bool) (int, string) {
	var m struct {
		Timestamp string
		Sign      string
		Type      string `json:"msg_type"`
		Card      struct {
			Schema string
			Header struct{ Title struct{ Tag, Content string } }
			Body   struct {
				Elements []struct{ Tag, Content string }
			}
		}
	}
	switch {
	case json.Unmarshal(body, &m) != nil:
		return 9499, "Bad Request"
	case req.URL.Path != paths[Feishu]:
		return 19001, "param invalid: incoming webhook access token invalid"
	case !isFresh(m.Timestamp, time.Second) || m.Sign != mac(m.Timestamp+"\n"+Secret, ""):
		return 19021, "sign match fail or timestamp is not within one hour from current time"
	case tooMany:
		return 11232, "frequency limited psm"
	case m.Type != "interactive" || m.Card.Schema != "2.0" || m.Card.Header.Title.Tag != "plain_text" || len(m.Card.Body.Elements) != 1 || m.Card.Body.Elements[0].Tag != "markdown" || len(body) > 20000:
		return 9499, "Bad Request"
	}
	return 0, m.Card.Header.Title.Content + "\n" + m.Card.Body.Elements[0].Content
}

func mac(key, text string) string {
	m := hmac.New(sha256.New, []byte(key))
	m.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(m.Sum(nil))
}

func isFresh(stamp string, unit time.Duration) bool {
	n, err := strconv.ParseInt(stamp, 10, 64)
	return err == nil && time.Since(time.Unix(0, 0).Add(time.Duration(n)*unit)).Abs() < time.Hour
}
