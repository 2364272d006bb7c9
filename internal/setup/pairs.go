package setup

import (
	"slices"
	"strconv"
	"strings"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/lang"
)

// judgePairs finds keys that are right alone and wrong together.
func judgePairs(l *config.Loaded) {
	c := l.Config
	if queue := c.SyncReply.QueueName; queue != "" && queue == c.JDPay.NotifyQueueName {
		l.Fault("SyncReply:QueueName", lang.M("the same queue as %s, so each listener would take messages of the other", l.Mention("JDPay:NotifyQueueName")),
			lang.M("name the queue of cabinets' replies, or leave it empty"))
	}
	if c.Mqtt.RequireReply && c.SyncReply.QueueName == "" {
		l.Fault("Mqtt:RequireReply", lang.M("no reply can arrive while %s is empty, so each command would be repeated and then parked", l.Mention("SyncReply:QueueName")),
			lang.M("give SyncReply:QueueName, or set it to false"))
	}
	if c.Mqtt.ReplyTimeout > c.Mqtt.CommandTtl {
		ttl := l.Mention("Mqtt:CommandTtl")
		switch {
		case c.Mqtt.RequireReply:
			l.Fault("Mqtt:ReplyTimeout", lang.M("longer than %s, so a command without a reply would not be sent again", ttl), lang.M("give less than that"))
		case l.Source("Mqtt:ReplyTimeout") != "":
			l.Warn("Mqtt:ReplyTimeout", lang.M("longer than %s, so with Mqtt:RequireReply a command without a reply would not be sent again", ttl))
		}
	}
	judgeCodes(l)
}

// judgeCodes warns of codes of JD's replies that do not mean what they seem to.
func judgeCodes(l *config.Loaded) {
	var numbers []string
	done := map[string]bool{}
	for _, code := range l.Config.JDApi.DoneCodes {
		code = strings.TrimSpace(code)
		done[code] = true
		if _, err := strconv.Atoi(code); err == nil {
			numbers = append(numbers, code)
		}
	}
	if l.Config.JDApi.Signer == "jos" && len(numbers) > 0 {
		l.Warn("JDApi:DoneCodes", lang.M("%s: with %s a number counts only as the service's own; the platform's errors, which are numbers, too, are never done",
			strings.Join(numbers, ", "), l.Mention("JDApi:Signer")))
	}
	for _, code := range slices.Compact(slices.Sorted(slices.Values(l.Config.JDApi.RetryCodes))) {
		if code = strings.TrimSpace(code); code != "" && done[code] {
			l.Warn("JDApi:RetryCodes", lang.M("%s has no effect, since it is in %s, too", code, l.Mention("JDApi:DoneCodes")))
		}
	}
}
