package config

import (
	"log/slog"
	"testing"
	"time"

	"jdpay-listener/internal/testenv"

	"github.com/google/go-cmp/cmp"
)

func reveal(secrets []Secret) []string {
	var texts []string
	for _, s := range secrets {
		texts = append(texts, s.Reveal())
	}
	return texts
}

func TestLists(t *testing.T) {
	type result struct{ Exclude, Md5Key []string }
	tests := map[string]struct {
		file    string
		environ []string
		want    result
	}{
		"default":                                 {want: result{[]string{"sign"}, []string{minimalKey}}},
		"a given list replaces the default":       {file: `{"JDPay": {"Exclude": ["a", "b"]}}`, want: result{[]string{"a", "b"}, []string{minimalKey}}},
		"one index replaces the default":          {environ: []string{"JDPay__Exclude__3=a"}, want: result{[]string{"a"}, []string{minimalKey}}},
		"an empty list replaces the default":      {file: `{"JDPay": {"Exclude": []}}`, want: result{nil, []string{minimalKey}}},
		"an empty text is an empty list":          {environ: []string{"JDPay__Exclude="}, want: result{nil, []string{minimalKey}}},
		"one value is a list of one":              {file: `{"JDPay": {"Exclude": "a"}}`, want: result{[]string{"a"}, []string{minimalKey}}},
		"a text with commas is a list":            {environ: []string{"JDPay__Exclude=sign, signType,"}, want: result{[]string{"sign", "signType"}, []string{minimalKey}}},
		"also in a file":                          {file: `{"JDPay": {"Exclude": "sign,signType"}}`, want: result{[]string{"sign", "signType"}, []string{minimalKey}}},
		"an element may have a comma":             {file: `{"JDPay": {"Exclude": ["a,b"]}}`, want: result{[]string{"a,b"}, []string{minimalKey}}},
		"a secret may have a comma":               {environ: []string{"JDPay__Md5Key=0123456789abcdef,x"}, want: result{[]string{"sign"}, []string{"0123456789abcdef,x"}}},
		"a list replaces an earlier value":        {file: `{"JDPay": {"Md5Key": ["x", "y"]}}`, want: result{[]string{"sign"}, []string{"x", "y"}}},
		"an index replaces an earlier value":      {environ: []string{"JDPay__Md5Key__0=x"}, want: result{[]string{"sign"}, []string{"x"}}},
		"one value replaces an earlier list":      {file: `{"JDPay": {"Md5Key": ["x", "y"]}}`, environ: []string{"JDPay__Md5Key=z"}, want: result{[]string{"sign"}, []string{"z"}}},
		"lists merge by index":                    {file: `{"JDPay": {"Md5Key": ["x", "y"]}}`, environ: []string{"JDPay__Md5Key__1=z", "JDPay__Md5Key__2=w"}, want: result{[]string{"sign"}, []string{"x", "z", "w"}}},
		"indexes are numbers and gaps are closed": {environ: []string{"JDPay__Md5Key__10=z", "JDPay__Md5Key__9=y"}, want: result{[]string{"sign"}, []string{"y", "z"}}},
		"an option below the profile":             {file: `{"JDPay": {"SignProfile": {"Name": "values_only", "Exclude": ["a"]}}}`, want: result{[]string{"a"}, []string{minimalKey}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := mustLoad(t, tt.file, tt.environ...).Config
			if diff := cmp.Diff(tt.want, result{c.JDPay.Exclude, reveal(c.JDPay.Md5Key)}, cmp.Transformer("empty", func(r result) [2]string {
				return [2]string{join(r.Exclude), join(r.Md5Key)}
			})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func join(list []string) string {
	all := ""
	for _, s := range list {
		all += "[" + s + "]"
	}
	return all
}

// TestSignProfileOptions requires that options below the profile's key do not replace its name.
func TestSignProfileOptions(t *testing.T) {
	loaded := mustLoad(t, `{"JDPay": {"SignProfile": "KV_Append"}}`,
		"JDPay__SignProfile__SkipEmpty=false", "JDPay__SignProfile__Include__0=data", "JDPay__SignProfile__CaseInsensitiveSort=1")
	got := loaded.Config.JDPay
	want := JDPay{
		NotifyQueueName: "notify", Md5Key: []Secret{NewSecret(minimalKey)}, SignProfile: "kv_append", SkipEmpty: false, Exclude: []string{"sign"},
		Include: []string{"data"}, CaseInsensitiveSort: true, BodyEncoding: "auto",
	}
	if diff := compare(want, got); diff != "" {
		t.Error(diff)
	}
	if len(loaded.Warnings) > 0 {
		t.Error(loaded.Warnings)
	}
}

func TestMaps(t *testing.T) {
	c := mustLoad(t, `{
		"Payment": {"PayTypes": {"AliPay": 3, "WXPAY": "4"}},
		"JDApi": {"Headers": {"X-One": "1"}},
		"Jobs": {"Concurrency": {"Pay-Info": 7, "export": 3}}
	}`, "Payment__PayTypes__ALIPAY=5", "JDApi__Headers__X-Two=2").Config
	// Values of payType differ by case, so an upper-case environment variable must not change the file's spelling.
	if diff := compare(map[string]int{"WXPAY": 4, "AliPay": 5}, c.Payment.PayTypes); diff != "" {
		t.Error(diff)
	}
	if diff := compare(map[string]Secret{"X-One": NewSecret("1"), "X-Two": NewSecret("2")}, c.JDApi.Headers); diff != "" {
		t.Error(diff)
	}
	for kind, want := range map[string]int{"settle": 256, "pay-info": 7, "export": 3, "Export": 3, "never named": 16} {
		if got := c.Jobs.ConcurrencyOf(kind); got != want {
			t.Errorf("%s: %d at once, want %d", kind, got, want)
		}
	}
}

func TestRetry(t *testing.T) {
	const s, m, h = time.Second, time.Minute, time.Hour
	t.Run("defaults", func(t *testing.T) {
		c := mustLoad(t, "").Config
		for kind, want := range map[string]Retry{
			"settle":         {1 * s, 2, 60 * s, 48 * h},
			"reply":          {1 * s, 2, 60 * s, 48 * h},
			"pay-complete":   {1 * s, 2, 30 * s, 15 * m},
			"waybill-status": {5 * s, 2, 10 * m, 48 * h},
			"pay-info":       {1 * s, 2, 5 * m, 48 * h},
			"anything else":  {60 * s, 2, 60 * m, 48 * h},
		} {
			if diff := compare(want, c.Jobs.RetryOf(kind)); diff != "" {
				t.Errorf("%s: %s", kind, diff)
			}
		}
	})
	t.Run("missing fields keep their default", func(t *testing.T) {
		c := mustLoad(t, `{"Jobs": {"Retry": {
			"AAA": {"Factor": 1.5},
			"settle": {"MaxWait": "00:02:00"},
			"Default": {"MaxWait": "2h"}
		}}}`).Config
		for kind, want := range map[string]Retry{
			"settle": {1 * s, 2, 2 * m, 48 * h}, "aaa": {60 * s, 1.5, 2 * h, 48 * h}, "other": {60 * s, 2, 2 * h, 48 * h},
		} {
			if diff := compare(want, c.Jobs.RetryOf(kind)); diff != "" {
				t.Errorf("%s: %s", kind, diff)
			}
		}
	})
	t.Run("a command's timeout is its life time", func(t *testing.T) {
		loaded := mustLoad(t, `{"Mqtt": {"CommandTtl": "5m"}}`)
		if got := loaded.Config.Jobs.RetryOf("pay-complete").Timeout; got != 5*m {
			t.Errorf("got %v", got)
		}
		if got := setting(t, loaded, "Jobs:Retry:pay-complete:Timeout"); got.Source != "Mqtt:CommandTtl" {
			t.Errorf("its source is %s", got.Source)
		}
	})
	t.Run("and a shorter one of its own has no effect", func(t *testing.T) {
		loaded := mustLoad(t, `{"Mqtt": {"CommandTtl": "5m"}, "Jobs": {"Retry": {"Pay-Complete": {"Timeout": "3m", "MaxWait": "2s"}}}}`)
		if got := loaded.Config.Jobs.RetryOf("pay-complete"); got.Timeout != 5*m || got.MaxWait != 2*s {
			t.Errorf("got %v", got)
		}
		want := []string{"Jobs:Retry:pay-complete:Timeout: has no effect: Mqtt:CommandTtl (5m) alone says when a command is given up; remove it"}
		if diff := compare(want, testenv.Texts(loaded.Warnings)); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("and a longer one is refused", func(t *testing.T) {
		_, err := loadMinimal(t, `{"Mqtt": {"CommandTtl": "5m"}, "Jobs": {"Retry": {"pay-complete": {"Timeout": "7m"}}}}`)
		got := faultsOf(t, err)
		if len(got) != 1 || !containsAny(got[0], "Jobs:Retry:pay-complete:Timeout") || !containsAny(got[0], "Mqtt:CommandTtl (5m)") {
			t.Errorf("%q", got)
		}
	})
}

func TestTypesOfValues(t *testing.T) {
	c := mustLoad(t, `{
		"Logging": {"LogLevel": {"Default": "trace"}},
		"Host": {"ShutdownTimeout": "1.02:03:04"},
		"Mns": {"BatchSize": "8"},
		"JDApi": {"MaxPerSecond": 2.5},
		"Mqtt": {"RequireReply": "True"}
	}`).Config
	got := []any{c.Logging.LogLevel.Default, c.Host.ShutdownTimeout, c.Mns.BatchSize, c.JDApi.MaxPerSecond, c.Mqtt.RequireReply}
	want := []any{slog.LevelDebug - 4, 26*time.Hour + 3*time.Minute + 4*time.Second, 8, 2.5, true}
	if diff := compare(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestUnconvertibleValues(t *testing.T) {
	_, err := loadMinimal(t, `{
		"Logging": {"LogLevel": {"Default": "loud"}},
		"Mns": {"WaitSeconds": "abc"},
		"Payment": {"PayTypes": {"X": "two"}, "GracePeriod": "soon"},
		"JDApi": {"MaxPerSecond": "many"},
		"Mqtt": {"RequireReply": "perhaps", "Port": [1883]},
		"Redis": "off",
		"Jobs": {"Enabled": "", "Concurrency": 5}
	}`)
	const file = "appsettings.Production.json"
	want := []string{
		`Logging:LogLevel:Default = "loud" (` + file + `:2): not valid; give one of Trace, Debug, Information, Warning, Error, Critical, None`,
		`Mns:WaitSeconds = "abc" (` + file + `:3): not valid; give a whole number from 0 to 30`,
		`Payment:PayTypes:X = "two" (` + file + `:4): not valid; give a whole number`,
		`Payment:GracePeriod = "soon" (` + file + `:4): not valid; give a duration above zero such as "30s" or "00:00:30"`,
		`Mqtt:Port (` + file + `:6): a list or section stands where one value is expected; give a whole number from 1 to 65535`,
		`Mqtt:RequireReply = "perhaps" (` + file + `:6): not valid; give true or false`,
		`JDApi:MaxPerSecond = "many" (` + file + `:5): not valid; give a number from 0 to 100000`,
		`Jobs:Enabled (` + file + `:8): empty; give true or false`,
		`Jobs:Concurrency (` + file + `:8): one value stands where a section is expected; give {"name": value, …}`,
	}
	if diff := compare(want, faultsOf(t, err)); diff != "" {
		t.Error(diff)
	}
}

func TestUnknownKeys(t *testing.T) {
	loaded := mustLoad(t, `{
		"Elasticsearch": {"Uri": "http://es"},
		"Mqtt": "x",
		"Payment": {"AmountUnits": "yuan"},
		"JDPay": {"Md5Key": {"0": "a-key-of-the-tests", "old": "k2"}},
		"Jobs": {"Retry": {"settle": {"FirstWiat": "1s"}}}
	}`, "Mqtt__Server=broker")
	const file = "appsettings.Production.json"
	want := []string{
		"unknown key Elasticsearch:Uri (" + file + ":2); the nearest known one is Elasticsearch:Url",
		"unknown key JDPay:Md5Key:old (" + file + ":5); the nearest known one is JDPay:Md5Key",
		"unknown key Jobs:Retry:settle:FirstWiat (" + file + ":6); the nearest known one is Jobs:Retry:settle:FirstWait",
		"unknown key Payment:AmountUnits (" + file + ":4); the nearest known one is Payment:AmountUnit",
	}
	if diff := compare(want, testenv.Texts(loaded.Warnings)); diff != "" {
		t.Error(diff)
	}
}
