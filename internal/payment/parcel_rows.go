package payment

import (
	"context"
	"database/sql"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"jdpay-listener/internal/sqldb"
)

const (
	postTable    = "kernel_post_order"
	cabinetTable = "kernel_device_group"
	cellTable    = "kernel_smartbox_boxact_info"
)

// A view may have NULL, or a text in place of a number. Values are read as texts, so that such a row fails the lookups that
// need it and no others.
type (
	post struct {
		serial  sql.NullString
		waybill string
	}
	cabinet struct {
		Cabinet
		cached bool
		err    error
	}
	cell struct {
		serial, other string // the oldest, and one that differs
		err           error
	}
)

// posts reads parcels by their ids.
func (p *Parcels) posts(ctx context.Context, batch []*lookup) (map[string]post, error) {
	ids := make([]any, 0, len(batch))
	posts := make(map[string]post, len(batch))
	for _, l := range batch {
		if _, ok := posts[l.id]; !ok { // two steps of one order are usually in the same batch
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

// plainID returns an order's id without padding: a text column may have blanks around it, a number column leading zeros.
func plainID(column string) string {
	if id, err := strconv.ParseInt(strings.TrimSpace(column), 10, 64); err == nil {
		return strconv.FormatInt(id, 10)
	}
	return column
}

// cabinets returns cabinets by the serials of parcels, from the cache if it has them.
func (p *Parcels) cabinets(ctx context.Context, posts map[string]post) (map[string]cabinet, error) {
	cabinets := make(map[string]cabinet, len(posts))
	var serials []string
	for _, post := range posts {
		if _, ok := cabinets[post.serial.String]; !ok && post.serial.Valid {
			cabinets[post.serial.String] = cabinet{}
			serials = append(serials, post.serial.String)
		}
	}
	clear(cabinets)
	if p.Cache != nil && len(serials) > 0 {
		for serial, c := range p.Cache.Cabinets(ctx, serials) {
			cabinets[serial] = cabinet{Cabinet: c, cached: true}
		}
	}
	var missing []any
	for _, serial := range serials {
		if _, ok := cabinets[serial]; !ok {
			missing = append(missing, serial)
		}
	}
	if len(missing) == 0 {
		return cabinets, nil
	}
	fresh, err := p.freshCabinets(ctx, missing)
	maps.Copy(cabinets, fresh)
	return cabinets, err
}

// freshCabinets reads cabinets by serials, and caches them.
func (p *Parcels) freshCabinets(ctx context.Context, serials []any) (map[string]cabinet, error) {
	fresh, err := p.readCabinets(ctx, serials)
	if err != nil {
		return nil, err
	}
	cacheable := make(map[string]Cabinet, len(fresh))
	for serial, c := range fresh {
		if c.err == nil {
			cacheable[serial] = c.Cabinet
		}
	}
	if p.Cache != nil && len(cacheable) > 0 {
		p.Cache.PutCabinets(ctx, cacheable)
	}
	return fresh, nil
}

// askAgain reads without the cache the cabinets of parcels that have no cell: since they were cached, their boards may have
// been replaced, and their cells have other ids. It changes cabinets and cells.
func (p *Parcels) askAgain(ctx context.Context, posts map[string]post, cabinets map[string]cabinet, cells map[string]cell) error {
	var serials []any
	asked := map[string]post{}
	for id, post := range posts {
		c, known := cabinets[post.serial.String]
		if _, found := cells[id]; found || !known || !c.cached {
			continue
		}
		asked[id] = post
		if !slices.Contains(serials, any(post.serial.String)) {
			serials = append(serials, post.serial.String)
		}
	}
	if len(asked) == 0 {
		return nil
	}
	fresh, err := p.freshCabinets(ctx, serials)
	if err != nil {
		return err
	}
	for id, post := range asked {
		if fresh[post.serial.String].MainDeviceID == cabinets[post.serial.String].MainDeviceID {
			delete(asked, id) // there is no cell
		}
	}
	for _, serial := range serials {
		delete(cabinets, serial.(string)) // one that is not read is not there any more
	}
	maps.Copy(cabinets, fresh)
	found, err := p.cells(ctx, asked, cabinets)
	maps.Copy(cells, found)
	return err
}

// readCabinets reads cabinets by serials. The database decides which serials equal a row's: each row comes with a digit for
// each serial, 1 if they are equal.
func (p *Parcels) readCabinets(ctx context.Context, serials []any) (map[string]cabinet, error) {
	var asked []any
	rows, err := selectIn(ctx, p.DB, cabinetTable, "device_sn", serials, func(serials []any) (*sql.Rows, error) {
		asked = serials
		return p.DB.QueryContext(ctx, "SELECT CONCAT("+strings.Repeat(", device_sn = ?", len(serials))[2:]+`), device_sn, main_device_id, device_type
			FROM kernel_device_group WHERE device_sn IN `+sqldb.In(len(serials)), slices.Concat(serials, serials)...)
	})
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	cabinets := make(map[string]cabinet, len(serials))
	for rows.Next() {
		var equal string
		var c cabinet
		var mainDeviceID, deviceType sql.NullString
		if err := rows.Scan(&equal, &c.DeviceSN, &mainDeviceID, &deviceType); err != nil {
			return nil, err
		}
		if c.MainDeviceID, err = strconv.ParseInt(mainDeviceID.String, 10, 64); err != nil {
			c.err = &BadValueError{cabinetTable, "main_device_id", "device_sn", c.DeviceSN, mainDeviceID}
		}
		if c.DeviceType, err = strconv.Atoi(deviceType.String); err != nil {
			c.err = &BadValueError{cabinetTable, "device_type", "device_sn", c.DeviceSN, deviceType}
		}
		for i := range asked {
			serial := asked[i].(string)
			if _, ok := cabinets[serial]; equal[i] == '1' && (!ok || c.DeviceSN == serial) {
				cabinets[serial] = c
			}
		}
	}
	return cabinets, rows.Err()
}

// cells returns the oldest cell assigned to each parcel, as the replaced program took it.
func (p *Parcels) cells(ctx context.Context, posts map[string]post, cabinets map[string]cabinet) (map[string]cell, error) {
	var args []any
	for id, post := range posts {
		if c, ok := cabinets[post.serial.String]; ok && c.err == nil {
			args = append(args, c.MainDeviceID, id)
		}
	}
	cells := make(map[string]cell, len(posts))
	if len(args) == 0 {
		return cells, nil
	}
	// Pairs joined by OR instead of a list of rows: MySQL 5.6 uses the index only for this form.
	pairs := strings.Repeat(" OR main_device_id = ? AND post_order_id = ?", len(args)/2)[len(" OR "):]
	rows, err := p.DB.QueryContext(ctx, "SELECT id, post_order_id, cell_sn FROM kernel_smartbox_boxact_info WHERE act_type = 0 AND ("+pairs+")", args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
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
			id = math.MinInt64 // it counts as the first, since it may be
		}
		this := cell{serial: serial.String}
		switch {
		case err != nil:
			this.err = &BadValueError{cellTable, "id", "post_order_id", postID, rowID}
		case !serial.Valid:
			this.err = &BadValueError{cellTable, "cell_sn", "post_order_id", postID, serial}
		}
		older, newer := this, cells[postID]
		if before, ok := first[postID]; ok && before <= id {
			older, newer = newer, older
		} else {
			first[postID] = id
		}
		if newer.serial != older.serial && newer.serial != "" {
			older.other = newer.serial
		}
		cells[postID] = older
	}
	return cells, rows.Err()
}
