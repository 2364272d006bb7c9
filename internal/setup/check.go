// Package setup builds the adapters' options from the configuration: it has each of them check its part, and opens
// databases, queues, sessions and clients.
package setup

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"jdpay-listener/internal/alert"
	"jdpay-listener/internal/check"
	"jdpay-listener/internal/config"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/mns"
	"jdpay-listener/internal/redisstore"
	"jdpay-listener/internal/sqldb"
)

// Load reads the configuration and has each adapter check what it would be given. Its error, and what it returns beside
// one, are those of config.Load.
func Load(opts config.Options) (*config.Loaded, error) { return config.Load(opts, judge) }

// judge adds the adapters' faults to a configuration.
func judge(l *config.Loaded) {
	c := l.Config
	judgeDatabase(l, "ConnectionStrings:Account", c.ConnectionStrings.Account)
	judgeDatabase(l, "ConnectionStrings:Main", c.ConnectionStrings.Main)
	report(l, mnsConfig(c).Check(), "Mns", map[string]string{"AccessKeyID": "Mns:AccessKeyId"})
	judgeMessages(l)
	judgeTestOrders(l)
	judgeBroker(l)
	report(l, JDOptions(c).Check(), "JDApi", map[string]string{
		"BaseURL": "JDApi:BaseUrl", "Path": "JDApi:UpdateWaybillStatusPath", "CAFile": "JDApi:CaFile",
	})
	judgeRedis(l)
	if c.Elasticsearch.Url != "" {
		report(l, elasticOptions(c).Check(), "Elasticsearch", map[string]string{"URL": "Elasticsearch:Url", "CAFile": "Elasticsearch:CaFile"})
	}
	judgePairs(l)
	judgeNames(l)
	for _, kind := range slices.Sorted(maps.Keys(c.Jobs.Retry)) {
		report(l, Policy(c, kind).Schedule.Check(), "Jobs:Retry:"+kind, nil)
	}
	report(l, OpsServer(c).Check(), "Ops", nil)
	judgeAlerts(l)
	judgeConsole(l)
	judgeLinks(l)
}

// report adds an adapter's faults. keys has the keys of options whose names differ from section:option.
func report(l *config.Loaded, faults check.Faults, section string, keys map[string]string) {
	for _, f := range faults {
		key := cmp.Or(keys[f.Option], section+":"+f.Option)
		if f.Warning {
			l.Warn(key, f.Problem)
		} else {
			l.Fault(key, f.Problem, f.Remedy)
		}
	}
}

func judgeDatabase(l *config.Loaded, key string, connection config.Secret) {
	db, notices, err := sqldb.ParseConnectionString(connection.Reveal())
	if err != nil {
		l.Fault(key, lang.ErrorMessage(err), sqldb.ConnectionStringRemedy)
	} else if text := db.Masked(); text != "" {
		l.Show(key, text)
	}
	for _, notice := range notices {
		l.Warn(key, notice)
	}
}

// publicKey is the key with which the stand-ins of the sandbox sign, and publicAccessKeyID the one that its MNS knows.
const (
	publicKey         = "sandbox-signing-key"
	publicAccessKeyID = "sandbox-ak"
)

func judgeMessages(l *config.Loaded) {
	c := l.Config
	rules, _ := ReplyRules(c)
	if l.Source("SyncReply:Md5Key") == "JDPay:Md5Key" {
		rules.ReplyKeys = nil // they are checked as those of payments
	}
	report(l, rules.Check(), "JDPay", map[string]string{
		"Keys": "JDPay:Md5Key", "ReplyKeys": "SyncReply:Md5Key", "Profile.Name": "JDPay:SignProfile", "Profile.Exclude": "JDPay:Exclude", "Profile.Include": "JDPay:Include",
		"StatusField": "Payment:StatusField", "Success": "Payment:SuccessStatuses",
	})
	if endpoint, err := url.Parse(c.Mns.Endpoint); c.Mns.AccessKeyId.Reveal() != publicAccessKeyID && (err != nil || !check.IsLoopback(endpoint.Hostname())) {
		for name, keys := range map[string][]config.Secret{"JDPay:Md5Key": c.JDPay.Md5Key, "SyncReply:Md5Key": c.SyncReply.Md5Key} {
			if slices.ContainsFunc(keys, func(key config.Secret) bool { return key.Reveal() == publicKey }) && l.Source(name) != "JDPay:Md5Key" {
				l.Fault(name, lang.M("the sandbox's key, which everybody can read, so anybody could sign payments"), lang.M("give the key that JD has issued"))
			}
		}
	}
	report(l, mns.CheckQueueName(c.JDPay.NotifyQueueName), "JDPay", map[string]string{"Name": "JDPay:NotifyQueueName"})
	if c.SyncReply.QueueName != "" {
		report(l, mns.CheckQueueName(c.SyncReply.QueueName), "SyncReply", map[string]string{"Name": "SyncReply:QueueName"})
	}
	if c.Payment.AmountCheck == "off" {
		l.Warn("Payment:AmountCheck", lang.M("off: payments of a wrong amount are booked"))
	}
}

func judgeTestOrders(l *config.Loaded) {
	for i, pattern := range l.Config.Payment.TestOrders {
		key := fmt.Sprintf("Payment:TestOrders:%d", i)
		if _, err := path.Match(pattern, ""); err != nil {
			l.Fault(key, lang.M("%q is not a pattern", pattern), lang.M("write * for any characters, ? for one, and \\ before one that is meant as it is"))
		} else if strings.Trim(pattern, "*? ") == "" {
			l.Fault(key, lang.M("%q matches every order, or none", pattern), lang.M("name test orders only, such as TEST-*"))
		}
	}
}

// commonPayTypes are the payment channels that JD's products are known to name.
var commonPayTypes = []string{"WXPAY", "WX", "WECHAT", "ALIPAY", "JDPAY", "UNIPAY", "UNIONPAY", "QQPAY", "JDBT", "CASH"}

// judgeNames warns of names in maps that are probably misspelt: they would have no effect, and nothing else would tell.
func judgeNames(l *config.Loaded) {
	c := l.Config
	kinds := append(slices.Clone(Kinds), config.FallbackKind)
	warn := func(section string, names []string) {
		for _, name := range names {
			if !slices.ContainsFunc(kinds, func(kind string) bool { return strings.EqualFold(kind, name) }) {
				l.Warn(section+":"+name, unknownKind(name, kinds))
			}
		}
	}
	warn("Jobs:Concurrency", slices.Sorted(maps.Keys(c.Jobs.Concurrency)))
	warn("Jobs:Retry", slices.Sorted(maps.Keys(c.Jobs.Retry)))
	for _, name := range slices.Sorted(maps.Keys(c.Payment.PayTypes)) {
		if meant := check.Nearest(name, commonPayTypes); meant != "" && !slices.Contains(commonPayTypes, name) {
			l.Warn("Payment:PayTypes:"+name, lang.M("a payType counts only if it is equal in every letter; the nearest known one is %s", meant))
		}
	}
}

func unknownKind(name string, kinds []string) lang.Message {
	if meant := check.Nearest(name, kinds); meant != "" {
		return lang.M("no kind of job is called so, so it has no effect; the nearest known one is %s", meant)
	}
	return lang.M("no kind of job is called so, so it has no effect; the kinds are %s", strings.Join(kinds, ", "))
}

// judgeBroker also splits an address in Mqtt:Server, such as the replaced program's EMQServer, into server, port and TLS.
func judgeBroker(l *config.Loaded) {
	m := &l.Config.Mqtt
	o := SessionOptions(l.Config, "")
	if l.Source("Mqtt:Port") == "" {
		o.Port = 0 // the default port does not contradict the address
	}
	report(l, o.Check(), "Mqtt", map[string]string{
		"Topic": "Mqtt:PayCompleteTopic", "ClientID": "Mqtt:ClientIdPrefix",
		"TLS.Enabled": "Mqtt:Tls:Enabled", "TLS.CAFile": "Mqtt:Tls:CaFile", "TLS.CertFile": "Mqtt:Tls:CertFile",
	})
	if host, port, encrypted, err := o.Broker(); err == nil {
		m.Server = host
		if m.Port != port {
			m.Port = port
			l.Derived("Mqtt:Port", "Mqtt:Server")
		}
		if m.Tls.Enabled != encrypted {
			m.Tls.Enabled = encrypted
			l.Derived("Mqtt:Tls:Enabled", "Mqtt:Server")
		}
	}
}

func judgeRedis(l *config.Loaded) {
	key := redisKey(l.Config)
	o, notices, _, err := redisOptions(l.Config)
	if err != nil {
		l.Fault(key, lang.ErrorMessage(err), redisstore.ConnectionStringRemedy)
	}
	for _, notice := range notices {
		l.Warn(key, notice)
	}
	report(l, o.Check(), "Redis", map[string]string{"CAFile": "Redis:CaFile"})
}

// judgeAlerts checks the addresses of the receivers of alerts.
func judgeAlerts(l *config.Loaded) {
	addresses := map[string]string{"Alerts:Heartbeat": l.Config.Alerts.Heartbeat.Reveal(), "Alerts:Console": l.Config.Alerts.Console}
	for _, t := range AlertTargets(l.Config) {
		addresses["Alerts:"+t.Name+":Url"] = t.URL
		if t.Secret == "" && t.Name != alert.WeCom {
			l.Warn("Alerts:"+t.Name+":Secret", lang.M("not set: what is sent is not signed"))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(addresses)) {
		if addresses[key] == "" {
			continue
		}
		if _, err := check.URL(addresses[key]); err != nil {
			l.Fault(key, lang.ErrorMessage(err), check.URLRemedy)
		}
	}
}

// minToken is how many characters a token of the console has at least: it can be guessed from outside.
const minToken = 16

// judgeConsole checks who can reach the console, sign in and act.
func judgeConsole(l *config.Loaded) {
	c := l.Config.Console
	host, port, err := net.SplitHostPort(c.Listen)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	fault := func(key string, problem, remedy lang.Message) { l.Fault("Console:"+key, problem, remedy) }
	switch {
	case err != nil:
		fault("Listen", lang.M("not host:port"), lang.M("give an address such as 127.0.0.1:9301, with port 0 for any free one"))
	case !check.IsLoopback(host) && len(c.Tokens) == 0 && c.UserHeader == "":
		fault("Listen", lang.M("open to other machines without a sign-in"), lang.M("set Console:Tokens or Console:UserHeader, or listen on 127.0.0.1"))
	case !check.IsLoopback(host) && c.CertFile == "" && len(c.TrustedProxies) == 0 && l.Config.Security.Strict:
		fault("Listen", lang.M("refused by Security:Strict: tokens travel in plaintext"), lang.M("set Console:CertFile and Console:KeyFile, or listen on 127.0.0.1"))
	case !check.IsLoopback(host) && c.CertFile == "" && len(c.TrustedProxies) == 0:
		l.Warn("Console:Listen", lang.M("tokens travel in plaintext: set Console:CertFile and Console:KeyFile, or put a proxy with TLS before it"))
	}
	names := slices.Sorted(maps.Keys(c.Tokens))
	for _, name := range names {
		if token := c.Tokens[name].Reveal(); len(token) < minToken {
			fault("Tokens:"+name, lang.M("has fewer than %d characters", minToken), lang.M("give a long random text, such as that of: openssl rand -hex 24"))
		}
	}
	for i, text := range c.TrustedProxies {
		_, errPrefix := netip.ParsePrefix(text)
		if _, err := netip.ParseAddr(text); err != nil && errPrefix != nil {
			fault("TrustedProxies", lang.M("number %d is not an address", i+1), lang.M("give addresses such as 10.0.0.5 or 10.0.0.0/24"))
		}
	}
	if c.UserHeader != "" && len(c.TrustedProxies) == 0 {
		fault("UserHeader", lang.M("nobody may set it"), lang.M("name the proxy in Console:TrustedProxies"))
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		fault("CertFile", lang.M("certificate and key go together"), lang.M("set both, Console:CertFile and Console:KeyFile, or none"))
	}
	if c.Acts && c.OperatorConnection.Reveal() == "" {
		fault("OperatorConnection", lang.M("required by Console:Acts"), lang.M("give the connection of user jdpay_operator"))
	} else if c.Acts {
		judgeDatabase(l, "Console:OperatorConnection", c.OperatorConnection)
	}
	for _, name := range c.Operators {
		if c.UserHeader == "" && !slices.Contains(names, name) {
			l.Warn("Console:Operators", lang.M("%q has no token in Console:Tokens and cannot sign in", name))
		}
	}
}

// judgeLinks warns of links on which credentials can be read. With Security:Strict every link that leaves this machine
// must be encrypted and verified.
func judgeLinks(l *config.Loaded) {
	for _, link := range Links(l.Config) {
		problem, remedy := link.Risk()
		switch {
		case problem.IsZero():
		case l.Config.Security.Strict:
			l.Fault(link.Key, lang.M("refused by Security:Strict: %s", problem), remedy)
		case link.Key != "Ops:Listen" && slices.Contains([]string{Exposed, InClear}, link.Credentials):
			l.Warn(link.Key, lang.Join([]lang.Message{problem, remedy}, "; "))
		}
	}
}
