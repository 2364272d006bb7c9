package payment

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"jdpay-listener/internal/gather"
	"jdpay-listener/internal/sqldb"
)

// Group is a cabinet as the main database knows it.
type Group struct {
	DeviceSN     string
	MainDeviceID int64
	DeviceType   int
}

// groupCache remembers cabinets. It may fail or forget at any time; the database is asked then.
type groupCache interface {
	Groups(ctx context.Context, serials []string) map[string]Group
	PutGroups(ctx context.Context, groups []Group)
}

// Parcel is what the steps need to know of a paid order.
type Parcel struct {
	Group
	Waybill string // JD's waybill code
	CellSN  string // the door; empty if none is assigned
}

// MissingRowError says which row of the main database is missing. It may still come, so the step is tried again.
type MissingRowError struct{ Table, Column, Value string }

// Error names the table and the row.
func (e *MissingRowError) Error() string {
	return fmt.Sprintf("no row in %s with %s = '%s'", e.Table, e.Column, e.Value)
}

// Parcels reads parcels and cabinets, and writes pay infos, in the main database: many at a time.
type Parcels struct {
	DB    *sql.DB
	Cache groupCache   // nil: none
	Log   *slog.Logger // nil: none

	info    PayInfo
	cut     onceEach // columns that did not hold a text
	lookups *gather.Group[*lookup]
	infos   *gather.Group[payInfo]
}

const (
	parcelMost    = 128
	parcelWidth   = 2
	parcelTimeout = 10 * time.Second
)

// NewParcels returns the parcels of the main database.
func NewParcels(db *sql.DB, info PayInfo) *Parcels {
	p := &Parcels{DB: db, info: info}
	p.lookups = gather.New(parcelMost, parcelWidth, p.find)
	p.infos = gather.New(parcelMost, parcelWidth, func(batch []payInfo) []error { return sqldb.Together(batch, p.writeInfos) })
	return p
}

type lookup struct {
	id     string // post_order_id: the recharge order's id as text
	parcel Parcel
}

// Find returns the parcel of an order, or a *MissingRowError.
func (p *Parcels) Find(ctx context.Context, orderID int64) (Parcel, error) {
	l := &lookup{id: strconv.FormatInt(orderID, 10)}
	err := p.lookups.Do(ctx, l)
	return l.parcel, err
}

// find answers many lookups with three queries: parcels, the cabinets that are not cached, cells.
func (p *Parcels) find(batch []*lookup) []error {
	ctx, cancel := context.WithTimeout(context.Background(), parcelTimeout)
	defer cancel()
	errs, err := p.findAll(ctx, batch)
	if err != nil {
		for i := range errs {
			errs[i] = err
		}
	}
	return errs
}

func (p *Parcels) findAll(ctx context.Context, batch []*lookup) (errs []error, err error) {
	errs = make([]error, len(batch))
	posts, err := p.posts(ctx, batch)
	if err != nil {
		return errs, fmt.Errorf("reading kernel_post_order: %w", err)
	}
	groups, err := p.groups(ctx, posts)
	if err != nil {
		return errs, fmt.Errorf("reading kernel_device_group: %w", err)
	}
	cells, err := p.cells(ctx, posts, groups)
	if err != nil {
		return errs, fmt.Errorf("reading kernel_smartbox_boxact_info: %w", err)
	}
	for i, l := range batch {
		post, ok := posts[l.id]
		if !ok {
			errs[i] = &MissingRowError{"kernel_post_order", "post_order_id", l.id}
			continue
		}
		group, ok := groups[post.serial]
		if !ok {
			errs[i] = &MissingRowError{"kernel_device_group", "device_sn", post.serial}
			continue
		}
		l.parcel = Parcel{Group: group, Waybill: post.waybill, CellSN: cells[l.id]}
	}
	return errs, nil
}

type post struct{ serial, waybill string }

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
		var found post
		if err := rows.Scan(&id, &found.serial, &found.waybill); err != nil {
			return nil, err
		}
		posts[id] = found
	}
	return posts, rows.Err()
}

// groups returns cabinets by serial, from the cache as far as it knows them.
func (p *Parcels) groups(ctx context.Context, posts map[string]post) (map[string]Group, error) {
	groups := make(map[string]Group, len(posts))
	var serials []string
	for _, post := range posts {
		if _, ok := groups[post.serial]; !ok {
			groups[post.serial] = Group{}
			serials = append(serials, post.serial)
		}
	}
	clear(groups)
	if p.Cache != nil && len(serials) > 0 {
		groups = p.Cache.Groups(ctx, serials)
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
	rows, err := p.DB.QueryContext(ctx, "SELECT device_sn, main_device_id, device_type FROM kernel_device_group WHERE device_sn IN "+sqldb.In(len(missing)), missing...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var fresh []Group
	for rows.Next() {
		var g Group
		if err := rows.Scan(&g.DeviceSN, &g.MainDeviceID, &g.DeviceType); err != nil {
			return nil, err
		}
		groups[g.DeviceSN] = g
		fresh = append(fresh, g)
	}
	if p.Cache != nil && len(fresh) > 0 {
		p.Cache.PutGroups(ctx, fresh)
	}
	return groups, rows.Err()
}

// cells returns the first cell assigned to each parcel.
func (p *Parcels) cells(ctx context.Context, posts map[string]post, groups map[string]Group) (map[string]string, error) {
	var args []any
	for id, post := range posts {
		if g, ok := groups[post.serial]; ok {
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
	cells := make(map[string]string, len(posts))
	first := make(map[string]int64, len(posts))
	for rows.Next() {
		var id int64
		var postID, cell string
		if err := rows.Scan(&id, &postID, &cell); err != nil {
			return nil, err
		}
		if before, ok := first[postID]; !ok || id < before {
			first[postID], cells[postID] = id, cell
		}
	}
	return cells, rows.Err()
}
