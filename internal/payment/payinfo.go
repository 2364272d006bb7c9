package payment

import (
	"context"
	"fmt"
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

func (p *Parcels) upsertInfos(ctx context.Context, batch []payInfo, message string) error {
	args := make([]any, 0, 5*len(batch))
	for _, info := range batch {
		args = append(args, strconv.FormatInt(info.orderID, 10), p.info.Status, info.payType, info.payTime, message)
	}
	_, err := sqldb.Exec(ctx, p.DB, sqldb.Rows(`INSERT INTO kernel_postorder_pay_info (post_order_id, payment_status, payment_type, pay_time, pay_message) VALUES `,
		"(?, ?, ?, ?, ?)", ` ON DUPLICATE KEY UPDATE payment_status = VALUES(payment_status), payment_type = VALUES(payment_type),
		pay_time = VALUES(pay_time), pay_message = VALUES(pay_message)`, len(batch)), args...)
	return err
}
