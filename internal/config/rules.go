package config

import (
	"fmt"
	"net"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

func (v *validator) mns() {
	m := v.c.Mns
	if m.AccessKeyId.IsSet() != m.AccessKeySecret.IsSet() {
		v.fault("Mns:AccessKeyId", "access key id and secret are not both set",
			"set Mns:AccessKeyId and Mns:AccessKeySecret, or neither for the credential chain")
	}
	if m.SecurityToken.IsSet() && !m.AccessKeyId.IsSet() {
		v.fault("Mns:SecurityToken", "set without an access key", "set Mns:AccessKeyId and Mns:AccessKeySecret too")
	}
}

// minKey is the number of characters below which a signing key is too short for comfort.
const minKey = 16

const emptyKey = "an empty key would accept forged messages"

// signatures refuses what would let an unsigned payment through.
func (v *validator) signatures() {
	p := v.c.JDPay
	isEmpty := func(key Secret) bool { return strings.TrimSpace(key.Reveal()) == "" }
	if slices.ContainsFunc(p.Md5Key, isEmpty) && !v.faulty("JDPay:Md5Key") {
		v.fault("JDPay:Md5Key", emptyKey, "remove it or give the key")
	}
	own := v.sources["syncreply:md5key"] != "JDPay:Md5Key"
	if own && slices.ContainsFunc(v.c.SyncReply.Md5Key, isEmpty) && !v.faulty("SyncReply:Md5Key") {
		v.fault("SyncReply:Md5Key", emptyKey, "remove it or give the key")
	}
	short := func(key Secret) bool { return utf8.RuneCountInString(key.Reveal()) < minKey }
	for _, queue := range []struct {
		key  string
		keys []Secret
		own  bool
	}{{"JDPay:Md5Key", p.Md5Key, true}, {"SyncReply:Md5Key", v.c.SyncReply.Md5Key, own}} {
		if queue.own && !v.faulty(queue.key) && slices.ContainsFunc(queue.keys, short) {
			v.warn(queue.key, fmt.Sprintf("a key is shorter than %d characters: it can be found by trying, from one captured message; ask for a longer one", minKey))
		}
	}
	v.signedFields()
}

// signedFields refuses lists of fields with which not everything is signed that decides over a payment.
func (v *validator) signedFields() {
	p, status := v.c.JDPay, v.c.Payment.StatusField
	if p.SignProfile == "data_key" || p.SignProfile == "key_data" { // these sign data and nothing else
		if status != "" {
			v.warn("Payment:StatusField", p.SignProfile+" signs only data: a payment that does not have the field inside of data is parked as not_success")
		}
		return
	}
	for _, field := range []struct{ name, risk string }{
		{"data", "so anybody could alter a payment"},
		{status, "so anybody could turn a failed payment into a successful one"},
	} {
		is := func(name string) bool { return strings.EqualFold(name, field.name) }
		if field.name == "" {
			continue
		}
		if slices.ContainsFunc(p.Exclude, is) {
			v.fault("JDPay:Exclude", "leaves "+field.name+" unsigned, "+field.risk, "remove "+field.name+" from the list")
		}
		if len(p.Include) > 0 && !slices.ContainsFunc(p.Include, is) {
			v.fault("JDPay:Include", "leaves "+field.name+" unsigned, "+field.risk, "add "+field.name+" to the list")
		}
	}
	beside := func(name string) bool { return !strings.EqualFold(name, "data") }
	if !strings.HasPrefix(p.SignProfile, "kv_") && (len(p.Include) == 0 || slices.ContainsFunc(p.Include, beside)) {
		v.warn("JDPay:SignProfile", p.SignProfile+" does not mark where a field begins: if one that is signed beside data holds a text that others choose, such as a payer, "+
			"that text can be passed off as another payment; ask JD for a kv_ profile, or have only data signed (JDPay:Include)")
	}
}

func (v *validator) payment() {
	p := v.c.Payment
	for i, pattern := range p.TestOrders {
		key := fmt.Sprintf("Payment:TestOrders:%d", i)
		if _, err := path.Match(pattern, ""); err != nil {
			v.fault(key, fmt.Sprintf("%q is not a pattern", pattern), "write * for any characters, ? for one, and \\ before one that is meant as it is")
		} else if strings.Trim(pattern, "*? ") == "" {
			v.fault(key, fmt.Sprintf("%q matches every order, or none", pattern), "name test orders only, such as TEST-*")
		}
	}
	if _, err := time.LoadLocation(p.TimeZone); err != nil || p.TimeZone == "" || p.TimeZone == "Local" {
		v.fault("Payment:TimeZone", "not a time zone", "give an IANA name such as Asia/Shanghai")
	}
	if p.AmountCheck == "off" {
		v.warn("Payment:AmountCheck", "off: payments of a wrong amount are booked")
	}
	switch {
	case p.StatusField != "" && len(p.SuccessStatuses) == 0:
		v.fault("Payment:SuccessStatuses", "empty while Payment:StatusField is set, so every payment with a status would be parked",
			"list the statuses that mean paid")
	case p.StatusField == "" && len(p.SuccessStatuses) > 0:
		v.warn("Payment:SuccessStatuses", "has no effect without Payment:StatusField")
	}
}

var (
	placeholder  = regexp.MustCompile(`\{([^{}]*)\}`)
	placeholders = []string{"DeviceGroupSN", "PostOrderId", "DeviceType"}
)

func (v *validator) mqtt() {
	m := v.c.Mqtt
	const topic = "Mqtt:PayCompleteTopic"
	for _, found := range placeholder.FindAllStringSubmatch(m.PayCompleteTopic, -1) {
		if !slices.Contains(placeholders, found[1]) {
			v.fault(topic, "unknown placeholder "+found[0], "use only {"+strings.Join(placeholders, "}, {")+"}")
		}
	}
	if strings.ContainsAny(placeholder.ReplaceAllString(m.PayCompleteTopic, ""), "{}") {
		v.fault(topic, "a brace is not paired", "write placeholders as {Name}")
	}
	if strings.ContainsAny(m.PayCompleteTopic, "+#\x00") {
		v.fault(topic, "a topic to publish to cannot contain the wildcards + and #", "name one topic")
	}
	if m.Password.IsSet() && m.Username == "" {
		v.fault("Mqtt:Password", "MQTT knows no password without a user", "set Mqtt:Username too")
	}
	if (m.Tls.CertFile == "") != (m.Tls.KeyFile == "") {
		v.fault("Mqtt:Tls:CertFile", "certificate and key are not both set", "set Mqtt:Tls:CertFile and Mqtt:Tls:KeyFile, or neither")
	}
	if !m.Tls.Enabled && m.Tls.CaFile+m.Tls.CertFile+m.Tls.KeyFile != "" {
		v.warn("Mqtt:Tls:Enabled", "false: the files below Mqtt:Tls have no effect and the connection is not encrypted")
	}
}

func (v *validator) jdAPI() {
	j := v.c.JDApi
	switch j.Signer {
	case "jos":
		for _, needed := range []struct {
			key   string
			value Secret
		}{{"JDApi:AppKey", j.AppKey}, {"JDApi:AppSecret", j.AppSecret}, {"JDApi:AccessToken", j.AccessToken}} {
			if !needed.value.IsSet() {
				v.fault(needed.key, "required by JDApi:Signer jos", "set it in appsettings.json or as "+variableName(needed.key))
			}
		}
		return // the path is the name of a method
	case "header":
		if len(j.Headers) == 0 {
			v.fault("JDApi:Headers", "empty while JDApi:Signer is header", "list the headers that authenticate a call")
		}
	}
	if j.UpdateWaybillStatusPath != "" && !strings.HasPrefix(j.UpdateWaybillStatusPath, "/") {
		v.fault("JDApi:UpdateWaybillStatusPath", "does not start with /", "write /path")
	}
}

// DeviceKeyPrefix is that of the keys in Redis in which cabinets are cached.
const DeviceKeyPrefix = "jdpay:device:"

func (v *validator) redis() {
	// A message id is what a cabinet says it is.
	if prefix := v.c.Redis.ReplyKeyPrefix; strings.HasPrefix(DeviceKeyPrefix, prefix) || strings.HasPrefix(prefix, DeviceKeyPrefix) {
		v.fault("Redis:ReplyKeyPrefix", "replies could overwrite cached cabinets ("+DeviceKeyPrefix+"…)", "give a prefix of its own, such as jdpay:reply:")
	}
	key := v.c.redisKey()
	opts, notices, on, err := v.c.redis()
	if err != nil {
		v.fault(key, err.Error(), "write host:port,password=…,defaultDatabase=… or redis://host:port/db")
	}
	for _, notice := range notices {
		v.warn(key, notice)
	}
	if v.c.Redis.CaFile != "" && on && err == nil && !opts.TLS {
		v.warn("Redis:CaFile", "has no effect without ssl=true or rediss://, and the connection is not encrypted")
	}
}

func (v *validator) elasticsearch() {
	e := v.c.Elasticsearch
	if e.Url == "" {
		return
	}
	if e.Index == "" || e.Index != strings.ToLower(e.Index) || strings.ContainsAny(e.Index[:1], "-_+.") ||
		strings.ContainsAny(e.Index, " \"*\\<|,>/?#:") {
		v.fault("Elasticsearch:Index", "not an index name", "use lower-case letters, digits and inner - _ .")
	}
}

func (v *validator) jobs() {
	for _, kind := range sortedKeys(v.c.Jobs.Retry) {
		retry, key := v.c.Jobs.Retry[kind], "Jobs:Retry:"+kind+":MaxWait"
		if retry.MaxWait < retry.FirstWait && !v.faulty("Jobs:Retry:"+kind) {
			v.fault(key, "shorter than FirstWait", "give "+formatDuration(retry.FirstWait)+" or more")
		}
	}
}

// process checks what the process itself opens: its name and its HTTP server.
func (v *validator) process() {
	if !instanceForm.MatchString(v.c.Host.Instance) {
		v.fault("Host:Instance", "not usable in an MQTT client id", fmt.Sprintf("use at most %d of A-Z a-z 0-9 . _ -", maxInstance))
	}
	if v.faulty("Ops:Listen") {
		return
	}
	host, port, err := net.SplitHostPort(v.c.Ops.Listen)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		v.fault("Ops:Listen", "not host:port", "give an address such as 127.0.0.1:9300")
		return
	}
	if !isLoopback(host) && !v.c.Ops.Token.IsSet() {
		v.fault("Ops:Listen", "open to other machines without a token", "set Ops:Token or listen on 127.0.0.1")
	}
}

// alerts says that nobody calls these addresses yet, so that nobody relies on them.
func (v *validator) alerts() {
	a := v.c.Alerts
	for _, target := range []struct {
		key string
		url Secret
	}{{"Alerts:DingTalk:Url", a.DingTalk.Url}, {"Alerts:WeCom:Url", a.WeCom.Url}, {"Alerts:Webhook:Url", a.Webhook.Url}} {
		if target.url.IsSet() {
			v.warn(target.key, `has no effect yet: alerts are log lines with "alert":true`)
		}
	}
}
