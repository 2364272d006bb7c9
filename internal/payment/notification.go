package payment

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/encoding/simplifiedchinese"
)

// Notification is what JD says about one payment.
type Notification struct {
	OrderNo    string    `json:"order_no"`
	PayType    string    `json:"pay_type"`
	Amount     Fen       `json:"amount_fen"`
	PayTime    time.Time `json:"pay_time"`
	ExternalID string    `json:"external_id,omitempty"` // JD's own trade number

	OrderType    string `json:"order_type,omitempty"`
	OrderSource  string `json:"order_source,omitempty"`
	BusinessType string `json:"business_type,omitempty"`
	OutBizNo     string `json:"out_biz_no,omitempty"`
	TermNo       string `json:"term_no,omitempty"`

	Status string `json:"status,omitempty"` // the configured status field's value; empty if there is none
	GBK    bool   `json:"gbk,omitempty"`    // the payload was not UTF-8: JD's older products send GBK
}

// field is a text of a notification and its column in kernelorder_charge.
type field struct {
	column string
	value  *string
}

// descriptive are the texts that only describe a payment: nothing is decided by them.
func (n *Notification) descriptive() []field {
	return []field{
		{"order_type", &n.OrderType},
		{"order_source", &n.OrderSource},
		{"business_type", &n.BusinessType},
		{"out_biz_no", &n.OutBizNo},
		{"term_no", &n.TermNo},
	}
}

// Format is what the configuration says about payloads.
type Format struct {
	InFen       bool           // payAmount is in fen instead of yuan
	Zone        *time.Location // of times that name none
	StatusField string         // empty: none
}

// orderNoLength is the size of the order number's column, in characters; other sizes stand beside the fields below.
const orderNoLength = 64

// DecodeNotification reads the payload of a verified envelope. Of a status, only that inside of data is looked at. Every
// error is an ErrMalformed that names the field.
func DecodeNotification(e Envelope, f Format) (Notification, error) {
	p, err := decodePayload(e.Data)
	if err != nil {
		return Notification{}, err
	}
	return f.notification(p)
}

// payload is the decoded data of an envelope.
type payload struct {
	text   []byte            // JSON, UTF-8
	fields map[string]string // by lower-case name, values as text
	gbk    bool
}

func decodePayload(data string) (p payload, err error) {
	data = strings.TrimSpace(data)
	p.text = []byte(data)
	if !strings.HasPrefix(data, "{") {
		if p.text, err = decodeBase64(data); err != nil {
			return p, malformed("data is not base64: %v", err)
		}
	}
	if !utf8.Valid(p.text) {
		if p.text, err = simplifiedchinese.GBK.NewDecoder().Bytes(p.text); err != nil || !utf8.Valid(p.text) {
			return p, malformed("data is neither UTF-8 nor GBK")
		}
		p.gbk = true
	}
	o, err := readObject(p.text)
	if err != nil {
		return p, malformed("data is not a JSON object: %v", err)
	}
	p.fields = make(map[string]string, len(o))
	names := make(map[string]string, len(o))
	for _, m := range o {
		lower := strings.ToLower(m.name)
		if before, ok := names[lower]; ok && before != m.name {
			return p, malformed("data: fields %q and %q differ only in case", cut(before, 40), cut(m.name, 40))
		}
		names[lower] = m.name
		if p.fields[lower], err = scalar(m.raw); err != nil {
			return p, malformed("data: field %q: %v", cut(m.name, 40), err)
		}
	}
	return p, nil
}

func (p payload) get(name string) string { return strings.TrimSpace(p.fields[strings.ToLower(name)]) }

// orderNo is the order that a payload speaks of; empty if it names none that could exist.
func (p payload) orderNo() string {
	if no := p.get("orderNo"); utf8.RuneCountInString(no) <= orderNoLength {
		return no
	}
	return ""
}

// isPayment reports whether a payload is about a payment, and not a cabinet's reply.
func (p payload) isPayment() bool { return p.get("orderNo") != "" && p.get("payAmount") != "" }

func (f Format) notification(p payload) (n Notification, err error) {
	n = Notification{
		OrderNo:      p.get("orderNo"),
		PayType:      p.fields["paytype"], // exactly as it came: only exactly WXPAY is WeChat
		ExternalID:   p.get("externalId"),
		OrderType:    fit(p.get("orderType"), 64),
		OrderSource:  fit(p.get("orderSource"), 64),
		BusinessType: fit(p.get("businessType"), 64),
		OutBizNo:     fit(p.get("outBizNo"), 128),
		TermNo:       fit(p.get("termNo"), 64),
		GBK:          p.gbk,
	}
	switch _, typed := p.fields["paytype"]; {
	case n.OrderNo == "":
		return n, malformed("orderNo is missing")
	case utf8.RuneCountInString(n.OrderNo) > orderNoLength:
		return n, malformed("orderNo %q is longer than %d characters", cut(n.OrderNo, 40), orderNoLength)
	case !typed:
		return n, malformed("payType is missing")
	case utf8.RuneCountInString(n.ExternalID) > 128:
		return n, malformed("externalId %q is longer than 128 characters", cut(n.ExternalID, 40))
	}
	amount := p.get("payAmount")
	if amount == "" {
		return n, malformed("payAmount is missing")
	}
	if f.InFen {
		n.Amount, err = ParseFen(amount)
	} else {
		n.Amount, err = ParseYuan(amount)
	}
	if err != nil {
		return n, err
	}
	if n.PayTime, err = parsePayTime(p.get("payTime"), f.Zone); err != nil {
		return n, err
	}
	if f.StatusField != "" {
		n.Status = p.get(f.StatusField)
	}
	return n, nil
}

// fit cuts a descriptive text to its column: an over-long one is no reason to leave a payment unbooked, and the whole
// of it stays in the kept message.
func fit(s string, most int) string {
	if len(s) <= most {
		return s
	}
	if r := []rune(s); len(r) > most {
		return string(r[:most])
	}
	return s
}

// payTimeLayouts are the forms in which JD's products write times; fractions of a second are accepted with each.
var payTimeLayouts = []string{
	"2006-01-02 15:04:05",
	"2006-01-02T15:04:05",
	"2006-01-02T15:04:05Z07:00",
	"2006-01-02T15:04:05Z0700",
	"2006-01-02 15:04:05Z07:00",
	"20060102T150405",
	"20060102T150405Z07:00",
	"20060102T150405Z0700",
}

func parsePayTime(s string, zone *time.Location) (time.Time, error) {
	t, ok := time.Time{}, false
	switch {
	case s == "":
		return t, malformed("payTime is missing")
	case len(s) == 14 && digits(s):
		parsed, err := time.ParseInLocation("20060102150405", s, zone)
		t, ok = parsed, err == nil
	case len(s) == 13 && digits(s):
		ms, err := strconv.ParseInt(s, 10, 64)
		t, ok = time.UnixMilli(ms).In(zone), err == nil
	default:
		for _, layout := range payTimeLayouts {
			if parsed, err := time.ParseInLocation(layout, s, zone); err == nil {
				t, ok = parsed.In(zone), true
				break
			}
		}
	}
	if !ok || t.Year() < 2000 || t.Year() > 2999 {
		return time.Time{}, malformed("payTime %q is not a time: expected 2006-01-02 15:04:05, 20060102150405, ISO 8601 or epoch milliseconds", cut(s, 40))
	}
	return t, nil
}

func digits(s string) bool { return strings.Trim(s, "0123456789") == "" }
