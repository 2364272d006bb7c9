package payment

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"jdpay-listener/internal/batcher"
	"jdpay-listener/internal/message"
	"jdpay-listener/internal/sqldb"
)

// Cabinet is a cabinet as the main database knows it: a device group. The names in JSON are those in Redis.
type Cabinet struct {
	DeviceSN     string `json:"device_sn"` // its own; it may differ from what was asked for in case or trailing blanks
	MainDeviceID int64  `json:"main_device_id"`
	DeviceType   int    `json:"device_type"`
}

// cabinetCache remembers cabinets, by the serials that were asked for: the database may find a cabinet by one that differs
// from its own in case or trailing blanks. It may fail or forget at any time; the database is asked then. See
// redisstore.Store.
type cabinetCache interface {
	Cabinets(ctx context.Context, serials []string) map[string]Cabinet
	PutCabinets(ctx context.Context, cabinets map[string]Cabinet)
}

// Parcel is what the steps need to know of a paid order.
type Parcel struct {
	Cabinet
	Waybill string // JD's waybill code; empty if the row's is NULL
	CellSN  string // the door; empty if none is assigned
}

// MissingRowError says which row of the main database is missing. It may still come, so the step is tried again.
type MissingRowError struct{ Table, Column, Value string }

// Error names the table and the row.
func (e *MissingRowError) Error() string {
	return fmt.Sprintf("no row in %s with %s = '%s'", e.Table, e.Column, e.Value)
}

// BadValueError says which value of a company's row cannot be used. It may be corrected, so the work is tried again.
type BadValueError struct {
	Table, Column string
	Key, Value    string         // the row is the one with Key = Value
	Found         sql.NullString // what is there
}

// Error names the table, the column and the row.
func (e *BadValueError) Error() string {
	found := "NULL"
	if e.Found.Valid {
		found = fmt.Sprintf("'%s'", message.Cut(e.Found.String, 40))
	}
	return fmt.Sprintf("%s.%s is %s in the row with %s = '%s': correct the row", e.Table, e.Column, found, e.Key, e.Value)
}

// Parcels reads parcels and cabinets, and writes pay infos, in the main database: many at a time.
type Parcels struct {
	DB    *sql.DB
	Cache cabinetCache // nil: none
	Log   *slog.Logger // nil: none

	info    PayInfo
	cut     onceEach // columns that did not hold a text
	lookups *batcher.Batcher[*lookup]
	infos   *batcher.Batcher[payInfo]
}

const (
	parcelMost    = 128
	parcelWidth   = 2
	parcelTimeout = 10 * time.Second
)

// NewParcels returns the parcels of the main database.
func NewParcels(db *sql.DB, info PayInfo) *Parcels {
	p := &Parcels{DB: db, info: info}
	p.lookups = batcher.New(parcelMost, parcelWidth, p.find)
	p.infos = batcher.New(parcelMost, parcelWidth, func(batch []payInfo) []error { return sqldb.WriteBatch(batch, p.writeInfos) })
	return p
}

type lookup struct {
	id     string // post_order_id: the recharge order's id as text
	parcel Parcel
	err    error
}

// Find returns the parcel of an order, a *MissingRowError or a *BadValueError.
func (p *Parcels) Find(ctx context.Context, orderID int64) (Parcel, error) {
	return p.begin(orderID).wait(ctx)
}

// found is a parcel that is being looked up.
type found struct {
	*lookup
	result *batcher.Result
	asked  time.Time
}

// begin has the parcel of an order looked up, and does not wait for it.
func (p *Parcels) begin(orderID int64) *found {
	l := &lookup{id: strconv.FormatInt(orderID, 10)}
	return &found{l, p.lookups.Add(l), time.Now()}
}

func (f *found) wait(ctx context.Context) (Parcel, error) {
	if err := f.result.Wait(ctx); err != nil {
		return Parcel{}, err // without a look at the parcel: if ctx ended, it may still be written
	}
	return f.parcel, nil
}

// find answers many lookups together; if that fails on somebody's row, each by itself.
func (p *Parcels) find(batch []*lookup) []error {
	errs := sqldb.WriteBatch(batch, p.findAll)
	if errs == nil {
		errs = make([]error, len(batch))
	}
	for i, l := range batch {
		errs[i] = cmp.Or(errs[i], l.err)
	}
	return errs
}

// findAll answers many lookups with three queries: parcels, the cabinets that are not cached, cells.
func (p *Parcels) findAll(batch []*lookup) error {
	ctx, cancel := context.WithTimeout(context.Background(), parcelTimeout)
	defer cancel()
	posts, err := p.posts(ctx, batch)
	if err != nil {
		return fmt.Errorf("reading %s: %w", postTable, err)
	}
	cabinets, err := p.cabinets(ctx, posts)
	if err != nil {
		return fmt.Errorf("reading %s: %w", cabinetTable, err)
	}
	cells, err := p.cells(ctx, posts, cabinets)
	if err != nil {
		return fmt.Errorf("reading %s: %w", cellTable, err)
	}
	for _, l := range batch {
		l.parcel, l.err = assemble(l.id, posts, cabinets, cells)
	}
	return nil
}

// assemble makes the parcel of one order, or says which row of it is missing or has to be corrected.
func assemble(id string, posts map[string]post, cabinets map[string]cabinet, cells map[string]cell) (Parcel, error) {
	post, ok := posts[id]
	if !ok {
		return Parcel{}, &MissingRowError{postTable, "post_order_id", id}
	}
	if !post.serial.Valid {
		return Parcel{}, &BadValueError{Table: postTable, Column: "device_sn", Key: "post_order_id", Value: id}
	}
	cabinet, ok := cabinets[post.serial.String]
	if !ok {
		return Parcel{}, &MissingRowError{cabinetTable, "device_sn", post.serial.String}
	}
	cell := cells[id]
	if err := cmp.Or(cabinet.err, cell.err); err != nil {
		return Parcel{}, err
	}
	return Parcel{Cabinet: cabinet.Cabinet, Waybill: post.waybill, CellSN: cell.serial}, nil
}
