package payment

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"jdpay-listener/internal/sqldb"
)

const payInfoTable = "kernel_postorder_pay_info"

// PayInfo has the values that are the same in every row of kernel_postorder_pay_info.
type PayInfo struct {
	Status  int
	Message string
}

type payInfo struct {
	orderID int64
	payType int
	payTime string
}

// writeInfo writes the row that the ERP reads about a paid order. Writing it again changes nothing.
func (p *Parcels) writeInfo(ctx context.Context, info payInfo) error { return p.infos.Do(ctx, info) }

func (p *Parcels) writeInfos(batch []payInfo) error {
	ctx, cancel := context.WithTimeout(context.Background(), parcelTimeout)
	defer cancel()
	err := p.upsertInfos(ctx, batch, p.info.Message)
	if sqldb.IsBadText(err) {
		fitted, fitErr := storable(ctx, p.DB, payInfoTable, []columnText{{"pay_message", p.info.Message}})
		switch {
		case fitErr != nil:
			err = fitErr
		case fitted[0] != p.info.Message:
			warnCut(p.Log, &p.cut, payInfoTable, "pay_message", "pay_message", p.info.Message)
			err = p.upsertInfos(ctx, batch, fitted[0])
		}
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", payInfoTable, err)
	}
	return nil
}

// upsertInfos writes all rows with one statement and reads their keys back. What is not found is written by itself.
func (p *Parcels) upsertInfos(ctx context.Context, batch []payInfo, message string) error {
	missing, err := p.upsert(ctx, batch, message)
	for i := range missing {
		still, failed := p.upsert(ctx, missing[i:i+1], message)
		if failed == nil && len(still) > 0 {
			failed = fmt.Errorf("the server reports success, but there is no row with post_order_id %d", still[0].orderID)
		}
		err = cmp.Or(err, failed)
	}
	return err
}

// upsert writes rows with one statement and returns those that are not in the table afterwards. The company's table may have an
// AUTO_INCREMENT key beside post_order_id; a row that met another one by such a key would change that one (see job.MySQL.Insert), so
// each value is set only in the row of the same order.
func (p *Parcels) upsert(ctx context.Context, batch []payInfo, message string) (missing []payInfo, err error) {
	args := make([]any, 0, 6*len(batch))
	ids := make([]any, len(batch))
	rest := make(map[string]payInfo, len(batch))
	for i, info := range batch {
		id := strconv.FormatInt(info.orderID, 10)
		ids[i], rest[id] = id, info
		args = append(args, id, p.info.Status, info.payType, info.payTime, message)
	}
	const own = "IF(post_order_id <=> VALUES(post_order_id), VALUES(%[1]s), %[1]s)"
	set := ""
	for _, column := range []string{"payment_status", "payment_type", "pay_time", "pay_message"} {
		set += ", " + column + " = " + fmt.Sprintf(own, column)
	}
	rows, err := sqldb.Query(ctx, p.DB, sqldb.Rows(`INSERT INTO kernel_postorder_pay_info (post_order_id, payment_status, payment_type, pay_time, pay_message) VALUES `,
		"(?, ?, ?, ?, ?)", " ON DUPLICATE KEY UPDATE "+set[2:]+"; SELECT post_order_id FROM kernel_postorder_pay_info WHERE post_order_id IN "+sqldb.In(len(ids)), len(batch)),
		append(args, ids...)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("reading back: %w", err)
		}
		delete(rest, plainID(id))
	}
	return slices.Collect(maps.Values(rest)), rows.Err()
}
