package message

import (
	"encoding/base64"
	"fmt"
)

// signVectors are the signatures of vectorEnvelope with the key TESTKEY, empty fields left out, by profile (domain notes
// §1.3).
var signVectors = map[string]string{
	"kv_amp_bare":       "7ffdd9c22195fc9855d8892c0ded9388",
	"kv_append":         "364fe393d0d0d2212abc4ba9ccc54016",
	"kv_amp_key":        "ab76abc76c3dd0539127bc315da314de",
	"concat_kv":         "eecbecddeb3ad1c1e8b15add56fc9fbd",
	"concat_kv_wrapped": "67c9b2c664aafacf9db8cbad1309b2cc",
	"values_only":       "de4ec551b1af04a3fdd254e945f90599",
	"data_key":          "a0af793b4e542acb79a7417fc05e3637",
	"key_data":          "9cae13df558eb2162d16ca12e1dc4f00",
}

// vectorEnvelope is the message that signVectors sign.
func vectorEnvelope() Envelope {
	data := base64.StdEncoding.EncodeToString([]byte(`{"orderNo":"R20200101001","payType":"WXPAY","payAmount":"8.00","payTime":"2020-01-01 12:00:00"}`))
	return Envelope{Data: data, Fields: []Field{
		{"timestamp", "20200101120001"}, {"remark", ""}, {"data", data}, {"merchantNo", "110000001"}, {"sign", "whatever"},
	}}
}

// SelfTest returns an error unless the profile signs the documented example as documented.
func SelfTest(profile string) error {
	p := Profile{Name: profile, SkipEmpty: true}
	if got, want := p.Sign(vectorEnvelope(), "TESTKEY"), signVectors[profile]; got != want {
		return fmt.Errorf("profile %s signs the documented example with %s instead of %s", profile, got, want)
	}
	return nil
}
