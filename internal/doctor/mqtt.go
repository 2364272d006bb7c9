package doctor

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/device"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/redisstore"
	"jdpay-listener/internal/setup"
)

// examined are the options of a session beside the daemon's. Two at once need two purposes, since a purpose is part of the
// client id.
func examined(c *config.Config, purpose string) device.Options {
	o := setup.SessionOptions(c, purpose)
	o.Log = slog.New(slog.DiscardHandler)
	return o
}

// brokerFault adds what to do to an error of the connection to the broker.
func brokerFault(err error) error {
	if device.IsLoginRefused(err) {
		return &fault{err, lang.M("correct Mqtt:Username and Mqtt:Password, or give this user, and the client ids that begin with Mqtt:ClientIdPrefix, access on the broker")}
	}
	return err
}

// noMQTT5 is device.ErrNoMQTT5 in both languages.
var noMQTT5 = lang.M("the broker does not speak MQTT 5, with which alone a test leaves nothing behind")

// roundTrip publishes to the topic of a cabinet that does not exist and waits for the broker's acknowledgement.
func roundTrip(ctx context.Context, c *config.Config) (lang.Message, error) {
	if !strings.Contains(c.Mqtt.PayCompleteTopic, "{DeviceGroupSN}") {
		return lang.Message{}, notTried{lang.M("Mqtt:PayCompleteTopic is the same for all cabinets, and one of them could take the test for a command"), lang.M("nothing, if commands arrive")}
	}
	took, err := device.RoundTrip(ctx, examined(c, "doctor"), device.Command{DeviceGroupSN: "jdpay-doctor", MessageId: "jdpay-doctor"})
	if errors.Is(err, device.ErrNoMQTT5) {
		return lang.Message{}, notTried{noMQTT5, lang.M("nothing, if commands arrive")}
	}
	return lang.M("acknowledged after %s", took.Round(100*time.Microsecond)), err
}

// sessions judges what becomes of commands that the broker acknowledges while their cabinet is away. Nobody can see from
// outside whether a broker remembers its sessions when it is restarted.
func sessions(ctx context.Context, c *config.Config) (lang.Message, error) {
	kept, err := device.KeepsSessions(ctx, examined(c, "doctor-session"))
	waits := c.Mqtt.RequireReply && c.SyncReply.QueueName != ""
	lost := lang.M("it acknowledges commands that no cabinet receives")
	switch {
	case errors.Is(err, device.ErrNoMQTT5) && waits:
		return lang.Message{}, notTried{noMQTT5, lang.M("nothing: cabinets confirm commands (Mqtt:RequireReply)")}
	case err != nil && !errors.Is(err, device.ErrNoMQTT5):
		return lang.Message{}, err
	case waits && !kept:
		return lang.Message{}, advice{lang.M("the broker forgets a session when its connection ends; a command to a cabinet that is away is sent again until it is confirmed (Mqtt:RequireReply)"), lang.M("let the broker keep sessions, so that commands arrive at once")}
	case waits:
		return lang.M("sessions are kept, and cabinets confirm commands (Mqtt:RequireReply)"), nil
	case err == nil && !kept && c.SyncReply.QueueName != "":
		return lang.Message{}, advice{lang.M("the broker forgets a session when its connection ends: %s", lost), lang.M("set Mqtt:RequireReply to true, and let the broker keep sessions")}
	case err == nil && !kept:
		return lang.Message{}, advice{lang.M("the broker forgets a session when its connection ends: %s", lost), lang.M("let the broker keep sessions, or have cabinets reply (SyncReply:QueueName, Mqtt:RequireReply)")}
	case c.SyncReply.QueueName != "":
		return lang.Message{}, advice{lang.M("Mqtt:RequireReply is false: after a restart of a broker that does not write its sessions to disk %s", lost), lang.M("set Mqtt:RequireReply to true, since there is a reply queue")}
	case err != nil:
		return lang.Message{}, notTried{noMQTT5, lang.M("let the broker write sessions to disk, in Mosquitto: persistence true")}
	}
	return lang.M("kept between connections; a restart of the broker cannot be tried from here: let it write sessions to disk (Mosquitto: persistence true)"), nil
}

// redisRights judges what the Redis user may do.
func redisRights(ctx context.Context, c *config.Config) (lang.Message, error) {
	return withRedis(c, func(store *redisstore.Store) (lang.Message, error) {
		r, err := store.CheckRights(ctx)
		remedy := lang.M("give the user the rights of deploy/acl/redis.acl, on the primary")
		replies := strings.Join(notEmpty(r.Reply, r.Publish), "; ")
		switch {
		case err != nil:
			return lang.Message{}, err
		case replies != "" && c.SyncReply.QueueName != "":
			return lang.Message{}, &fault{lang.Errorf("cabinets' replies cannot be published: %s", replies), remedy}
		case replies != "":
			return lang.Message{}, advice{lang.M("replies could not be published, once there is a reply queue (SyncReply:QueueName): %s", replies), remedy}
		case r.Cache != "":
			return lang.Message{}, advice{lang.M("cabinets are not cached: %s", r.Cache), remedy}
		}
		return lang.M("cabinets can be cached and replies published"), nil
	})
}

func notEmpty(texts ...string) (list []string) {
	for _, text := range texts {
		if text != "" {
			list = append(list, text)
		}
	}
	return list
}
