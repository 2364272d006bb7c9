package config

import (
	"strings"
	"testing"

	"jdpay-listener/internal/testenv"

	"github.com/google/go-cmp/cmp"
)

const whereBaseUrl = "the replaced program had this address in its code, not in its file: search its source for updateWaybillStatus or JDBaseModel, " +
	"or run strings -el *.dll | grep -i http in its folder; else look at its outgoing connections, or ask JD"

func TestRequiredKeys(t *testing.T) {
	_, err := Load(testOptions(t))
	want := []string{
		"ConnectionStrings:Account: required but not set; set it in appsettings.json or as ConnectionStrings__Account",
		"ConnectionStrings:Main: required but not set; set it in appsettings.json or as ConnectionStrings__Main",
		"Mns:Endpoint: required but not set; set it in appsettings.json or as Mns__Endpoint",
		"JDPay:NotifyQueueName: required but not set; set it in appsettings.json or as JDPay__NotifyQueueName",
		"JDPay:Md5Key: required but not set; set it in appsettings.json or as JDPay__Md5Key",
		"Mqtt:Server: required but not set; set it in appsettings.json or as Mqtt__Server",
		"JDApi:BaseUrl: required but not set; set it in appsettings.json or as JDApi__BaseUrl; " + whereBaseUrl,
		"JDApi:ProducerCode: required but not set; set it in appsettings.json or as JDApi__ProducerCode",
		"JDApi:CloudProducerCode: required but not set; set it in appsettings.json or as JDApi__CloudProducerCode",
	}
	if diff := cmp.Diff(want, faultsOf(t, err)); diff != "" {
		t.Error(diff)
	}
}

// TestFaultsKeepTheWarnings requires that a misspelled required key is reported beside the fault that it causes.
func TestFaultsKeepTheWarnings(t *testing.T) {
	opts := testOptions(t)
	write(t, opts.Dir, "appsettings.json", strings.Replace(minimal, `"Mqtt": {"Server"`, `"Mqtt": {"Sever"`, 1))
	loaded, err := Load(opts)
	if len(faultsOf(t, err)) != 1 {
		t.Fatalf("faults: %v", err)
	}
	want := []string{"unknown key Mqtt:Sever (appsettings.json:5); the nearest known one is Mqtt:Server"}
	if diff := cmp.Diff(want, testenv.Texts(loaded.Warnings)); diff != "" {
		t.Error(diff)
	}
}

func TestFaults(t *testing.T) {
	tests := map[string]struct {
		environ []string
		want    []string // none: accepted
	}{
		"wait seconds 0":      {environ: []string{"Mns__WaitSeconds=0"}},
		"wait seconds 30":     {environ: []string{"Mns__WaitSeconds=30"}},
		"wait seconds 31":     {environ: []string{"Mns__WaitSeconds=31"}, want: []string{`Mns:WaitSeconds = "31" (env Mns__WaitSeconds): out of range; give a whole number from 0 to 30`}},
		"wait seconds -1":     {environ: []string{"Mns__WaitSeconds=-1"}, want: []string{`Mns:WaitSeconds = "-1" (env Mns__WaitSeconds): out of range; give a whole number from 0 to 30`}},
		"batch size 0":        {environ: []string{"Mns__BatchSize=0"}, want: []string{`Mns:BatchSize = "0" (env Mns__BatchSize): out of range; give a whole number from 1 to 16`}},
		"pollers 64":          {environ: []string{"Mns__MaxPollers=64"}},
		"pollers 65":          {environ: []string{"Mns__MaxPollers=65"}, want: []string{`Mns:MaxPollers = "65" (env Mns__MaxPollers): out of range; give a whole number from 1 to 64`}},
		"port 65536":          {environ: []string{"Mqtt__Port=65536"}, want: []string{`Mqtt:Port = "65536" (env Mqtt__Port): out of range; give a whole number from 1 to 65535`}},
		"calls -1":            {environ: []string{"JDApi__MaxPerSecond=-1"}, want: []string{`JDApi:MaxPerSecond = "-1" (env JDApi__MaxPerSecond): out of range; give a number from 0 to 100000`}},
		"concurrency 0":       {environ: []string{"Jobs__Concurrency__settle=0"}, want: []string{`Jobs:Concurrency:settle = "0" (env Jobs__Concurrency__settle): out of range; give a whole number from 1 to 100000`}},
		"factor below 1":      {environ: []string{"Jobs__Retry__settle__Factor=0.9"}, want: []string{`Jobs:Retry:settle:Factor = "0.9" (env Jobs__Retry__settle__Factor): out of range; give a number from 1 to 100`}},
		"factor 1":            {environ: []string{"Jobs__Retry__settle__Factor=1"}},
		"duration zero":       {environ: []string{"Jobs__Retry__x__FirstWait=0"}, want: []string{`Jobs:Retry:x:FirstWait = "0s" (env Jobs__Retry__x__FirstWait): out of range; give a duration above zero such as "30s" or "00:00:30"`}},
		"duration negative":   {environ: []string{"Host__ShutdownTimeout=-1s"}, want: []string{`Host:ShutdownTimeout = "-1s" (env Host__ShutdownTimeout): out of range; give a duration above zero such as "30s" or "00:00:30"`}},
		"words in any case":   {environ: []string{"Logging__Format=TEXT", "Payment__AmountUnit=Fen", "JDPay__BodyEncoding=RAW"}},
		"unknown word":        {environ: []string{"Payment__AmountCheck=maybe"}, want: []string{`Payment:AmountCheck = "maybe" (env Payment__AmountCheck): not valid; give one of enforce, report, off`}},
		"no word":             {environ: []string{"Logging__Format="}, want: []string{`Logging:Format (env Logging__Format): not valid; give one of json, text, ecs`}},
		"unknown profile":     {environ: []string{"JDPay__SignProfile=md5"}, want: []string{`JDPay:SignProfile = "md5" (env JDPay__SignProfile): not valid; give one of kv_amp_bare, kv_append, kv_amp_key, concat_kv, concat_kv_wrapped, values_only, data_key, key_data`}},
		"required with blank": {environ: []string{"JDApi__ProducerCode= "}, want: []string{`JDApi:ProducerCode = " " (env JDApi__ProducerCode): empty; give it a value`}},
		"reply field blank":   {environ: []string{"SyncReply__Fields__Code="}, want: []string{`SyncReply:Fields:Code (env SyncReply__Fields__Code): empty; give it a value`}},

		"empty key":                {environ: []string{"JDPay__Md5Key="}, want: []string{`JDPay:Md5Key = "[]" (env JDPay__Md5Key): empty; give it a value`}},
		"key of the sample":        {environ: []string{"JDPay__Md5Key= Change-Me "}, want: []string{`JDPay:Md5Key = "["***"]" (env JDPay__Md5Key): a placeholder, which everybody knows; give the secret itself, there or as JDPay__Md5Key`}},
		"one key is a placeholder": {environ: []string{"JDPay__Md5Key__0=a", "JDPay__Md5Key__1=…"}, want: []string{`JDPay:Md5Key = "["***","***"]" (env JDPay__Md5Key__0, env JDPay__Md5Key__1): a placeholder, which everybody knows; give the secret itself, there or as JDPay__Md5Key`}},
		"reply key is one":         {environ: []string{"SyncReply__Md5Key=XXX"}, want: []string{`SyncReply:Md5Key = "["***"]" (env SyncReply__Md5Key): a placeholder, which everybody knows; give the secret itself, there or as SyncReply__Md5Key`}},
		"token is a placeholder":   {environ: []string{"Ops__Token=<token>"}, want: []string{`Ops:Token = "***" (env Ops__Token): a placeholder, which everybody knows; give the secret itself, there or as Ops__Token`}},
		"header is a placeholder":  {environ: []string{"JDApi__Signer=header", "JDApi__Headers__X-Key=***"}, want: []string{`JDApi:Headers:X-Key = "***" (env JDApi__Headers__X-Key): a placeholder, which everybody knows; give the secret itself, there or as JDApi__Headers__X-Key`}},
		"time zone":                {environ: []string{"Payment__TimeZone=Asia/Tokyo"}},
		"unknown time zone":        {environ: []string{"Payment__TimeZone=Asia/Shangai"}, want: []string{`Payment:TimeZone = "Asia/Shangai" (env Payment__TimeZone): not a time zone; give an IANA name such as Asia/Shanghai`}},
		"no time zone":             {environ: []string{"Payment__TimeZone="}, want: []string{`Payment:TimeZone (env Payment__TimeZone): not a time zone; give an IANA name such as Asia/Shanghai`}},
		"the machine's time zone":  {environ: []string{"Payment__TimeZone=Local"}, want: []string{`Payment:TimeZone = "Local" (env Payment__TimeZone): not a time zone; give an IANA name such as Asia/Shanghai`}},
		"no topic":                 {environ: []string{"Mqtt__PayCompleteTopic="}, want: []string{`Mqtt:PayCompleteTopic (env Mqtt__PayCompleteTopic): empty; give it a value`}},
		"Redis database":           {environ: []string{"Redis__Db=-2"}, want: []string{`Redis:Db = "-2" (env Redis__Db): out of range; give a whole number from -1 to 65535`}},
		"instance":                 {environ: []string{"Host__Instance=node-1.a_B"}},
		"instance, spaces":         {environ: []string{"Host__Instance=node 1"}, want: []string{`Host:Instance = "node 1" (env Host__Instance): not usable in an MQTT client id; use at most 40 of A-Z a-z 0-9 . _ -`}},

		"listen on nothing": {environ: []string{"Ops__Listen="}},

		"all at once": {environ: []string{"Mns__BatchSize=99", "Mqtt__Port=x", "Payment__TimeZone=Mars"}, want: []string{
			`Mqtt:Port = "x" (env Mqtt__Port): not valid; give a whole number from 1 to 65535`,
			`Mns:BatchSize = "99" (env Mns__BatchSize): out of range; give a whole number from 1 to 16`,
			`Payment:TimeZone = "Mars" (env Payment__TimeZone): not a time zone; give an IANA name such as Asia/Shanghai`,
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := loadMinimal(t, "", tt.environ...)
			if diff := cmp.Diff(tt.want, faultsOf(t, err)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLocation(t *testing.T) {
	if got := mustLoad(t, "").Config.Payment.Location().String(); got != "Asia/Shanghai" {
		t.Errorf("got %s", got)
	}
}

func TestReplyKeysAreThePayKeysUnlessGiven(t *testing.T) {
	if got := reveal(mustLoad(t, "").Config.SyncReply.Md5Key); !cmp.Equal(got, []string{minimalKey}) {
		t.Errorf("got %v", got)
	}
	if got := reveal(mustLoad(t, "", "SyncReply__Md5Key=own").Config.SyncReply.Md5Key); !cmp.Equal(got, []string{"own"}) {
		t.Errorf("got %v", got)
	}
}

func TestPlaceholders(t *testing.T) {
	for text, want := range map[string]bool{
		"change-me": true, " CHANGE_ME\n": true, "…": true, "……": true, "xxx": true, "XXXXXXXX": true, "***": true, "...": true, "<key>": true, "< >": true,
		"": false, "x": false, "k": false, "testkey": false, "TESTKEY": false, "pay-key": false, "secret": false, "xyz": false, "change-me-not": false, "<key": false, "x…": false,
	} {
		if got := isPlaceholder(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestIsTestOrder(t *testing.T) {
	p := Payment{TestOrders: []string{"TEST-*", "R1", `a\*`}}
	for no, want := range map[string]bool{
		"TEST-1": true, "TEST-": true, "R1": true, "a*": true,
		"test-1": false, "R1 ": false, "XTEST-1": false, "R11": false, "ab": false, "": false,
	} {
		if got := p.IsTestOrder(no); got != want {
			t.Errorf("%q: %v", no, got)
		}
	}
	if (Payment{}).IsTestOrder("") {
		t.Error("without a pattern no order is a test order")
	}
}
