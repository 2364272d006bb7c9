package message

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/encoding/simplifiedchinese"
	"pgregory.net/rapid"
)

var beijing = time.FixedZone("CST", 8*3600)

func TestParseEnvelope(t *testing.T) {
	const plain = `{"merchantNo":"1","timestamp":20200101120001,"amount":8.00,"nothing":null,"nested":{"a": [1]},"text":"a\"\u4e16","data":"ZGF0YQ==","sign":"ABC"}`
	want := map[string]string{"merchantNo": "1", "timestamp": "20200101120001", "amount": "8.00", "nothing": "", "nested": `{"a": [1]}`, "text": "a\"世", "data": "ZGF0YQ==", "sign": "ABC"}
	b64 := base64.StdEncoding.EncodeToString([]byte(plain))
	for name, tt := range map[string]struct {
		body string
		enc  BodyEncoding
	}{
		"raw":                     {plain, BodyRaw},
		"raw, detected":           {plain, BodyAuto},
		"byte order mark":         {"\ufeff \n" + plain, BodyAuto},
		"base64":                  {b64, BodyBase64},
		"base64, detected":        {b64, BodyAuto},
		"base64 with line breaks": {b64[:40] + "\r\n" + b64[40:], BodyAuto},
		"URL-safe base64":         {strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(b64), BodyAuto},
		"wrapped by a topic":      {fmt.Sprintf(`{"TopicOwner":"1","TopicName":"t","Message":%q}`, plain), BodyAuto},
		"wrapped and encoded":     {fmt.Sprintf(`{"TopicName":"t","Message":%q}`, b64), BodyAuto},
		"encoded and wrapped":     {base64.StdEncoding.EncodeToString([]byte(fmt.Sprintf(`{"TopicName":"t","Message":%q}`, plain))), BodyAuto},
		"form fields":             {url.Values{"merchantNo": {"1"}, "timestamp": {"20200101120001"}, "amount": {"8.00"}, "nothing": {""}, "nested": {`{"a": [1]}`}, "text": {"a\"世"}, "data": {"ZGF0YQ=="}, "sign": {"ABC"}}.Encode(), BodyAuto},
		"form fields as raw text": {"data=ZGF0YQ%3D%3D&sign=ABC&merchantNo=1&timestamp=20200101120001&amount=8.00&nothing=&nested=%7B%22a%22%3A+%5B1%5D%7D&text=a%22%E4%B8%96", BodyRaw},
	} {
		t.Run(name, func(t *testing.T) {
			env, err := ParseEnvelope(tt.body, tt.enc)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for _, f := range env.Fields {
				got[f.Name] = f.Value
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("fields (-want +got):\n%s", diff)
			}
			if env.Data != "ZGF0YQ==" || env.Sign != "ABC" {
				t.Errorf("data %q, sign %q", env.Data, env.Sign)
			}
		})
	}

	t.Run("names in another case", func(t *testing.T) {
		env, err := ParseEnvelope(`{"DATA":"x","Sign":"y"}`, BodyAuto)
		if err != nil || env.Data != "x" || env.Sign != "y" {
			t.Errorf("%+v, %v", env, err)
		}
	})

	for name, tt := range map[string]struct {
		body string
		enc  BodyEncoding
	}{
		"empty":                 {"", BodyAuto},
		"white space":           {" \n", BodyAuto},
		"not JSON":              {"hello", BodyAuto},
		"half of JSON":          {`{"data":"x","sign":`, BodyAuto},
		"an array":              {`[1]`, BodyAuto},
		"no data":               {`{"sign":"x"}`, BodyAuto},
		"no sign":               {`{"data":"x"}`, BodyAuto},
		"null data":             {`{"data":null,"sign":"x"}`, BodyAuto},
		"base64 of bytes":       {base64.StdEncoding.EncodeToString([]byte{0xff, 0xfe, 0xfd, 0x00}), BodyAuto},
		"raw instead of base64": {plain, BodyBase64},
		"wrapped five times": {func() string {
			s := plain
			for range 5 {
				s = base64.StdEncoding.EncodeToString([]byte(s))
			}
			return s
		}(), BodyAuto},
		"a form field repeated":  {"data=x&sign=y&data=z", BodyAuto},
		"data twice":             {`{"data":"x","sign":"y","data":"z"}`, BodyAuto},
		"data in two cases":      {`{"data":"x","sign":"y","Data":"z"}`, BodyAuto},
		"form data in two cases": {"data=x&sign=y&DATA=z", BodyAuto},
		"sign in two cases":      {`{"data":"x","sign":"y","SIGN":""}`, BodyAuto},
		"any field twice":        {`{"data":"x","sign":"y","a":"1","a":"1"}`, BodyAuto},
		"HTML":                   {"<html><a href='?x=1&y=2'>login</a></html>", BodyAuto},
	} {
		if env, err := ParseEnvelope(tt.body, tt.enc); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %+v, %v", name, env, err)
		}
	}
}

// decodeNotification reads the payload of a verified envelope.
func decodeNotification(e Envelope, f Format) (Notification, error) {
	p, err := DecodePayload(e.Data)
	if err != nil {
		return Notification{}, err
	}
	return f.notification(p)
}

func envelopeOf(payload string) Envelope {
	return Envelope{Data: base64.StdEncoding.EncodeToString([]byte(payload)), Fields: []Field{{"outer", "FINISH"}}}
}

func TestDecodeNotification(t *testing.T) {
	const full = `{"orderNo":" R1 ","payType":"WXPAY","payAmount":"8.00","payTime":"2020-11-20 12:00:00","orderType":"a","orderSource":"b","externalId":"c","businessType":"d","outBizNo":"e","termNo":"快递","status":"OK"}`
	want := Notification{
		OrderNo: "R1", PayType: "WXPAY", Amount: 800, PayTime: time.Date(2020, 11, 20, 12, 0, 0, 0, beijing),
		OrderType: "a", OrderSource: "b", ExternalID: "c", BusinessType: "d", OutBizNo: "e", TermNo: "快递",
	}
	format := Format{Zone: beijing}

	t.Run("every field", func(t *testing.T) {
		got, err := decodeNotification(envelopeOf(full), format)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	})
	t.Run("data as a plain object", func(t *testing.T) {
		got, err := decodeNotification(Envelope{Data: full}, format)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	})
	t.Run("GBK", func(t *testing.T) {
		gbk, err := simplifiedchinese.GBK.NewEncoder().String(full)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeNotification(envelopeOf(gbk), format)
		want := want
		want.GBK = true
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	})
	t.Run("status field of the payload", func(t *testing.T) {
		for field, want := range map[string]string{"status": "OK", "STATUS": "OK", "outer": "", "absent": ""} {
			got, err := decodeNotification(envelopeOf(full), Format{Zone: beijing, StatusField: field})
			if err != nil || got.Status != want {
				t.Errorf("%s: %q, %v; want %q", field, got.Status, err, want)
			}
		}
	})
	t.Run("amount in fen", func(t *testing.T) {
		got, err := decodeNotification(envelopeOf(`{"orderNo":"R1","payType":"","payAmount":800,"payTime":1763611200000}`), Format{Zone: beijing, InFen: true})
		if err != nil || got.Amount != 800 || !got.PayTime.Equal(time.UnixMilli(1763611200000)) {
			t.Errorf("%+v, %v", got, err)
		}
	})
	t.Run("over-long descriptions are cut", func(t *testing.T) {
		long := strings.Repeat("长", 200)
		got, err := decodeNotification(envelopeOf(fmt.Sprintf(`{"orderNo":"R1","payType":"X","payAmount":"8","payTime":"2020-11-20 12:00:00","orderType":%q}`, long)), format)
		if err != nil || len([]rune(got.OrderType)) != 64 {
			t.Errorf("%v: %d characters", err, len([]rune(got.OrderType)))
		}
	})

	pay := func(name, value string) string {
		fields := map[string]string{"orderNo": `"R1"`, "payType": `"WXPAY"`, "payAmount": `"8.00"`, "payTime": `"2020-11-20 12:00:00"`}
		fields[name] = value
		var parts []string
		for n, v := range fields {
			if v != "" {
				parts = append(parts, fmt.Sprintf("%q:%s", n, v))
			}
		}
		return "{" + strings.Join(parts, ",") + "}"
	}
	for name, payload := range map[string]string{
		"not JSON": "hello", "an array": "[]", "null": "null",
		"no orderNo": pay("orderNo", ""), "empty orderNo": pay("orderNo", `" "`), "long orderNo": pay("orderNo", `"`+strings.Repeat("x", 65)+`"`),
		"no payType": pay("payType", ""), "no payAmount": pay("payAmount", ""), "no payTime": pay("payTime", ""),
		"negative amount": pay("payAmount", "-8.00"), "amount with three decimals": pay("payAmount", "8.001"), "amount with an endless exponent": pay("payAmount", "8e999999999"),
		"a word as amount": pay("payAmount", `"eight"`), "long externalId": pay("externalId", `"`+strings.Repeat("x", 256)+`"`),
		"a date without a time": pay("payTime", `"2020-11-20"`), "no such day": pay("payTime", `"2020-02-30 12:00:00"`), "epoch of nine digits": pay("payTime", "176361120"),
		"endless time": pay("payTime", `"2020-11-20 12:00:00.`+strings.Repeat("0", 60)+`"`),
	} {
		t.Run(name+" is malformed", func(t *testing.T) {
			if got, err := decodeNotification(envelopeOf(payload), format); !errors.Is(err, ErrMalformed) {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
	t.Run("data of no known form is malformed", func(t *testing.T) {
		for _, data := range []string{"%%%", base64.StdEncoding.EncodeToString([]byte{0xff, 0xff, 0xff})} {
			if _, err := decodeNotification(Envelope{Data: data}, format); !errors.Is(err, ErrMalformed) {
				t.Errorf("%q: %v", data, err)
			}
		}
	})
}

func TestPayTimeLayouts(t *testing.T) {
	noon := time.Date(2020, 11, 20, 12, 0, 0, 0, beijing)
	for _, s := range []string{
		"2020-11-20 12:00:00", "20201120120000", "2020-11-20T12:00:00", "2020-11-20T12:00:00+08:00", "2020-11-20T04:00:00Z",
		"2020-11-20T04:00:00.000Z", "2020-11-20T12:00:00+0800", "2020-11-20 12:00:00.0", "20201120T120000+0800", "1605844800000", "1605844800",
		"2020-11-20T12:00", "2020-11-20T04:00Z", "2020-11-20T12:00:00+08", "2020-11-20T12:00+08", "2020-11-20T12:00+08:00", "2020-11-20 12:00", "2020-11-20 12:00:00+08",
		"2020-11-20 12:00:00 +08:00", "2020-11-20 12:00:00 +0800", "2020/11/20 12:00:00", "2020/11/20 12:00", "20201120T120000", "20201120T1200+08", "2020-11-20T12:00:00.123456789+08:00",
	} {
		if got, err := parsePayTime(s, beijing); err != nil || !got.Truncate(time.Second).Equal(noon) {
			t.Errorf("%s: %v, %v", s, got, err)
		} else if got.Format(time.DateTime) != "2020-11-20 12:00:00" {
			t.Errorf("%s: wall clock %s", s, got.Format(time.DateTime))
		}
	}
}

func TestShortPayTimes(t *testing.T) {
	morning := time.Date(2019, 3, 5, 9, 4, 7, 0, beijing)
	for _, s := range []string{"2019/3/5 9:04:07", "2019-3-5 9:04:07", "2019-03-05 09:04:07", "2019/03/05 09:04:07", "2019-03-05T09:04:07", "20190305090407"} {
		if got, err := parsePayTime(s, beijing); err != nil || !got.Equal(morning) {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
}

const maxFen = 999_999_999_999

func TestParseAmounts(t *testing.T) {
	for s, want := range map[string]Fen{
		"8": 800, "8.0": 800, "8.00": 800, "0.01": 1, "0": 0, "00012.5": 1250, "9999999999.99": maxFen,
		"8.000": 800, "8.0000": 800, "8.": 800, ".5": 50, ".50": 50, ".01": 1, "8E0": 800, "8e0": 800, "6E+2": 60000, "8e2": 80000, "800E-2": 800, "1E-2": 1, "0.08e2": 800,
		"80000000e-7": 800, "0.000": 0, "0e999999999999999999999": 0, "0E-9": 0, "8e0000000000000000000000000001": 8000, "0.00000001E+10": 10000, "999999999999E-2": maxFen,
		"8." + strings.Repeat("0", 4000): 800, strings.Repeat("0", 4000) + "8": 800,
	} {
		if got, err := ParseYuan(s); err != nil || got != want {
			t.Errorf("%.40q yuan: %v, %v", s, int64(got), err)
		}
	}
	for _, s := range []string{
		"", ".", "+8", "-8", "8,00", "8.001", "8.005", "8.0.0", " 8", "8 ", "0x8", "１", "10000000000.00", strings.Repeat("9", 40), "18.900000000000002",
		"e", "e2", ".e2", "8e", "8e+", "8e-", "8e1.5", "8ee1", "8e1e1", "--8", "8-", "1e-3", "8E-3", "1e1000000000", "1e-1000000000", "1e999999999999999999999", "1e-999999999999999999999",
		"9e9223372036854775807", "9e-9223372036854775808", "1e10", "999999999999.9E-2", "NaN", "Infinity", "-0", "+0", "8_0", "8d0",
	} {
		if got, err := ParseYuan(s); !errors.Is(err, ErrMalformed) {
			t.Errorf("%.40q yuan: %v, %v", s, got, err)
		}
	}
	for s, want := range map[string]Fen{"800": 800, "0": 0, "999999999999": maxFen, "800.0": 800, "8.00": 8, "8E2": 800, "80.0e1": 800} {
		if got, err := ParseFen(s); err != nil || got != want {
			t.Errorf("%q fen: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "8.5", "8.005", "-1", "1000000000000", "8e-1"} {
		if got, err := ParseFen(s); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q fen: %v, %v", s, got, err)
		}
	}
}

// TestAmountsAreExact compares with arithmetic of big numbers, whatever the form.
func TestAmountsAreExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringMatching(`[0-9]{0,14}(\.[0-9]{0,8})?([eE][+-]?[0-9]{1,2})?`).Draw(t, "amount")
		got, err := ParseYuan(s)
		want, ok := new(big.Rat).SetString(s)
		if ok {
			want.Mul(want, big.NewRat(100, 1))
		}
		if ok = ok && want.IsInt() && want.Cmp(big.NewRat(maxFen, 1)) <= 0; ok != (err == nil) {
			t.Fatalf("%q: %v, %v; in fen it is %v", s, got, err, want)
		}
		if ok && want.Cmp(big.NewRat(int64(got), 1)) != 0 {
			t.Fatalf("%q: %d, want %v", s, int64(got), want)
		}
	})
}

func TestAmountTextRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Fen(rapid.Int64Range(0, maxFen).Draw(t, "fen"))
		got, err := ParseYuan(want.String())
		if err != nil || got != want {
			t.Fatalf("%s: %v, %v", want, got, err)
		}
	})
}

func FuzzOpen(f *testing.F) {
	f.Add(`{"data":"eyJvcmRlck5vIjoiUjEifQ==","sign":"x"}`)
	f.Add("data=x&sign=y")
	f.Add("eyJkYXRhIjoie30iLCJzaWduIjoieCJ9")
	f.Fuzz(func(t *testing.T, body string) {
		env, err := ParseEnvelope(body, BodyAuto)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("an error that is not ErrMalformed: %v", err)
			}
			return
		}
		if _, err := decodeNotification(env, Format{Zone: beijing}); err != nil && !errors.Is(err, ErrMalformed) {
			t.Fatalf("an error that is not ErrMalformed: %v", err)
		}
	})
}
