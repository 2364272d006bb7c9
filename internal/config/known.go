package config

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// legacySection is a section that may also have the replaced program's flat keys. The dot is part of its name.
const legacySection = "Dev001.ThirdService"

// legacyKey is a flat key of the replaced program, spelled as it spelled it, and the key that took its place.
type legacyKey struct{ Flat, Key string }

var legacyKeys = []legacyKey{
	{"EMQServer", "Mqtt:Server"},
	{"EMQPort", "Mqtt:Port"},
	{"RedisEndPoints", "Redis:EndPoints"},
	{"RedisServer", "Redis:Server"},
	{"RedisPwd", "Redis:Password"},
	{"RedisDBId", "Redis:Db"},
	{"MNSSH_AccessKey", "Mns:AccessKeyId"},
	{"MNSSH_SecretKey", "Mns:AccessKeySecret"},
	{"MNSSH_EndPoint", "Mns:Endpoint"},
	{"MySqlServer", "ConnectionStrings:Main"},
	{"MySqlServerAcc", "ConnectionStrings:Account"},
	{"ElasticSearchUrl", "Elasticsearch:Url"},
	{"JDPayNotifyQueueName", "JDPay:NotifyQueueName"},
	{"JDPayMd5Key", "JDPay:Md5Key"},
	{"JDProducerCode", "JDApi:ProducerCode"},
	{"JDCloundProducerCode", "JDApi:CloudProducerCode"},
}

// aliases are other spellings of keys: the options of the signature profile may stand below its name, and the heartbeat's
// address in a section like those of the other receivers.
var aliases = map[string]string{
	"alerts:heartbeat:url":                  "Alerts:Heartbeat",
	"jdpay:signprofile:name":                "JDPay:SignProfile",
	"jdpay:signprofile:skipempty":           "JDPay:SkipEmpty",
	"jdpay:signprofile:exclude":             "JDPay:Exclude",
	"jdpay:signprofile:include":             "JDPay:Include",
	"jdpay:signprofile:caseinsensitivesort": "JDPay:CaseInsensitiveSort",
}

// canonical returns the key that an alias, or an element of an aliased list, stands for.
func canonical(key string) string {
	if to, ok := aliases[strings.ToLower(key)]; ok {
		return to
	}
	if i := strings.LastIndex(key, ":"); i >= 0 {
		if to, ok := aliases[strings.ToLower(key[:i])]; ok {
			return to + key[i:]
		}
	}
	return key
}

// knownKey is the pattern of a known key; {name} stands for any word and {n} for a list's index.
type knownKey struct {
	Pattern string
	Secret  bool
}

// knownKeys are the patterns of all keys, map entries and list elements included.
var knownKeys = listKnownKeys()

func listKnownKeys() []knownKey {
	var known []knownKey
	for _, o := range new(Config).options() {
		t := o.Value.Type()
		switch {
		case t.Kind() == reflect.Slice:
			known = append(known, knownKey{o.Key, o.isSecret()}, knownKey{o.Key + ":{n}", o.isSecret()})
		case t.Kind() == reflect.Map && isSection(t.Elem()):
			for _, sub := range options(o.Key+":{name}", reflect.New(t.Elem()).Elem()) {
				known = append(known, knownKey{sub.Key, sub.isSecret()})
			}
		case t.Kind() == reflect.Map:
			known = append(known, knownKey{o.Key + ":{name}", o.isSecret()})
		default:
			known = append(known, knownKey{o.Key, o.isSecret()})
		}
	}
	for _, l := range legacyKeys {
		at := slices.IndexFunc(known, func(k knownKey) bool { return k.Pattern == l.Key })
		for _, flat := range []string{l.Flat, legacySection + ":" + l.Flat} {
			known = append(known, knownKey{flat, known[at].Secret}, knownKey{flat + ":{n}", known[at].Secret})
		}
	}
	return known
}

// matches reports whether key has the form of the pattern, ignoring case.
func (k knownKey) matches(key string) bool {
	return strings.EqualFold(k.fill(key), key)
}

// fill returns the pattern with the words of key in place of its {name} and {n}, as far as they fit.
func (k knownKey) fill(key string) string {
	words, have := strings.Split(k.Pattern, ":"), strings.Split(key, ":")
	for i, word := range words[:min(len(words), len(have))] {
		_, err := strconv.ParseUint(have[i], 10, 16)
		if word == "{name}" || word == "{n}" && err == nil {
			words[i] = have[i]
		}
	}
	return strings.Join(words, ":")
}

// isSecretKey reports whether key is that of a secret.
func isSecretKey(key string) bool {
	key = canonical(key)
	return slices.ContainsFunc(knownKeys, func(k knownKey) bool { return k.Secret && k.matches(key) })
}

// ownsVariable reports whether an environment variable without the prefix, written as a key, is one of the configuration:
// its first word is a section with more words after it, or it is a flat key.
func ownsVariable(key string) bool {
	first, _, nested := strings.Cut(key, ":")
	return slices.ContainsFunc(knownKeys, func(k knownKey) bool {
		section, _, sectioned := strings.Cut(k.Pattern, ":")
		return strings.EqualFold(section, first) && (nested || !sectioned)
	})
}
