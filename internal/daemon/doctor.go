package daemon

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/device"
	"jdpay-listener/internal/inspect"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/message"
	"jdpay-listener/internal/mns"
	"jdpay-listener/internal/sqldb"
)

// advice is a probe's error for what works but should be changed.
type advice struct{ detail, remedy string }

func (a advice) Error() string { return a.detail }

const (
	clockTolerance = 2 * time.Second
	// minVisibilityTimeout is the sum of the timeouts of keeping and deleting a batch: with a shorter visibility timeout the
	// batch may be redelivered meanwhile.
	minVisibilityTimeout = 30 * time.Second
)

// Examine does what Connect does, and reports what in the surroundings should be changed. It publishes one MQTT message, to
// the topic of a cabinet that does not exist, and changes nothing else.
func Examine(ctx context.Context, loaded *config.Loaded) []Finding {
	c := loaded.Config
	probes := connectProbes(c)
	for _, db := range []struct {
		name       string
		connection config.Secret
		indexes    []inspect.Index
		write      func(context.Context, *sql.DB) error
	}{
		{"account", c.ConnectionStrings.Account, inspect.AccountIndexes, func(ctx context.Context, conn *sql.DB) error { return job.NewMySQL(conn).CheckWritable(ctx) }},
		{"main", c.ConnectionStrings.Main, inspect.MainIndexes, inspect.CheckPayInfoWritable},
	} {
		on := func(run func(context.Context, *sql.DB) (string, error)) func(context.Context) (string, error) {
			return func(ctx context.Context) (string, error) {
				return withDatabase(ctx, db.connection, func(conn *sql.DB) (string, error) { return run(ctx, conn) })
			}
		}
		probes = append(
			probes,
			probe{db.name + " database version", "upgrade the server", on(supportedVersion)},
			probe{db.name + " database isolation", "let sessions set READ COMMITTED: check the proxy in front of the server", on(isolation)},
			probe{db.name + " database writes", "connect to the primary: check the address, or the proxy in front of the servers", on(func(ctx context.Context, conn *sql.DB) (string, error) { return writes(db.write(ctx, conn)) })},
			probe{db.name + " database clock", "", on(clock)},
			probe{db.name + " database binary log", "set binlog_format = MIXED or ROW on the server", on(func(ctx context.Context, conn *sql.DB) (string, error) {
				return "takes writes at READ COMMITTED", sqldb.CheckBinlog(ctx, conn)
			})},
			probe{db.name + " indexes", "create the index: without it each payment reads, and locks, the whole table", on(func(ctx context.Context, conn *sql.DB) (string, error) {
				missing, err := inspect.MissingIndexes(ctx, conn, db.indexes)
				if err == nil && len(missing) > 0 {
					err = fmt.Errorf("missing: %s", strings.Join(missing, "; "))
				}
				return "all there", err
			})},
		)
	}
	probes = append(
		probes,
		probe{"account database durability", "see the section on clusters and fail-over in docs/operations.md", func(ctx context.Context) (string, error) {
			return withDatabase(ctx, c.ConnectionStrings.Account, func(conn *sql.DB) (string, error) { return durable(ctx, conn) })
		}},
		probe{"account database locks", "connect to the server itself, or through a proxy that keeps a session on one server", func(ctx context.Context) (string, error) {
			return withDatabase(ctx, c.ConnectionStrings.Account, func(conn *sql.DB) (string, error) { return namedLock(ctx, conn) })
		}},
		probe{"mqtt round trip", "check what the broker lets this user publish", func(ctx context.Context) (string, error) { return roundTrip(ctx, c) }},
		probe{"signature self-test", "this program is broken: install it again", func(context.Context) (string, error) {
			return c.JDPay.SignProfile + " gives the signature of the documented example", message.SelfTest(c.JDPay.SignProfile)
		}},
		probe{"secret files", "", func(context.Context) (string, error) { return filePermissions(loaded) }},
	)
	for _, queue := range []string{c.JDPay.NotifyQueueName, c.SyncReply.QueueName} {
		if queue != "" {
			probes = append(probes, probe{"mns queue " + queue + " settings", "check section Mns and the queue's name", func(ctx context.Context) (string, error) {
				return queueSettings(ctx, c, queue)
			}})
		}
	}
	return append(runProbes(ctx, probes), transports(ctx, c)...)
}

var versionNumber = regexp.MustCompile(`(\d+)\.(\d+)`)

// supportedVersion fails for servers older than MySQL 5.6 and MariaDB 10.5.
func supportedVersion(ctx context.Context, db *sql.DB) (string, error) {
	version, err := serverVersion(ctx, db)
	if err != nil {
		return "", err
	}
	return version, checkVersion(version)
}

func checkVersion(version string) error {
	least, name := 506, "MySQL 5.6"
	number := version
	if strings.Contains(version, "MariaDB") {
		least, name = 1005, "MariaDB 10.5"
		number = strings.TrimPrefix(version, "5.5.5-") // MariaDB's prefix for clients that know only MySQL
	}
	m := versionNumber.FindStringSubmatch(number)
	if m == nil {
		return advice{version + " is no version that is known", "make sure that it behaves like MySQL 5.6 or later"}
	}
	major, _ := strconv.Atoi(m[1]) // digits
	minor, _ := strconv.Atoi(m[2])
	if 100*major+minor < least {
		return fmt.Errorf("%s is older than %s", version, name)
	}
	return nil
}

func isolation(ctx context.Context, db *sql.DB) (string, error) {
	var name, level string
	err := db.QueryRowContext(ctx, "SHOW SESSION VARIABLES WHERE Variable_name IN ('tx_isolation', 'transaction_isolation')").Scan(&name, &level)
	if err != nil {
		return "", fmt.Errorf("asking for the isolation level: %w", err)
	}
	if level != "READ-COMMITTED" {
		return "", fmt.Errorf("sessions have %s although they ask for READ COMMITTED", level)
	}
	return level, nil
}

// writes words the result of a write that changes nothing. A user who may only read has no permission for it.
func writes(err error) (string, error) {
	if sqldb.IsDenied(err) {
		return "", advice{"not permitted for this user: not checked", "nothing, if this is the user for questions; deploy/grants.sql gives the daemon's user what it needs"}
	}
	return "taken", err
}

// clock compares this machine's clock with the database's. Leases do not depend on it; signatures of MNS requests and the
// times in logs do.
func clock(ctx context.Context, db *sql.DB) (string, error) {
	before := time.Now()
	var theirs time.Time
	if err := db.QueryRowContext(ctx, "SELECT UTC_TIMESTAMP(6)").Scan(&theirs); err != nil {
		return "", fmt.Errorf("asking for the time: %w", err)
	}
	after := time.Now()
	off := theirs.Sub(before.Add(after.Sub(before) / 2)).Round(time.Millisecond)
	if off.Abs() > clockTolerance+after.Sub(before) {
		return "", advice{fmt.Sprintf("the server's clock is %s off this machine's", off), "synchronize both with NTP; MNS refuses requests that are 15 minutes off"}
	}
	return fmt.Sprintf("%s off this machine's", off), nil
}

// namedLock takes a named lock, as the instance lock does.
func namedLock(ctx context.Context, db *sql.DB) (string, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	name := leaseName("jdpay-doctor")
	var got, mine sql.NullBool
	if err := conn.QueryRowContext(ctx, "SELECT GET_LOCK(?, 0)", name).Scan(&got); err != nil {
		return "", fmt.Errorf("taking a named lock: %w", err)
	}
	if err := conn.QueryRowContext(ctx, "SELECT IS_USED_LOCK(?) = CONNECTION_ID()", name).Scan(&mine); err != nil {
		return "", fmt.Errorf("looking at a named lock: %w", err)
	}
	if !got.Bool || !mine.Bool {
		return "", errors.New("a named lock (GET_LOCK) is not held by the connection that took it")
	}
	return "GET_LOCK works", nil
}

// roundTrip publishes to the topic of a cabinet that does not exist and waits for the broker's acknowledgement.
func roundTrip(ctx context.Context, c *config.Config) (string, error) {
	if !strings.Contains(c.Mqtt.PayCompleteTopic, "{DeviceGroupSN}") {
		return "", advice{"not tried: Mqtt:PayCompleteTopic is the same for all cabinets, and one of them could take the test for a command", "nothing, if commands arrive"}
	}
	took := time.Duration(0)
	_, err := withSession(ctx, c, "doctor", func(s *device.Session) (string, error) {
		begin := time.Now()
		err := s.Publish(ctx, device.Command{DeviceGroupSN: "jdpay-doctor", MessageId: "jdpay-doctor"})
		took = time.Since(begin)
		return "", err
	})
	return fmt.Sprintf("acknowledged after %s", took.Round(100*time.Microsecond)), err
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
