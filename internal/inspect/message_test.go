package inspect

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"jdpay-listener/internal/message"
	"jdpay-listener/internal/payment"
)

// example is the envelope of the documented example, without its signature.
func example() message.Envelope {
	data := base64.StdEncoding.EncodeToString([]byte(`{"orderNo":"R20200101001","payType":"WXPAY","payAmount":"8.00","payTime":"2020-01-01 12:00:00"}`))
	return message.Envelope{Data: data, Fields: []message.Field{
		{Name: "timestamp", Value: "20200101120001"}, {Name: "remark"}, {Name: "data", Value: data}, {Name: "merchantNo", Value: "110000001"},
	}}
}

// signedWith returns the documented example, signed.
func signedWith(t *testing.T, p message.Profile, key string) string {
	t.Helper()
	env := example()
	fields := map[string]string{}
	for _, f := range env.Fields {
		fields[f.Name] = f.Value
	}
	fields["sign"] = strings.ToUpper(p.Sign(env, key))
	body, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestInspectMessage(t *testing.T) {
	rules := message.Rules{Profile: message.Profile{Name: "kv_amp_bare", SkipEmpty: true}, BodyEncoding: message.BodyAuto, Format: message.Format{Zone: beijing, StatusField: "payStatus"}, Success: []string{"FINISH"}, Keys: []string{"old", "k"}}
	t.Run("every profile is found, and only one accepted", func(t *testing.T) {
		for _, name := range message.Profiles {
			for _, skip := range []bool{true, false} {
				p := message.Profile{Name: name, SkipEmpty: skip}
				in := Message(rules, nil, signedWith(t, p, "k"))
				same := p.Text(example(), "k") == rules.Profile.Text(example(), "k")
				if in.Accepted != same {
					t.Errorf("%s: accepted %v", describe(p), in.Accepted)
				}
				if len(in.Matches) != 1 || !strings.HasPrefix(in.Matches[0], name) {
					t.Errorf("%s: matches %q", describe(p), in.Matches)
				}
			}
		}
	})
	t.Run("the form and the first problem", func(t *testing.T) {
		good := signedWith(t, rules.Profile, "k")
		for name, tt := range map[string]struct{ body, form, problem string }{
			"genuine":        {good, "JSON", ""},
			"base64":         {base64.StdEncoding.EncodeToString([]byte(good)), "base64 of JSON", ""},
			"topic":          {`{"TopicName":"t","Message":` + quoted(good) + `}`, "a topic's wrapper around JSON", ""},
			"altered":        {strings.Replace(good, "110000001", "110000002", 1), "JSON", "bad signature"},
			"not a message":  {"hello", "", "neither JSON nor base64 of JSON nor form fields"},
			"empty":          {"", "", "the body is empty"},
			"another status": {statusMessage(rules.Profile, "REFUND"), "JSON", `payStatus is "REFUND"`},
			"no amount":      {noAmount(rules.Profile), "JSON", "payAmount is missing"},
		} {
			in := Message(rules, nil, tt.body)
			if in.Accepted != (tt.problem == "") || !strings.Contains(in.Problem.String(), tt.problem) || in.Form != tt.form {
				t.Errorf("%s: accepted %v, form %q, problem %q", name, in.Accepted, in.Form, in.Problem)
			}
			if b, _ := json.Marshal(in); strings.Contains(string(b), `"old"`) || in.Hashed != "" && !strings.HasSuffix(in.Hashed, "***") {
				t.Errorf("%s: a key is shown, or the hashed text lacks ***: %s", name, b)
			}
		}
	})
	t.Run("of profiles with the same text the configured one is named", func(t *testing.T) {
		rules := rules
		for _, rules.Profile.Name = range []string{"data_key", "values_only"} { // the same text, if data is the only field
			in := Message(rules, nil, statusMessage(rules.Profile, "REFUND"))
			if len(in.Matches) != 1 || in.Matches[0] != in.Profile {
				t.Errorf("%s: matches %q", in.Profile, in.Matches)
			}
		}
	})
	t.Run("a cabinet's reply is accepted from its own queue", func(t *testing.T) {
		body := signedPayload(rules.Profile, `{"messageId":"pay-complete-1","code":"0"}`)
		reply := &payment.ReplyRules{MessageID: "messageId", Code: "code"}
		if in := Message(rules, reply, body); !in.Accepted {
			t.Errorf("not accepted: %s", in.Problem)
		}
		for name, payload := range map[string]string{"messageId": `{"code":"0"}`, "code": `{"messageId":"pay-complete-1"}`} {
			in := Message(rules, reply, signedPayload(rules.Profile, payload))
			if in.Accepted || !strings.Contains(in.Problem.String(), "a reply without "+name) {
				t.Errorf("without %s: accepted %v, problem %q", name, in.Accepted, in.Problem)
			}
		}
		strict := payment.ReplyRules{MessageID: "messageId", Code: "code", Device: "deviceSn", RequireDevice: true}
		if in := Message(rules, &strict, body); in.Accepted || !strings.Contains(in.Problem.String(), "without deviceSn") {
			t.Errorf("without a device: accepted %v, problem %q", in.Accepted, in.Problem)
		}
		separate := rules
		separate.ReplyKeys = []string{"another"}
		if in := Message(separate, reply, body); in.Accepted {
			t.Error("accepted with a key for payments")
		}
		if in := Message(rules, nil, body); in.Accepted {
			t.Error("accepted as a payment")
		}
	})
}

// TestRecipesWithUnsignedFields has messages that are signed without some of their fields, or with values without their white space:
// the recipe is named as settings, and with these settings the message is accepted.
func TestRecipesWithUnsignedFields(t *testing.T) {
	rules := message.Rules{Profile: message.Profile{Name: "kv_amp_bare", SkipEmpty: true, Exclude: []string{"sign"}}, BodyEncoding: message.BodyAuto, Format: message.Format{Zone: beijing}, Keys: []string{"k"}}
	for name, tt := range map[string]struct {
		fields  map[string]string // beside those of the example
		profile message.Profile   // that signs them
		want    string
	}{
		"signType":            {map[string]string{"signType": "MD5"}, message.Profile{Name: "kv_amp_bare", Exclude: []string{"signType"}}, "kv_amp_bare (JDPay:Exclude=sign,signType)"},
		"sign_type":           {map[string]string{"sign_type": "MD5"}, message.Profile{Name: "concat_kv", Exclude: []string{"sign_type"}}, "concat_kv (JDPay:Exclude=sign,sign_type)"},
		"encType alone":       {map[string]string{"encType": "NONE", "signType": "MD5"}, message.Profile{Name: "kv_amp_key", Exclude: []string{"encType"}}, "kv_amp_key (JDPay:Exclude=sign,encType)"},
		"both":                {map[string]string{"encType": "NONE", "signType": "MD5"}, message.Profile{Name: "kv_append", Exclude: []string{"encType", "signType"}}, "kv_append (JDPay:Exclude=sign,signType,encType)"},
		"a blank one":         {map[string]string{"remark": "  ", "payer": " x "}, message.Profile{Name: "kv_amp_bare", Exclude: []string{"remark"}}, "kv_amp_bare (JDPay:Exclude=sign,remark)"},
		"trimmed":             {map[string]string{"remark": "  ", "payer": " x "}, message.Profile{Name: "values_only", TrimValues: true}, "values_only (JDPay:TrimValues=true)"},
		"trimmed, with empty": {map[string]string{"remark": "  ", "payer": " x ", "signType": "MD5"}, message.Profile{Name: "kv_amp_bare", TrimValues: true, Exclude: []string{"signType"}}, "kv_amp_bare (JDPay:TrimValues=true, JDPay:Exclude=sign,signType)"},
	} {
		t.Run(name, func(t *testing.T) {
			tt.profile.SkipEmpty = true
			env := example()
			fields := map[string]string{}
			for name, value := range tt.fields {
				env.Fields = slices.DeleteFunc(env.Fields, func(f message.Field) bool { return f.Name == name })
				env.Fields = append(env.Fields, message.Field{Name: name, Value: value})
			}
			for _, f := range env.Fields {
				fields[f.Name] = f.Value
			}
			fields["sign"] = tt.profile.Sign(env, "k")
			body, err := json.Marshal(fields)
			if err != nil {
				t.Fatal(err)
			}
			in := Message(rules, nil, string(body))
			if in.Accepted || !slices.Contains(in.Matches, tt.want) {
				t.Errorf("accepted %v, matches %q, want %s", in.Accepted, in.Matches, tt.want)
			}
			right := rules
			right.Profile = tt.profile
			if in := Message(right, nil, string(body)); !in.Accepted {
				t.Errorf("with %s: %s", tt.want, in.Problem)
			}
			rules := rules
			rules.Keys = []string{"another"}
			if in := Message(rules, nil, string(body)); len(in.Matches) > 0 {
				t.Errorf("another key matches %q", in.Matches)
			}
		})
	}
}

func quoted(s string) string {
	b, _ := json.Marshal(s) // strings always encode
	return string(b)
}

func signedPayload(p message.Profile, payload string) string {
	data := base64.StdEncoding.EncodeToString([]byte(payload))
	env := message.Envelope{Data: data, Fields: []message.Field{{Name: "data", Value: data}}}
	return `{"data":"` + data + `","sign":"` + p.Sign(env, "k") + `"}`
}

func statusMessage(p message.Profile, status string) string {
	return signedPayload(p, `{"orderNo":"R1","payType":"WXPAY","payAmount":"8.00","payTime":"2020-11-20 12:00:00","payStatus":"`+status+`"}`)
}

func noAmount(p message.Profile) string {
	return signedPayload(p, `{"orderNo":"R1","payType":"WXPAY","payTime":"2020-11-20 12:00:00"}`)
}
