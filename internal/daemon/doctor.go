package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/message"
	"jdpay-listener/internal/mns"
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

// Examine does what Connect does, and reports what in the surroundings should be changed. It sends one MQTT message, to the
// topic of a cabinet that does not exist, and publishes one in Redis, on a channel that nobody waits for. It leaves neither
// these nor anything else behind.
func Examine(ctx context.Context, loaded *config.Loaded) []Finding {
	c := loaded.Config
	account := accountDatabase(c)
	probes := slices.Concat(connectProbes(c), account.doctor(), mainDatabase(c).doctor(), []probe{
		account.probe("durability", "see the section on clusters and fail-over in docs/operations.md", durable),
		account.probe("locks", "connect to the server itself, or through a proxy that keeps a session on one server", namedLock),
		account.probe("packets", account.start, packets),
		{"mqtt round trip", "mqtt broker", "see the broker's log, and what it lets this user publish", func(ctx context.Context) (string, error) { return roundTrip(ctx, c) }},
		{"mqtt sessions", "mqtt broker", "see the broker's log", func(ctx context.Context) (string, error) { return sessions(ctx, c) }},
		{"signature self-test", "", "this program is broken: install it again", func(context.Context) (string, error) {
			return c.JDPay.SignProfile + " gives the signature of the documented example", message.SelfTest(c.JDPay.SignProfile)
		}},
		{"secret files", "", "correct the name of the file, or let this user read it", func(context.Context) (string, error) { return filePermissions(loaded) }},
	})
	for key, queue := range queues(c) {
		probes = append(probes, probe{queueProbe(queue) + " settings", queueProbe(queue), "check section Mns and " + key, func(ctx context.Context) (string, error) {
			detail, err := queueSettings(ctx, c, queue)
			return detail, queueFault(key, err)
		}})
	}
	if _, _, on, _ := redisOptions(c); on {
		probes = append(probes, probe{"redis rights", "redis", "see the server's log", func(ctx context.Context) (string, error) { return redisRights(ctx, c) }})
	}
	return examine(ctx, c, probes)
}

// queueSettings compares a queue's settings with the daemon's timeouts.
func queueSettings(ctx context.Context, c *config.Config, name string) (string, error) {
	queue, err := Queue(c, name)
	if err != nil {
		return "", err
	}
	a, err := queue.Attributes(ctx)
	if err != nil {
		return "", err
	}
	if a.Retention < minRetention {
		return "", advice{fmt.Sprintf("the retention is %s: what is not received within it, in an outage or a night, is deleted and lost", a.Retention), "set the queue's message retention to a day or more; MNS allows 7 days"}
	}
	if a.VisibilityTimeout < minVisibilityTimeout {
		return "", advice{fmt.Sprintf("the visibility timeout is %s: messages may be delivered again while they are being kept", a.VisibilityTimeout), "set the queue's visibility timeout to 30 s or more"}
	}
	oldest, err := queue.Peek(ctx, 1)
	switch {
	case errors.Is(err, mns.ErrEmpty):
	case err != nil:
		return "", err
	default:
		if age := time.Since(oldest[0].EnqueuedAt); age > a.Retention/2 {
			return "", advice{fmt.Sprintf("the next message is %s old, and the queue deletes messages after %s", age.Round(time.Second), a.Retention), "run the daemon, add replicas, or make the retention longer"}
		}
	}
	return fmt.Sprintf("visibility %s, retention %s; look in the console that no dead-letter policy takes messages away after a few receives", a.VisibilityTimeout, a.Retention), nil
}

// queueFault adds what to do to an error of MNS.
func queueFault(key string, err error) error {
	for _, class := range []struct {
		err    error
		remedy string
	}{
		{mns.ErrAuth, "correct Mns:AccessKeyId and Mns:AccessKeySecret, or give the key the rights of deploy/acl"},
		{mns.ErrNoQueue, "correct " + key + " or Mns:Endpoint, or create the queue"},
		{mns.ErrClock, "synchronize this machine's clock with NTP"},
		{mns.ErrThrottled, "run doctor again later"},
		{mns.ErrService, "run doctor again later; if it persists, give Aliyun's support the request id"},
		{mns.ErrNotMNS, "correct Mns:Endpoint, or the proxy in front of it"},
		{mns.ErrNetwork, "check Mns:Endpoint and the network"},
	} {
		if errors.Is(err, class.err) {
			return &fault{err, class.remedy}
		}
	}
	return err
}

// filePermissions warns of files with secrets that every user of the machine can read or change.
func filePermissions(loaded *config.Loaded) (string, error) {
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
			return "", err
		}
		if info.Mode().Perm()&fs.FileMode(0o006) != 0 {
			open = append(open, name)
		}
	}
	if len(open) > 0 {
		return "", advice{"every user of this machine can read " + strings.Join(open, ", "), "chmod o-rwx " + strings.Join(open, " ")}
	}
	return fmt.Sprintf("%d files, none open to everybody", len(files)), nil
}
