package config

import (
	"net/url"
	"strings"

	"jdpay-listener/internal/lang"
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
	l.completeCommandTimeout()
	l.completeElasticsearch()
}

// completeCommandTimeout makes Mqtt:CommandTtl the only deadline of commands. The Timeout of their schedule, which was a
// second one, has no effect; a longer one is refused, because who gave it wants doors to open later than they do.
func (l *Loaded) completeCommandTimeout() {
	const timeout, ttl = "Jobs:Retry:" + commandKind + ":Timeout", "Mqtt:CommandTtl"
	c := l.Config
	retry := c.Jobs.Retry[commandKind]
	switch given := l.Source(timeout) != ""; {
	case given && retry.Timeout > c.Mqtt.CommandTtl && !l.faulty(ttl):
		l.Fault(timeout, lang.M("longer than %s (%s), which alone says when a command is given up", ttl, FormatDuration(c.Mqtt.CommandTtl)),
			lang.M("remove it, and make %s longer if commands should live longer", ttl))
		return
	case given:
		l.Warn(timeout, lang.M("has no effect: %s (%s) alone says when a command is given up; remove it", ttl, FormatDuration(c.Mqtt.CommandTtl)))
	}
	retry.Timeout = c.Mqtt.CommandTtl
	c.Jobs.Retry[commandKind] = retry
	l.sources[strings.ToLower(timeout)] = ttl
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
