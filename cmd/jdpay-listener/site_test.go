package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"jdpay-listener/internal/sandbox/jdserver"
	"jdpay-listener/internal/sandbox/mnsserver"
	"jdpay-listener/internal/sandbox/schema"
	"jdpay-listener/internal/testenv"
)

const (
	notifyQueue = "JDPayNotify"
	replyQueue  = "SyncReply"
	md5Key      = "sandbox-signing-key"

	commandTimeout = 90 * time.Second // after which a command is killed
)

// paidAt is when customers pay in tests that send one payment or a few: now, since a payment changes its meaning when it grows
// old.
var paidAt = testenv.Now().In(time.FixedZone("CST", 8*3600)).Format(time.DateTime)

// buildOnce builds the program under test, with the race detector like the tests themselves.
var buildOnce = sync.OnceValues(func() (string, error) { return build("-race") })

func build(flags ...string) (string, error) {
	dir, err := os.MkdirTemp("", "jdpay-build-")
	if err != nil {
		return "", err
	}
	builtMu.Lock()
	built = append(built, dir)
	builtMu.Unlock()
	path := filepath.Join(dir, "jdpay-listener")
	out, err := exec.Command("go", append(append([]string{"build", "-o", path}, flags...), ".")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w: %s", err, out)
	}
	return path, nil
}

var (
	builtMu sync.Mutex
	built   []string
)

func TestMain(m *testing.M) {
	code := m.Run()
	for _, dir := range built {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// site is a company with real servers, and with stand-ins for MNS and JD.
type site struct {
	t       *testing.T
	db      *sql.DB
	mysql   *testenv.MySQL
	schema  string
	broker  *testenv.Broker
	redis   *testenv.Redis
	mns     *mnsserver.Server
	mnsURL  string
	jd      *jdserver.Server
	jdURL   string
	binary  string
	cabinet *cabinet
	extra   map[string]string // settings as environment variables

	endTimeout time.Duration // of crashRun, for all jobs to end
	// brokerFell means that the broker was killed, with the cabinets' subscriptions: acknowledged commands may be missing.
	brokerFell bool
}

func newSite(t *testing.T, jd jdserver.Options) *site {
	t.Helper()
	s := &site{t: t, mysql: testenv.MariaDB(t), extra: map[string]string{}, endTimeout: 45 * time.Second}
	s.schema = s.mysql.Create(t, schema.Account, schema.Main)
	s.db = s.mysql.Open(t, s.schema)
	if err := grant(s.db, s.schema); err != nil {
		t.Fatal(err)
	}
	s.broker = testenv.Mosquitto(t)
	s.redis = testenv.RedisServer(t)
	s.mns = mnsserver.New(mnsserver.Options{Keys: map[string]string{"ak": "sk"}, Queues: []string{notifyQueue, replyQueue}})
	var err error
	if s.mnsURL, err = s.mns.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.mns.Close)
	s.jd = jdserver.New(jd)
	if s.jdURL, err = s.jd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.jd.Close)
	if s.binary, err = buildOnce(); err != nil {
		t.Fatal(err)
	}
	s.cabinet = newCabinet(t, s.broker)
	s.run("migrate")
	return s
}

// useDatabase moves the site's databases to another server.
func (s *site) useDatabase(server *testenv.MySQL) {
	s.t.Helper()
	s.mysql, s.schema = server, "company"
	if err := server.CreateNamed(s.schema, schema.Account, schema.Main); err != nil {
		s.t.Fatal(err)
	}
	s.db = server.Open(s.t, s.schema)
	if err := grant(s.db, s.schema); err != nil {
		s.t.Fatal(err)
	}
	s.run("migrate")
}

// env returns the program's configuration as environment variables.
func (s *site) env(user string, more ...string) []string {
	dsn := connection(user, s.mysql.Host, s.mysql.Port, s.schema)
	env := append(os.Environ(), "LC_ALL=C",
		"ConnectionStrings__Account="+dsn, "ConnectionStrings__Main="+dsn,
		"Mns__Endpoint="+s.mnsURL, "Mns__AccessKeyId=ak", "Mns__AccessKeySecret=sk", "Mns__WaitSeconds=5",
		"JDPay__NotifyQueueName="+notifyQueue, "JDPay__Md5Key="+md5Key,
		"Payment__StatusField=payStatus", "Payment__SuccessStatuses__0=FINISH", "Payment__UnknownOrderWindow=3s",
		"Mqtt__Server="+s.broker.Host, fmt.Sprintf("Mqtt__Port=%d", s.broker.Port),
		"JDApi__BaseUrl="+s.jdURL, "JDApi__ProducerCode=JD-SEND", "JDApi__CloudProducerCode=JD-CLOUD",
		"Redis__Server="+s.redis.Addr(), "Ops__Listen=127.0.0.1:0", "Logging__LogLevel__Default=Debug",
		"Jobs__Retry__waybill-status__FirstWait=300ms",
	)
	for name, value := range s.extra {
		env = append(env, name+"="+value)
	}
	return append(env, more...)
}

// run runs a command that must exit with 0, and returns its output.
func (s *site) run(args ...string) string {
	s.t.Helper()
	out, errOut, code := s.try(args...)
	if code != 0 {
		s.t.Fatalf("jdpay-listener %s: exit %d\n%s%s", strings.Join(args, " "), code, out, errOut)
	}
	return out
}

func (s *site) try(args ...string) (stdout, stderr string, code int) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.binary, args...)
	cmd.Env, cmd.Dir = s.env(databaseUser(args)), s.t.TempDir()
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

// process is a running daemon.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	log  *os.File
	done chan struct{}
	err  error
}

// start starts a daemon; more are further environment variables.
func (s *site) start(more ...string) *process {
	s.t.Helper()
	p := &process{t: s.t, cmd: exec.Command(s.binary), done: make(chan struct{})}
	p.cmd.Env, p.cmd.Dir = s.env(databaseUser(nil), more...), s.t.TempDir()
	var err error
	if p.log, err = os.CreateTemp(s.t.TempDir(), "log"); err != nil {
		s.t.Fatal(err)
	}
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() { p.err = p.cmd.Wait(); close(p.done) }()
	s.t.Cleanup(func() {
		p.kill()
		if s.t.Failed() {
			s.t.Logf("the daemon's log ends:\n%s", p.tail())
		}
		p.log.Close()
	})
	return p
}

// ended reports whether the process has ended.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// kill kills it with kill -9.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// stop stops it with SIGTERM and checks that it exits with 0.
func (p *process) stop() {
	p.t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		if p.err != nil {
			p.t.Errorf("the daemon stopped with %v\n%s", p.err, p.tail())
		}
	case <-time.After(60 * time.Second):
		p.t.Fatalf("the daemon does not stop\n%s", p.tail())
	}
}

func (p *process) text() string {
	b, err := os.ReadFile(p.log.Name())
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func (p *process) tail() string {
	text := p.text()
	return text[max(0, len(text)-6000):]
}

// lines returns the log lines with this message.
func (p *process) lines(msg string) (out []map[string]any) {
	for line := range strings.Lines(p.text()) {
		var m map[string]any
		if json.Unmarshal([]byte(line), &m) == nil && m["msg"] == msg {
			out = append(out, m)
		}
	}
	return out
}

// eventually polls until ok, or fails the test and prints the unfinished jobs.
func (s *site) eventually(limit time.Duration, what string, ok func() bool) {
	s.t.Helper()
	if !testenv.Poll(limit, ok) {
		s.t.Fatalf("it did not happen within %s: %s\nunfinished jobs:\n%s", limit, what, strings.Join(s.strings(
			"SELECT CONCAT_WS(' ', unique_key, ref, state, outcome, try_count, lease, last_error) FROM jdpay_job WHERE state NOT IN ('done', 'rejected') ORDER BY id LIMIT 30"), "\n"))
	}
}

func (s *site) strings(q string, args ...any) (out []string) {
	s.t.Helper()
	rows, err := s.db.Query(q, args...)
	if err != nil {
		s.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var v sql.NullString
		if err := rows.Scan(&v); err != nil {
			s.t.Fatal(err)
		}
		out = append(out, v.String)
	}
	return out
}

func (s *site) count(q string, args ...any) (n int) {
	s.t.Helper()
	if err := s.db.QueryRow(q, args...).Scan(&n); err != nil {
		s.t.Fatal(err)
	}
	return n
}

// unfinished counts the unfinished jobs, workers excluded.
func (s *site) unfinished() int {
	return s.count("SELECT COUNT(*) FROM jdpay_job WHERE state IN ('ready', 'running', 'waiting') AND unique_key NOT LIKE 'worker:%'")
}

// cabinet collects the commands that reach the cabinets.
type cabinet struct {
	mu        sync.Mutex
	got       map[string][]received // by message id
	onCommand func(r received)
}

type received struct {
	Topic   string
	Retain  bool
	Payload map[string]any
	At      time.Time
}

func newCabinet(t *testing.T, broker *testenv.Broker) *cabinet {
	t.Helper()
	c := &cabinet{got: map[string][]received{}}
	subscribe := func(client mqtt.Client) {
		client.Subscribe("device/+/pay-complete", 1, func(_ mqtt.Client, m mqtt.Message) { c.receive(t, m) })
	}
	opts := mqtt.NewClientOptions().AddBroker("tcp://" + broker.Addr()).SetClientID("cabinets").SetCleanSession(false).SetOnConnectHandler(subscribe)
	client := mqtt.NewClient(opts)
	if token := client.Connect(); !token.WaitTimeout(10*time.Second) || token.Error() != nil {
		t.Fatalf("connecting the cabinets: %v", token.Error())
	}
	t.Cleanup(func() { client.Disconnect(100) })
	return c
}

func (c *cabinet) receive(t *testing.T, m mqtt.Message) {
	r := received{Topic: m.Topic(), Retain: m.Retained(), At: time.Now()}
	d := json.NewDecoder(bytes.NewReader(m.Payload()))
	d.UseNumber()
	if err := d.Decode(&r.Payload); err != nil {
		t.Errorf("a command is not JSON: %q", m.Payload())
		return
	}
	c.mu.Lock()
	id := fmt.Sprint(r.Payload["MessageId"])
	c.got[id] = append(c.got[id], r)
	hook := c.onCommand
	c.mu.Unlock()
	if hook != nil {
		hook(r)
	}
}

func (c *cabinet) commands(messageID string) []received {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]received(nil), c.got[messageID]...)
}

// messageIDs returns the message ids of the commands that reached cabinets for an order.
func (c *cabinet) messageIDs(order int64) (ids []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, all := range c.got {
		if fmt.Sprint(all[0].Payload["PostOrderId"]) == fmt.Sprint(order) {
			ids = append(ids, id)
		}
	}
	return ids
}

func (c *cabinet) total() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.got)
}
