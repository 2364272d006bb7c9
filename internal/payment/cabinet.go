package payment

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"

	"jdpay-listener/internal/sqldb"
)

// Label is what a parcel's row says of it: its cabinet and its waybill, each empty if the row has none.
type Label struct{ DeviceSN, Waybill string }

// Labels returns the labels of the parcels of these orders, as the main database has them now. Orders without a parcel are
// left out.
func (p *Parcels) Labels(ctx context.Context, orderIDs []int64) (map[int64]Label, error) {
	if len(orderIDs) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, parcelTimeout)
	defer cancel()
	args := make([]any, len(orderIDs))
	for i, id := range orderIDs {
		args[i] = strconv.FormatInt(id, 10)
	}
	rows, err := p.DB.QueryContext(ctx, "SELECT post_order_id, device_sn, express_number FROM kernel_post_order WHERE post_order_id IN "+sqldb.In(len(args)), args...)
	if err != nil {
		return nil, fmt.Errorf("reading kernel_post_order: %w", err)
	}
	defer rows.Close()
	found := make(map[int64]Label, len(orderIDs))
	for rows.Next() {
		var post, serial, waybill sql.NullString
		if err := rows.Scan(&post, &serial, &waybill); err != nil {
			return nil, fmt.Errorf("reading kernel_post_order: %w", err)
		}
		if id, err := strconv.ParseInt(strings.TrimSpace(post.String), 10, 64); err == nil {
			found[id] = Label{strings.TrimSpace(serial.String), waybill.String}
		}
	}
	return found, rows.Err()
}

// serials returns the serial numbers of the cabinets that the parcels of these orders are in. Orders without a parcel and
// parcels without a cabinet are left out.
func (p *Parcels) serials(ctx context.Context, orderIDs []int64) (map[int64]string, error) {
	labels, err := p.Labels(ctx, orderIDs)
	found := make(map[int64]string, len(labels))
	for id, l := range labels {
		if l.DeviceSN != "" {
			found[id] = l.DeviceSN
		}
	}
	return found, err
}
