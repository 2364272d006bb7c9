package payment

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
)

// signedWith is a genuine message in the documented example's form.
func signedWith(t *testing.T, p SignProfile, key string) string {
	t.Helper()
	env := vectorEnvelope()
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

func TestInspect(t *testing.T) {
	rules := Rules{Profile: SignProfile{Name: "kv_amp_bare", SkipEmpty: true}, BodyEncoding: BodyAuto, Format: Format{Zone: beijing, StatusField: "payStatus"}, Success: []string{"FINISH"}, Keys: []string{"old", "k"}}
	t.Run("every profile is found, and only one accepted", func(t *testing.T) {
		for _, name := range SignProfiles {
			for _, skip := range []bool{true, false} {
				p := SignProfile{Name: name, SkipEmpty: skip}
				in := rules.Inspect(signedWith(t, p, "k"), nil)
				same := p.Text(vectorEnvelope(), "k") == rules.Profile.Text(vectorEnvelope(), "k")
				if in.Accepted != same {
					t.Errorf("%s: accepted %v", p.describe(), in.Accepted)
				}
				if len(in.Matches) != 1 || !strings.HasPrefix(in.Matches[0], name) {
					t.Errorf("%s: matches %q", p.describe(), in.Matches)
				}
			}
		}
	})
	t.Run("what is wrong", func(t *testing.T) {
		good := signedWith(t, rules.Profile, "k")
		for name, tt := range map[string]struct{ body, form, problem string }{
			"nothing":        {good, "JSON", ""},
			"base64":         {base64.StdEncoding.EncodeToString([]byte(good)), "base64 of JSON", ""},
			"topic":          {`{"TopicName":"t","Message":` + quoted(good) + `}`, "a topic's wrapper around JSON", ""},
			"altered":        {strings.Replace(good, "110000001", "110000002", 1), "JSON", "bad signature"},
			"not a message":  {"hello", "", "neither JSON nor base64 of JSON nor form fields"},
			"empty":          {"", "", "the body is empty"},
			"another status": {statusMessage(rules.Profile, "REFUND"), "JSON", `payStatus is "REFUND"`},
			"no amount":      {noAmount(rules.Profile), "JSON", "payAmount is missing"},
		} {
			in := rules.Inspect(tt.body, nil)
			if in.Accepted != (tt.problem == "") || !strings.Contains(in.Problem, tt.problem) || in.Form != tt.form {
				t.Errorf("%s: accepted %v, form %q, problem %q", name, in.Accepted, in.Form, in.Problem)
			}
			if b, _ := json.Marshal(in); strings.Contains(string(b), `"old"`) || in.Hashed != "" && !strings.HasSuffix(in.Hashed, "***") {
				t.Errorf("%s: a key is shown, or no place for it: %s", name, b)
			}
		}
	})
	t.Run("the configured profile comes first among twins", func(t *testing.T) {
		rules := rules
		for _, rules.Profile.Name = range []string{"data_key", "values_only"} { // the same text, if data is the only field
			in := rules.Inspect(statusMessage(rules.Profile, "REFUND"), nil)
			if len(in.Matches) != 1 || in.Matches[0] != in.Profile {
				t.Errorf("%s: matches %q", in.Profile, in.Matches)
			}
		}
	})
	t.Run("a cabinet's reply is accepted from its own queue", func(t *testing.T) {
		body := signedPayload(rules.Profile, `{"messageId":"pay-complete-1","code":"0"}`)
		reply := &ReplyRules{MessageID: "messageId", Code: "code"}
		if in := rules.Inspect(body, reply); !in.Accepted {
			t.Errorf("not accepted: %s", in.Problem)
		}
		for name, payload := range map[string]string{"messageId": `{"code":"0"}`, "code": `{"messageId":"pay-complete-1"}`} {
			in := rules.Inspect(signedPayload(rules.Profile, payload), reply)
			if in.Accepted || !strings.Contains(in.Problem, "a reply without "+name) {
				t.Errorf("without %s: accepted %v, problem %q", name, in.Accepted, in.Problem)
			}
		}
		strict := ReplyRules{MessageID: "messageId", Code: "code", Device: "deviceSn", RequireDevice: true}
		if in := rules.Inspect(body, &strict); in.Accepted || !strings.Contains(in.Problem, "without deviceSn") {
			t.Errorf("without a device: accepted %v, problem %q", in.Accepted, in.Problem)
		}
		if in := rules.Inspect(body, &ReplyRules{Keys: []string{"another"}, MessageID: "messageId", Code: "code"}); in.Accepted {
			t.Error("accepted with a key of the other queue")
		}
		if in := rules.Inspect(body, nil); in.Accepted {
			t.Error("accepted as a payment")
		}
	})
}

func quoted(s string) string {
	b, _ := json.Marshal(s) // strings always encode
	return string(b)
}

func signedPayload(p SignProfile, payload string) string {
	data := base64.StdEncoding.EncodeToString([]byte(payload))
	env := Envelope{Data: data, Fields: []Field{{"data", data}}}
	return `{"data":"` + data + `","sign":"` + p.Sign(env, "k") + `"}`
}

func statusMessage(p SignProfile, status string) string {
	return signedPayload(p, `{"orderNo":"R1","payType":"WXPAY","payAmount":"8.00","payTime":"2026-11-20 12:00:00","payStatus":"`+status+`"}`)
}

func noAmount(p SignProfile) string {
	return signedPayload(p, `{"orderNo":"R1","payType":"WXPAY","payTime":"2026-11-20 12:00:00"}`)
}
