package payment

import (
	"context"
	"database/sql"
	"math"
	"slices"
	"strconv"
	"strings"

	"jdpay-listener/internal/sqldb"
)

const (
	postTable  = "kernel_post_order"
	groupTable = "kernel_device_group"
	cellTable  = "kernel_smartbox_boxact_info"
)

// A view may have NULL or a text where a number belongs. Such a row is an error of whatever needs it, and of nothing
// else: hence rows are read as texts.
type (
	post struct {
		serial  sql.NullString
		waybill string
	}
	group struct {
		Group
		err error
	}
	cell struct {
		serial string
		err    error
	}
)

// posts reads parcels by their ids.
func (p *Parcels) posts(ctx context.Context, batch []*lookup) (map[string]post, error) {
	ids := make([]any, 0, len(batch))
	posts := make(map[string]post, len(batch))
	for _, l := range batch {
		if _, ok := posts[l.id]; !ok { // two steps of one order usually ask together
			posts[l.id] = post{}
			ids = append(ids, l.id)
		}
	}
	clear(posts)
	rows, err := p.DB.QueryContext(ctx, "SELECT post_order_id, device_sn, express_number FROM kernel_post_order WHERE post_order_id IN "+sqldb.In(len(ids)), ids...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		var waybill sql.NullString
		var found post
		if err := rows.Scan(&id, &found.serial, &waybill); err != nil {
			return nil, err
		}
		found.waybill = waybill.String
		posts[plainID(id)] = found
	}
	return posts, rows.Err()
}

// plainID is an order's id as it is asked for, from a column that the database found equal to it: the text may be padded
// with blanks, or a number with zeros.
func plainID(column string) string {
	if id, err := strconv.ParseInt(strings.TrimSpace(column), 10, 64); err == nil {
		return strconv.FormatInt(id, 10)
	}
	return column
}

// groups returns cabinets by the serials of parcels, from the cache as far as it knows them.
func (p *Parcels) groups(ctx context.Context, posts map[string]post) (map[string]group, error) {
	groups := make(map[string]group, len(posts))
	var serials []string
	for _, post := range posts {
		if _, ok := groups[post.serial.String]; !ok && post.serial.Valid {
			groups[post.serial.String] = group{}
			serials = append(serials, post.serial.String)
		}
	}
	clear(groups)
	if p.Cache != nil && len(serials) > 0 {
		for serial, g := range p.Cache.Groups(ctx, serials) {
			groups[serial] = group{Group: g}
		}
	}
	var missing []any
	for _, serial := range serials {
		if _, ok := groups[serial]; !ok {
			missing = append(missing, serial)
		}
	}
	if len(missing) == 0 {
		return groups, nil
	}
	fresh, err := p.readGroups(ctx, missing)
	if err != nil {
		return nil, err
	}
	remember := make(map[string]Group, len(fresh))
	for serial, g := range fresh {
		groups[serial] = g
		if g.err == nil {
			remember[serial] = g.Group
		}
	}
	if p.Cache != nil && len(remember) > 0 {
		p.Cache.PutGroups(ctx, remember)
	}
	return groups, nil
}

// readGroups reads cabinets by serials. Which serial finds which row is the database's to say: each row comes with a
// digit for each serial, 1 where they are equal.
func (p *Parcels) readGroups(ctx context.Context, serials []any) (map[string]group, error) {
	var asked []any
	rows, err := selectIn(ctx, p.DB, groupTable, "device_sn", serials, func(serials []any) (*sql.Rows, error) {
		asked = serials
		return p.DB.QueryContext(ctx, "SELECT CONCAT("+strings.Repeat(", device_sn = ?", len(serials))[2:]+`), device_sn, main_device_id, device_type
			FROM kernel_device_group WHERE device_sn IN `+sqldb.In(len(serials)), slices.Concat(serials, serials)...)
	})
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	groups := make(map[string]group, len(serials))
	for rows.Next() {
		var equal string
		var g group
		var mainDeviceID, deviceType sql.NullString
		if err := rows.Scan(&equal, &g.DeviceSN, &mainDeviceID, &deviceType); err != nil {
			return nil, err
		}
		if g.MainDeviceID, err = strconv.ParseInt(mainDeviceID.String, 10, 64); err != nil {
			g.err = &BadValueError{groupTable, "main_device_id", "device_sn", g.DeviceSN, mainDeviceID}
		}
		if g.DeviceType, err = strconv.Atoi(deviceType.String); err != nil {
			g.err = &BadValueError{groupTable, "device_type", "device_sn", g.DeviceSN, deviceType}
		}
		for i := range asked {
			serial := asked[i].(string)
			if _, ok := groups[serial]; equal[i] == '1' && (!ok || g.DeviceSN == serial) {
				groups[serial] = g
			}
		}
	}
	return groups, rows.Err()
}

// cells returns the first cell assigned to each parcel.
func (p *Parcels) cells(ctx context.Context, posts map[string]post, groups map[string]group) (map[string]cell, error) {
	var args []any
	for id, post := range posts {
		if g, ok := groups[post.serial.String]; ok && g.err == nil {
			args = append(args, g.MainDeviceID, id)
		}
	}
	if len(args) == 0 {
		return nil, nil
	}
	// Pairs joined by OR, and not a list of rows: that form uses the index on MySQL 5.6, too.
	pairs := strings.Repeat(" OR main_device_id = ? AND post_order_id = ?", len(args)/2)[len(" OR "):]
	rows, err := p.DB.QueryContext(ctx, "SELECT id, post_order_id, cell_sn FROM kernel_smartbox_boxact_info WHERE act_type = 0 AND ("+pairs+")", args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	cells := make(map[string]cell, len(posts))
	first := make(map[string]int64, len(posts))
	for rows.Next() {
		var postID string
		var rowID, serial sql.NullString
		if err := rows.Scan(&rowID, &postID, &serial); err != nil {
			return nil, err
		}
		postID = plainID(postID)
		id, err := strconv.ParseInt(rowID.String, 10, 64)
		if err != nil {
			id = math.MinInt64 // it may be the first: nobody can tell
		}
		if before, ok := first[postID]; ok && before <= id {
			continue
		}
		first[postID], cells[postID] = id, cell{serial: serial.String}
		switch {
		case err != nil:
			cells[postID] = cell{err: &BadValueError{cellTable, "id", "post_order_id", postID, rowID}}
		case !serial.Valid:
			cells[postID] = cell{err: &BadValueError{cellTable, "cell_sn", "post_order_id", postID, serial}}
		}
	}
	return cells, rows.Err()
}
