// Package doctor checks what is around the daemon: whether each dependency that the configuration names can be reached, how its
// connection is secured, and what in the environment should be changed.
package doctor

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/message"
	"jdpay-listener/internal/mns"
	"jdpay-listener/internal/setup"
	"jdpay-listener/internal/sqldb"
)

const (
	clockTolerance = 2 * time.Second
	// minVisibilityTimeout is the sum of the timeouts of keeping and deleting a batch: with a shorter visibility timeout the
	// batch may be redelivered meanwhile.
	minVisibilityTimeout = 30 * time.Second
	// minRetention is how long a queue should keep what no daemon receives: a night and the day after it.
	minRetention = 24 * time.Hour
)

// Examine does what Connect does, and reports what in the environment should be changed. It sends one MQTT message, to the
// topic of a cabinet that does not exist, and publishes one in Redis, on a channel that nobody waits for. It leaves neither
// these nor anything else behind.
func Examine(ctx context.Context, loaded *config.Loaded) []Finding {
	c := loaded.Config
	account := accountDatabase(c)
	probes := slices.Concat(connectProbes(c), account.beyondConnect(), mainDatabase(c).beyondConnect(), account.ofEngine(), []probe{
		{"mqtt round trip", "mqtt broker", lang.M("see the broker's log, and what it lets this user publish"), func(ctx context.Context) (lang.Message, error) { return roundTrip(ctx, c) }},
		{"mqtt sessions", "mqtt broker", lang.M("see the broker's log"), func(ctx context.Context) (lang.Message, error) { return sessions(ctx, c) }},
		{"recent payments", "table jdpay_job", lang.M("check the connection and the user's rights"), account.on(recentPayments)},
		{"recent calls of JD", "table jdpay_job", lang.M("check the connection and the user's rights"), account.on(recentCalls)},
		{"signature self-test", "", lang.M("this program is broken: install it again"), func(context.Context) (lang.Message, error) {
			return lang.M("%s gives the signature of the documented example", c.JDPay.SignProfile), message.SelfTest(c.JDPay.SignProfile)
		}},
		{"secret files", "", lang.M("correct the name of the file, or let this user read it"), func(context.Context) (lang.Message, error) { return filePermissions(loaded) }},
	})
	for key, queue := range queues(c) {
		probes = append(probes, probe{queueProbe(queue) + " settings", queueProbe(queue), lang.M("check section Mns and %s", key), func(ctx context.Context) (lang.Message, error) {
			detail, err := queueSettings(ctx, c, queue)
			return detail, queueFault(key, err)
		}})
	}
	if setup.UsesRedis(c) {
		probes = append(probes, probe{"redis rights", "redis", lang.M("see the server's log"), func(ctx context.Context) (lang.Message, error) { return redisRights(ctx, c) }})
	}
	return examine(ctx, c, probes)
}

// queueSettings compares a queue's settings with the daemon's timeouts.
func queueSettings(ctx context.Context, c *config.Config, name string) (lang.Message, error) {
	queue, err := setup.Queue(c, name)
	if err != nil {
		return lang.Message{}, err
	}
	a, err := queue.Attributes(ctx)
	if err != nil {
		return lang.Message{}, err
	}
	if a.Retention < minRetention {
		return lang.Message{}, advice{lang.M("the retention is %s: what is not received within it, in an outage or a night, is deleted and lost", config.FormatDuration(a.Retention)), lang.M("set the queue's message retention to a day or more; MNS allows 7 days")}
	}
	if a.VisibilityTimeout < minVisibilityTimeout {
		return lang.Message{}, advice{lang.M("the visibility timeout is %s: messages may be delivered again while they are being kept", a.VisibilityTimeout), lang.M("set the queue's visibility timeout to 30 s or more")}
	}
	oldest, err := queue.Peek(ctx, 1)
	switch {
	case errors.Is(err, mns.ErrEmpty):
	case err != nil:
		return lang.Message{}, err
	default:
		if age := time.Since(oldest[0].EnqueuedAt); age > a.Retention/2 {
			return lang.Message{}, advice{lang.M("the next message is %s old, and the queue deletes messages after %s", age.Round(time.Second), config.FormatDuration(a.Retention)), lang.M("run the daemon, add replicas, or make the retention longer")}
		}
	}
	return lang.M("visibility %s, retention %s; look in the console that no dead-letter policy takes messages away after a few receives", config.FormatDuration(a.VisibilityTimeout), config.FormatDuration(a.Retention)), nil
}

// queueFault adds what to do to an error of MNS.
func queueFault(key string, err error) error {
	for _, class := range []struct {
		err    error
		remedy lang.Message
	}{
		{mns.ErrAuth, lang.M("correct Mns:AccessKeyId and Mns:AccessKeySecret, or give the key the rights of deploy/acl")},
		{mns.ErrNoQueue, lang.M("correct %s or Mns:Endpoint, or create the queue", key)},
		{mns.ErrClock, lang.M("synchronize this machine's clock with NTP")},
		{mns.ErrThrottled, lang.M("run doctor again later")},
		{mns.ErrService, lang.M("run doctor again later; if it persists, give Aliyun's support the request id")},
		{mns.ErrNotMNS, lang.M("correct Mns:Endpoint, or the proxy in front of it")},
		{mns.ErrNetwork, lang.M("check Mns:Endpoint and the network")},
	} {
		if errors.Is(err, class.err) {
			return &fault{err, class.remedy}
		}
	}
	return err
}

// filePermissions warns of files with secrets that every user of the machine can read or change.
func filePermissions(loaded *config.Loaded) (lang.Message, error) {
	var open []string
	files := slices.Concat(loaded.Files, loaded.SecretFiles)
	if key := loaded.Config.Mqtt.Tls.KeyFile; key != "" {
		files = append(files, key)
	}
	for _, text := range []config.Secret{loaded.Config.ConnectionStrings.Account, loaded.Config.ConnectionStrings.Main} {
		if db, _, err := sqldb.ParseConnectionString(text.Reveal()); err == nil && db.SslKey != "" && !slices.Contains(files, db.SslKey) {
			files = append(files, db.SslKey)
		}
	}
	for _, name := range files {
		info, err := os.Stat(name)
		if err != nil {
			return lang.Message{}, err
		}
		if info.Mode().Perm()&fs.FileMode(0o006) != 0 {
			open = append(open, name)
		}
	}
	if len(open) > 0 {
		return lang.Message{}, advice{lang.M("every user of this machine can read %s", strings.Join(open, ", ")), lang.Plain("chmod o-rwx " + strings.Join(open, " "))}
	}
	return lang.M("%d files, none open to everybody", len(files)), nil
}
