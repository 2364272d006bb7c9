package alert

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// message is a request to a receiver.
type message struct {
	url    string
	header map[string]string
	body   []byte
}

// protocol is how a receiver is spoken to.
type protocol struct {
	request func(t Target, n *Notice, zone *time.Location, now time.Time) (message, error)
	// refused reads the response to a request that was answered with HTTP 2xx: the refusal's number, 0 for none, and text.
	refused func(body []byte) (code int, text string)
	// tooMany are the refusals that mean: later.
	tooMany []int
}

var protocols = map[string]protocol{
	DingTalk: {dingTalk, errcode, []int{130101, 410100}},
	WeCom:    {weCom, errcode, []int{45009}},
	Feishu:   {feishu, feishuCode, []int{11232, 11233}},
	Webhook:  {webhook, func([]byte) (int, string) { return 0, "" }, nil},
}

// maxContent bounds a card, in bytes: WeCom takes 4096, the others about 20,000.
const maxContent = 4000

// dingTalk signs in the address: HMAC-SHA256 over the time in milliseconds, a line feed and the secret, with the secret.
func dingTalk(t Target, n *Notice, zone *time.Location, now time.Time) (message, error) {
	address := t.URL
	if t.Secret != "" {
		u, err := url.Parse(t.URL)
		if err != nil {
			return message{}, errNoAddress
		}
		stamp := strconv.FormatInt(now.UnixMilli(), 10)
		q := u.Query()
		q.Set("timestamp", stamp)
		q.Set("sign", sign([]byte(t.Secret), stamp+"\n"+t.Secret))
		u.RawQuery = q.Encode()
		address = u.String()
	}
	body := map[string]any{"msgtype": "markdown"}
	mentions := ""
	if at := t.mentions(n); len(at) > 0 || t.all(n) {
		body["at"] = map[string]any{"atMobiles": at, "isAtAll": t.all(n)}
		for _, mobile := range at { // it mentions those whose numbers stand in the text, too
			mentions += " @" + mobile
		}
		mentions = "\n\n" + mentions
	}
	body["markdown"] = map[string]string{"title": n.heading(), "text": n.card(maxContent-len(mentions), zone) + mentions}
	return jsonMessage(address, body)
}

// mentions are those who are mentioned: only by a notice that is to wake people.
func (t Target) mentions(n *Notice) []string {
	if !n.Page {
		return nil
	}
	return t.At
}

func (t Target) all(n *Notice) bool { return n.Page && t.AtAll }

// maxText bounds a text of WeCom, in bytes: it takes 2048.
const maxText = 2000

// weCom does not sign: the key is in the address. Its Markdown mentions nobody by a mobile number; a text does.
func weCom(t Target, n *Notice, zone *time.Location, _ time.Time) (message, error) {
	at := t.mentions(n)
	if t.all(n) {
		at = append(slices.Clone(at), "@all")
	}
	if len(at) > 0 {
		return jsonMessage(t.URL, map[string]any{
			"msgtype": "text", "text": map[string]any{"content": strings.TrimPrefix(n.card(maxText, zone), "### "), "mentioned_mobile_list": at},
		})
	}
	return jsonMessage(t.URL, map[string]any{"msgtype": "markdown", "markdown": map[string]string{"content": n.card(maxContent, zone)}})
}

// feishu signs in the body: HMAC-SHA256 over nothing, with the time in seconds, a line feed and the secret as the key.
func feishu(t Target, n *Notice, zone *time.Location, now time.Time) (message, error) {
	color := map[Status]string{Opened: "red", StillOpen: "orange", Over: "green", Test: "blue"}[n.Status]
	mentions := ""
	if t.all(n) {
		mentions = "\n\n<at id=all></at>"
	}
	for _, id := range t.mentions(n) {
		mentions += "\n\n<at id=" + id + "></at>"
	}
	body := map[string]any{
		"msg_type": "interactive",
		"card": map[string]any{
			"schema": "2.0", // the first form of cards shows neither quotes nor code
			"header": map[string]any{"title": map[string]string{"tag": "plain_text", "content": n.heading()}, "template": color},
			"body": map[string]any{
				"elements": []any{map[string]string{"tag": "markdown", "content": n.markdown(maxContent-len(mentions), zone) + mentions}},
			},
		},
	}
	if t.Secret != "" {
		stamp := strconv.FormatInt(now.Unix(), 10)
		body["timestamp"], body["sign"] = stamp, sign([]byte(stamp+"\n"+t.Secret), "")
	}
	return jsonMessage(t.URL, body)
}

func sign(key []byte, text string) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func jsonMessage(address string, body any) (message, error) {
	b, err := json.Marshal(body)
	return message{url: address, body: b}, err
}

// errcode reads the response of DingTalk and WeCom. One without errcode is a refusal: it comes from somebody else.
func errcode(body []byte) (int, string) {
	var r struct {
		Code *int   `json:"errcode"`
		Text string `json:"errmsg"`
	}
	if json.Unmarshal(body, &r) != nil || r.Code == nil {
		return -1, "the response is not a robot's"
	}
	return *r.Code, r.Text
}

// feishuCode reads the response of Feishu, which has two forms.
func feishuCode(body []byte) (int, string) {
	var r struct {
		Code       *int   `json:"code"`
		Text       string `json:"msg"`
		StatusCode *int   `json:"StatusCode"`
	}
	switch err := json.Unmarshal(body, &r); {
	case err == nil && r.Code != nil:
		return *r.Code, r.Text
	case err == nil && r.StatusCode != nil:
		return *r.StatusCode, r.Text
	}
	return -1, "the response is not a robot's"
}
