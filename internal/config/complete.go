package config

import (
	"net/url"
	"strings"
)

// complete fills in the values that come from other ones, and takes apart addresses that hold more than an address.
func (v *validator) complete() {
	c := v.c
	if c.Host.Instance == "" {
		c.Host.Instance = processInstance()
		delete(v.sources, "host:instance")
	}
	if len(c.SyncReply.Md5Key) == 0 {
		c.SyncReply.Md5Key = c.JDPay.Md5Key
		v.sources["syncreply:md5key"] = "JDPay:Md5Key"
	}
	if timeout := "Jobs:Retry:" + commandKind + ":Timeout"; !v.given(timeout) {
		retry := c.Jobs.Retry[commandKind]
		retry.Timeout = c.Mqtt.CommandTtl
		c.Jobs.Retry[commandKind] = retry
		v.sources[strings.ToLower(timeout)] = "Mqtt:CommandTtl"
	}
	if c.Redis.Db == -1 {
		c.Redis.Db = 0
	}
	v.completeBroker()
	v.completeElasticsearch()
}

// completeBroker splits an address in Mqtt:Server, such as the replaced program's EMQServer may be, into its parts.
func (v *validator) completeBroker() {
	m := &v.c.Mqtt
	if strings.TrimSpace(m.Server) == "" || v.faulty("Mqtt:Server") {
		return
	}
	host, port, tls, err := broker(strings.TrimSpace(m.Server))
	if err != nil {
		v.fault("Mqtt:Server", "not a broker's address: "+err.Error(),
			"give a host, host:port, tcp:// or mqtts:// address; user and password have keys of their own")
		return
	}
	from := v.sources["mqtt:server"]
	if tls {
		m.Tls.Enabled = true
		v.sources["mqtt:tls:enabled"] = from
		if port == 0 && !v.given("Mqtt:Port") {
			port = 8883
		}
	}
	if port != 0 && v.given("Mqtt:Port") && port != m.Port {
		v.fault("Mqtt:Server", "names another port than Mqtt:Port", "correct one of them")
	}
	if port != 0 {
		m.Port = port
		v.sources["mqtt:port"] = from
	}
	m.Server = host
}

// completeElasticsearch moves user and password of the address to their own keys, where they are masked.
func (v *validator) completeElasticsearch() {
	e := &v.c.Elasticsearch
	u, err := url.Parse(e.Url)
	if err != nil || u.User == nil {
		return
	}
	if e.Username == "" && !e.Password.IsSet() {
		password, _ := u.User.Password()
		e.Username, e.Password = u.User.Username(), NewSecret(password)
		v.sources["elasticsearch:username"] = v.sources["elasticsearch:url"]
		v.sources["elasticsearch:password"] = v.sources["elasticsearch:url"]
	}
	u.User = nil
	e.Url = u.String()
}
