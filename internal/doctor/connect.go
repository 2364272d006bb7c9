package doctor

import (
	"context"
	"crypto/tls"
	"database/sql"
	"errors"
	"iter"
	"log/slog"
	"time"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/device"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/migrate"
	"jdpay-listener/internal/mns"
	"jdpay-listener/internal/redisstore"
	"jdpay-listener/internal/setup"
)

// Connect checks every dependency that the configuration names, how its connection is secured, and the columns of the
// business tables. It changes nothing.
func Connect(ctx context.Context, c *config.Config) []Finding {
	return examine(ctx, c, connectProbes(c))
}

// examine runs the probes, and then looks at how the connections that could be opened are secured.
func examine(ctx context.Context, c *config.Config, probes []probe) []Finding {
	findings := runProbes(ctx, probes)
	failed := map[string]bool{}
	for _, f := range findings {
		failed[f.Name] = f.Failed()
	}
	return append(findings, transports(ctx, c, failed)...)
}

func connectProbes(c *config.Config) []probe {
	account, main := accountDatabase(c), mainDatabase(c)
	probes := []probe{
		account.probe("", account.start, serverVersion),
		{"table jdpay_job", account.name, lang.M("run jdpay-listener migrate"), account.on(func(ctx context.Context, db *sql.DB) (lang.Message, error) {
			return lang.M("up to date"), migrate.CheckVersion(ctx, db)
		})},
		{"account tables", account.name, lang.M("check the connection and the user's rights"), account.on(account.columns)},
		main.probe("", main.start, serverVersion),
		{"main tables", main.name, lang.M("check the connection and the user's rights"), main.on(main.columns)},
		{"mqtt broker", "", lang.M("check Mqtt:Server and Mqtt:Port, and that the broker is up"), func(ctx context.Context) (lang.Message, error) {
			detail, err := withSession(ctx, c, "check", func(*device.Session) (lang.Message, error) { return lang.M("connected"), nil })
			return detail, brokerFault(err)
		}},
		{"jd api", "", lang.M("check JDApi:BaseUrl, JDApi:CaFile and the network"), func(ctx context.Context) (lang.Message, error) {
			return reach(ctx, c.JDApi.BaseUrl, c.JDApi.CaFile)
		}},
	}
	for key, queue := range queues(c) {
		probes = append(probes, probe{queueProbe(queue), "", lang.M("check section Mns and %s", key), func(ctx context.Context) (lang.Message, error) {
			a, err := queueAttributes(ctx, c, queue)
			return lang.M("visibility %s, retention %s", config.FormatDuration(a.VisibilityTimeout), config.FormatDuration(a.Retention)), queueFault(key, err)
		}})
	}
	if setup.UsesRedis(c) {
		probes = append(probes, probe{"redis", "", lang.M("check section Redis, and that the server is up; without it cabinets are looked up in the database and replies wait"), func(ctx context.Context) (lang.Message, error) {
			return withRedis(c, func(store *redisstore.Store) (lang.Message, error) { return lang.M("answers"), store.Ping(ctx) })
		}})
	}
	if c.Elasticsearch.Url != "" {
		probes = append(probes, probe{"elasticsearch", "", lang.M("check section Elasticsearch, and that the server is up; without it only its documents are missing"), func(ctx context.Context) (lang.Message, error) {
			client, err := setup.Elastic(c)
			if err != nil {
				return lang.Message{}, err
			}
			defer client.Close()
			return lang.M("answers"), client.Ping(ctx)
		}})
	}
	for _, t := range setup.AlertTargets(c) {
		probes = append(probes, probe{"alerts " + t.Name, "", lang.M("check Alerts:%s:Url and the network; jdpay-listener alerts test sends a test", t.Name), func(ctx context.Context) (lang.Message, error) {
			return reach(ctx, t.URL, "")
		}})
	}
	return probes
}

// reach connects to an http or https address, and sends nothing.
func reach(ctx context.Context, address, caFile string) (lang.Message, error) {
	reachable, err := setup.Dial(ctx, address)
	if err == nil {
		err = handshake(ctx, address, caFile, func(*tls.ConnectionState) {})
	}
	if errors.Is(err, errNotInspected) {
		err = nil
	}
	return reachable, err
}

// queues yields the queues that the daemon receives from, with the keys of their names.
func queues(c *config.Config) iter.Seq2[string, string] {
	return func(yield func(key, name string) bool) {
		_ = yield("JDPay:NotifyQueueName", c.JDPay.NotifyQueueName) && c.SyncReply.QueueName != "" && yield("SyncReply:QueueName", c.SyncReply.QueueName)
	}
}

func queueProbe(queue string) string { return "mns queue " + queue }

// withRedis calls use with a client of Redis.
func withRedis(c *config.Config, use func(*redisstore.Store) (lang.Message, error)) (lang.Message, error) {
	store, err := setup.Redis(c, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		return lang.Message{}, err
	}
	defer store.Close()
	return use(store)
}

// withSession calls use with a connected MQTT session, or returns why the first attempt to connect failed.
func withSession(ctx context.Context, c *config.Config, purpose string, use func(*device.Session) (lang.Message, error)) (lang.Message, error) {
	session, err := device.NewSession(examined(c, purpose))
	if err != nil {
		return lang.Message{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); _ = session.Serve(ctx) }()
	defer func() { cancel(); <-done }()
	for {
		err := session.Healthy()
		if err == nil {
			return use(session)
		}
		if !errors.Is(err, device.ErrConnecting) {
			return lang.Message{}, err
		}
		select {
		case <-ctx.Done():
			return lang.Message{}, err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func queueAttributes(ctx context.Context, c *config.Config, name string) (mns.Attributes, error) {
	q, err := setup.Queue(c, name)
	if err != nil {
		return mns.Attributes{}, err
	}
	return q.Attributes(ctx)
}
