package message

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestSignatureVectors(t *testing.T) {
	for name, tt := range map[string]struct {
		profile Profile
		want    string
	}{
		"kv_amp_bare":                   {Profile{Name: "kv_amp_bare", SkipEmpty: true}, signVectors["kv_amp_bare"]},
		"kv_amp_bare with empty fields": {Profile{Name: "kv_amp_bare"}, "c027c8808230c73b431f9b12c5ca9acb"},
		"kv_append":                     {Profile{Name: "kv_append", SkipEmpty: true}, signVectors["kv_append"]},
		"kv_amp_key":                    {Profile{Name: "kv_amp_key", SkipEmpty: true}, signVectors["kv_amp_key"]},
		"concat_kv":                     {Profile{Name: "concat_kv", SkipEmpty: true}, signVectors["concat_kv"]},
		"concat_kv_wrapped":             {Profile{Name: "concat_kv_wrapped", SkipEmpty: true}, signVectors["concat_kv_wrapped"]},
		"values_only":                   {Profile{Name: "values_only", SkipEmpty: true}, signVectors["values_only"]},
		"data_key":                      {Profile{Name: "data_key"}, signVectors["data_key"]},
		"key_data":                      {Profile{Name: "key_data"}, signVectors["key_data"]},
	} {
		t.Run(name, func(t *testing.T) {
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
		profile Profile
		want    string
	}{
		"ASCII order, empty fields": {Profile{Name: "kv_append"}, "Z=2&a=3&b=1&data=d&empty=K"},
		"case-insensitive sort":     {Profile{Name: "kv_append", SkipEmpty: true, CaseInsensitiveSort: true}, "a=3&b=1&data=d&Z=2K"},
		"exclude":                   {Profile{Name: "kv_append", SkipEmpty: true, Exclude: []string{"a", "sign"}}, "Z=2&b=1&data=dK"},
		"include":                   {Profile{Name: "kv_append", SkipEmpty: true, Include: []string{"data", "b", "gone"}}, "b=1&data=dK"},
		"wrapped":                   {Profile{Name: "concat_kv_wrapped", SkipEmpty: true, Include: []string{"data", "b"}}, "Kb1datadK"},
	} {
		if got := tt.profile.Text(env, "K"); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

func TestSignatureFailsClosed(t *testing.T) {
	env := vectorEnvelope()
	p := Profile{Name: "kv_amp_bare", SkipEmpty: true}
	for name, keys := range map[string][]string{"no keys": nil, "an empty key": {""}} {
		env.Sign = p.Sign(env, "")
		if err := p.Verify(env, keys); !errors.Is(err, ErrBadSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, profile := range map[string]Profile{
		"data excluded":     {Name: "kv_amp_bare", Exclude: []string{"data"}},
		"data not included": {Name: "kv_amp_bare", Include: []string{"timestamp"}},
		"an unknown name":   {Name: "md5"},
		"no name":           {},
	} {
		if profile.Validate() == nil {
			t.Errorf("%s: the profile is valid", name)
		}
	}
}

// TestSignatureCoversEveryField: a message with one changed character does not verify.
func TestSignatureCoversEveryField(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Profile{Name: rapid.SampledFrom(Profiles[:5]).Draw(t, "profile"), SkipEmpty: true}
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
