package payment

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"

	"jdpay-listener/internal/sqldb"
)

// serials returns the serial numbers of the cabinets that the parcels of these orders are in. Orders without a parcel and
// parcels without a cabinet are left out.
func (p *Parcels) serials(ctx context.Context, orderIDs []int64) (map[int64]string, error) {
	if len(orderIDs) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, parcelTimeout)
	defer cancel()
	args := make([]any, len(orderIDs))
	for i, id := range orderIDs {
		args[i] = strconv.FormatInt(id, 10)
	}
	rows, err := p.DB.QueryContext(ctx, "SELECT post_order_id, device_sn FROM kernel_post_order WHERE post_order_id IN "+sqldb.In(len(args)), args...)
	if err != nil {
		return nil, fmt.Errorf("reading kernel_post_order: %w", err)
	}
	defer rows.Close()
	found := make(map[int64]string, len(orderIDs))
	for rows.Next() {
		var post, serial sql.NullString
		if err := rows.Scan(&post, &serial); err != nil {
			return nil, fmt.Errorf("reading kernel_post_order: %w", err)
		}
		if id, err := strconv.ParseInt(strings.TrimSpace(post.String), 10, 64); err == nil && strings.TrimSpace(serial.String) != "" {
			found[id] = strings.TrimSpace(serial.String)
		}
	}
	return found, rows.Err()
}
