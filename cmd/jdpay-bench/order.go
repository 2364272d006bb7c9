package main

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"os"
	"strings"
	"time"

	"jdpay-listener/internal/sandbox"
)

// Orders are the orders From to From+N-1. All data of an order are computed from its id: in Go for the messages and the
// checks, in SQL for the tables.
type Orders struct {
	From int64
	N    int
}

const (
	cabinetCount = 500
	cellCount    = 48

	sqlNo      = "CONCAT('R', id)"
	sqlAmount  = "(800 + id % 2000) / 100"
	sqlSerial  = "CONCAT('CAB-', LPAD(id % 500, 3, '0'))"
	sqlWaybill = "CONCAT('JDVC', id)"
	sqlCell    = "CONCAT('C', LPAD(id % 48, 2, '0'))"
	sqlDevice  = "7000 + id % 500"
	sqlKind    = "IF(id % 4 = 0, 2, 6)" // 500 is a multiple of 4, so all orders of a cabinet have its type
	sqlPayType = "IF(id % 3 = 0, 10, 2)"
)

func orderNo(id int64) string { return fmt.Sprint("R", id) }
func amount(id int64) string  { c := 800 + id%2000; return fmt.Sprintf("%d.%02d", c/100, c%100) }
func serial(id int64) string  { return fmt.Sprintf("CAB-%03d", id%cabinetCount) }
func waybill(id int64) string { return fmt.Sprint("JDVC", id) }
func cell(id int64) string    { return fmt.Sprintf("C%02d", id%cellCount) }

func kind(id int64) int {
	if id%4 == 0 {
		return 2
	}
	return 6
}

func producer(id int64) string {
	if kind(id) == 6 {
		return producerCode
	}
	return cloudProducerCode
}

// JD's names for the two kinds of cabinets.
const (
	producerCode      = "JD-SEND"
	cloudProducerCode = "JD-CLOUD"
)

func (o Orders) contains(id int64) bool { return id >= o.From && id < o.From+int64(o.N) }

// paidAt is when customers pay: now, since audit says less about payments that are older than Jobs:KeepDone. The stand-ins, which make
// the messages, have it from the process that started them.
var paidAt = cmp.Or(os.Getenv(paidAtVariable), time.Now().In(time.FixedZone("CST", 8*3600)).Format(time.DateTime))

const paidAtVariable = "JDPAY_BENCH_PAID_AT"

// messages are JD's notifications for the orders, signed by the sandbox's code and not by the daemon's.
func (o Orders) messages() []string {
	bodies := make([]string, o.N)
	for i := range bodies {
		bodies[i] = notification(o.From + int64(i))
	}
	return bodies
}

func notification(id int64) string {
	payType := "WXPAY"
	if id%3 == 0 {
		payType = "ALIPAY"
	}
	return sandbox.Payment{
		OrderNo: orderNo(id), PayType: payType, PayAmount: amount(id), PayTime: paidAt,
		ExternalID: "X" + orderNo(id), OrderType: "SEND", PayStatus: "FINISH",
	}.Message(sandbox.Md5Key)
}

// seed creates the orders with their parcels and cells, as they are before the payment. MariaDB's SEQUENCE engine
// generates the ids.
func (o Orders) seed(ctx context.Context, db *sql.DB) error {
	ids := fmt.Sprintf("(SELECT seq AS id FROM seq_%d_to_%d) ids", o.From, o.From+int64(o.N)-1)
	for _, stmt := range []string{
		"INSERT INTO kernelorder_charge (order_id, order_no, amount) SELECT id, " + sqlNo + ", " + sqlAmount + " FROM " + ids,
		"INSERT INTO kernel_post_order (post_order_id, device_sn, express_number) SELECT id, " + sqlSerial + ", " + sqlWaybill + " FROM " + ids,
		"INSERT INTO kernel_smartbox_boxact_info (main_device_id, act_type, post_order_id, cell_sn) SELECT " + sqlDevice + ", 0, id, " + sqlCell + " FROM " + ids,
	} {
		if _, err := db.ExecContext(ctx, stmt); err != nil {
			return fmt.Errorf("seeding orders: %w", err)
		}
	}
	return analyze(ctx, db)
}

// seedCabinets creates all cabinets of a company.
func seedCabinets(ctx context.Context, db *sql.DB) error {
	_, err := db.ExecContext(ctx, fmt.Sprintf("INSERT INTO kernel_device_group (device_sn, main_device_id, device_type) SELECT %s, %s, %s FROM (SELECT seq AS id FROM seq_0_to_%d) ids",
		sqlSerial, sqlDevice, sqlKind, cabinetCount-1))
	if err != nil {
		return fmt.Errorf("seeding cabinets: %w", err)
	}
	return nil
}

// analyze updates the tables' statistics, which are current in production.
func analyze(ctx context.Context, db *sql.DB) error {
	tables := []string{"kernelorder_charge", "kernel_post_order", "kernel_device_group", "kernel_smartbox_boxact_info", "kernel_postorder_pay_info", "jdpay_job"}
	rows, err := db.QueryContext(ctx, "ANALYZE TABLE "+strings.Join(tables, ", "))
	if err != nil {
		return fmt.Errorf("analyzing tables: %w", err)
	}
	return rows.Close()
}

// seedHistory fills the tables with orders that were paid in the past, and with as many concluded jobs: a quarter of the
// orders is recent and has its four jobs; those of the others have been purged.
func seedHistory(ctx context.Context, db *sql.DB, orders Orders) error {
	if err := orders.seed(ctx, db); err != nil {
		return err
	}
	const chunk = 10_000
	recent := Orders{orders.From, orders.N / 4}
	for from := orders.From; from < orders.From+int64(orders.N); from += chunk {
		some := Orders{from, int(min(chunk, orders.From+int64(orders.N)-from))}
		if err := some.pay(ctx, db); err != nil {
			return err
		}
	}
	for from := recent.From; from < recent.From+int64(recent.N); from += chunk {
		some := Orders{from, int(min(chunk, recent.From+int64(recent.N)-from))}
		if err := some.conclude(ctx, db); err != nil {
			return err
		}
	}
	return analyze(ctx, db)
}

// pay marks orders paid long ago.
func (o Orders) pay(ctx context.Context, db *sql.DB) error {
	first, last := o.From, o.From+int64(o.N)-1
	if _, err := db.ExecContext(ctx, "UPDATE kernelorder_charge JOIN (SELECT seq AS id FROM seq_"+fmt.Sprintf("%d_to_%d", first, last)+`) ids ON order_id = id SET is_paid = 1,
		pay_type = `+sqlPayType+", pay_amount = amount, pay_time = '2020-01-01 12:00:00', order_type = 'SEND', external_id = CONCAT('X', order_no)"); err != nil {
		return fmt.Errorf("paying old orders: %w", err)
	}
	if _, err := db.ExecContext(ctx, "INSERT INTO kernel_postorder_pay_info SELECT id, 1, "+sqlPayType+", '2020-01-01 12:00:00', '寄件支付' FROM (SELECT seq AS id FROM seq_"+
		fmt.Sprintf("%d_to_%d", first, last)+") ids"); err != nil {
		return fmt.Errorf("writing old pay infos: %w", err)
	}
	return nil
}

// conclude creates the four done jobs of each order, which ended days ago.
func (o Orders) conclude(ctx context.Context, db *sql.DB) error {
	ids := fmt.Sprintf(" FROM (SELECT seq AS id FROM seq_%d_to_%d) ids", o.From, o.From+int64(o.N)-1)
	body := strings.ReplaceAll(notification(o.From), "'", "''")
	for _, k := range []struct{ kind, key, args, outcome, priority string }{
		{"settle", "CONCAT('settle:" + sandbox.NotifyQueue + ":', UPPER(MD5(id)))", "CONCAT('" + body + "', id)", "settled", "20"},
		{"pay-complete", "CONCAT('pay-complete:', id)", `CONCAT('{"order_id":', id, '}')`, "sent", "25"},
		{"waybill-status", "CONCAT('waybill-status:', id)", `CONCAT('{"order_id":', id, '}')`, "updated", "15"},
		{"pay-info", "CONCAT('pay-info:', id)", `CONCAT('{"order_id":', id, ',"pay_type":', ` + sqlPayType + `, ',"pay_time":"2020-01-01 12:00:00"}')`, "written", "15"},
	} {
		at := fmt.Sprintf("UTC_TIMESTAMP(6) - INTERVAL 6 DAY + INTERVAL (id - %d) SECOND", o.From)
		if _, err := db.ExecContext(ctx, `INSERT INTO jdpay_job (kind, unique_key, ref, args, state, outcome, priority, try_count, next_try_at, give_up_at, created_at, finished_at)
			SELECT '`+k.kind+"', "+k.key+", "+sqlNo+", "+k.args+", 'done', '"+k.outcome+"', "+k.priority+", 1, "+at+", "+at+" + INTERVAL 48 HOUR, "+at+", "+at+ids); err != nil {
			return fmt.Errorf("writing old jobs: %w", err)
		}
	}
	return nil
}
