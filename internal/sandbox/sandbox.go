// Package sandbox is a company in one process: stand-ins for MNS, MySQL, Redis, the MQTT broker with its cabinets, JD and
// Elasticsearch, with orders to pay and messages that pay them. The daemon runs against it unchanged. Nothing here uses the
// daemon's code, so that the two cannot share a mistake.
package sandbox

import (
	"database/sql"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
	_ "github.com/go-sql-driver/mysql" // to seed the stand-in database

	"jdpay-listener/internal/sandbox/cabinets"
	"jdpay-listener/internal/sandbox/esserver"
	"jdpay-listener/internal/sandbox/jdserver"
	"jdpay-listener/internal/sandbox/mnsserver"
	"jdpay-listener/internal/sandbox/mysqlserver"
	"jdpay-listener/internal/sandbox/schema"
)

// The sandbox's names and keys. They are valid nowhere else.
const (
	NotifyQueue     = "JDPayNotify"
	ReplyQueue      = "SyncReply"
	AccessKeyID     = "sandbox-ak"
	AccessKeySecret = "sandbox-sk"
	Md5Key          = "sandbox-signing-key"
)

// Company is the running set of stand-ins.
type Company struct {
	MNS      *mnsserver.Server
	MySQL    *mysqlserver.Server
	Redis    *miniredis.Miniredis
	Cabinets *cabinets.Site
	JD       *jdserver.Server
	ES       *esserver.Server

	MNSURL, JDURL, ESURL string
	Settings             string // path of the generated appsettings file

	db      *sql.DB // account and main database in one
	dir     string
	closers []func() error

	mu       sync.Mutex
	commands map[string][]time.Time // arrivals by message id

	commandTTL time.Duration
}

// Start starts every stand-in on a free loopback port and writes an appsettings file for the daemon into a temporary
// folder. commandTTL is its Mqtt:CommandTtl.
func Start(commandTTL time.Duration) (*Company, error) {
	c := &Company{commands: map[string][]time.Time{}, commandTTL: commandTTL}
	for _, start := range []func() error{c.startQueues, c.startDatabase, c.startRedis, c.startCabinets, c.startJD, c.startElasticsearch, c.writeSettings} {
		if err := start(); err != nil {
			return nil, errors.Join(fmt.Errorf("starting the sandbox: %w", err), c.Close())
		}
	}
	return c, nil
}

// Close stops everything and removes the files.
func (c *Company) Close() error {
	var errs []error
	for i := len(c.closers) - 1; i >= 0; i-- {
		errs = append(errs, c.closers[i]())
	}
	c.closers = nil
	return errors.Join(errs...)
}

func (c *Company) startQueues() (err error) {
	c.MNS = mnsserver.New(mnsserver.Options{Keys: map[string]string{AccessKeyID: AccessKeySecret}, Queues: []string{NotifyQueue, ReplyQueue}})
	c.MNSURL, err = c.MNS.Start()
	c.closers = append(c.closers, func() error { c.MNS.Close(); return nil })
	return err
}

func (c *Company) startDatabase() (err error) {
	if c.MySQL, err = mysqlserver.Start("company"); err != nil {
		return err
	}
	c.closers = append(c.closers, c.MySQL.Close)
	if c.db, err = sql.Open("mysql", c.MySQL.DSN("company")+"?interpolateParams=true&parseTime=true"); err != nil {
		return err
	}
	c.closers = append(c.closers, c.db.Close)
	for _, script := range []string{schema.Account, schema.Main} {
		for _, stmt := range schema.Statements(script) {
			if _, err := c.db.Exec(stmt); err != nil {
				return fmt.Errorf("creating the company's tables: %w", err)
			}
		}
	}
	return nil
}

func (c *Company) startRedis() (err error) {
	if c.Redis, err = miniredis.Run(); err == nil {
		c.closers = append(c.closers, func() error { c.Redis.Close(); return nil })
	}
	return err
}

func (c *Company) startCabinets() error {
	c.Cabinets = &cabinets.Site{
		OnCommand: func(cmd cabinets.Command, at time.Time) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.commands[cmd.MessageId] = append(c.commands[cmd.MessageId], at)
		},
		// The company's bridge: a cabinet's reply becomes a signed message in the reply queue.
		Reply: func(cmd cabinets.Command, a cabinets.Reply) {
			c.MNS.Put(ReplyQueue, Reply{MessageID: cmd.MessageId, Device: cmd.DeviceGroupSN, Code: a.Code, Text: a.Text}.Message(Md5Key))
		},
	}
	if err := c.Cabinets.Start(); err != nil {
		return err
	}
	c.closers = append(c.closers, c.Cabinets.Close)
	return nil
}

func (c *Company) startJD() (err error) {
	c.JD = jdserver.New(jdserver.Options{Latency: 5 * time.Millisecond})
	c.JDURL, err = c.JD.Start()
	c.closers = append(c.closers, func() error { c.JD.Close(); return nil })
	return err
}

func (c *Company) startElasticsearch() (err error) {
	c.ES = esserver.New(esserver.Options{})
	c.ESURL, err = c.ES.Start()
	c.closers = append(c.closers, func() error { c.ES.Close(); return nil })
	return err
}

// settings is the daemon's configuration for the sandbox. Timeouts are short, so that an operator sees them expire.
const settings = `// Written by jdpay-sandbox for its own stand-ins.
{
  "Logging": {"LogLevel": {"Default": "Warning"}, "Format": "text"},
  "ConnectionStrings": {
    "Account": "Server=%[1]s;Port=%[2]s;Database=company;Uid=root;Pwd=;SslMode=None",
    "Main":    "Server=%[1]s;Port=%[2]s;Database=company;Uid=root;Pwd=;SslMode=None",
  },
  "Mns": {"Endpoint": "%[3]s", "AccessKeyId": "` + AccessKeyID + `", "AccessKeySecret": "` + AccessKeySecret + `"},
  "JDPay": {"NotifyQueueName": "` + NotifyQueue + `", "Md5Key": "` + Md5Key + `"},
  "Payment": {"UnknownOrderWindow": "3s", "StatusField": "payStatus", "SuccessStatuses": ["FINISH"]},
  "Mqtt": {"Server": "%[4]s", "Port": %[5]s, "RequireReply": true, "ReplyTimeout": "1s", "CommandTtl": "%[9]s"},
  "SyncReply": {"QueueName": "` + ReplyQueue + `", "PendingCodes": ["BUSY"]},
  "JDApi": {"BaseUrl": "%[6]s", "ProducerCode": "JD-SEND", "CloudProducerCode": "JD-CLOUD"},
  "Jobs": {"Retry": {"waybill-status": {"FirstWait": "500ms"}}},
  "Redis": {"Server": "%[7]s"},
  "Elasticsearch": {"Url": "%[8]s"},
  "Ops": {"Listen": "127.0.0.1:0"},
}
`

func (c *Company) writeSettings() (err error) {
	if c.dir, err = os.MkdirTemp("", "jdpay-sandbox-"); err != nil {
		return fmt.Errorf("making a folder for the configuration, in TMPDIR or else /tmp: %w", err)
	}
	c.closers = append(c.closers, func() error { return os.RemoveAll(c.dir) })
	c.Settings = filepath.Join(c.dir, "appsettings.json")
	dbHost, dbPort, _ := strings.Cut(c.MySQL.Addr, ":")
	mqttHost, mqttPort, _ := strings.Cut(c.Cabinets.Addr, ":")
	text := fmt.Sprintf(settings, dbHost, dbPort, c.MNSURL, mqttHost, mqttPort, c.JDURL, c.Redis.Addr(), c.ESURL, c.commandTTL)
	if err := os.WriteFile(c.Settings, []byte(text), 0o600); err != nil {
		return fmt.Errorf("writing the configuration, in TMPDIR or else /tmp: %w", err)
	}
	return nil
}

// Order is a payable order with its parcel.
type Order struct {
	ID       int64
	Amount   string
	Device   string
	Type     int    // of the cabinet: 6 is JD's own
	Cell     string // empty: none assigned
	PaidBy   string // external id of an earlier payment
	NoParcel bool
}

// No is the order's number.
func (o Order) No() string { return fmt.Sprint("R", o.ID) }

// Waybill is JD's code of the order's parcel.
func (o Order) Waybill() string { return fmt.Sprint("JDVC", o.ID) }

// Add writes orders into the company's tables.
func (c *Company) Add(orders ...Order) error { return AddOrders(c.db, orders...) }

// AddOrders writes orders into a company's tables, which are in one database.
func AddOrders(db *sql.DB, orders ...Order) error {
	for _, o := range orders {
		if err := addOrder(db, o); err != nil {
			return fmt.Errorf("adding order %s: %w", o.No(), err)
		}
	}
	return nil
}

func addOrder(db *sql.DB, o Order) error {
	id, group := fmt.Sprint(o.ID), crc32.ChecksumIEEE([]byte(o.Device))
	var err error
	insert := func(table string, values ...any) {
		if err == nil {
			_, err = db.Exec("INSERT IGNORE INTO "+table+" VALUES (?"+strings.Repeat(", ?", len(values)-1)+")", values...)
		}
	}
	insert("kernelorder_charge (order_id, order_no, amount, is_paid, external_id)",
		o.ID, o.No(), o.Amount, o.PaidBy != "", sql.NullString{String: o.PaidBy, Valid: o.PaidBy != ""})
	if o.NoParcel {
		return err
	}
	insert("kernel_post_order (post_order_id, device_sn, express_number)", id, o.Device, o.Waybill())
	insert("kernel_device_group (device_sn, main_device_id, device_type)", o.Device, group, o.Type)
	if o.Cell != "" {
		insert("kernel_smartbox_boxact_info (main_device_id, act_type, post_order_id, cell_sn)", group, 0, id, o.Cell)
	}
	return err
}
