// Package box is a company in a box: private servers, stand-ins for MNS and JD, and the program, built once and run as an
// administrator runs it. The whole-program tests of e2e and the commands' tests use it.
package box

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"jdpay-listener/internal/sandbox/jdserver"
	"jdpay-listener/internal/sandbox/mnsserver"
	"jdpay-listener/internal/sandbox/schema"
	"jdpay-listener/internal/testenv"
)

// The names and keys of every company.
const (
	NotifyQueue = "JDPayNotify"
	ReplyQueue  = "SyncReply"
	MD5Key      = "sandbox-signing-key"

	commandTimeout = 90 * time.Second // after which a command is killed
)

// PaidAt is when customers pay in tests that send one payment or a few: now, since a payment changes its meaning when it grows
// old.
var PaidAt = testenv.Now().In(time.FixedZone("CST", 8*3600)).Format(time.DateTime)

// Company is a company with real servers, and with stand-ins for MNS and JD.
type Company struct {
	T       *testing.T
	DB      *sql.DB
	MySQL   *testenv.MySQL
	Schema  string
	Broker  *testenv.Broker
	Redis   *testenv.Redis
	MNS     *mnsserver.Server
	MNSURL  string
	JD      *jdserver.Server
	JDURL   string
	Binary  string
	Cabinet *Cabinet
	Extra   map[string]string // settings as environment variables

	// BrokerFell means that the broker was killed, with the cabinets' subscriptions: acknowledged commands may be missing.
	BrokerFell bool
}

// New starts a company for a test, with the tables of jdpay-listener, and without a daemon.
func New(t *testing.T, jd jdserver.Options) *Company {
	t.Helper()
	s := Servers(t)
	s.Schema = s.MySQL.Create(t, schema.Account, schema.Main)
	s.DB = s.MySQL.Open(t, s.Schema)
	if err := Grant(s.DB, s.Schema); err != nil {
		t.Fatal(err)
	}
	if err := s.StartStandIns(jd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.MNS.Close)
	t.Cleanup(s.JD.Close)
	s.Binary = Program(t)
	s.Run("migrate")
	return s
}

// Servers starts a company's servers and its cabinets alone: it has no database of its own, no queue, and no JD.
func Servers(t *testing.T) *Company {
	t.Helper()
	s := &Company{T: t, MySQL: testenv.MariaDB(t), Broker: testenv.Mosquitto(t), Redis: testenv.RedisServer(t), Extra: map[string]string{}}
	s.Cabinet = newCabinet(t, s.Broker)
	return s
}

// UseDatabase moves the company's databases to another server.
func (s *Company) UseDatabase(server *testenv.MySQL) {
	s.T.Helper()
	s.MySQL, s.Schema = server, "company"
	if err := server.CreateNamed(s.Schema, schema.Account, schema.Main); err != nil {
		s.T.Fatal(err)
	}
	s.DB = server.Open(s.T, s.Schema)
	if err := Grant(s.DB, s.Schema); err != nil {
		s.T.Fatal(err)
	}
	s.Run("migrate")
}

// Env returns the program's environment: its configuration for a database user, and more variables.
func (s *Company) Env(user string, more ...string) []string {
	env := append(os.Environ(), "LC_ALL=C",
		"GORACE=atexit_sleep_ms=20", // else a program with the race detector ends a second later
		"Payment__StatusField=payStatus", "Payment__SuccessStatuses__0=FINISH", "Payment__UnknownOrderWindow=3s",
		"Jobs__Retry__waybill-status__FirstWait=300ms",
	)
	env = append(env, s.Settings(Connection(user, s.MySQL.Host, s.MySQL.Port, s.Schema))...)
	for name, value := range s.Extra {
		env = append(env, name+"="+value)
	}
	return append(env, more...)
}

// Settings returns the settings that every daemon of the company has, for a connection to the database.
func (s *Company) Settings(dsn string) []string {
	return []string{
		"ConnectionStrings__Account=" + dsn, "ConnectionStrings__Main=" + dsn,
		"Mns__Endpoint=" + s.MNSURL, "Mns__AccessKeyId=ak", "Mns__AccessKeySecret=sk", "Mns__WaitSeconds=5",
		"JDPay__NotifyQueueName=" + NotifyQueue, "JDPay__Md5Key=" + MD5Key,
		"Mqtt__Server=" + s.Broker.Host, fmt.Sprintf("Mqtt__Port=%d", s.Broker.Port),
		"JDApi__BaseUrl=" + s.JDURL, "JDApi__ProducerCode=JD-SEND", "JDApi__CloudProducerCode=JD-CLOUD",
		"Redis__Server=" + s.Redis.Addr(), "Ops__Listen=127.0.0.1:0", "Logging__LogLevel__Default=Debug",
	}
}

// StartStandIns starts the stand-ins for MNS and JD.
func (s *Company) StartStandIns(jd jdserver.Options) (err error) {
	s.MNS = mnsserver.New(mnsserver.Options{Keys: map[string]string{"ak": "sk"}, Queues: []string{NotifyQueue, ReplyQueue}})
	if s.MNSURL, err = s.MNS.Start(); err != nil {
		return err
	}
	s.JD = jdserver.New(jd)
	s.JDURL, err = s.JD.Start()
	return err
}

// Run runs a command that must exit with 0, and returns its output.
func (s *Company) Run(args ...string) string {
	s.T.Helper()
	out, errOut, code := s.Try(args...)
	if code != 0 {
		s.T.Fatalf("jdpay-listener %s: exit %d\n%s%s", strings.Join(args, " "), code, out, errOut)
	}
	return out
}

// Try runs a command as the database user that is meant for it.
func (s *Company) Try(args ...string) (stdout, stderr string, code int) {
	s.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.Binary, args...)
	cmd.Env, cmd.Dir = s.Env(UserOf(args)), s.T.TempDir()
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.T.Fatal(err)
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

// Eventually polls until ok, or fails the test and prints the unfinished jobs.
func (s *Company) Eventually(limit time.Duration, what string, ok func() bool) {
	s.T.Helper()
	if !testenv.Poll(limit, ok) {
		s.T.Fatalf("it did not happen within %s: %s\nunfinished jobs:\n%s", limit, what, strings.Join(s.Strings(
			"SELECT CONCAT_WS(' ', unique_key, ref, state, outcome, try_count, lease, last_error) FROM jdpay_job WHERE state NOT IN ('done', 'rejected') ORDER BY id LIMIT 30"), "\n"))
	}
}

// Strings returns the values of a query's only column.
func (s *Company) Strings(q string, args ...any) (out []string) {
	s.T.Helper()
	rows, err := s.DB.Query(q, args...)
	if err != nil {
		s.T.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var v sql.NullString
		if err := rows.Scan(&v); err != nil {
			s.T.Fatal(err)
		}
		out = append(out, v.String)
	}
	return out
}

// Count returns the value of a query that counts.
func (s *Company) Count(q string, args ...any) (n int) {
	s.T.Helper()
	if err := s.DB.QueryRow(q, args...).Scan(&n); err != nil {
		s.T.Fatal(err)
	}
	return n
}

// Unfinished counts the unfinished jobs, workers excluded.
func (s *Company) Unfinished() int {
	return s.Count("SELECT COUNT(*) FROM jdpay_job WHERE state IN ('ready', 'running', 'waiting') AND unique_key NOT LIKE 'worker:%'")
}
