package config

import (
	"strings"
	"testing"
)

const legacyFlat = `
	"EMQServer": "10.0.0.1", "EMQPort": "1884", "RedisEndPoints": "r1:6379,r2:6379", "RedisServer": "r0", "RedisPwd": "rp", "RedisDBId": "3",
	"MNSSH_AccessKey": "ak", "MNSSH_SecretKey": "sk", "MNSSH_EndPoint": "http://1.mns.cn-shanghai.aliyuncs.com",
	"MySqlServer": "Server=main;Database=m;Uid=u", "MySqlServerAcc": "Server=acc;Database=a;Uid=u",
	"ElasticSearchUrl": "http://es:9200", "JDPayNotifyQueueName": "q", "JDPayMd5Key": "a-key-of-the-old-one", "JDProducerCode": "P1", "JDCloundProducerCode": "P2"`

// These two have no flat key.
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
			// They had no way to ask for encryption.
			if len(loaded.Warnings) != 1 || !strings.HasPrefix(loaded.Warnings[0], "Redis:EndPoints: the connection is not encrypted") {
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
		"only the old":           {file: legacy, environ: nil, server: "broker", keys: []string{minimalKey}, redis: "old"},
		"old in a later source":  {environ: []string{"EMQServer=old", "JDPAY_JDPayMd5Key=old"}, server: "broker", keys: []string{minimalKey}},
		"new in a later source":  {file: legacy, environ: []string{"Mqtt__Server=new", "Redis__Server=new"}, server: "new", keys: []string{minimalKey}, redis: "new"},
		"an empty new is no new": {file: `{"RedisServer": "old", "Redis": {"Server": ""}}`, server: "broker", keys: []string{minimalKey}, redis: "old"},
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

func TestBrokerAddress(t *testing.T) {
	tests := map[string]struct {
		environ []string
		want    Mqtt // Server, Port and Tls.Enabled
		fault   string
	}{
		"host":                          {environ: []string{"Mqtt__Server=h"}, want: Mqtt{Server: "h", Port: 1883}},
		"host and port":                 {environ: []string{"Mqtt__Server=h:1884"}, want: Mqtt{Server: "h", Port: 1884}},
		"tcp address":                   {environ: []string{"Mqtt__Server=tcp://h:1884/"}, want: Mqtt{Server: "h", Port: 1884}},
		"address without a port":        {environ: []string{"Mqtt__Server=mqtt://h", "Mqtt__Port=1885"}, want: Mqtt{Server: "h", Port: 1885}},
		"the same port twice":           {environ: []string{"Mqtt__Server=h:1884", "Mqtt__Port=1884"}, want: Mqtt{Server: "h", Port: 1884}},
		"TLS address":                   {environ: []string{"Mqtt__Server=mqtts://h"}, want: Mqtt{Server: "h", Port: 8883, Tls: MqttTls{Enabled: true}}},
		"TLS address, port of its own":  {environ: []string{"Mqtt__Server=ssl://h", "Mqtt__Port=1883"}, want: Mqtt{Server: "h", Port: 1883, Tls: MqttTls{Enabled: true}}},
		"IPv6":                          {environ: []string{"Mqtt__Server=[::1]:1884"}, want: Mqtt{Server: "::1", Port: 1884}},
		"bare IPv6":                     {environ: []string{"Mqtt__Server=fe80::1"}, want: Mqtt{Server: "fe80::1", Port: 1883}},
		"two different ports":           {environ: []string{"Mqtt__Server=h:1884", "Mqtt__Port=1885"}, fault: `Mqtt:Server = "h:1884" (env Mqtt__Server): names another port than Mqtt:Port; correct one of them`},
		"unknown scheme":                {environ: []string{"Mqtt__Server=ws://h"}, fault: `Mqtt:Server = "ws://h" (env Mqtt__Server): not a broker's address: its scheme is not one of tcp, mqtt, ssl, tls, mqtts; ` + brokerRemedy},
		"credentials are not repeated":  {environ: []string{"Mqtt__Server=tcp://u:hunter2@h"}, fault: `Mqtt:Server = "tcp://***@h" (env Mqtt__Server): not a broker's address: it holds a user name or password; ` + brokerRemedy},
		"nor without a scheme":          {environ: []string{"Mqtt__Server=u:hunter2@h"}, fault: `Mqtt:Server = "***@h" (env Mqtt__Server): not a broker's address: it holds a user name or password; ` + brokerRemedy},
		"a port that is none":           {environ: []string{"Mqtt__Server=h:http"}, fault: `Mqtt:Server = "h:http" (env Mqtt__Server): not a broker's address: the port is not a number from 1 to 65535; ` + brokerRemedy},
		"no host":                       {environ: []string{"Mqtt__Server=tcp://:1883"}, fault: `Mqtt:Server = "tcp://:1883" (env Mqtt__Server): not a broker's address: not a host name; ` + brokerRemedy},
		"an IPv6 bracket is not closed": {environ: []string{"Mqtt__Server=[::1"}, fault: `Mqtt:Server = "[::1" (env Mqtt__Server): not a broker's address: [ is not closed; ` + brokerRemedy},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			loaded, err := loadMinimal(t, "", tt.environ...)
			if diff := compare(tt.fault, strings.Join(faultsOf(t, err), "\n")); diff != "" {
				t.Fatal(diff)
			}
			if tt.fault != "" {
				return
			}
			m := loaded.Config.Mqtt
			if diff := compare(tt.want, Mqtt{Server: m.Server, Port: m.Port, Tls: m.Tls}); diff != "" {
				t.Error(diff)
			}
		})
	}
}

const brokerRemedy = "give a host, host:port, tcp:// or mqtts:// address; user and password have keys of their own"

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
