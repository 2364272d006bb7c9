package config

import (
	"net/url"
	"strings"
)

// complete fills in values that are derived from others.
func (l *Loaded) complete() {
	c := l.Config
	if c.Host.Instance == "" {
		c.Host.Instance = processInstance()
		delete(l.sources, "host:instance")
	}
	if len(c.SyncReply.Md5Key) == 0 {
		c.SyncReply.Md5Key = c.JDPay.Md5Key
		l.sources["syncreply:md5key"] = "JDPay:Md5Key"
	}
	if timeout := "Jobs:Retry:" + commandKind + ":Timeout"; l.Source(timeout) == "" {
		retry := c.Jobs.Retry[commandKind]
		retry.Timeout = c.Mqtt.CommandTtl
		c.Jobs.Retry[commandKind] = retry
		l.sources[strings.ToLower(timeout)] = "Mqtt:CommandTtl"
	}
	l.completeElasticsearch()
}

// completeElasticsearch moves user and password of the address to their own keys, where they are masked.
func (l *Loaded) completeElasticsearch() {
	e := &l.Config.Elasticsearch
	u, err := url.Parse(e.Url)
	if err != nil || u.User == nil {
		return
	}
	if e.Username == "" && !e.Password.IsSet() {
		password, _ := u.User.Password()
		e.Username, e.Password = u.User.Username(), NewSecret(password)
		l.Derived("Elasticsearch:Username", "Elasticsearch:Url")
		l.Derived("Elasticsearch:Password", "Elasticsearch:Url")
	}
	u.User = nil
	e.Url = u.String()
}
