package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/device"
	"jdpay-listener/internal/jdapi"
	"jdpay-listener/internal/message"
	"jdpay-listener/internal/mns"
	"jdpay-listener/internal/setup"
)

// loop measures the replaced program's design in the same run.
func (b *bench) loop(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	for i, latency := range jdLatencies {
		c, err := b.newCompany(ctx)
		if err != nil {
			return err
		}
		warm, err := c.seed(ctx, loopWarmUp)
		if err != nil {
			return err
		}
		orders, err := c.seed(ctx, b.sizes.loopBacklog[i])
		if err != nil {
			return err
		}
		if err := c.open(latency); err != nil {
			return err
		}
		p, err := startProcess(c.dir, c.env(), self, childFlag+"loop")
		if err != nil {
			return err
		}
		if _, err := c.drainBacklog(ctx, Drain{Program: loopProgram}, warm, []*process{p}); err != nil {
			p.kill()
			return err
		}
		d, err := c.drainBacklog(ctx, Drain{Program: loopProgram, JDLatency: milliseconds(latency), Replicas: 1}, orders, []*process{p})
		if err != nil {
			p.kill()
			return err
		}
		d.Faults.add(p.stop(ctx))
		b.results.Drains = append(b.results.Drains, d)
		progress("loop, JD at %s: %.0f payments/s", latency, d.PerSecond)
		if err := c.close(); err != nil {
			return err
		}
	}
	return nil
}

// loopWarmUp is the loop's warmUp; it has fewer connections to open than the daemon.
const loopWarmUp = 20

// oldLoop is the program that the daemon replaces, as it worked (flow.md, "What the replaced program did") and as fast as
// that design allows: one message at a time, every step in sequence, connections kept open, one round trip a statement.
// It deletes first, as that program did.
type oldLoop struct {
	rules   message.Rules
	cfg     *config.Config
	queue   *mns.Queue
	account *sql.DB
	main    *sql.DB
	cabinet *device.Session
	jd      *jdapi.Client
}

func runLoop() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	loaded, err := setup.Load(config.Options{})
	if err != nil {
		return err
	}
	c := loaded.Config
	l := &oldLoop{cfg: c, rules: setup.MessageRules(c)}
	if l.queue, err = setup.Queue(c, c.JDPay.NotifyQueueName); err != nil {
		return err
	}
	if l.account, err = setup.OpenDatabase(c.ConnectionStrings.Account); err != nil {
		return err
	}
	defer l.account.Close()
	if l.main, err = setup.OpenDatabase(c.ConnectionStrings.Main); err != nil {
		return err
	}
	defer l.main.Close()
	if l.jd, err = jdapi.New(jdapi.Options{BaseURL: c.JDApi.BaseUrl, Path: c.JDApi.UpdateWaybillStatusPath, Signer: c.JDApi.Signer, Timeout: c.JDApi.Timeout, MaxConns: 1}); err != nil {
		return err
	}
	if l.cabinet, err = device.NewSession(device.Options{Server: c.Mqtt.Server, Port: c.Mqtt.Port, ClientID: "loop", Topic: c.Mqtt.PayCompleteTopic, Log: slog.Default()}); err != nil {
		return err
	}
	go func() { _ = l.cabinet.Serve(ctx) }()
	for l.cabinet.Healthy() != nil {
		time.Sleep(10 * time.Millisecond)
	}
	for ctx.Err() == nil {
		received, err := l.queue.Receive(ctx, 1, 30*time.Second)
		switch {
		case errors.Is(err, mns.ErrEmpty), ctx.Err() != nil:
			continue
		case err != nil:
			return err
		}
		if err := l.queue.Delete(ctx, []string{received[0].Handle}); err != nil {
			return err
		}
		if err := l.handle(ctx, received[0].Body); err != nil {
			return err
		}
	}
	return nil
}

// handle processes one payment, step by step.
func (l *oldLoop) handle(ctx context.Context, body string) error {
	env, p, err := l.rules.Open(body)
	if err != nil {
		return err
	}
	n, err := l.rules.Notification(env, p)
	if err != nil {
		return err
	}
	payType, ok := l.cfg.Payment.PayTypes[n.PayType]
	if !ok {
		payType = l.cfg.Payment.DefaultPayType
	}
	payTime := n.PayTime.Format(time.DateTime)

	var id int64
	var paid bool
	if err := l.account.QueryRowContext(ctx, "SELECT order_id, is_paid FROM kernelorder_charge WHERE order_no = ?", n.OrderNo).Scan(&id, &paid); err != nil || paid {
		return err
	}
	if _, err := l.account.ExecContext(ctx, `UPDATE kernelorder_charge SET is_paid = 1, pay_type = ?, pay_amount = ?, pay_time = ?, order_type = ?, external_id = ? WHERE order_id = ?`,
		payType, n.Amount.String(), payTime, n.OrderType, n.ExternalID, id); err != nil {
		return err
	}
	postID := strconv.FormatInt(id, 10)
	var serial, waybill, cell string
	if err := l.main.QueryRowContext(ctx, "SELECT device_sn, express_number FROM kernel_post_order WHERE post_order_id = ?", postID).Scan(&serial, &waybill); err != nil {
		return err
	}
	var mainID int64
	var kind int
	if err := l.main.QueryRowContext(ctx, "SELECT main_device_id, device_type FROM kernel_device_group WHERE device_sn = ?", serial).Scan(&mainID, &kind); err != nil {
		return err
	}
	if err := l.main.QueryRowContext(ctx, "SELECT cell_sn FROM kernel_smartbox_boxact_info WHERE main_device_id = ? AND act_type = 0 AND post_order_id = ? LIMIT 1", mainID, postID).Scan(&cell); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	now := time.Now()
	if err := l.cabinet.Publish(ctx, device.Command{
		PostOrderId: id, DeviceGroupSN: serial, DeviceType: kind, CellSN: cell, MessageId: device.MessageID(id),
		IssuedAt: now.UnixMilli(), ExpireAt: now.Add(l.cfg.Mqtt.CommandTtl).UnixMilli(),
	}); err != nil {
		return fmt.Errorf("sending the command: %w", err)
	}
	producer := l.cfg.JDApi.CloudProducerCode
	if kind == 6 {
		producer = l.cfg.JDApi.ProducerCode
	}
	if _, err := l.jd.UpdateWaybillStatus(ctx, jdapi.Status{Producer: producer, ThirdCode: serial, WaybillCode: waybill, Status: 1}); err != nil {
		return fmt.Errorf("updating the waybill: %w", err)
	}
	_, err = l.main.ExecContext(ctx, `INSERT INTO kernel_postorder_pay_info (post_order_id, payment_status, payment_type, pay_time, pay_message) VALUES (?, ?, ?, ?, ?)
		ON DUPLICATE KEY UPDATE payment_status = VALUES(payment_status)`, postID, l.cfg.Payment.PaidStatus, payType, payTime, l.cfg.Payment.PayMessage)
	return err
}
