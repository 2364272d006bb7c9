package payment

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// vectorEnvelope is the message of the domain notes' test vectors (§1.3).
func vectorEnvelope() Envelope {
	data := base64.StdEncoding.EncodeToString([]byte(`{"orderNo":"R20200101001","payType":"WXPAY","payAmount":"8.00","payTime":"2020-01-01 12:00:00"}`))
	return Envelope{Data: data, Fields: []Field{
		{"timestamp", "20200101120001"}, {"remark", ""}, {"data", data}, {"merchantNo", "110000001"}, {"sign", "whatever"},
	}}
}

func TestSignatureVectors(t *testing.T) {
	for _, tt := range []struct {
		profile SignProfile
		want    string
	}{
		{SignProfile{Name: "kv_amp_bare", SkipEmpty: true}, "7ffdd9c22195fc9855d8892c0ded9388"},
		{SignProfile{Name: "kv_amp_bare"}, "c027c8808230c73b431f9b12c5ca9acb"},
		{SignProfile{Name: "kv_append", SkipEmpty: true}, "364fe393d0d0d2212abc4ba9ccc54016"},
		{SignProfile{Name: "kv_amp_key", SkipEmpty: true}, "ab76abc76c3dd0539127bc315da314de"},
		{SignProfile{Name: "concat_kv", SkipEmpty: true}, "eecbecddeb3ad1c1e8b15add56fc9fbd"},
		{SignProfile{Name: "concat_kv_wrapped", SkipEmpty: true}, "67c9b2c664aafacf9db8cbad1309b2cc"},
		{SignProfile{Name: "values_only", SkipEmpty: true}, "de4ec551b1af04a3fdd254e945f90599"},
		{SignProfile{Name: "data_key"}, "a0af793b4e542acb79a7417fc05e3637"},
		{SignProfile{Name: "key_data"}, "9cae13df558eb2162d16ca12e1dc4f00"},
	} {
		t.Run(tt.profile.Name, func(t *testing.T) {
			env := vectorEnvelope()
			if got := tt.profile.Sign(env, "TESTKEY"); got != tt.want {
				t.Fatalf("sign %s of %q, want %s", got, tt.profile.Text(env, "***"), tt.want)
			}
			env.Sign = strings.ToUpper(tt.want)
			if err := tt.profile.Verify(env, []string{"old key", "TESTKEY"}); err != nil {
				t.Errorf("upper case, second key: %v", err)
			}
			if err := tt.profile.Verify(env, []string{"old key"}); !errors.Is(err, ErrBadSignature) {
				t.Errorf("wrong key: %v", err)
			}
			if err := tt.profile.Validate(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSignatureOptions(t *testing.T) {
	env := Envelope{Data: "d", Fields: []Field{{"b", "1"}, {"Z", "2"}, {"a", "3"}, {"data", "d"}, {"sign", "x"}, {"SIGN", "y"}, {"empty", ""}}}
	for name, tt := range map[string]struct {
		profile SignProfile
		want    string
	}{
		"ASCII order, empties":  {SignProfile{Name: "kv_append"}, "Z=2&a=3&b=1&data=d&empty=K"},
		"case-insensitive sort": {SignProfile{Name: "kv_append", SkipEmpty: true, CaseInsensitiveSort: true}, "a=3&b=1&data=d&Z=2K"},
		"exclude":               {SignProfile{Name: "kv_append", SkipEmpty: true, Exclude: []string{"a", "sign"}}, "Z=2&b=1&data=dK"},
		"include":               {SignProfile{Name: "kv_append", SkipEmpty: true, Include: []string{"data", "b", "gone"}}, "b=1&data=dK"},
		"wrapped":               {SignProfile{Name: "concat_kv_wrapped", SkipEmpty: true, Include: []string{"data", "b"}}, "Kb1datadK"},
	} {
		if got := tt.profile.Text(env, "K"); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

func TestSignatureFailsClosed(t *testing.T) {
	env := vectorEnvelope()
	p := SignProfile{Name: "kv_amp_bare", SkipEmpty: true}
	for name, keys := range map[string][]string{"no keys": nil, "an empty key": {""}} {
		env.Sign = p.Sign(env, "")
		if err := p.Verify(env, keys); !errors.Is(err, ErrBadSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, bad := range []SignProfile{
		{Name: "kv_amp_bare", Exclude: []string{"data"}},
		{Name: "kv_amp_bare", Include: []string{"timestamp"}},
		{Name: "md5"},
		{},
	} {
		if bad.Validate() == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}

// TestSignatureCoversEveryField changes one character of any signed message and requires that it no longer verifies.
func TestSignatureCoversEveryField(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := SignProfile{Name: rapid.SampledFrom(SignProfiles[:5]).Draw(t, "profile"), SkipEmpty: true}
		env := vectorEnvelope()
		env.Sign = p.Sign(env, "TESTKEY")
		f := &env.Fields[rapid.SampledFrom([]int{0, 2, 3}).Draw(t, "field")]
		at := rapid.IntRange(0, len(f.Value)-1).Draw(t, "at")
		c := byte(rapid.IntRange('!', '~').Draw(t, "char"))
		if f.Value[at] == c {
			return
		}
		f.Value = f.Value[:at] + string(c) + f.Value[at+1:]
		if err := p.Verify(env, []string{"TESTKEY"}); !errors.Is(err, ErrBadSignature) {
			t.Fatalf("altered %s still verifies", f.Name)
		}
	})
}
