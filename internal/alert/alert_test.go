package alert

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"jdpay-listener/internal/sandbox/robotserver"
)

var names = []string{DingTalk, WeCom, Feishu, Webhook}

// receiver starts a stand-in.
func receiver(t *testing.T, name string) *robotserver.Server {
	r := robotserver.New(name)
	t.Cleanup(r.Close)
	return r
}

// target is how the receiver is configured.
func target(r *robotserver.Server) Target {
	if r.Name == WeCom {
		return Target{Name: r.Name, URL: r.URL()}
	}
	return Target{Name: r.Name, URL: r.URL(), Secret: robotserver.Secret}
}

func notice(lang string) *Notice {
	return &Notice{
		ID: "alert:1", Status: Opened, Cause: "paid_twice", Language: lang, Title: map[string]string{"en": "an order was paid twice", "zh": "订单重复支付"}[lang],
		Text: []string{"Order R1 was paid a second time.", "第二段"}, Orders: []string{"R1"}, Jobs: []int64{7}, Commands: []string{"jdpay-listener explain R1"},
		Console: "https://console.test/orders/R1", Since: time.Unix(1763640000, 0), At: time.Unix(1763640001, 0), Instance: "host-1",
	}
}

// TestReceiversTakeNotices sends a notice to each receiver, which checks what the real one checks.
func TestReceiversTakeNotices(t *testing.T) {
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			r := receiver(t, name)
			s := NewSender([]Target{target(r)})
			defer s.Close()
			n := notice("zh")
			if err := s.Send(t.Context(), name, n, time.FixedZone("", 8*3600)); err != nil {
				t.Fatal(err)
			}
			cards := r.Cards()
			if len(cards) != 1 {
				t.Fatalf("%d cards", len(cards))
			}
			if name == Webhook {
				var got Notice
				if err := json.Unmarshal([]byte(cards[0]), &got); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(*n, got, cmp.Comparer(time.Time.Equal)); diff != "" {
					t.Error(diff)
				}
				return
			}
			for _, part := range []string{
				"🔴 jdpay: 订单重复支付", "\n\n第二段\n\n", "> 执行 `jdpay-listener explain R1`", "[打开控制台](https://console.test/orders/R1)",
				"开始于 2025-11-20 20:00:00，来自 host-1",
			} {
				if !strings.Contains(cards[0], part) {
					t.Errorf("the card lacks %q:\n%s", part, cards[0])
				}
			}
		})
	}
}

// TestRefusalsAreErrorsWithoutSecrets lets receivers refuse in their own ways, most of them with HTTP 200.
func TestRefusalsAreErrorsWithoutSecrets(t *testing.T) {
	cases := map[string]struct {
		receiver string
		change   func(r *robotserver.Server, target *Target)
		want     string
		later    bool
	}{
		"DingTalk, wrong secret": {DingTalk, func(_ *robotserver.Server, t *Target) { t.Secret = "another-secret" }, "it refuses the notice: code 310000, sign not match, token ***", false},
		"DingTalk, unknown token": {DingTalk, func(_ *robotserver.Server, t *Target) {
			t.URL = strings.Replace(t.URL, robotserver.Token, "another-token", 1)
		}, "code 300001, token is not exist", false},
		"DingTalk, too many": {DingTalk, func(r *robotserver.Server, _ *Target) { r.Answer(0, `{"errcode":130101,"errmsg":"send too fast"}`) }, "too many notices: code 130101, send too fast", true},
		"WeCom, wrong key":   {WeCom, func(_ *robotserver.Server, t *Target) { t.URL += "x" }, "code 93000, invalid webhook url", false},
		"WeCom, too many": {WeCom, func(r *robotserver.Server, _ *Target) {
			r.Answer(0, `{"errcode":45009,"errmsg":"api freq out of limit"}`)
		}, "too many notices: code 45009", true},
		"Feishu, wrong secret":     {Feishu, func(_ *robotserver.Server, t *Target) { t.Secret = "another-secret" }, "code 19021, sign match fail", false},
		"Feishu, not signed":       {Feishu, func(_ *robotserver.Server, t *Target) { t.Secret = "" }, "code 19021", false},
		"Feishu, too many":         {Feishu, func(r *robotserver.Server, _ *Target) { r.Answer(0, `{"code":11232,"msg":"frequency limited"}`) }, "too many notices: code 11232", true},
		"Feishu, its older answer": {Feishu, func(r *robotserver.Server, _ *Target) { r.Answer(0, `{"StatusCode":0,"StatusMessage":"success"}`) }, "", false},
		"a page of a proxy":        {WeCom, func(r *robotserver.Server, _ *Target) { r.Answer(0, "<html>sign in</html>") }, "it refuses the notice: the response is not a robot's", false},
		"webhook, wrong secret":    {Webhook, func(_ *robotserver.Server, t *Target) { t.Secret = "another-secret" }, "it answers 401 Unauthorized", false},
		"webhook, a redirect":      {Webhook, func(r *robotserver.Server, _ *Target) { r.Answer(http.StatusFound, "") }, "it answers 302 Found", false},
		"webhook, too many":        {Webhook, func(r *robotserver.Server, _ *Target) { r.Answer(http.StatusTooManyRequests, "") }, "too many notices: 429", true},
		"nobody listens":           {DingTalk, func(r *robotserver.Server, _ *Target) { r.Close() }, "connection refused", false},
		"an unreadable address":    {WeCom, func(_ *robotserver.Server, t *Target) { t.URL = "http://h:p\x7f/?key=" + robotserver.Token }, "its address cannot be read", false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := receiver(t, c.receiver)
			to := target(r)
			c.change(r, &to)
			s := NewSender([]Target{to})
			defer s.Close()
			err := s.Send(t.Context(), c.receiver, notice("en"), time.UTC)
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var later *TooManyError
			if err == nil || !strings.Contains(err.Error(), c.want) || errors.As(err, &later) != c.later {
				t.Errorf("%v, want %s", err, c.want)
			}
			for ; err != nil; err = errors.Unwrap(err) {
				for _, secret := range []string{robotserver.Token, robotserver.Secret, "another-token", "another-secret", "sign="} {
					if strings.Contains(err.Error(), secret) {
						t.Errorf("the error holds %q: %v", secret, err)
					}
				}
			}
		})
	}
	if err := NewSender(nil).Send(t.Context(), WeCom, notice("en"), time.UTC); !errors.Is(err, ErrNoTarget) {
		t.Errorf("without a target: %v", err)
	}
}

// TestNoMoreThanTwentyAMinute sends as fast as the sender allows for some minutes, and requires that the robot never refuses.
func TestNoMoreThanTwentyAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &robotserver.Server{Name: DingTalk}
		s := NewSender([]Target{{Name: DingTalk, URL: "http://robot.test/robot/send?access_token=" + robotserver.Token, Secret: robotserver.Secret}})
		s.client.Transport = handler(r.Serve)
		for begin := time.Now(); time.Since(begin) < 5*time.Minute; {
			err := s.Send(context.Background(), DingTalk, notice("en"), time.UTC)
			var later *TooManyError
			switch {
			case errors.As(err, &later) && later.RetryAfter <= sendInterval:
				time.Sleep(later.RetryAfter)
			case err != nil:
				t.Fatal(err)
			}
		}
		if n := len(r.Cards()); n < 50 || n > 61 {
			t.Errorf("%d cards in five minutes, want about ten a minute after a burst of ten", n)
		}
	})
}

// handler answers requests without a network.
type handler http.HandlerFunc

func (h handler) RoundTrip(req *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	h(w, req)
	return w.Result(), nil
}

// TestCards looks at what cannot be seen by a receiver.
func TestCards(t *testing.T) {
	n := notice("en")
	n.Text = []string{"Reason: [open](http://evil.test) <at id=all></at> @all\n\x1b[31m" + strings.Repeat("字", 3000)}
	n.Orders, n.Commands = nil, []string{"jdpay-listener explain 'R`1'"}
	card := n.markdown(maxContent, time.UTC)
	for _, bad := range []string{"[open]", "http://evil", "<at", "@all", "\x1b", "explain 'R`1'"} {
		if strings.Contains(card, bad) {
			t.Errorf("the card holds %q", bad)
		}
	}
	if len(card) > maxContent || !strings.Contains(card, "字…\n\n> Run `jdpay-listener explain 'R'1'`") || !strings.HasSuffix(card, "from host-1") {
		t.Errorf("%d bytes, ending in %q", len(card), card[len(card)-200:])
	}
}

// TestWebhookKey uses the example of Standard Webhooks.
func TestWebhookKey(t *testing.T) {
	key := webhookKey("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	got := sign(key, `msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{"test": 2432232314}`)
	if want := "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if string(webhookKey("any text")) != "any text" {
		t.Error("a text is not its own key")
	}
}

// TestMentions: who is to be woken is mentioned, and nobody by information or by what is over; whatever the length.
func TestMentions(t *testing.T) {
	for _, name := range names[:3] {
		for _, page := range []bool{true, false} {
			r := receiver(t, name)
			to := target(r)
			to.At, to.AtAll = []string{"13800000000", "13900000000"}, true
			s := NewSender([]Target{to})
			defer s.Close()
			n := notice("zh")
			n.Page, n.Text = page, []string{strings.Repeat("长文本", 3000)}
			if err := s.Send(t.Context(), name, n, time.UTC); err != nil {
				t.Fatal(name, err)
			}
			mentioned := strings.Join(r.Mentioned(), " ")
			if want := map[bool]string{true: "13800000000 13900000000 all", false: ""}[page]; mentioned != want {
				t.Errorf("%s: page %v mentions %q, want %q", name, page, mentioned, want)
			}
			if card := r.Cards()[0]; !strings.Contains(card, "jdpay-listener explain R1") || !strings.Contains(card, "开始于") {
				t.Errorf("%s: the end of the card is cut:\n%s", name, card[len(card)-300:])
			}
		}
	}
}
