package doctor

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"database/sql"
	"errors"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/inspect"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/kernel"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/setup"
	"jdpay-listener/internal/sqldb"
)

// keepSettings is the remedy for a *sqldb.SessionError.
var keepSettings = lang.M("connect to the server itself, or through a proxy that keeps the settings of a session; remove limits of the server (maximum-…) on these variables")

// databaseProbes makes the probes of one database.
type databaseProbes struct {
	name, key  string
	connection config.Secret
	start      lang.Message   // what to check when it cannot be opened
	tables     []kernel.Table // of the company
	written    []string
	// writable makes a write that changes nothing. writeNeeds is the probe without which that says nothing.
	writable   func(context.Context, *sql.DB) error
	writeNeeds string
}

func accountDatabase(c *config.Config) databaseProbes {
	return databaseProbes{
		"account database", "ConnectionStrings:Account", c.ConnectionStrings.Account, lang.M("check ConnectionStrings:Account and that the server is up"), kernel.AccountTables, inspect.AccountWritten,
		func(ctx context.Context, db *sql.DB) error { return job.NewMySQL(db).CheckWritable(ctx) }, "table jdpay_job",
	}
}

func mainDatabase(c *config.Config) databaseProbes {
	return databaseProbes{
		"main database", "ConnectionStrings:Main", c.ConnectionStrings.Main, lang.M("check ConnectionStrings:Main and that the server is up"), kernel.MainTables, inspect.MainWritten,
		kernel.CheckPayInfoWritable, "main database",
	}
}

// probe is a probe called like the database and the topic. With a topic it needs the database.
func (d databaseProbes) probe(topic string, remedy lang.Message, run func(context.Context, *sql.DB) (lang.Message, error)) probe {
	if topic == "" {
		return probe{d.name, "", remedy, d.on(run)}
	}
	return probe{d.name + " " + topic, d.name, remedy, d.on(run)}
}

// on returns a probe's function that runs with the open database, with remedies for the errors of connection and server.
func (d databaseProbes) on(run func(context.Context, *sql.DB) (lang.Message, error)) func(context.Context) (lang.Message, error) {
	return func(ctx context.Context) (lang.Message, error) {
		detail, err := withDatabase(ctx, d.connection, func(db *sql.DB) (lang.Message, error) { return run(ctx, db) })
		return detail, d.fault(err)
	}
}

// beyondConnect are the probes that Connect does not make.
func (d databaseProbes) beyondConnect() []probe {
	writes := d.probe("writes", lang.M("connect to the primary: check the address, or the proxy in front of the servers"), func(ctx context.Context, db *sql.DB) (lang.Message, error) { return writes(d.writable(ctx, db)) })
	writes.needs = d.writeNeeds
	short := strings.TrimSuffix(d.name, " database")
	durability := durable
	if d.key == "ConnectionStrings:Main" {
		durability = flushed
	}
	return []probe{
		d.probe("session", keepSettings, keptSettings),
		d.probe("version", lang.M("upgrade the server"), supportedVersion),
		d.probe("isolation", lang.M("let sessions set READ COMMITTED: check the proxy in front of the server"), isolation),
		writes,
		d.probe("clock", lang.M("run doctor again, and see the server's log"), clock),
		d.probe("binary log", lang.M("set binlog_format = MIXED or ROW on the server"), func(ctx context.Context, db *sql.DB) (lang.Message, error) {
			return lang.M("takes writes at READ COMMITTED"), sqldb.CheckBinlog(ctx, db)
		}),
		d.probe("durability", lang.M("see the section on clusters and fail-over in docs/operations.md"), durability),
		d.probe("packet size", lang.M("set max_allowed_packet to 16M on the server, which is its default"), packetSize),
		{short + " engines", d.name, lang.M("ALTER TABLE … ENGINE = InnoDB for each of them"), d.on(engines(d.written))},
		{short + " triggers", d.name, lang.M("check the connection and the user's rights"), d.on(triggers(d.written))},
		{short + " indexes", d.name, lang.M("create the index: without it each payment reads, and locks, the whole table"), d.on(func(ctx context.Context, db *sql.DB) (lang.Message, error) {
			missing, err := kernel.MissingIndexes(ctx, db, d.tables)
			if err == nil && len(missing) > 0 {
				err = lang.Errorf("missing: %s", strings.Join(missing, "; "))
			}
			return lang.M("all there"), err
		})},
	}
}

// fault adds what to do to an error of the connection or of the server. Other errors are judgements of the probe.
func (d databaseProbes) fault(err error) error {
	var notTrusted *tls.CertificateVerificationError
	var better advice
	var untried notTried
	var session *sqldb.SessionError
	var remedy lang.Message
	switch number, class := sqldb.Number(err), sqldb.Class(err); {
	case err == nil, errors.As(err, &better), errors.As(err, &untried):
		return err
	case errors.Is(err, mysql.ErrNoTLS), errors.As(err, &notTrusted):
		remedy = lang.M("correct SslMode and SslCa in %s, or the server's certificate", d.key)
	case errors.As(err, &session):
		return &fault{lang.Errorf("the database's sessions are not as the daemon sets them: %s", session.What()), keepSettings}
	case class == sqldb.Login:
		remedy = lang.M("correct user and password in %s; the server may also know the user from other hosts only (deploy/grants.sql)", d.key)
	case class == sqldb.NoAccess, class == sqldb.Denied:
		remedy = lang.M("give this user what deploy/grants.sql gives it")
	case class == sqldb.NoDatabase:
		remedy = lang.M("correct the name of the database in %s, or create it", d.key)
	case class == sqldb.NoConnection:
		remedy = lang.M("allow more connections on the server, or set a smaller Max Pool Size in %s", d.key)
	case class == sqldb.Unjoined:
		remedy = lang.M("bring this Galera node back into the cluster, or connect to another one")
	case class == sqldb.HostRefused:
		remedy = lang.M("let the server accept connections from this host")
	case class == sqldb.Missing:
		remedy = lang.M("create the missing table or column: see the checks of the tables")
	case class == sqldb.ReadOnly: // read-only: the probe of writes says what to do
		return err
	case class == sqldb.Binlog: // the binary log, which has a probe of its own
		return err
	case number != 0:
		remedy = lang.M("look up error %d in the server's manual and log", number)
	case sqldb.IsDown(err):
		remedy = lang.M("check that the server is up, and server and port in %s", d.key)
	default:
		return err
	}
	return &fault{err, remedy}
}

func withDatabase[T any](ctx context.Context, connection config.Secret, use func(*sql.DB) (T, error)) (result T, err error) {
	db, err := setup.OpenDatabase(connection)
	if err != nil {
		return result, err
	}
	defer db.Close()
	if err := db.PingContext(ctx); err != nil {
		return result, err
	}
	return use(db)
}

func serverVersion(ctx context.Context, db *sql.DB) (lang.Message, error) {
	version := ""
	err := db.QueryRowContext(ctx, "SELECT VERSION()").Scan(&version)
	return lang.Plain(version), err
}

func (d databaseProbes) columns(ctx context.Context, db *sql.DB) (lang.Message, error) {
	err := kernel.CheckTables(ctx, db, d.tables)
	if missing, ok := errors.AsType[*kernel.MissingError](err); ok {
		err = &fault{missing, missing.Advice()}
	}
	return lang.M("all columns are there"), err
}

var versionNumber = regexp.MustCompile(`(\d+)\.(\d+)`)

// supportedVersion fails for servers older than MySQL 5.6 and MariaDB 10.5.
func supportedVersion(ctx context.Context, db *sql.DB) (lang.Message, error) {
	version, err := serverVersion(ctx, db)
	if err != nil {
		return lang.Message{}, err
	}
	return version, checkVersion(version.String())
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
		return advice{lang.M("%s is no version that is known", version), lang.M("make sure that it behaves like MySQL 5.6 or later")}
	}
	major, _ := strconv.Atoi(m[1]) // digits
	minor, _ := strconv.Atoi(m[2])
	if 100*major+minor < least {
		return lang.Errorf("%s is older than %s", version, name)
	}
	return nil
}

func isolation(ctx context.Context, db *sql.DB) (lang.Message, error) {
	var name, level string
	err := db.QueryRowContext(ctx, "SHOW SESSION VARIABLES WHERE Variable_name IN ('tx_isolation', 'transaction_isolation')").Scan(&name, &level)
	if err != nil {
		return lang.Message{}, lang.Errorf("asking for the isolation level: %v", err)
	}
	if level != "READ-COMMITTED" {
		return lang.Message{}, lang.Errorf("sessions have %s although they ask for READ COMMITTED", level)
	}
	return lang.Plain(level), nil
}

// writes words the result of a write that changes nothing. A user who may only read has no permission for it.
func writes(err error) (lang.Message, error) {
	if sqldb.IsDenied(err) {
		return lang.Message{}, advice{lang.M("not permitted for this user: not checked"), lang.M("nothing, if this is the user for questions; deploy/grants.sql gives the daemon's user what it needs")}
	}
	return lang.M("taken"), err
}

// clock compares this machine's clock with the database's. Leases do not depend on it; signatures of MNS requests and the
// times in logs do.
func clock(ctx context.Context, db *sql.DB) (lang.Message, error) {
	before := time.Now()
	var theirs time.Time
	if err := db.QueryRowContext(ctx, "SELECT UTC_TIMESTAMP(6)").Scan(&theirs); err != nil {
		return lang.Message{}, lang.Errorf("asking for the time: %v", err)
	}
	after := time.Now()
	off := theirs.Sub(before.Add(after.Sub(before) / 2)).Round(time.Millisecond)
	if off.Abs() > clockTolerance+after.Sub(before) {
		return lang.Message{}, advice{lang.M("the server's clock is %s off this machine's", off), lang.M("synchronize both with NTP; MNS refuses requests that are 15 minutes off")}
	}
	return lang.M("%s off this machine's", off), nil
}

// namedLock takes a named lock, as the instance lock does, and looks at it from another session.
func namedLock(ctx context.Context, db *sql.DB) (lang.Message, error) {
	name := "jdpay-doctor:" + rand.Text()
	lock, err := sqldb.TakeLock(ctx, db, name, 0)
	if err != nil {
		return lang.Message{}, lang.Errorf("taking a named lock: %v", err)
	}
	defer lock.Release()
	var other, released sql.NullBool
	if err := db.QueryRowContext(ctx, "SELECT IS_USED_LOCK(?) IS NOT NULL", name).Scan(&other); err != nil {
		return lang.Message{}, lang.Errorf("looking at a named lock: %v", err)
	}
	if err := lock.Check(ctx, probeTimeout); errors.Is(err, sqldb.ErrLockLost) {
		return lang.Message{}, lang.Errorf("a named lock (GET_LOCK) is not held by the connection that took it")
	}
	// Behind a proxy the connection may live on when this program has ended, and the lock with it.
	if err := lock.Conn.QueryRowContext(ctx, "SELECT RELEASE_LOCK(?)", name).Scan(&released); err != nil {
		return lang.Message{}, lang.Errorf("releasing a named lock: %v", err)
	}
	if !other.Bool {
		return lang.Message{}, advice{
			lang.M("a named lock (GET_LOCK) is not seen by another session: it is on another server, so lease_until alone says which jobs may be taken over"),
			lang.M("connect to one server; of a Galera cluster or a replication group, to one member"),
		}
	}
	return lang.M("GET_LOCK works"), nil
}

// packets sends two statements in one packet, as the daemon does when it keeps messages.
func packets(ctx context.Context, db *sql.DB) (lang.Message, error) {
	var answer int
	err := db.QueryRowContext(ctx, "SET @jdpay_doctor = 6 * 7; SELECT @jdpay_doctor").Scan(&answer)
	if number := sqldb.Number(err); number == 0 && sqldb.IsDown(err) {
		return lang.Message{}, err
	}
	if err == nil && answer != 42 {
		err = lang.Errorf("the second statement answers %d", answer)
	}
	if err != nil {
		return lang.Message{}, &fault{
			lang.Errorf("two statements in one packet do not arrive whole at one server: %v", err),
			lang.M("connect to the server itself, or through a proxy that passes several statements in one packet on"),
		}
	}
	return lang.M("two statements in one packet arrive"), nil
}
