package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"jdpay-listener/internal/sandbox"
	"jdpay-listener/internal/sandbox/schema"
	"jdpay-listener/internal/testenv"
)

// mariadbSettings are what an operator of a small company server would set beside durable commits, which testenv sets.
var mariadbSettings = []string{"--innodb-buffer-pool-size=1G", "--innodb-log-file-size=512M", "--innodb-flush-method=O_DIRECT", "--max-connections=500"}

// site is the servers of a run and the program under test.
type site struct {
	dir      string
	binary   string
	mysql    *testenv.MySQL
	broker   *testenv.Broker
	redis    *testenv.Redis
	standIns *standIns
	cabinets *cabinets
	pids     map[string]int // of the servers, by the names in the results

	companies int
	closers   []func() error
}

// openSite builds the program and starts the servers that all measurements share.
func openSite() (s *site, err error) {
	s = &site{}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.dir, err = os.MkdirTemp("", "jdpay-bench-"); err != nil {
		return s, err
	}
	s.closers = append(s.closers, func() error { return os.RemoveAll(s.dir) })
	s.binary = filepath.Join(s.dir, "jdpay-listener")
	if out, err := exec.Command("go", "build", "-o", s.binary, "jdpay-listener/cmd/jdpay-listener").CombinedOutput(); err != nil {
		return s, fmt.Errorf("go build: %w: %s", err, out)
	}
	if s.mysql, err = testenv.StartMariaDB(mariadbSettings...); err != nil {
		return s, err
	}
	s.closers = append(s.closers, func() error { s.mysql.Close(); return nil })
	if s.broker, err = testenv.StartMosquitto(); err != nil {
		return s, err
	}
	s.closers = append(s.closers, func() error { s.broker.Close(); return nil })
	if s.redis, err = testenv.StartRedis(); err != nil {
		return s, err
	}
	s.closers = append(s.closers, func() error { s.redis.Close(); return nil })
	if s.standIns, err = startStandIns(); err != nil {
		return s, err
	}
	s.closers = append(s.closers, s.standIns.close)
	if s.cabinets, err = connectCabinets(s.broker); err != nil {
		return s, err
	}
	s.closers = append(s.closers, func() error { s.cabinets.close(); return nil })
	s.pids = map[string]int{standInsCPU: s.standIns.cmd.Process.Pid, benchCPU: os.Getpid()}
	for name, comm := range map[string]string{mariadbCPU: "mariadbd", mosquittoCPU: "mosquitto", redisCPU: "redis-server"} {
		if s.pids[name], err = grandchild(comm); err != nil {
			return s, err
		}
	}
	return s, nil
}

// close closes everything in reverse order.
func (s *site) close() {
	for i := len(s.closers) - 1; i >= 0; i-- {
		if err := s.closers[i](); err != nil {
			progress("closing: %v", err)
		}
	}
}

// openDB opens a database for the bench's own queries.
func (s *site) openDB(name string) (*sql.DB, error) {
	db, err := sql.Open("mysql", s.mysql.DSN(name))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(2)
	return db, nil
}

// company is one database with its orders, and what the daemon needs to work on them.
type company struct {
	*site
	name    string
	db      *sql.DB
	to      Addresses
	next    int64    // the id of the next order
	extra   []string // settings of the daemons, beside the usual ones
	replies bool     // cabinets reply, and commands wait for the replies
	retried bool     // JD is down for a while, or a daemon stops: jobs may take several tries
}

// newCompany creates an empty company with its tables.
func (s *site) newCompany(ctx context.Context) (*company, error) {
	s.companies++
	c := &company{site: s, name: fmt.Sprint("company", s.companies), next: 1}
	if err := s.mysql.CreateNamed(c.name, schema.Account, schema.Main); err != nil {
		return nil, err
	}
	var err error
	if c.db, err = s.openDB(c.name); err != nil {
		return nil, err
	}
	if err := c.command(ctx, "migrate"); err != nil {
		return nil, errors.Join(err, c.close())
	}
	if err := seedCabinets(ctx, c.db); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

// close drops the company's database, so that the next measurement has the buffer pool for itself.
func (c *company) close() error {
	_, err := c.db.Exec("DROP DATABASE " + c.name)
	return errors.Join(err, c.db.Close())
}

// open gives the company empty queues and a JD of this latency.
func (c *company) open(jdLatency time.Duration) error {
	if err := c.standIns.Call("StandIns.Open", jdLatency, &c.to); err != nil {
		return fmt.Errorf("opening the stand-ins: %w", err)
	}
	c.cabinets.take()
	return nil
}

// seed creates n payable orders.
func (c *company) seed(ctx context.Context, n int) (Orders, error) {
	orders := Orders{c.next, n}
	c.next += int64(n)
	return orders, orders.seed(ctx, c.db)
}

// connection is the connection string of both databases.
func (c *company) connection(host string, port int) string {
	return fmt.Sprintf("Server=%s;Port=%d;Database=%s;Uid=root;Pwd=;SslMode=None", host, port, c.name)
}

// env is the program's whole configuration: environment variables, as a container would have them.
func (c *company) env(more ...string) []string {
	dsn := c.connection(c.mysql.Host, c.mysql.Port)
	return append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + c.dir,
		"ConnectionStrings__Account=" + dsn, "ConnectionStrings__Main=" + dsn,
		"Mns__Endpoint=" + c.to.MNS, "Mns__AccessKeyId=" + sandbox.AccessKeyID, "Mns__AccessKeySecret=" + sandbox.AccessKeySecret,
		"JDPay__NotifyQueueName=" + sandbox.NotifyQueue, "JDPay__Md5Key=" + sandbox.Md5Key, "SyncReply__QueueName=" + sandbox.ReplyQueue,
		"Payment__StatusField=payStatus", "Payment__SuccessStatuses__0=FINISH",
		"Mqtt__Server=" + c.broker.Host, fmt.Sprint("Mqtt__Port=", c.broker.Port), "Redis__Server=" + c.redis.Addr(),
		"JDApi__BaseUrl=" + c.to.JD, "JDApi__ProducerCode=" + producerCode, "JDApi__CloudProducerCode=" + cloudProducerCode,
		"Ops__Listen=127.0.0.1:0",
	}, more...)
}

// command runs a command of the program, which must exit with 0.
func (c *company) command(ctx context.Context, name string) error {
	if c.to.MNS == "" { // nothing needs to listen there, but the configuration requires addresses
		c.to = Addresses{"http://127.0.0.1:9", "http://127.0.0.1:9"}
	}
	cmd := exec.CommandContext(ctx, c.binary, name)
	cmd.Env, cmd.Dir = c.env(c.extra...), c.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("jdpay-listener %s: %w\n%s", name, err, out[max(0, len(out)-2000):])
	}
	return nil
}

const readyTimeout = 20 * time.Second

// startDaemons starts instances of the daemon and waits until all are ready.
func (c *company) startDaemons(ctx context.Context, n int) (daemons []*process, err error) {
	for range n {
		port, err := testenv.FreePort()
		if err != nil {
			return daemons, err
		}
		p, err := startProcess(c.dir, c.env(append(c.extra, fmt.Sprint("Ops__Listen=127.0.0.1:", port))...), c.binary)
		if err != nil {
			return daemons, err
		}
		daemons = append(daemons, p)
		if err := p.awaitReady(ctx, fmt.Sprintf("http://127.0.0.1:%d/readyz", port)); err != nil {
			return daemons, err
		}
	}
	return daemons, nil
}

func (p *process) awaitReady(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-p.done:
			return fmt.Errorf("the daemon ended before it was ready: %v; its log ends:\n%s", p.err, p.tail())
		case <-ctx.Done():
			return fmt.Errorf("the daemon is not ready: %w; its log ends:\n%s", ctx.Err(), p.tail())
		case <-time.After(20 * time.Millisecond):
		}
	}
}
