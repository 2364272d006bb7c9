package setup

import (
	"slices"
	"strconv"
	"strings"

	"jdpay-listener/internal/config"
)

// judgePairs finds keys that are right alone and wrong together.
func judgePairs(l *config.Loaded) {
	c := l.Config
	if queue := c.SyncReply.QueueName; queue != "" && queue == c.JDPay.NotifyQueueName {
		l.Fault("SyncReply:QueueName", "the same queue as "+l.Mention("JDPay:NotifyQueueName")+", so each listener would take messages of the other",
			"name the queue of cabinets' replies, or leave it empty")
	}
	if c.Mqtt.RequireReply && c.SyncReply.QueueName == "" {
		l.Fault("Mqtt:RequireReply", "no reply can arrive while "+l.Mention("SyncReply:QueueName")+" is empty, so each command would be repeated and then parked",
			"give SyncReply:QueueName, or set it to false")
	}
	if c.Mqtt.ReplyTimeout > c.Mqtt.CommandTtl {
		longer := "longer than " + l.Mention("Mqtt:CommandTtl") + ", so "
		switch {
		case c.Mqtt.RequireReply:
			l.Fault("Mqtt:ReplyTimeout", longer+"a command without a reply would not be sent again", "give less than that")
		case l.Source("Mqtt:ReplyTimeout") != "":
			l.Warn("Mqtt:ReplyTimeout", longer+"with Mqtt:RequireReply a command without a reply would not be sent again")
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
		l.Warn("JDApi:DoneCodes", strings.Join(numbers, ", ")+": with "+l.Mention("JDApi:Signer")+
			" a number counts only as the service's own; the platform's errors, which are numbers, too, are never done")
	}
	for _, code := range slices.Compact(slices.Sorted(slices.Values(l.Config.JDApi.RetryCodes))) {
		if code = strings.TrimSpace(code); code != "" && done[code] {
			l.Warn("JDApi:RetryCodes", code+" has no effect, since it is in "+l.Mention("JDApi:DoneCodes")+", too")
		}
	}
}
