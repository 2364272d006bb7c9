package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/go-sql-driver/mysql"
	"github.com/spf13/cobra"

	"jdpay-listener/internal/sandbox"
	"jdpay-listener/internal/sandbox/cabinets"
	"jdpay-listener/internal/sandbox/jdserver"
	"jdpay-listener/internal/sandbox/mnsserver"
	"jdpay-listener/internal/sandbox/schema"
)

// serving has the flags of serve.
type serving struct {
	mns, jd, database, broker string
	rate                      float64
	tables                    bool
}

const (
	databaseTimeout = 2 * time.Minute  // for the first answer of a database that is just starting
	reportInterval  = 10 * time.Second // between two lines of numbers
)

// serveCommand runs the stand-ins of what cannot be installed, MNS and JD, for a daemon on real servers.
func serveCommand(ctx context.Context, begun *bool) *cobra.Command {
	var o serving
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run only the stand-ins for MNS and JD, for a daemon that runs elsewhere, on real servers",
		Long: `Runs the stand-ins for MNS and JD at addresses of your choice, until it is stopped. With --database it creates the
company's tables there, unless they exist, and pays orders at --rate; with --broker it plays the cabinets, which confirm each
command. deploy/compose uses it. Queue, keys and tables are those of the whole sandbox, and valid nowhere else.`,
		Example: `  jdpay-sandbox serve --mns 0.0.0.0:8080 --jd 0.0.0.0:8081
  jdpay-sandbox serve --database 'root:secret@tcp(mariadb:3306)/company' --broker mosquitto:1883 --rate 5`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if o.rate < 0 || o.rate > 1000 || o.rate > 0 && o.database == "" {
				return errors.New("--rate must be 0 to 1000, and wants --database")
			}
			if o.tables && o.database == "" {
				return errors.New("--tables wants --database")
			}
			*begun = true
			return serve(ctx, o, os.Stdout)
		},
	}
	cmd.Flags().StringVar(&o.mns, "mns", "127.0.0.1:8080", "`ADDRESS` of MNS")
	cmd.Flags().StringVar(&o.jd, "jd", "127.0.0.1:8081", "`ADDRESS` of JD's API")
	cmd.Flags().StringVar(&o.database, "database", "", "`DSN` of a database, which has a user's rights to create tables: user:password@tcp(host:port)/name")
	cmd.Flags().BoolVar(&o.tables, "tables", false, "create the company's tables and exit")
	cmd.Flags().StringVar(&o.broker, "broker", "", "`HOST:PORT` of an MQTT broker")
	cmd.Flags().Float64Var(&o.rate, "rate", 0, "payments per second, a `NUMBER`")
	return cmd
}

// serve runs until ctx ends, and returns its cause. With tables it only creates the tables.
func serve(ctx context.Context, o serving, out io.Writer) error {
	if o.tables {
		db, err := openCompany(ctx, o.database)
		if err != nil {
			return err
		}
		return db.Close()
	}
	mns := mnsserver.New(mnsserver.Options{
		Keys:   map[string]string{sandbox.AccessKeyID: sandbox.AccessKeySecret},
		Queues: []string{sandbox.NotifyQueue, sandbox.ReplyQueue},
	})
	if _, err := mns.Listen(o.mns); err != nil {
		return err
	}
	defer mns.Close()
	jd := jdserver.New(jdserver.Options{})
	if _, err := jd.Listen(o.jd); err != nil {
		return err
	}
	defer jd.Close()
	fmt.Fprintf(out, "MNS %s, JD %s\n", o.mns, o.jd)

	var commands atomic.Int64
	sent := 0
	if o.broker != "" {
		defer playCabinets(o.broker, mns, &commands).Disconnect(250)
	}
	var pay <-chan time.Time
	var db *sql.DB
	if o.database != "" {
		var err error
		if db, err = openCompany(ctx, o.database); err != nil {
			return err
		}
		defer db.Close()
		if o.rate > 0 {
			ticker := time.NewTicker(time.Duration(float64(time.Second) / o.rate))
			defer ticker.Stop()
			pay = ticker.C
		}
	}
	report := time.NewTicker(reportInterval)
	defer report.Stop()
	next := time.Now().UnixMilli() // of the next order; no earlier run has used it
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-report.C:
			fmt.Fprintf(out, "%d payments sent, %d commands at cabinets, %d calls at JD\n", sent, commands.Load(), len(jd.Calls()))
		case <-pay:
			if err := payOne(db, mns, next); err != nil {
				fmt.Fprintln(out, err) // the database is away: the same order is tried again
				continue
			}
			next++
			sent++
		}
	}
}

// openCompany waits for the database's server and creates the tables that are missing. What the server refuses, such as a database
// that does not exist, is said at once.
func openCompany(ctx context.Context, dsn string) (*sql.DB, error) {
	config, err := mysql.ParseDSN(dsn)
	if err != nil {
		return nil, fmt.Errorf("--database: %w", err)
	}
	config.InterpolateParams = true
	config.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, fmt.Errorf("--database: %w", err)
	}
	db := sql.OpenDB(connector)
	wait, cancel := context.WithTimeout(ctx, databaseTimeout)
	defer cancel()
	for err = db.PingContext(wait); err != nil && wait.Err() == nil; err = db.PingContext(wait) {
		var answer *mysql.MySQLError
		if errors.As(err, &answer) { // it runs, and refuses: no such database, or no such user
			return nil, errors.Join(fmt.Errorf("--database: %w", err), db.Close())
		}
		pause(wait, time.Second)
	}
	for _, statement := range append(schema.Statements(schema.Account), schema.Statements(schema.Main)...) {
		if err != nil {
			break
		}
		_, err = db.ExecContext(ctx, strings.Replace(statement, "CREATE TABLE ", "CREATE TABLE IF NOT EXISTS ", 1))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("creating the company's tables: %w", err), db.Close())
	}
	return db, nil
}

// payOne adds an order, and puts JD's notification of its payment into the queue.
func payOne(db *sql.DB, mns *mnsserver.Server, id int64) error {
	o := sandbox.Order{ID: id, Amount: "8.00", Device: fmt.Sprintf("CAB-%02d", id%7), Type: 6, Cell: "A01"}
	if err := sandbox.AddOrders(db, o); err != nil {
		return err
	}
	mns.Put(sandbox.NotifyQueue, sandbox.Payment{
		OrderNo: o.No(), PayType: "WXPAY", PayAmount: o.Amount, ExternalID: "X" + o.No(), PayStatus: "FINISH",
		PayTime: time.Now().In(time.FixedZone("CST", 8*3600)).Format(time.DateTime),
	}.Message(sandbox.Md5Key))
	return nil
}

// playCabinets answers each command as a cabinet that opens, and counts it. It connects when the broker is there.
func playCabinets(broker string, mns *mnsserver.Server, commands *atomic.Int64) mqtt.Client {
	receive := func(_ mqtt.Client, m mqtt.Message) {
		var c cabinets.Command
		if json.Unmarshal(m.Payload(), &c) != nil {
			return
		}
		commands.Add(1)
		mns.Put(sandbox.ReplyQueue, sandbox.Reply{MessageID: c.MessageId, Device: c.DeviceGroupSN, Code: "0", Text: "ok"}.Message(sandbox.Md5Key))
	}
	if host, port, err := net.SplitHostPort(broker); err == nil {
		broker = "tcp://" + net.JoinHostPort(host, port)
	}
	client := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(broker).SetClientID(fmt.Sprint("cabinets-", os.Getpid())).
		SetConnectRetry(true).SetConnectRetryInterval(time.Second).SetMaxReconnectInterval(time.Second).
		SetOnConnectHandler(func(c mqtt.Client) { c.Subscribe("device/+/pay-complete", 1, receive) }))
	client.Connect()
	return client
}
