package message

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
)

const testKey = "TESTKEY"

// The messages here are signed by the recipes of the domain notes (§1.3), and not by the code under test.

// hashedText returns the text that a recipe hashes. Fields are given as name, value, name, value …, sorted by name.
func hashedText(profile, key string, fields ...string) string {
	var b strings.Builder
	for i := 0; i < len(fields); i += 2 {
		name, value := fields[i], fields[i+1]
		switch {
		case profile == "data_key" || profile == "key_data":
			if name == "data" {
				b.WriteString(value)
			}
		case profile == "values_only":
			b.WriteString(value)
		case strings.HasPrefix(profile, "concat_"):
			b.WriteString(name + value)
		case i > 0:
			b.WriteString("&" + name + "=" + value)
		default:
			b.WriteString(name + "=" + value)
		}
	}
	switch profile {
	case "kv_amp_bare":
		return b.String() + "&" + key
	case "kv_amp_key":
		return b.String() + "&key=" + key
	case "concat_kv_wrapped":
		return key + b.String() + key
	case "key_data":
		return key + b.String()
	}
	return b.String() + key
}

// signedBy returns the signature of hashedText.
func signedBy(profile, key string, fields ...string) string {
	sum := md5.Sum([]byte(hashedText(profile, key, fields...)))
	return hex.EncodeToString(sum[:])
}

// body returns the JSON of fields, given as name, value, name, value …; a name may occur twice.
func body(fields ...string) string {
	var parts []string
	for i := 0; i < len(fields); i += 2 {
		parts = append(parts, quoted(fields[i])+":"+quoted(fields[i+1]))
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func payText(orderNo, amount string, more ...string) string {
	text := fmt.Sprintf(`{"orderNo":%q,"payType":"WXPAY","payAmount":%q,"payTime":"2020-11-20 12:00:00"`, orderNo, amount)
	for i := 0; i < len(more); i += 2 {
		text += "," + quoted(more[i]) + ":" + quoted(more[i+1])
	}
	return text + "}"
}

func base64Of(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func quoted(s string) string {
	b, _ := json.Marshal(s) // strings always encode
	return string(b)
}

// accept decodes and verifies a message as the daemon does.
func accept(r Rules, body string) (Notification, error) {
	env, p, err := r.Open(body)
	if err != nil {
		return Notification{}, err
	}
	n, err := r.Notification(env, p)
	if err != nil {
		return n, err
	}
	if err := r.CheckStatus(n); err != nil {
		return n, fmt.Errorf("not_success: %w", err)
	}
	return n, nil
}

func rulesOf(p Profile, status string) Rules {
	p.SkipEmpty = true
	r := Rules{Keys: []string{testKey}, Profile: p, BodyEncoding: BodyAuto, Format: Format{Zone: beijing, StatusField: status}}
	if status != "" {
		r.Success = []string{"FINISH"}
	}
	return r
}

// TestAttacksOnTheSignature has an attacker, who can write into the queue and has captured one genuine message, try to get
// another payment accepted.
func TestAttacksOnTheSignature(t *testing.T) {
	genuine, evil := base64Of(payText("R1", "8.00")), base64Of(payText("R2", "800.00"))
	const outer = "20201120120001"
	type attack struct {
		rules  Rules
		body   string
		reason string // a part of it
	}
	attacks := map[string]attack{}
	for _, profile := range Profiles[:6] {
		separator := map[bool]string{true: "&data=", false: "data"}[strings.HasPrefix(profile, "kv_")]
		if profile == "values_only" {
			separator = ""
		}
		sign := signedBy(profile, testKey, "customerId", "C1", "data", genuine, "timestamp", outer)
		attacks["S1 unsigned Data beside a splice, "+profile] = attack{
			rules: rulesOf(Profile{Name: profile, Include: []string{"customerId", "data", "timestamp"}}, ""),
			body:  body("customerId", "C1"+separator+genuine, "Data", evil, "timestamp", outer, "sign", sign),
			// Include ignores case, so Data is hashed.
			reason: "",
		}
		attacks["S1 unsigned data beside DATA, "+profile] = attack{
			rules:  rulesOf(Profile{Name: profile, Include: []string{"DATA", "timestamp"}}, ""),
			body:   body("DATA", genuine, "data", evil, "timestamp", outer, "sign", signedBy(profile, testKey, "DATA", genuine, "timestamp", outer)),
			reason: "data",
		}
		attacks["S1 excluded Data beside data, "+profile] = attack{
			rules:  rulesOf(Profile{Name: profile, Exclude: []string{"DATA"}}, ""),
			body:   body("DATA", evil, "timestamp", outer, "sign", signedBy(profile, testKey, "timestamp", outer)),
			reason: "bad signature",
		}
	}
	for _, profile := range Profiles[:3] {
		// JD signs a field in which the payer wrote x&data=<evil>&datb=y.
		before := []string{"customer", "x&data=" + evil + "&datb=y", "data", genuine, "timestamp", outer}
		attacks["S5 the genuine data hidden in a value, "+profile] = attack{
			rules:  rulesOf(Profile{Name: profile}, ""),
			body:   body("customer", "x", "data", evil, "datb", "y&data="+genuine, "timestamp", outer, "sign", signedBy(profile, testKey, before...)),
			reason: "datb",
		}
		attacks["S5 the genuine data hidden in a name, "+profile] = attack{
			rules:  rulesOf(Profile{Name: profile}, ""),
			body:   body("customer", "x", "data", evil, "datb=y&data="+genuine+"&timestamp", outer, "sign", signedBy(profile, testKey, before...)),
			reason: "datb=",
		}
		attacks["S5 the genuine Data hidden beside another data, "+profile] = attack{
			rules: rulesOf(Profile{Name: profile, CaseInsensitiveSort: true}, ""),
			body: body("customer", "x", "data", evil, "datb", "y&Data="+genuine, "timestamp", outer,
				"sign", signedBy(profile, testKey, "customer", "x&data="+evil+"&datb=y", "Data", genuine, "timestamp", outer)),
			reason: "&Data=",
		}
		failed := base64Of(payText("R1", "8.00"))
		attacks["S9 a failed status hidden in a value, "+profile] = attack{
			rules: rulesOf(Profile{Name: profile}, "status"),
			body: body("data", failed, "merchantNo", "M&status=FAIL", "timestamp", outer,
				"sign", signedBy(profile, testKey, "data", failed, "merchantNo", "M", "status", "FAIL", "timestamp", outer)),
			reason: "merchantNo",
		}
		attacks["S9 a failed status hidden in a name, "+profile] = attack{
			rules: rulesOf(Profile{Name: profile}, "status"),
			body: body("data", failed, "merchantNo=M&status", "FAIL", "timestamp", outer,
				"sign", signedBy(profile, testKey, "data", failed, "merchantNo", "M", "status", "FAIL", "timestamp", outer)),
			reason: "merchantNo=",
		}
	}
	for _, profile := range []string{"kv_amp_bare", "concat_kv"} {
		attacks["S9 a status field left unsigned is replaced, "+profile] = attack{
			rules: rulesOf(Profile{Name: profile, Include: []string{"data"}}, "status"),
			body:  body("data", genuine, "status", "FINISH", "sign", signedBy(profile, testKey, "data", genuine)),
			// JD's message said status=FAIL.
			reason: "not_success",
		}
	}
	for _, profile := range Profiles[6:] {
		sign := signedBy(profile, testKey, "data", genuine)
		attacks["S9 the status of the envelope flipped, "+profile] = attack{
			rules: rulesOf(Profile{Name: profile}, "status"), body: body("data", genuine, "status", "FINISH", "sign", sign), reason: "not_success",
		}
		attacks["S9 the status of the envelope removed, "+profile] = attack{
			rules: rulesOf(Profile{Name: profile}, "status"), body: body("data", genuine, "sign", sign), reason: "not_success",
		}
	}
	attacks["S9 the status twice"] = attack{
		rules: rulesOf(Profile{Name: "kv_amp_bare"}, "status"),
		body: body("STATUS", "FINISH", "data", genuine, "status", "FAIL",
			"sign", signedBy("kv_amp_bare", testKey, "STATUS", "FINISH", "data", genuine, "status", "FAIL")),
		reason: "status",
	}
	attacks["the sign twice"] = attack{
		rules: rulesOf(Profile{Name: "kv_amp_bare"}, ""),
		body:  body("data", genuine, "SIGN", "x", "sign", signedBy("kv_amp_bare", testKey, "data", genuine)), reason: "sign",
	}
	for _, name := range slices.Sorted(maps.Keys(attacks)) {
		a := attacks[name]
		t.Run(name, func(t *testing.T) {
			n, err := accept(a.rules, a.body)
			if err == nil {
				t.Fatalf("accepted: order %s, %s yuan, status %q", n.OrderNo, n.Amount, n.Status)
			}
			if !strings.Contains(err.Error(), a.reason) {
				t.Errorf("refused with %q, want an error that contains %q", err, a.reason)
			}
		})
	}
}

// TestGenuineMessagesOfOddForms: the rules against spliced messages refuse nothing that JD may send.
func TestGenuineMessagesOfOddForms(t *testing.T) {
	plain, withStatus := payText("R1", "8.00"), base64Of(payText("R1", "8.00", "status", "FINISH"))
	mime := base64Of(plain)
	mime = mime[:76] + "\r\n" + mime[76:] + "\r\n"
	for name, tt := range map[string]struct {
		rules Rules
		body  string
	}{
		"& and = in a value":          {rulesOf(Profile{Name: "kv_amp_bare"}, ""), body("data", base64Of(plain), "url", "http://h/?a=1&b=2", "sign", signedBy("kv_amp_bare", testKey, "data", base64Of(plain), "url", "http://h/?a=1&b=2"))},
		"a payload as a plain object": {rulesOf(Profile{Name: "kv_append"}, ""), body("data", plain, "sign", signedBy("kv_append", testKey, "data", plain))},
		"an odd name, not signed":     {rulesOf(Profile{Name: "kv_append", Exclude: []string{"A&B"}}, ""), body("a&b", "1", "data", plain, "sign", signedBy("kv_append", testKey, "data", plain))},
		"DATA and Sign":               {rulesOf(Profile{Name: "kv_amp_bare", Include: []string{"data"}}, ""), body("DATA", plain, "Sign", signedBy("kv_amp_bare", testKey, "DATA", plain))},
		"status in the payload":       {rulesOf(Profile{Name: "data_key"}, "status"), body("data", withStatus, "sign", signedBy("data_key", testKey, "data", withStatus))},
		"status in the envelope":      {rulesOf(Profile{Name: "kv_amp_bare"}, "status"), body("data", plain, "Status", "FINISH", "sign", signedBy("kv_amp_bare", testKey, "Status", "FINISH", "data", plain))},
		"no status at all":            {rulesOf(Profile{Name: "kv_amp_bare"}, "status"), body("data", plain, "sign", signedBy("kv_amp_bare", testKey, "data", plain))},
		"MIME lines, data_key":        {rulesOf(Profile{Name: "data_key"}, ""), body("data", mime, "sign", signedBy("data_key", testKey, "data", mime))},
		"MIME lines, key_data":        {rulesOf(Profile{Name: "key_data"}, ""), body("data", mime, "sign", signedBy("key_data", testKey, "data", mime))},
		"MIME lines, kv_amp_bare":     {rulesOf(Profile{Name: "kv_amp_bare"}, ""), body("data", mime, "sign", signedBy("kv_amp_bare", testKey, "data", mime))},
		"MIME lines in a form":        {rulesOf(Profile{Name: "data_key"}, ""), url.Values{"data": {mime}, "sign": {signedBy("data_key", testKey, "data", mime)}}.Encode()},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := accept(tt.rules, tt.body); err != nil {
				t.Errorf("refused: %s", err)
			}
		})
	}
}

// TestPayloadNamesThatDifferInCase: the result does not depend on the order of a map.
func TestPayloadNamesThatDifferInCase(t *testing.T) {
	text := `{"orderNo":"R1","payType":"WXPAY","payAmount":"8.00","PayAmount":"800.00","payTime":"2020-11-20 12:00:00"}`
	seen := map[string]int{}
	for range 100 {
		n, err := decodeNotification(envelopeOf(text), Format{Zone: beijing})
		if err != nil {
			seen[err.Error()]++
		} else {
			seen["accepted with "+n.Amount.String()+" yuan"]++
		}
	}
	if want := map[string]int{`malformed message: data: fields "payAmount" and "PayAmount" differ only in case`: 100}; fmt.Sprint(seen) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", seen, want)
	}
}
