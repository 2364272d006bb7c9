package alert

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strconv"
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
	return jsonMessage(address, map[string]any{
		"msgtype":  "markdown",
		"markdown": map[string]string{"title": n.heading(), "text": "### " + n.heading() + "\n\n" + n.markdown(maxContent-len(n.heading()), zone)},
	})
}

// weCom does not sign: the key is in the address.
func weCom(t Target, n *Notice, zone *time.Location, _ time.Time) (message, error) {
	return jsonMessage(t.URL, map[string]any{
		"msgtype":  "markdown",
		"markdown": map[string]string{"content": "### " + n.heading() + "\n\n" + n.markdown(maxContent-len(n.heading()), zone)},
	})
}

// feishu signs in the body: HMAC-SHA256 over nothing, with the time in seconds, a line feed and the secret as the key.
func feishu(t Target, n *Notice, zone *time.Location, now time.Time) (message, error) {
	color := map[Status]string{Opened: "red", StillOpen: "orange", Over: "green", Test: "blue"}[n.Status]
	body := map[string]any{
		"msg_type": "interactive",
		"card": map[string]any{
			"header":   map[string]any{"title": map[string]string{"tag": "plain_text", "content": n.heading()}, "template": color},
			"elements": []any{map[string]string{"tag": "markdown", "content": n.markdown(maxContent, zone)}},
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
