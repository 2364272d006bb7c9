package config

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRequiredKeys(t *testing.T) {
	_, err := Load(testOptions(t))
	want := []string{
		"ConnectionStrings:Account: required but not set; set it in appsettings.json or as ConnectionStrings__Account",
		"ConnectionStrings:Main: required but not set; set it in appsettings.json or as ConnectionStrings__Main",
		"Mns:Endpoint: required but not set; set it in appsettings.json or as Mns__Endpoint",
		"JDPay:NotifyQueueName: required but not set; set it in appsettings.json or as JDPay__NotifyQueueName",
		"JDPay:Md5Key: required but not set; set it in appsettings.json or as JDPay__Md5Key",
		"Mqtt:Server: required but not set; set it in appsettings.json or as Mqtt__Server",
		"JDApi:BaseUrl: required but not set; set it in appsettings.json or as JDApi__BaseUrl",
		"JDApi:ProducerCode: required but not set; set it in appsettings.json or as JDApi__ProducerCode",
		"JDApi:CloudProducerCode: required but not set; set it in appsettings.json or as JDApi__CloudProducerCode",
	}
	if diff := cmp.Diff(want, faultsOf(t, err)); diff != "" {
		t.Error(diff)
	}
}

// A typing error in a required key must be seen beside the fault it causes.
func TestFaultsKeepTheWarnings(t *testing.T) {
	opts := testOptions(t)
	write(t, opts.Dir, "appsettings.json", strings.Replace(minimal, `"Mqtt": {"Server"`, `"Mqtt": {"Sever"`, 1))
	loaded, err := Load(opts)
	if len(faultsOf(t, err)) != 1 {
		t.Fatalf("faults: %v", err)
	}
	want := []string{"unknown key Mqtt:Sever (appsettings.json:5); the nearest known one is Mqtt:Server"}
	if diff := cmp.Diff(want, loaded.Warnings); diff != "" {
		t.Error(diff)
	}
}

func TestFaults(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing.pem")
	tests := map[string]struct {
		environ []string
		want    []string // none: accepted
	}{
		"wait seconds 0":    {environ: []string{"Mns__WaitSeconds=0"}},
		"wait seconds 30":   {environ: []string{"Mns__WaitSeconds=30"}},
		"wait seconds 31":   {environ: []string{"Mns__WaitSeconds=31"}, want: []string{`Mns:WaitSeconds = "31" (env Mns__WaitSeconds): out of range; give a whole number from 0 to 30`}},
		"wait seconds -1":   {environ: []string{"Mns__WaitSeconds=-1"}, want: []string{`Mns:WaitSeconds = "-1" (env Mns__WaitSeconds): out of range; give a whole number from 0 to 30`}},
		"batch size 0":      {environ: []string{"Mns__BatchSize=0"}, want: []string{`Mns:BatchSize = "0" (env Mns__BatchSize): out of range; give a whole number from 1 to 16`}},
		"pollers 64":        {environ: []string{"Mns__MaxPollers=64"}},
		"pollers 65":        {environ: []string{"Mns__MaxPollers=65"}, want: []string{`Mns:MaxPollers = "65" (env Mns__MaxPollers): out of range; give a whole number from 1 to 64`}},
		"port 65536":        {environ: []string{"Mqtt__Port=65536"}, want: []string{`Mqtt:Port = "65536" (env Mqtt__Port): out of range; give a whole number from 1 to 65535`}},
		"calls -1":          {environ: []string{"JDApi__MaxPerSecond=-1"}, want: []string{`JDApi:MaxPerSecond = "-1" (env JDApi__MaxPerSecond): out of range; give a number from 0 to 100000`}},
		"concurrency 0":     {environ: []string{"Jobs__Concurrency__settle=0"}, want: []string{`Jobs:Concurrency:settle = "0" (env Jobs__Concurrency__settle): out of range; give a whole number from 1 to 100000`}},
		"factor below 1":    {environ: []string{"Jobs__Retry__settle__Factor=0.9"}, want: []string{`Jobs:Retry:settle:Factor = "0.9" (env Jobs__Retry__settle__Factor): out of range; give a number from 1 to 100`}},
		"factor 1":          {environ: []string{"Jobs__Retry__settle__Factor=1"}},
		"duration zero":     {environ: []string{"Jobs__Retry__x__FirstWait=0"}, want: []string{`Jobs:Retry:x:FirstWait = "0s" (env Jobs__Retry__x__FirstWait): out of range; give a duration above zero such as "30s" or "00:00:30"`}},
		"duration negative": {environ: []string{"Host__ShutdownTimeout=-1s"}, want: []string{`Host:ShutdownTimeout = "-1s" (env Host__ShutdownTimeout): out of range; give a duration above zero such as "30s" or "00:00:30"`}},
		"waits crossed":     {environ: []string{"Jobs__Retry__settle__FirstWait=2m"}, want: []string{`Jobs:Retry:settle:MaxWait = "1m": shorter than FirstWait; give 2m or more`}},

		"test orders":              {environ: []string{"Payment__TestOrders__0=TEST-*", "Payment__TestOrders__1=R1"}},
		"every order a test order": {environ: []string{"Payment__TestOrders__0=*"}, want: []string{`Payment:TestOrders:0 (env Payment__TestOrders__0): "*" matches every order, or none; name test orders only, such as TEST-*`}},
		"no pattern":               {environ: []string{"Payment__TestOrders__0=R1", "Payment__TestOrders__1=T["}, want: []string{`Payment:TestOrders:1 (env Payment__TestOrders__1): "T[" is not a pattern; write * for any characters, ? for one, and \ before one that is meant as it is`}},

		"words in any case":   {environ: []string{"Logging__Format=TEXT", "Payment__AmountUnit=Fen", "JDPay__BodyEncoding=RAW"}},
		"unknown word":        {environ: []string{"Payment__AmountCheck=maybe"}, want: []string{`Payment:AmountCheck = "maybe" (env Payment__AmountCheck): not valid; give one of enforce, report, off`}},
		"no word":             {environ: []string{"Logging__Format="}, want: []string{`Logging:Format (env Logging__Format): not valid; give one of json, text`}},
		"unknown profile":     {environ: []string{"JDPay__SignProfile=md5"}, want: []string{`JDPay:SignProfile = "md5" (env JDPay__SignProfile): not valid; give one of kv_amp_bare, kv_append, kv_amp_key, concat_kv, concat_kv_wrapped, values_only, data_key, key_data`}},
		"required with blank": {environ: []string{"JDApi__ProducerCode= "}, want: []string{`JDApi:ProducerCode = " " (env JDApi__ProducerCode): empty; give it a value`}},
		"reply field blank":   {environ: []string{"SyncReply__Fields__Code="}, want: []string{`SyncReply:Fields:Code (env SyncReply__Fields__Code): empty; give it a value`}},

		"address without scheme":   {environ: []string{"Mns__Endpoint=mns.test"}, want: []string{`Mns:Endpoint = "mns.test" (env Mns__Endpoint): does not start with http:// or https://; give an address such as https://host/path`}},
		"address without host":     {environ: []string{"JDApi__BaseUrl=http:///x"}, want: []string{`JDApi:BaseUrl = "http:///x" (env JDApi__BaseUrl): has no host; give an address such as https://host/path`}},
		"no address":               {environ: []string{"JDApi__BaseUrl=http://a b"}, want: []string{`JDApi:BaseUrl = "http://a b" (env JDApi__BaseUrl): not an address; give an address such as https://host/path`}},
		"address with credentials": {environ: []string{"JDApi__BaseUrl=http://u:hunter2@h"}, want: []string{`JDApi:BaseUrl = "http://***@h" (env JDApi__BaseUrl): holds a user name or password; give an address such as https://host/path`}},
		"alert address":            {environ: []string{"Alerts__WeCom__Url=ftp://h/?key=hunter2"}, want: []string{`Alerts:WeCom:Url = "***" (env Alerts__WeCom__Url): does not start with http:// or https://; give an address such as https://host/path`}},

		"key id without secret":  {environ: []string{"Mns__AccessKeyId=id"}, want: []string{`Mns:AccessKeyId = "***" (env Mns__AccessKeyId): access key id and secret are not both set; set Mns:AccessKeyId and Mns:AccessKeySecret, or neither for the credential chain`}},
		"secret without key id":  {environ: []string{"Mns__AccessKeySecret=x"}, want: []string{`Mns:AccessKeyId: access key id and secret are not both set; set Mns:AccessKeyId and Mns:AccessKeySecret, or neither for the credential chain`}},
		"key id and secret":      {environ: []string{"Mns__AccessKeyId=id", "Mns__AccessKeySecret=x", "Mns__SecurityToken=t"}},
		"token without key":      {environ: []string{"Mns__SecurityToken=x"}, want: []string{`Mns:SecurityToken = "***" (env Mns__SecurityToken): set without an access key; set Mns:AccessKeyId and Mns:AccessKeySecret too`}},
		"empty key":              {environ: []string{"JDPay__Md5Key="}, want: []string{`JDPay:Md5Key = "[]" (env JDPay__Md5Key): empty; give it a value`}},
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

		"key of the sample":         {environ: []string{"JDPay__Md5Key= Change-Me "}, want: []string{`JDPay:Md5Key = "["***"]" (env JDPay__Md5Key): a placeholder, which everybody knows; give the secret itself, there or as JDPay__Md5Key`}},
		"one key is a placeholder":  {environ: []string{"JDPay__Md5Key__0=a", "JDPay__Md5Key__1=…"}, want: []string{`JDPay:Md5Key = "["***","***"]" (env JDPay__Md5Key__0, env JDPay__Md5Key__1): a placeholder, which everybody knows; give the secret itself, there or as JDPay__Md5Key`}},
		"reply key is one":          {environ: []string{"SyncReply__Md5Key=XXX"}, want: []string{`SyncReply:Md5Key = "["***"]" (env SyncReply__Md5Key): a placeholder, which everybody knows; give the secret itself, there or as SyncReply__Md5Key`}},
		"token is a placeholder":    {environ: []string{"Ops__Token=<token>"}, want: []string{`Ops:Token = "***" (env Ops__Token): a placeholder, which everybody knows; give the secret itself, there or as Ops__Token`}},
		"header is a placeholder":   {environ: []string{"JDApi__Signer=header", "JDApi__Headers__X-Key=***"}, want: []string{`JDApi:Headers:X-Key = "***" (env JDApi__Headers__X-Key): a placeholder, which everybody knows; give the secret itself, there or as JDApi__Headers__X-Key`}},
		"replies over the cache":    {environ: []string{"Redis__ReplyKeyPrefix=jdpay:device:"}, want: []string{`Redis:ReplyKeyPrefix = "jdpay:device:" (env Redis__ReplyKeyPrefix): replies could overwrite cached cabinets (jdpay:device:…); give a prefix of its own, such as jdpay:reply:`}},
		"replies without a prefix":  {environ: []string{"Redis__ReplyKeyPrefix="}, want: []string{`Redis:ReplyKeyPrefix (env Redis__ReplyKeyPrefix): replies could overwrite cached cabinets (jdpay:device:…); give a prefix of its own, such as jdpay:reply:`}},
		"a reply prefix of both":    {environ: []string{"Redis__ReplyKeyPrefix=jdpay:"}, want: []string{`Redis:ReplyKeyPrefix = "jdpay:" (env Redis__ReplyKeyPrefix): replies could overwrite cached cabinets (jdpay:device:…); give a prefix of its own, such as jdpay:reply:`}},
		"another prefix of replies": {environ: []string{"Redis__ReplyKeyPrefix=x:"}},

		"time zone":               {environ: []string{"Payment__TimeZone=Asia/Tokyo"}},
		"unknown time zone":       {environ: []string{"Payment__TimeZone=Asia/Shangai"}, want: []string{`Payment:TimeZone = "Asia/Shangai" (env Payment__TimeZone): not a time zone; give an IANA name such as Asia/Shanghai`}},
		"no time zone":            {environ: []string{"Payment__TimeZone="}, want: []string{`Payment:TimeZone (env Payment__TimeZone): not a time zone; give an IANA name such as Asia/Shanghai`}},
		"the machine's time zone": {environ: []string{"Payment__TimeZone=Local"}, want: []string{`Payment:TimeZone = "Local" (env Payment__TimeZone): not a time zone; give an IANA name such as Asia/Shanghai`}},
		"status gate":             {environ: []string{"Payment__StatusField=status", "Payment__SuccessStatuses=OK"}},
		"status gate, no status":  {environ: []string{"Payment__StatusField=status"}, want: []string{`Payment:SuccessStatuses: empty while Payment:StatusField is set, so every payment with a status would be parked; list the statuses that mean paid`}},

		"topic":                     {environ: []string{"Mqtt__PayCompleteTopic=x/{DeviceType}/{DeviceGroupSN}/{PostOrderId}"}},
		"topic, unknown name":       {environ: []string{"Mqtt__PayCompleteTopic=x/{device}"}, want: []string{`Mqtt:PayCompleteTopic = "x/{device}" (env Mqtt__PayCompleteTopic): unknown placeholder {device}; use only {DeviceGroupSN}, {PostOrderId}, {DeviceType}`}},
		"topic, open brace":         {environ: []string{"Mqtt__PayCompleteTopic=x/{DeviceType"}, want: []string{`Mqtt:PayCompleteTopic = "x/{DeviceType" (env Mqtt__PayCompleteTopic): a brace is not paired; write placeholders as {Name}`}},
		"topic, wildcard":           {environ: []string{"Mqtt__PayCompleteTopic=x/#"}, want: []string{`Mqtt:PayCompleteTopic = "x/#" (env Mqtt__PayCompleteTopic): a topic to publish to cannot contain the wildcards + and #; name one topic`}},
		"no topic":                  {environ: []string{"Mqtt__PayCompleteTopic="}, want: []string{`Mqtt:PayCompleteTopic (env Mqtt__PayCompleteTopic): empty; give it a value`}},
		"password without user":     {environ: []string{"Mqtt__Password=x"}, want: []string{`Mqtt:Password = "***" (env Mqtt__Password): MQTT knows no password without a user; set Mqtt:Username too`}},
		"certificate without key":   {environ: []string{"Mqtt__Tls__Enabled=true", "Mqtt__Tls__CertFile=/dev/null"}, want: []string{`Mqtt:Tls:CertFile = "/dev/null" (env Mqtt__Tls__CertFile): certificate and key are not both set; set Mqtt:Tls:CertFile and Mqtt:Tls:KeyFile, or neither`}},
		"authority file is missing": {environ: []string{"Mqtt__Tls__Enabled=true", "Mqtt__Tls__CaFile=" + missing}, want: []string{`Mqtt:Tls:CaFile = "` + missing + `" (env Mqtt__Tls__CaFile): cannot be read: no such file or directory; correct the path or the file's permissions`}},
		"authority file is none":    {environ: []string{"Mqtt__Tls__Enabled=true", "Mqtt__Tls__CaFile=/"}, want: []string{`Mqtt:Tls:CaFile = "/" (env Mqtt__Tls__CaFile): is a directory; name a file`}},

		"jos without keys": {environ: []string{"JDApi__Signer=jos", "JDApi__AppKey=k", "JDApi__UpdateWaybillStatusPath=jingdong.x.y"}, want: []string{
			`JDApi:AppSecret: required by JDApi:Signer jos; set it in appsettings.json or as JDApi__AppSecret`,
			`JDApi:AccessToken: required by JDApi:Signer jos; set it in appsettings.json or as JDApi__AccessToken`,
		}},
		"jos":                    {environ: []string{"JDApi__Signer=jos", "JDApi__AppKey=k", "JDApi__AppSecret=s", "JDApi__AccessToken=t", "JDApi__UpdateWaybillStatusPath=jingdong.x.y"}},
		"header without headers": {environ: []string{"JDApi__Signer=header"}, want: []string{`JDApi:Headers: empty while JDApi:Signer is header; list the headers that authenticate a call`}},
		"header":                 {environ: []string{"JDApi__Signer=header", "JDApi__Headers__X-Key=k"}},
		"path without slash":     {environ: []string{"JDApi__UpdateWaybillStatusPath=update"}, want: []string{`JDApi:UpdateWaybillStatusPath = "update" (env JDApi__UpdateWaybillStatusPath): does not start with /; write /path`}},

		"index":            {environ: []string{"Elasticsearch__Url=http://es", "Elasticsearch__Index=Pay"}, want: []string{`Elasticsearch:Index = "Pay" (env Elasticsearch__Index): not an index name; use lower-case letters, digits and inner - _ .`}},
		"no index":         {environ: []string{"Elasticsearch__Url=http://es", "Elasticsearch__Index="}, want: []string{`Elasticsearch:Index (env Elasticsearch__Index): not an index name; use lower-case letters, digits and inner - _ .`}},
		"Redis string":     {environ: []string{"Redis__Server=h:port,password=hunter2"}, want: []string{`Redis:Server = "***" (env Redis__Server): endpoint in part 1: the port is not a number from 1 to 65535; write host:port,password=…,defaultDatabase=… or redis://host:port/db`}},
		"Redis database":   {environ: []string{"Redis__Db=-2"}, want: []string{`Redis:Db = "-2" (env Redis__Db): out of range; give a whole number from -1 to 65535`}},
		"MySQL string":     {environ: []string{"ConnectionStrings__Main=Server=h;Pwd=hunter2"}, want: []string{`ConnectionStrings:Main = "***" (env ConnectionStrings__Main): no Database, no User Id; write Server=…;Port=3306;Database=…;Uid=…;Pwd=… or user:password@tcp(host:3306)/database`}},
		"instance":         {environ: []string{"Host__Instance=node-1.a_B"}},
		"instance, spaces": {environ: []string{"Host__Instance=node 1"}, want: []string{`Host:Instance = "node 1" (env Host__Instance): not usable in an MQTT client id; use at most 40 of A-Z a-z 0-9 . _ -`}},

		"listen on IPv6 loopback":      {environ: []string{"Ops__Listen=[::1]:9300"}},
		"listen on localhost":          {environ: []string{"Ops__Listen=localhost:0"}},
		"listen everywhere":            {environ: []string{"Ops__Listen=:9300"}, want: []string{`Ops:Listen = ":9300" (env Ops__Listen): open to other machines without a token; set Ops:Token or listen on 127.0.0.1`}},
		"listen everywhere, by number": {environ: []string{"Ops__Listen=0.0.0.0:9300"}, want: []string{`Ops:Listen = "0.0.0.0:9300" (env Ops__Listen): open to other machines without a token; set Ops:Token or listen on 127.0.0.1`}},
		"listen on a name":             {environ: []string{"Ops__Listen=node1:9300"}, want: []string{`Ops:Listen = "node1:9300" (env Ops__Listen): open to other machines without a token; set Ops:Token or listen on 127.0.0.1`}},
		"listen with a token":          {environ: []string{"Ops__Listen=0.0.0.0:9300", "Ops__Token=t"}},
		"listen without a port":        {environ: []string{"Ops__Listen=127.0.0.1"}, want: []string{`Ops:Listen = "127.0.0.1" (env Ops__Listen): not host:port; give an address such as 127.0.0.1:9300`}},
		"listen on nothing":            {environ: []string{"Ops__Listen="}, want: []string{`Ops:Listen (env Ops__Listen): empty; give it a value`}},

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

const (
	shortKey = "a key is shorter than 16 characters: it can be found by trying, from one captured message; ask for a longer one"
	unmarked = " does not mark where a field begins: if one that is signed beside data holds a text that others choose, such as a payer, " +
		"that text can be passed off as another payment; ask JD for a kv_ profile, or have only data signed (JDPay:Include)"
)

func TestWarnings(t *testing.T) {
	tests := map[string]struct {
		environ []string
		want    []string
	}{
		"nothing to say":              {},
		"amounts are not compared":    {environ: []string{"Payment__AmountCheck=OFF"}, want: []string{"Payment:AmountCheck: off: payments of a wrong amount are booked"}},
		"a short key":                 {environ: []string{"JDPay__Md5Key=TESTKEY"}, want: []string{"JDPay:Md5Key: " + shortKey}},
		"a short reply key":           {environ: []string{"SyncReply__Md5Key__0=0123456789abcdef", "SyncReply__Md5Key__1=0123456789abcde"}, want: []string{"SyncReply:Md5Key: " + shortKey}},
		"borders unmarked":            {environ: []string{"JDPay__SignProfile=concat_kv"}, want: []string{"JDPay:SignProfile: concat_kv" + unmarked}},
		"borders unmarked, some":      {environ: []string{"JDPay__SignProfile=values_only", "JDPay__Include__0=data", "JDPay__Include__1=timestamp"}, want: []string{"JDPay:SignProfile: values_only" + unmarked}},
		"borders unmarked, only data": {environ: []string{"JDPay__SignProfile=values_only", "JDPay__Include=DATA"}},
		"status where only data is":   {environ: []string{"JDPay__SignProfile=data_key", "Payment__StatusField=s", "Payment__SuccessStatuses=OK"}, want: []string{"Payment:StatusField: data_key signs only data: a payment that does not have the field inside of data is parked as not_success"}},
		"statuses without a field":    {environ: []string{"Payment__SuccessStatuses=OK"}, want: []string{"Payment:SuccessStatuses: has no effect without Payment:StatusField"}},
		"TLS files without TLS":       {environ: []string{"Mqtt__Tls__CaFile=/dev/null"}, want: []string{"Mqtt:Tls:Enabled: false: the files below Mqtt:Tls have no effect and the connection is not encrypted"}},
		"alerts to a robot":           {environ: []string{"Alerts__WeCom__Url=https://h/"}, want: []string{`Alerts:WeCom:Url: has no effect yet: alerts are log lines with "alert":true`}},
		"notices of a MySQL string":   {environ: []string{"ConnectionStrings__Main=Server=a,b;Database=d;Uid=u;SslMode=VerifyFull"}, want: []string{"ConnectionStrings:Main: Server lists several hosts; only the first is used"}},
		"notices of a Redis string":   {environ: []string{"Redis__EndPoints__0=a", "Redis__EndPoints__1=b,channelPrefix=x"}, want: []string{"Redis:EndPoints: channelPrefix has no effect here; put it in front of Redis:ReplyKeyPrefix"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, mustLoad(t, "", tt.environ...).Warnings); diff != "" {
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
