package sandbox

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"sort"
	"strings"
)

// Payment is JD's notification of a payment.
type Payment struct {
	OrderNo    string `json:"orderNo"`
	PayType    string `json:"payType"`
	PayAmount  string `json:"payAmount"`
	PayTime    string `json:"payTime"`
	ExternalID string `json:"externalId,omitempty"`
	OrderType  string `json:"orderType,omitempty"`
	PayStatus  string `json:"payStatus,omitempty"`
}

// Envelope signs a payload as JD does with the profile kv_amp_bare: fields sorted by name, a=1&b=2&KEY, MD5. It is
// written from the specification and does not use the daemon's code, which it tests.
func Envelope(payload []byte, key string) map[string]string {
	fields := map[string]string{
		"merchantNo": "110000001", "timestamp": "20201120120001", "data": base64.StdEncoding.EncodeToString(payload),
	}
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	sort.Strings(names)
	text := ""
	for _, name := range names {
		text += name + "=" + fields[name] + "&"
	}
	sum := md5.Sum([]byte(text + key))
	fields["sign"] = hex.EncodeToString(sum[:])
	return fields
}

// Message is the queue message of a payment.
func (p Payment) Message(key string) string { return message(Envelope(encode(p), key)) }

// amountOf returns the amount in a payment's message, which is an envelope as JSON or in base64; empty: it cannot be read.
func amountOf(body string) string {
	if text, err := base64.StdEncoding.DecodeString(body); err == nil {
		body = string(text)
	}
	var envelope struct {
		Data []byte `json:"data"`
	}
	var payload struct {
		PayAmount json.RawMessage `json:"payAmount"`
	}
	if json.Unmarshal([]byte(body), &envelope) != nil || json.Unmarshal(envelope.Data, &payload) != nil {
		return ""
	}
	return strings.Trim(string(payload.PayAmount), `"`)
}

// Reply is a cabinet's reply to a command.
type Reply struct {
	MessageID string `json:"messageId"`
	Device    string `json:"deviceSn"`
	Code      string `json:"code"`
	Text      string `json:"message"`
}

// Message is the queue message of a reply.
func (r Reply) Message(key string) string { return message(Envelope(encode(r), key)) }

func message(fields map[string]string) string { return string(encode(fields)) }

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings only
	}
	return b
}
