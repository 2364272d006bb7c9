package setup

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"jdpay-listener/internal/testenv"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/jdapi"
	"jdpay-listener/internal/message"
	"jdpay-listener/internal/redisstore"
)

// minimal has the required keys only. Its databases are verified.
const minimal = `{
  "ConnectionStrings": {"Account": "Server=a;Database=acc;Uid=u;Pwd=p;SslMode=VerifyFull", "Main": "Server=m;Database=main;Uid=u;Pwd=p;SslMode=VerifyFull"},
  "Mns": {"Endpoint": "http://mns.test:8080"},
  "JDPay": {"NotifyQueueName": "notify", "Md5Key": "a-key-of-the-tests"},
  "Mqtt": {"Server": "broker"},
  "JDApi": {"BaseUrl": "http://jd.test", "ProducerCode": "P", "CloudProducerCode": "C"}
}`

// loadMinimal loads the minimal file and, above it, environment variables.
func loadMinimal(t *testing.T, environ ...string) (*config.Loaded, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "appsettings.json"), []byte(minimal), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(config.Options{Dir: dir, Environ: append([]string{}, environ...)})
}

func mustLoad(t *testing.T, environ ...string) *config.Loaded {
	t.Helper()
	loaded, err := loadMinimal(t, environ...)
	if err != nil {
		t.Fatalf("loading failed:\n%v", err)
	}
	return loaded
}

// faultsOf returns the faults' lines.
func faultsOf(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	faults, ok := errors.AsType[config.Faults](err)
	if !ok {
		t.Fatalf("the error is %T, want config.Faults: %v", err, err)
	}
	return strings.Split(faults.Error(), "\n")
}

// TestFaultsNameTheKeys has every adapter refuse an option, which must be reported by its key.
func TestFaultsNameTheKeys(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing.pem")
	tests := map[string]struct {
		environ []string
		want    []string // none: accepted
	}{
		"waits crossed": {environ: []string{"Jobs__Retry__settle__FirstWait=2m"}, want: []string{`Jobs:Retry:settle:MaxWait = "1m": shorter than FirstWait; give 2m0s or more`}},

		"test orders":              {environ: []string{"Payment__TestOrders__0=TEST-*", "Payment__TestOrders__1=R1"}},
		"every order a test order": {environ: []string{"Payment__TestOrders__0=*"}, want: []string{`Payment:TestOrders:0 (env Payment__TestOrders__0): "*" matches every order, or none; name test orders only, such as TEST-*`}},
		"no pattern":               {environ: []string{"Payment__TestOrders__0=R1", "Payment__TestOrders__1=T["}, want: []string{`Payment:TestOrders:1 (env Payment__TestOrders__1): "T[" is not a pattern; write * for any characters, ? for one, and \ before one that is meant as it is`}},

		"address without scheme":   {environ: []string{"Mns__Endpoint=mns.test"}, want: []string{`Mns:Endpoint = "mns.test" (env Mns__Endpoint): does not start with http:// or https://; give http(s)://host[:port] alone; access key and queue have settings of their own`}},
		"address without host":     {environ: []string{"JDApi__BaseUrl=http:///x"}, want: []string{`JDApi:BaseUrl = "http:///x" (env JDApi__BaseUrl): has no host; give an address such as https://host/path`}},
		"no address":               {environ: []string{"JDApi__BaseUrl=http://a b"}, want: []string{`JDApi:BaseUrl = "http://a b" (env JDApi__BaseUrl): not an address; give an address such as https://host/path`}},
		"address with credentials": {environ: []string{"JDApi__BaseUrl=http://u:hunter2@h"}, want: []string{`JDApi:BaseUrl = "http://***@h" (env JDApi__BaseUrl): holds a user name or password; give an address such as https://host/path`}},
		"alert address":            {environ: []string{"Alerts__WeCom__Url=ftp://h/?key=hunter2"}, want: []string{`Alerts:WeCom:Url = "***" (env Alerts__WeCom__Url): does not start with http:// or https://; give an address such as https://host/path`}},

		"key id without secret":  {environ: []string{"Mns__AccessKeyId=id"}, want: []string{`Mns:AccessKeyId = "***" (env Mns__AccessKeyId): access key id and secret are not both set; give both, or neither for the vendor's credential chain`}},
		"secret without key id":  {environ: []string{"Mns__AccessKeySecret=x"}, want: []string{`Mns:AccessKeyId: access key id and secret are not both set; give both, or neither for the vendor's credential chain`}},
		"key id and secret":      {environ: []string{"Mns__AccessKeyId=id", "Mns__AccessKeySecret=x", "Mns__SecurityToken=t"}},
		"token without key":      {environ: []string{"Mns__SecurityToken=x"}, want: []string{`Mns:SecurityToken = "***" (env Mns__SecurityToken): set without an access key; give the id and secret issued with it`}},
		"empty key among others": {environ: []string{"JDPay__Md5Key__0=a", "JDPay__Md5Key__1= "}, want: []string{`JDPay:Md5Key = "["***","***"]" (env JDPay__Md5Key__0, env JDPay__Md5Key__1): an empty key would accept forged messages; remove it or give the key`}},
		"empty reply key":        {environ: []string{"SyncReply__Md5Key__0="}, want: []string{`SyncReply:Md5Key = "[""]" (env SyncReply__Md5Key__0): an empty key would accept forged messages; remove it or give the key`}},

		"data excluded":                  {environ: []string{"JDPay__Exclude__0=sign", "JDPay__Exclude__1=Data"}, want: []string{`JDPay:Exclude = "["sign","Data"]" (env JDPay__Exclude__0, env JDPay__Exclude__1): leaves data unsigned, so anybody could alter a payment; remove data from the list`}},
		"data not included":              {environ: []string{"JDPay__Include=timestamp"}, want: []string{`JDPay:Include = "["timestamp"]" (env JDPay__Include): leaves data unsigned, so anybody could alter a payment; add data to the list`}},
		"data included":                  {environ: []string{"JDPay__Include__0=timestamp", "JDPay__Include__1=data"}},
		"a profile that signs data only": {environ: []string{"JDPay__Include=timestamp", "JDPay__SignProfile=data_key"}},

		"data included in another case":   {environ: []string{"JDPay__Include__0=timestamp", "JDPay__Include__1=DATA"}},
		"status excluded":                 {environ: []string{"JDPay__Exclude=PAYSTATUS", "Payment__StatusField=payStatus", "Payment__SuccessStatuses=OK"}, want: []string{`JDPay:Exclude = "["PAYSTATUS"]" (env JDPay__Exclude): leaves payStatus unsigned, so anybody could turn a failed payment into a successful one; remove payStatus from the list`}},
		"status not included":             {environ: []string{"JDPay__Include=data", "Payment__StatusField=payStatus", "Payment__SuccessStatuses=OK"}, want: []string{`JDPay:Include = "["data"]" (env JDPay__Include): leaves payStatus unsigned, so anybody could turn a failed payment into a successful one; add payStatus to the list`}},
		"status included in another case": {environ: []string{"JDPay__Include__0=data", "JDPay__Include__1=PAYSTATUS", "Payment__StatusField=payStatus", "Payment__SuccessStatuses=OK"}},

		"replies over the cache":    {environ: []string{"Redis__ReplyKeyPrefix=jdpay:device:"}, want: []string{`Redis:ReplyKeyPrefix = "jdpay:device:" (env Redis__ReplyKeyPrefix): replies could overwrite cached cabinets (jdpay:device:…); give a prefix of its own, such as jdpay:reply:`}},
		"replies without a prefix":  {environ: []string{"Redis__ReplyKeyPrefix="}, want: []string{`Redis:ReplyKeyPrefix (env Redis__ReplyKeyPrefix): replies could overwrite cached cabinets (jdpay:device:…); give a prefix of its own, such as jdpay:reply:`}},
		"a reply prefix of both":    {environ: []string{"Redis__ReplyKeyPrefix=jdpay:"}, want: []string{`Redis:ReplyKeyPrefix = "jdpay:" (env Redis__ReplyKeyPrefix): replies could overwrite cached cabinets (jdpay:device:…); give a prefix of its own, such as jdpay:reply:`}},
		"another prefix of replies": {environ: []string{"Redis__ReplyKeyPrefix=x:"}},

		"status gate":            {environ: []string{"Payment__StatusField=status", "Payment__SuccessStatuses=OK"}},
		"status gate, no status": {environ: []string{"Payment__StatusField=status"}, want: []string{`Payment:SuccessStatuses: empty while the status field is set, so every payment with a status would be parked; list the statuses that mean paid`}},

		"topic":                     {environ: []string{"Mqtt__PayCompleteTopic=x/{DeviceType}/{DeviceGroupSN}/{PostOrderId}"}},
		"topic, unknown name":       {environ: []string{"Mqtt__PayCompleteTopic=x/{device}"}, want: []string{`Mqtt:PayCompleteTopic = "x/{device}" (env Mqtt__PayCompleteTopic): unknown placeholder {device}; name one topic; its placeholders are {DeviceGroupSN}, {PostOrderId} and {DeviceType}`}},
		"topic, open brace":         {environ: []string{"Mqtt__PayCompleteTopic=x/{DeviceType"}, want: []string{`Mqtt:PayCompleteTopic = "x/{DeviceType" (env Mqtt__PayCompleteTopic): a brace is not closed or not opened; name one topic; its placeholders are {DeviceGroupSN}, {PostOrderId} and {DeviceType}`}},
		"topic, wildcard":           {environ: []string{"Mqtt__PayCompleteTopic=x/#"}, want: []string{`Mqtt:PayCompleteTopic = "x/#" (env Mqtt__PayCompleteTopic): it contains the wildcard #; name one topic; its placeholders are {DeviceGroupSN}, {PostOrderId} and {DeviceType}`}},
		"password without user":     {environ: []string{"Mqtt__Password=x"}, want: []string{`Mqtt:Password = "***" (env Mqtt__Password): set without a user name, which MQTT requires; give the user name, too`}},
		"certificate without key":   {environ: []string{"Mqtt__Tls__Enabled=true", "Mqtt__Tls__CertFile=/dev/null"}, want: []string{`Mqtt:Tls:CertFile = "/dev/null" (env Mqtt__Tls__CertFile): certificate and key are not both set; give both, or neither`}},
		"authority file is missing": {environ: []string{"Mqtt__Tls__Enabled=true", "Mqtt__Tls__CaFile=" + missing}, want: []string{`Mqtt:Tls:CaFile = "` + missing + `" (env Mqtt__Tls__CaFile): cannot be read: no such file or directory; correct the path or the file's permissions, or give a PEM file`}},
		"authority file is none":    {environ: []string{"Mqtt__Tls__Enabled=true", "Mqtt__Tls__CaFile=/"}, want: []string{`Mqtt:Tls:CaFile = "/" (env Mqtt__Tls__CaFile): cannot be read: is a directory; correct the path or the file's permissions, or give a PEM file`}},

		"jos without keys": {environ: []string{"JDApi__Signer=jos", "JDApi__AppKey=k", "JDApi__UpdateWaybillStatusPath=jingdong.x.y"}, want: []string{
			`JDApi:AppSecret: required by the signer jos; set it in appsettings.json or as JDApi__AppSecret`,
			`JDApi:AccessToken: required by the signer jos; set it in appsettings.json or as JDApi__AccessToken`,
		}},
		"jos":                    {environ: []string{"JDApi__Signer=jos", "JDApi__AppKey=k", "JDApi__AppSecret=s", "JDApi__AccessToken=t", "JDApi__UpdateWaybillStatusPath=jingdong.x.y"}},
		"header without headers": {environ: []string{"JDApi__Signer=header"}, want: []string{`JDApi:Headers: empty while the signer is header; list the headers that authenticate a call`}},
		"header":                 {environ: []string{"JDApi__Signer=header", "JDApi__Headers__X-Key=k"}},
		"path without slash":     {environ: []string{"JDApi__UpdateWaybillStatusPath=update"}, want: []string{`JDApi:UpdateWaybillStatusPath = "update" (env JDApi__UpdateWaybillStatusPath): does not start with /; write /path`}},

		"index":                        {environ: []string{"Elasticsearch__Url=http://es", "Elasticsearch__Index=Pay"}, want: []string{`Elasticsearch:Index = "Pay" (env Elasticsearch__Index): not an index name; use lower-case letters, digits and inner - _ .`}},
		"no index":                     {environ: []string{"Elasticsearch__Url=http://es", "Elasticsearch__Index="}, want: []string{`Elasticsearch:Index (env Elasticsearch__Index): not an index name; use lower-case letters, digits and inner - _ .`}},
		"Redis string":                 {environ: []string{"Redis__Server=h:port,password=hunter2"}, want: []string{`Redis:Server = "***" (env Redis__Server): endpoint in part 1: the port is not a number from 1 to 65535; write host:port,password=…,defaultDatabase=… or redis://host:port/db`}},
		"MySQL string":                 {environ: []string{"ConnectionStrings__Main=Server=h;Pwd=hunter2"}, want: []string{`ConnectionStrings:Main = "***" (env ConnectionStrings__Main): no Database, no User Id; write Server=…;Port=3306;Database=…;Uid=…;Pwd=… or user:password@tcp(host:3306)/database`}},
		"listen on IPv6 loopback":      {environ: []string{"Ops__Listen=[::1]:9300"}},
		"listen on localhost":          {environ: []string{"Ops__Listen=localhost:0"}},
		"listen everywhere":            {environ: []string{"Ops__Listen=:9300"}, want: []string{`Ops:Listen = ":9300" (env Ops__Listen): open to other machines without a token; set a token or listen on 127.0.0.1`}},
		"listen everywhere, by number": {environ: []string{"Ops__Listen=0.0.0.0:9300"}, want: []string{`Ops:Listen = "0.0.0.0:9300" (env Ops__Listen): open to other machines without a token; set a token or listen on 127.0.0.1`}},
		"listen on a name":             {environ: []string{"Ops__Listen=node1:9300"}, want: []string{`Ops:Listen = "node1:9300" (env Ops__Listen): open to other machines without a token; set a token or listen on 127.0.0.1`}},
		"listen with a token":          {environ: []string{"Ops__Listen=0.0.0.0:9300", "Ops__Token=t"}},
		"profile without a token":      {environ: []string{"Ops__Profile=true"}, want: []string{`Ops:Profile = "true" (env Ops__Profile): on without a token; set Ops:Token: a profile tells what the daemon works on, and taking one costs processor time`}},
		"profile with a token":         {environ: []string{"Ops__Profile=true", "Ops__Token=t"}},
		"profile without a port":       {environ: []string{"Ops__Profile=true", "Ops__Listen="}},
		"listen without a port":        {environ: []string{"Ops__Listen=127.0.0.1"}, want: []string{`Ops:Listen = "127.0.0.1" (env Ops__Listen): not host:port; give an address such as 127.0.0.1:9300, with port 0 for any free one, or leave it empty for none`}},
		"a queue name":                 {environ: []string{"JDPay__NotifyQueueName=a/b"}, want: []string{`JDPay:NotifyQueueName = "a/b" (env JDPay__NotifyQueueName): not the name of a queue; use at most 256 letters, digits and hyphens, a letter or digit first`}},
		"a header for JD":              {environ: []string{"JDApi__Signer=header", "JDApi__Headers__a b=k"}, want: []string{`JDApi:Headers:a b = "***" (env JDApi__Headers__a b): has characters that are invalid in http, or is Host; correct its name or value`}},

		// One mistake is one fault, even if several checks find it.
		"no string":     {environ: []string{"ConnectionStrings__Main="}, want: []string{`ConnectionStrings:Main (env ConnectionStrings__Main): empty; give it a value`}},
		"no topic":      {environ: []string{"Mqtt__PayCompleteTopic="}, want: []string{`Mqtt:PayCompleteTopic (env Mqtt__PayCompleteTopic): empty; give it a value`}},
		"no key":        {environ: []string{"JDPay__Md5Key="}, want: []string{`JDPay:Md5Key = "[]" (env JDPay__Md5Key): empty; give it a value`}},
		"a placeholder": {environ: []string{"JDPay__Md5Key=xxx"}, want: []string{`JDPay:Md5Key = "["***"]" (env JDPay__Md5Key): a placeholder, which everybody knows; give the secret itself, there or as JDPay__Md5Key`}},
		"not a word":    {environ: []string{"JDApi__Signer=md5"}, want: []string{`JDApi:Signer = "md5" (env JDApi__Signer): not valid; give one of none, header, jos`}},
		"all at once": {environ: []string{"Mns__BatchSize=99", "Mqtt__Port=x", "Ops__Listen=x", "Mqtt__Password=x"}, want: []string{
			`Mqtt:Port = "x" (env Mqtt__Port): not valid; give a whole number from 1 to 65535`,
			`Mns:BatchSize = "99" (env Mns__BatchSize): out of range; give a whole number from 1 to 16`,
			`Mqtt:Password = "***" (env Mqtt__Password): set without a user name, which MQTT requires; give the user name, too`,
			`Ops:Listen = "x" (env Ops__Listen): not host:port; give an address such as 127.0.0.1:9300, with port 0 for any free one, or leave it empty for none`,
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := loadMinimal(t, tt.environ...)
			if diff := cmp.Diff(tt.want, faultsOf(t, err)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestAllowedWordsMatchTheAdapters compares the oneof tags of the configuration with the words that the adapters accept.
func TestAllowedWordsMatchTheAdapters(t *testing.T) {
	words := func(section reflect.Type, field string) []string {
		f, _ := section.FieldByName(field)
		return strings.Fields(f.Tag.Get("oneof"))
	}
	profiles := words(reflect.TypeFor[config.JDPay](), "SignProfile")
	if diff := cmp.Diff(message.Profiles, profiles, cmpopts.SortSlices(strings.Compare)); diff != "" {
		t.Error(diff)
	}
	for _, signer := range words(reflect.TypeFor[config.JDApi](), "Signer") {
		for _, f := range (jdapi.Options{Signer: signer}).Check() {
			if f.Option == "Signer" {
				t.Errorf("%s: %s", signer, f.Problem)
			}
		}
	}
}

// TestMissingKeysAreReportedOnce requires no fault at all for keys that may be in a file that cannot be read.
func TestMissingKeysAreReportedOnce(t *testing.T) {
	dir := t.TempDir()
	_, err := Load(config.Options{Dir: dir, Environ: []string{}})
	if faults := faultsOf(t, err); len(faults) != 9 || strings.Count(err.Error(), "required but not set") != 9 {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "appsettings.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Load(config.Options{Dir: dir, Environ: []string{}})
	if faults := faultsOf(t, err); len(faults) != 1 || !strings.HasPrefix(faults[0], "appsettings.json:1:2: not valid JSON") {
		t.Errorf("got %v", err)
	}
}

// TestSampleIsAccepted adds a signing key to the shipped sample, which then has no fault and no warning.
func TestSampleIsAccepted(t *testing.T) {
	loaded, err := Load(config.Options{Files: []string{"../../configs/appsettings.json"}, Environ: []string{"JDPay__Md5Key=a-key-of-the-tests"}})
	if err != nil || len(loaded.Warnings) > 0 {
		t.Errorf("%v, warnings %v", err, loaded.Warnings)
	}
}

const (
	shortKey = "a key is shorter than 16 characters: it can be found by trying, from one captured message; ask for a longer one"
	unmarked = " does not mark where a field begins: if one that is signed beside data holds a text that others choose, such as a payer, " +
		"that text can be passed off as another payment; ask JD for a kv_ profile, or have only data signed"
)

func TestWarnings(t *testing.T) {
	tests := map[string]struct {
		environ []string
		want    []string
	}{
		"no warning":                  {},
		"amounts are not compared":    {environ: []string{"Payment__AmountCheck=OFF"}, want: []string{"Payment:AmountCheck: off: payments of a wrong amount are booked"}},
		"a short key":                 {environ: []string{"JDPay__Md5Key=TESTKEY"}, want: []string{"JDPay:Md5Key: " + shortKey}},
		"a short reply key":           {environ: []string{"SyncReply__Md5Key__0=0123456789abcdef", "SyncReply__Md5Key__1=0123456789abcde"}, want: []string{"SyncReply:Md5Key: " + shortKey}},
		"borders unmarked":            {environ: []string{"JDPay__SignProfile=concat_kv"}, want: []string{"JDPay:SignProfile: concat_kv" + unmarked}},
		"borders unmarked, some":      {environ: []string{"JDPay__SignProfile=values_only", "JDPay__Include__0=data", "JDPay__Include__1=timestamp"}, want: []string{"JDPay:SignProfile: values_only" + unmarked}},
		"borders unmarked, only data": {environ: []string{"JDPay__SignProfile=values_only", "JDPay__Include=DATA"}},
		"status where only data is":   {environ: []string{"JDPay__SignProfile=data_key", "Payment__StatusField=s", "Payment__SuccessStatuses=OK"}, want: []string{"Payment:StatusField: data_key signs only data: a payment that does not have the field inside of data is parked as not_success"}},
		"statuses without a field":    {environ: []string{"Payment__SuccessStatuses=OK"}, want: []string{"Payment:SuccessStatuses: has no effect without the status field"}},
		"TLS files without TLS":       {environ: []string{"Mqtt__Tls__CaFile=/dev/null"}, want: []string{"Mqtt:Tls:Enabled: false: the files have no effect and the connection is not encrypted"}},
		"alerts that are not signed":  {environ: []string{"Alerts__DingTalk__Url=https://h/"}, want: []string{`Alerts:DingTalk:Secret: not set: what is sent is not signed`}},
		"notices of a MySQL string":   {environ: []string{"ConnectionStrings__Main=Server=a,b;Database=d;Uid=u;SslMode=VerifyFull"}, want: []string{"ConnectionStrings:Main: Server lists several hosts; only the first is used"}},
		"notices of a Redis string":   {environ: []string{"Redis__EndPoints__0=a", "Redis__EndPoints__1=b,channelPrefix=x"}, want: []string{"Redis:EndPoints: channelPrefix has no effect here; put it in front of the prefix of replies"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, testenv.Texts(mustLoad(t, tt.environ...).Warnings)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestBrokerAddress(t *testing.T) {
	tests := map[string]struct {
		environ []string
		want    config.Mqtt // Server, Port and Tls.Enabled
		fault   string
	}{
		"host":                          {environ: []string{"Mqtt__Server=h"}, want: config.Mqtt{Server: "h", Port: 1883}},
		"host and port":                 {environ: []string{"Mqtt__Server=h:1884"}, want: config.Mqtt{Server: "h", Port: 1884}},
		"tcp address":                   {environ: []string{"Mqtt__Server=tcp://h:1884/"}, want: config.Mqtt{Server: "h", Port: 1884}},
		"address without a port":        {environ: []string{"Mqtt__Server=mqtt://h", "Mqtt__Port=1885"}, want: config.Mqtt{Server: "h", Port: 1885}},
		"the same port twice":           {environ: []string{"Mqtt__Server=h:1884", "Mqtt__Port=1884"}, want: config.Mqtt{Server: "h", Port: 1884}},
		"TLS address":                   {environ: []string{"Mqtt__Server=mqtts://h"}, want: config.Mqtt{Server: "h", Port: 8883, Tls: config.MqttTls{Enabled: true}}},
		"TLS address, port of its own":  {environ: []string{"Mqtt__Server=ssl://h", "Mqtt__Port=1883"}, want: config.Mqtt{Server: "h", Port: 1883, Tls: config.MqttTls{Enabled: true}}},
		"IPv6":                          {environ: []string{"Mqtt__Server=[::1]:1884"}, want: config.Mqtt{Server: "::1", Port: 1884}},
		"bare IPv6":                     {environ: []string{"Mqtt__Server=fe80::1"}, want: config.Mqtt{Server: "fe80::1", Port: 1883}},
		"two different ports":           {environ: []string{"Mqtt__Server=h:1884", "Mqtt__Port=1885"}, fault: `Mqtt:Server = "h:1884" (env Mqtt__Server): names another port than Port; correct one of them`},
		"unknown scheme":                {environ: []string{"Mqtt__Server=ws://h"}, fault: `Mqtt:Server = "ws://h" (env Mqtt__Server): not a broker's address: its scheme is not one of tcp, mqtt, ssl, tls, mqtts; ` + brokerRemedy},
		"credentials are not repeated":  {environ: []string{"Mqtt__Server=tcp://u:hunter2@h"}, fault: `Mqtt:Server = "tcp://***@h" (env Mqtt__Server): not a broker's address: it holds a user name or password; ` + brokerRemedy},
		"nor without a scheme":          {environ: []string{"Mqtt__Server=u:hunter2@h"}, fault: `Mqtt:Server = "***@h" (env Mqtt__Server): not a broker's address: it holds a user name or password; ` + brokerRemedy},
		"a port that is none":           {environ: []string{"Mqtt__Server=h:http"}, fault: `Mqtt:Server = "h:http" (env Mqtt__Server): not a broker's address: the port is not a number from 1 to 65535; ` + brokerRemedy},
		"no host":                       {environ: []string{"Mqtt__Server=tcp://:1883"}, fault: `Mqtt:Server = "tcp://:1883" (env Mqtt__Server): not a broker's address: not a host name; ` + brokerRemedy},
		"an IPv6 bracket is not closed": {environ: []string{"Mqtt__Server=[::1"}, fault: `Mqtt:Server = "[::1" (env Mqtt__Server): not a broker's address: [ is not closed; ` + brokerRemedy},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			loaded, err := loadMinimal(t, tt.environ...)
			if diff := cmp.Diff(tt.fault, strings.Join(faultsOf(t, err), "\n")); diff != "" {
				t.Fatal(diff)
			}
			if tt.fault != "" {
				return
			}
			m := loaded.Config.Mqtt
			if got := (config.Mqtt{Server: m.Server, Port: m.Port, Tls: m.Tls}); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

const brokerRemedy = "give a host, host:port, tcp:// or mqtts:// address; user and password have settings of their own"

func TestRedisOptions(t *testing.T) {
	tests := map[string]struct {
		environ []string
		want    redisstore.Options
		off     bool
	}{
		"off":                           {off: true},
		"off, though a password is set": {environ: []string{"Redis__Password=x"}, off: true},
		"server":                        {environ: []string{"Redis__Server=h"}, want: redisstore.Options{Addrs: []string{"h:6379"}}},
		"the string's own values":       {environ: []string{"Redis__Server=h,password=own,defaultDatabase=1"}, want: redisstore.Options{Addrs: []string{"h:6379"}, Password: "own", DB: 1}},
		"separate values win":           {environ: []string{"Redis__Server=h,password=own,defaultDatabase=1", "Redis__Password=p", "Redis__Db=2"}, want: redisstore.Options{Addrs: []string{"h:6379"}, Password: "p", DB: 2}},
		"-1 is no database":             {environ: []string{"Redis__Server=h,defaultDatabase=1", "RedisDBId=-1"}, want: redisstore.Options{Addrs: []string{"h:6379"}, DB: 1}},
		"endpoints win over server":     {environ: []string{"Redis__Server=h", "Redis__EndPoints__0=a:1", "Redis__EndPoints__1=b:2"}, want: redisstore.Options{Addrs: []string{"a:1", "b:2"}}},
		"endpoints as one string":       {environ: []string{"RedisEndPoints=a:1,b:2", "RedisPwd=p"}, want: redisstore.Options{Addrs: []string{"a:1", "b:2"}, Password: "p"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, _, on, err := redisOptions(mustLoad(t, tt.environ...).Config)
			if err != nil {
				t.Fatal(err)
			}
			if on == tt.off {
				t.Fatalf("on is %v", on)
			}
			tt.want.ReplyKeyPrefix, tt.want.CabinetTTL = "jdpay:reply:", 10*time.Minute
			if diff := cmp.Diff(tt.want, got); on && diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestMisspeltNamesInMapsAreTold: such a limit, schedule or pay type would have no effect, and nothing else would tell.
func TestMisspeltNamesInMapsAreTold(t *testing.T) {
	loaded := mustLoad(t, "Jobs__Concurrency__settel=9", "Jobs__Concurrency__SETTLE=9", "Jobs__Retry__waybil-status__Factor=3", "Jobs__Retry__x__Factor=3",
		"Payment__PayTypes__WXPYA=3", "Payment__PayTypes__ALIPAY=4", "Payment__PayTypes__OWN=5", "Jobs__Concurrency__default=5", "Jobs__Concurrency__reply-publish=5")
	var got []string
	for _, w := range loaded.Warnings {
		if warning := w.String(); strings.HasPrefix(warning, "Jobs:") || strings.HasPrefix(warning, "Payment:") {
			got = append(got, warning)
		}
	}
	const unused = ": no kind of job is called so, so it has no effect; the "
	want := []string{
		"Jobs:Concurrency:settel" + unused + "nearest known one is settle", "Jobs:Retry:waybil-status" + unused + "nearest known one is waybill-status",
		"Jobs:Retry:x" + unused + "kinds are " + strings.Join(append(slices.Clone(Kinds), "default"), ", "),
		"Payment:PayTypes:WXPYA: a payType counts only if it is equal in every letter; the nearest known one is WXPAY",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
