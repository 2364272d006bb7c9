package setup

import (
	"strings"

	"jdpay-listener/internal/alert"
	"jdpay-listener/internal/config"
	"jdpay-listener/internal/device"
	"jdpay-listener/internal/elastic"
	"jdpay-listener/internal/jdapi"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/mns"
	"jdpay-listener/internal/ops"
	"jdpay-listener/internal/payment"
	"jdpay-listener/internal/redisstore"
)

// The adapters' options, made from the configuration. Load checks them; the daemon's clients and doctor's are built from them.

func mnsConfig(c *config.Config) mns.Config {
	return mns.Config{
		Endpoint: c.Mns.Endpoint, AccessKeyID: c.Mns.AccessKeyId.Reveal(), AccessKeySecret: c.Mns.AccessKeySecret.Reveal(),
		SecurityToken: c.Mns.SecurityToken.Reveal(),
	}
}

// SessionOptions are those of an MQTT session. Its purpose, empty for commands, makes its client id unique: the broker ends an
// older session of the same id.
func SessionOptions(c *config.Config, purpose string) device.Options {
	m := c.Mqtt
	if purpose != "" {
		purpose += "-"
	}
	return device.Options{
		Server: m.Server, Port: m.Port, Username: m.Username, Password: m.Password.Reveal(),
		TLS:      device.TLS{Enabled: m.Tls.Enabled, CAFile: m.Tls.CaFile, CertFile: m.Tls.CertFile, KeyFile: m.Tls.KeyFile},
		ClientID: m.ClientIdPrefix + "-" + purpose + c.Host.Instance, Topic: m.PayCompleteTopic,
	}
}

// JDOptions are those of the client of JD's API.
func JDOptions(c *config.Config) jdapi.Options {
	j := c.JDApi
	headers := make(map[string]string, len(j.Headers))
	for name, value := range j.Headers {
		headers[name] = value.Reveal()
	}
	return jdapi.Options{
		BaseURL: j.BaseUrl, Path: j.UpdateWaybillStatusPath, Signer: j.Signer, CAFile: j.CaFile,
		AppKey: j.AppKey.Reveal(), AppSecret: j.AppSecret.Reveal(), AccessToken: j.AccessToken.Reveal(), Headers: headers,
		Timeout: j.Timeout, RetryCodes: j.RetryCodes, DoneCodes: j.DoneCodes, MaxPerSecond: j.MaxPerSecond,
		MaxConns: c.Jobs.ConcurrencyOf(payment.KindWaybillStatus),
	}
}

// redisOptions are also returned, without an address, when Redis is off or its address is wrong. Redis:EndPoints wins over
// Redis:Server; Redis:Password and Redis:Db win over what the address holds, as in the replaced program.
func redisOptions(c *config.Config) (o redisstore.Options, notices []lang.Message, on bool, err error) {
	r := c.Redis
	address := r.Server.Reveal()
	if len(r.EndPoints) > 0 {
		address = strings.Join(Reveal(r.EndPoints), ",")
	}
	if on = strings.TrimSpace(address) != ""; on {
		if o, notices, err = redisstore.ParseConnectionString(address); err == nil {
			o.CAFile = r.CaFile
		}
	}
	if r.Password.IsSet() {
		o.Password = r.Password.Reveal()
	}
	if r.Db > 0 {
		o.DB = r.Db
	}
	o.ReplyKeyPrefix, o.CabinetTTL = r.ReplyKeyPrefix, r.DeviceCacheTtl
	return o, notices, on, err
}

// redisKey is the key that has Redis's address.
func redisKey(c *config.Config) string {
	if len(c.Redis.EndPoints) > 0 {
		return "Redis:EndPoints"
	}
	return "Redis:Server"
}

func elasticOptions(c *config.Config) elastic.Options {
	e := c.Elasticsearch
	return elastic.Options{
		URL: e.Url, Index: e.Index, Username: e.Username, Password: e.Password.Reveal(), APIKey: e.ApiKey.Reveal(), CAFile: e.CaFile,
	}
}

// OpsServer is the server of probes and metrics with its settings alone.
func OpsServer(c *config.Config) *ops.Server {
	return &ops.Server{Listen: c.Ops.Listen, Token: c.Ops.Token.Reveal(), Profile: c.Ops.Profile}
}

// AlertTargets are the receivers of alerts that the configuration names.
func AlertTargets(c *config.Config) (targets []alert.Target) {
	a := c.Alerts
	for _, t := range []alert.Target{
		{Name: alert.DingTalk, URL: a.DingTalk.Url.Reveal(), Secret: a.DingTalk.Secret.Reveal(), At: a.DingTalk.AtMobiles, AtAll: a.DingTalk.AtAll},
		{Name: alert.WeCom, URL: a.WeCom.Url.Reveal(), At: a.WeCom.AtMobiles, AtAll: a.WeCom.AtAll},
		{Name: alert.Feishu, URL: a.Feishu.Url.Reveal(), Secret: a.Feishu.Secret.Reveal(), At: a.Feishu.AtUsers, AtAll: a.Feishu.AtAll},
		{Name: alert.Webhook, URL: a.Webhook.Url.Reveal(), Secret: a.Webhook.Secret.Reveal()},
	} {
		if t.URL != "" {
			targets = append(targets, t)
		}
	}
	return targets
}

// AlertSettings are what the configuration says about alerts.
func AlertSettings(c *config.Config) alert.Settings {
	a := c.Alerts
	return alert.Settings{
		Language: lang.Lang(a.Language), Zone: c.Payment.Location(), Console: a.Console, Heartbeat: a.Heartbeat.Reveal(), Targets: AlertTargets(c), Grace: c.Payment.GracePeriod,
	}
}
