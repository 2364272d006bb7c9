package message

import (
	"bytes"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/encoding/simplifiedchinese"
)

// Notification is JD's notification of one payment.
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
	GBK    bool   `json:"gbk,omitempty"`    // the payload was not UTF-8: JD's older products send GBK or GB18030
}

// Format is the configured format of payloads.
type Format struct {
	InFen       bool           // payAmount is in fen instead of yuan
	Zone        *time.Location // of times without a zone
	StatusField string         // empty: none
}

// maxOrderNo is the length of the order number's column, in characters; the lengths of other columns stand at their fields
// below. maxExternalID is the length of the longest trade number that is read: whether its column holds it is the database's word.
const (
	maxOrderNo    = 64
	maxExternalID = 255
)

// Payload is the decoded data of an envelope.
type Payload struct {
	Text []byte // JSON, UTF-8
	GBK  bool   // it arrived as GBK or GB18030 instead of UTF-8

	fields map[string]string // by lower-case name, values as text
}

// DecodePayload decodes the data of an envelope. Every error is an ErrMalformed.
func DecodePayload(data string) (p Payload, err error) {
	data = strings.TrimSpace(strings.TrimPrefix(data, "\ufeff"))
	p.Text = []byte(data)
	if !strings.HasPrefix(data, "{") {
		if p.Text, err = decodeBase64(data); err != nil {
			return p, Malformedf("data is not base64: %v", err)
		}
	}
	if !utf8.Valid(p.Text) {
		// GB18030 has all of GBK, and every other character, too.
		if p.Text, err = simplifiedchinese.GB18030.NewDecoder().Bytes(p.Text); err != nil || !utf8.Valid(p.Text) {
			return p, Malformedf("data is neither UTF-8 nor GB18030")
		}
		p.GBK = true
	}
	p.Text = bytes.TrimPrefix(p.Text, []byte("\ufeff"))
	o, err := readObject(p.Text)
	if err != nil {
		return p, Malformedf("data is not a JSON object: %v", err)
	}
	p.fields = make(map[string]string, len(o))
	names := make(map[string]string, len(o))
	for _, m := range o {
		lower := strings.ToLower(m.name)
		if before, ok := names[lower]; ok && before != m.name {
			return p, Malformedf("data: fields %q and %q differ only in case", Cut(before, 40), Cut(m.name, 40))
		}
		names[lower] = m.name
		if p.fields[lower], err = scalar(m.raw); err != nil {
			return p, Malformedf("data: field %q: %v", Cut(m.name, 40), err)
		}
	}
	return p, nil
}

// Get returns the value of a field without surrounding white space; it ignores the case of the name.
func (p Payload) Get(name string) string { return strings.TrimSpace(p.fields[strings.ToLower(name)]) }

// OrderNo returns the order number in a payload; it is empty if there is none or if it is too long.
func (p Payload) OrderNo() string {
	if no := p.Get("orderNo"); utf8.RuneCountInString(no) <= maxOrderNo {
		return no
	}
	return ""
}

// IsPayment reports whether a payload is a payment; if not, it is taken for a cabinet's reply.
func (p Payload) IsPayment() bool { return p.Get("orderNo") != "" && p.Get("payAmount") != "" }

// notification reads a payload, with the status only if it is in the payload. Every error is an ErrMalformed that names the
// field.
func (f Format) notification(p Payload) (n Notification, err error) {
	n = Notification{
		OrderNo:      p.Get("orderNo"),
		PayType:      p.fields["paytype"], // not trimmed: only exactly WXPAY is WeChat
		ExternalID:   p.Get("externalId"),
		OrderType:    fit(p.Get("orderType"), 64),
		OrderSource:  fit(p.Get("orderSource"), 64),
		BusinessType: fit(p.Get("businessType"), 64),
		OutBizNo:     fit(p.Get("outBizNo"), 128),
		TermNo:       fit(p.Get("termNo"), 64),
		GBK:          p.GBK,
	}
	switch _, typed := p.fields["paytype"]; {
	case n.OrderNo == "":
		return n, Malformedf("orderNo is missing")
	case utf8.RuneCountInString(n.OrderNo) > maxOrderNo:
		return n, Malformedf("orderNo %q is longer than %d characters", Cut(n.OrderNo, 40), maxOrderNo)
	case !typed:
		return n, Malformedf("payType is missing")
	case utf8.RuneCountInString(n.ExternalID) > maxExternalID:
		return n, Malformedf("externalId %q is longer than %d characters", Cut(n.ExternalID, 40), maxExternalID)
	}
	amount := p.Get("payAmount")
	if amount == "" {
		return n, Malformedf("payAmount is missing")
	}
	if f.InFen {
		n.Amount, err = ParseFen(amount)
	} else {
		n.Amount, err = ParseYuan(amount)
	}
	if err != nil {
		return n, err
	}
	if n.PayTime, err = parsePayTime(p.Get("payTime"), f.Zone); err != nil {
		return n, err
	}
	if f.StatusField != "" {
		n.Status = p.Get(f.StatusField)
	}
	return n, nil
}

// fit cuts a descriptive text to its column's length, so that the payment can be settled. The kept message has all of it.
func fit(s string, maxChars int) string {
	if len(s) <= maxChars {
		return s
	}
	if r := []rune(s); len(r) > maxChars {
		return string(r[:maxChars])
	}
	return s
}

// payTimeLayouts are the layouts in which JD's products and .NET write times. Each may have fractions of a second, and one digit
// where month, day or hour have no second one.
var payTimeLayouts = func() (layouts []string) {
	zones := []string{"", "Z07:00", "Z0700", "Z07", " Z07:00", " Z0700"}
	for _, date := range []string{"2006-1-2 ", "2006-1-2T", "2006/1/2 "} {
		for _, zone := range zones {
			layouts = append(layouts, date+"15:04:05"+zone, date+"15:04"+zone)
		}
	}
	for _, zone := range zones[:4] {
		layouts = append(layouts, "20060102T150405"+zone, "20060102T1504"+zone)
	}
	return layouts
}()

// maxPayTime is the length of the longest text that is tried as a time.
const maxPayTime = 40

func parsePayTime(s string, zone *time.Location) (time.Time, error) {
	t, ok := time.Time{}, false
	switch {
	case s == "":
		return t, Malformedf("payTime is missing")
	case len(s) > maxPayTime:
	case len(s) == 14 && digits(s):
		parsed, err := time.ParseInLocation("20060102150405", s, zone)
		t, ok = parsed, err == nil
	case len(s) == 13 && digits(s):
		ms, err := strconv.ParseInt(s, 10, 64)
		t, ok = time.UnixMilli(ms).In(zone), err == nil
	case len(s) == 10 && digits(s):
		seconds, err := strconv.ParseInt(s, 10, 64)
		t, ok = time.Unix(seconds, 0).In(zone), err == nil
	default:
		for _, layout := range payTimeLayouts {
			if parsed, err := time.ParseInLocation(layout, s, zone); err == nil {
				t, ok = parsed.In(zone), true
				break
			}
		}
	}
	if !ok || t.Year() < 2000 || t.Year() > 2999 {
		return time.Time{}, Malformedf("payTime %q is not a time: expected 2006-01-02 15:04:05, 2006/1/2 15:04, 20060102150405, ISO 8601, or epoch seconds or milliseconds", Cut(s, 40))
	}
	return t, nil
}

func digits(s string) bool { return strings.Trim(s, "0123456789") == "" }
