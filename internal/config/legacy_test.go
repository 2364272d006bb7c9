package config

import (
	"strings"
	"testing"

	"jdpay-listener/internal/testenv"

	"jdpay-listener/internal/lang"
)

const legacyFlat = `
	"EMQServer": "10.0.0.1", "EMQPort": "1884", "RedisEndPoints": "r1:6379,r2:6379", "RedisServer": "r0", "RedisPwd": "rp", "RedisDBId": "3",
	"MNSSH_AccessKey": "ak", "MNSSH_SecretKey": "sk", "MNSSH_EndPoint": "http://1.mns.cn-shanghai.aliyuncs.com",
	"MySqlServer": "Server=main;Database=m;Uid=u", "MySqlServerAcc": "Server=acc;Database=a;Uid=u",
	"ElasticSearchUrl": "http://es:9200", "JDPayNotifyQueueName": "q", "JDPayMd5Key": "a-key-of-the-old-one", "JDProducerCode": "P1", "JDCloundProducerCode": "P2"`

// legacyRest has the required keys without a flat form.
const legacyRest = `"JDApi": {"BaseUrl": "http://jd"}`

func legacyConfig() *Config {
	c := defaults()
	c.Mqtt.Server, c.Mqtt.Port = "10.0.0.1", 1884
	c.Redis.EndPoints, c.Redis.Server, c.Redis.Password, c.Redis.Db = []Secret{NewSecret("r1:6379,r2:6379")}, NewSecret("r0"), NewSecret("rp"), 3
	c.Mns.AccessKeyId, c.Mns.AccessKeySecret, c.Mns.Endpoint = NewSecret("ak"), NewSecret("sk"), "http://1.mns.cn-shanghai.aliyuncs.com"
	c.ConnectionStrings = ConnectionStrings{Account: NewSecret("Server=acc;Database=a;Uid=u"), Main: NewSecret("Server=main;Database=m;Uid=u")}
	c.Elasticsearch.Url = "http://es:9200"
	c.JDPay.NotifyQueueName, c.JDPay.Md5Key, c.SyncReply.Md5Key = "q", []Secret{NewSecret("a-key-of-the-old-one")}, []Secret{NewSecret("a-key-of-the-old-one")}
	c.JDApi.ProducerCode, c.JDApi.CloudProducerCode, c.JDApi.BaseUrl = "P1", "P2", "http://jd"
	c.Host.Instance = processInstance()
	return c
}

func TestLegacyKeysWorkUnchanged(t *testing.T) {
	for name, content := range map[string]string{
		"at the root":    "{" + legacyFlat + "," + legacyRest + "}",
		"in the section": `{"Dev001.ThirdService": {` + legacyFlat + "}," + legacyRest + "}",
		"in other case":  strings.ToUpper(`{"Dev001.ThirdService"`) + `: {` + strings.NewReplacer("EMQ", "emq", "MNSSH", "mnssh").Replace(legacyFlat) + "}," + legacyRest + "}",
		"the root wins":  `{"Dev001.ThirdService": {"EMQServer": "other", "JDPayMd5Key": ["other", "two"]},` + legacyFlat + "," + legacyRest + "}",
	} {
		t.Run(name, func(t *testing.T) {
			opts := testOptions(t)
			write(t, opts.Dir, "appsettings.json", content)
			loaded, err := Load(opts)
			if err != nil {
				t.Fatal(err)
			}
			if diff := compare(legacyConfig(), loaded.Config); diff != "" {
				t.Error(diff)
			}
			if len(loaded.Warnings) > 0 {
				t.Error(loaded.Warnings)
			}
		})
	}
}

func TestStructuredKeyWinsOverLegacy(t *testing.T) {
	const legacy = `{"EMQServer": "old", "JDPayMd5Key": ["old1", "old2"], "RedisServer": "old"}`
	tests := map[string]struct {
		file    string
		environ []string
		server  string
		keys    []string
		redis   string
	}{
		"only the flat keys":     {file: legacy, environ: nil, server: "broker", keys: []string{minimalKey}, redis: "old"},
		"flat in a later source": {environ: []string{"EMQServer=old", "JDPAY_JDPayMd5Key=old"}, server: "broker", keys: []string{minimalKey}},
		"structured is later":    {file: legacy, environ: []string{"Mqtt__Server=new", "Redis__Server=new"}, server: "new", keys: []string{minimalKey}, redis: "new"},
		"empty structured value": {file: `{"RedisServer": "old", "Redis": {"Server": ""}}`, server: "broker", keys: []string{minimalKey}, redis: "old"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := mustLoad(t, tt.file, tt.environ...).Config
			got := []any{c.Mqtt.Server, reveal(c.JDPay.Md5Key), c.Redis.Server.Reveal()}
			if diff := compare([]any{tt.server, tt.keys, tt.redis}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestEmptyLegacyValuesAreNotSet(t *testing.T) {
	c := mustLoad(t, `{"RedisDBId": "", "EMQPort": "", "RedisEndPoints": [], "Dev001.ThirdService": {"EMQPort": 1884}}`).Config
	if c.Redis.Db != 0 || c.Mqtt.Port != 1884 || c.Redis.EndPoints != nil {
		t.Errorf("got db %d, port %d, endpoints %v", c.Redis.Db, c.Mqtt.Port, c.Redis.EndPoints)
	}
}

func TestLegacySourceIsNamed(t *testing.T) {
	loaded := mustLoad(t, "{\n\"RedisPwd\": \"x\"}", "ElasticSearchUrl=http://es")
	for key, want := range map[string]string{"Redis:Password": "appsettings.Production.json:2", "Elasticsearch:Url": "env ElasticSearchUrl"} {
		if got := setting(t, loaded, key).Source; got != want {
			t.Errorf("%s comes from %s, want %s", key, got, want)
		}
	}
}

func TestElasticsearchCredentialsLeaveTheAddress(t *testing.T) {
	loaded := mustLoad(t, "", "ElasticSearchUrl=http://u:p%40w@es:9200/x")
	e := loaded.Config.Elasticsearch
	want := Elasticsearch{Url: "http://es:9200/x", Index: "jdpay-events", Username: "u", Password: NewSecret("p@w")}
	if diff := compare(want, e); diff != "" {
		t.Error(diff)
	}
	loaded = mustLoad(t, `{"Elasticsearch": {"Username": "own", "Password": "own"}}`, "ElasticSearchUrl=http://u:p@es")
	if e := loaded.Config.Elasticsearch; e.Username != "own" || e.Url != "http://es" {
		t.Errorf("got %s at %s", e.Username, e.Url)
	}
}

// TestFaultsNameTheFlatKey: the user of the replaced program's file has never seen the structured keys.
func TestFaultsNameTheFlatKey(t *testing.T) {
	opts := testOptions(t)
	write(t, opts.Dir, "appsettings.json", `{
		"EMQPort": "188x", "RedisDBId": -5, "JDPayMd5Key": ["change-me"],
		"Dev001.ThirdService": {"JDProducerCode": {"a": 1}, "MNSSH_EndPoint": " "}
	}`)
	loaded, err := Load(opts, func(l *Loaded) {
		l.Derived("Mqtt:Tls:Enabled", "Mqtt:Port")
		l.Warn("JDPay:Md5Key", lang.M("told, were it not faulty"))
		l.Warn("Redis:Db", lang.M("told, were it not faulty"))
	})
	const file = "(appsettings.json:"
	want := []string{
		`EMQPort = "188x" ` + file + `2): not valid; give a whole number from 1 to 65535`,
		`Dev001.ThirdService:JDProducerCode ` + file + `3): a list or section stands where one value is expected; give a text`,
		`ConnectionStrings:Account: required but not set; set it, or the replaced program's MySqlServerAcc, in appsettings.json or as ConnectionStrings__Account`,
		`ConnectionStrings:Main: required but not set; set it, or the replaced program's MySqlServer, in appsettings.json or as ConnectionStrings__Main`,
		`Dev001.ThirdService:MNSSH_EndPoint = " " ` + file + `3): empty; give it a value`,
		`JDPay:NotifyQueueName: required but not set; set it, or the replaced program's JDPayNotifyQueueName, in appsettings.json or as JDPay__NotifyQueueName`,
		`Mqtt:Server: required but not set; set it, or the replaced program's EMQServer, in appsettings.json or as Mqtt__Server`,
		`JDApi:BaseUrl: required but not set; set it in appsettings.json or as JDApi__BaseUrl; ` + whereBaseUrl,
		`JDApi:CloudProducerCode: required but not set; set it, or the replaced program's JDCloundProducerCode, in appsettings.json or as JDApi__CloudProducerCode`,
		`RedisDBId = "-5" ` + file + `2): out of range; give a whole number from -1 to 65535`,
		`JDPayMd5Key = "["***"]" ` + file + `2): a placeholder, which everybody knows; give the secret itself, there or as JDPay__Md5Key`,
	}
	if diff := compare(want, faultsOf(t, err)); diff != "" {
		t.Error(diff)
	}
	loaded.Fault("Mqtt:Tls:Enabled", lang.M("of no use"), lang.M("give another"))
	faults := loaded.faults
	if got := faults[len(faults)-1].String(); got != `EMQPort = "false" (appsettings.json:2): of no use; give another` {
		t.Error(got)
	}
	if faults[0].Key != "Mqtt:Port" || len(faults.Of("Mqtt")) != 3 {
		t.Errorf("a fault is still found by its section: %v", faults.Of("Mqtt"))
	}
}

func TestWarningsNameTheFlatKey(t *testing.T) {
	opts := testOptions(t)
	write(t, opts.Dir, "appsettings.json", "{"+legacyFlat+","+legacyRest+"}")
	loaded, err := Load(opts, func(l *Loaded) { l.Warn("ConnectionStrings:Main", lang.M("Pooling has no effect here")) })
	if err != nil {
		t.Fatal(err)
	}
	if diff := compare([]string{"MySqlServer: Pooling has no effect here"}, testenv.Texts(loaded.Warnings)); diff != "" {
		t.Error(diff)
	}
}
