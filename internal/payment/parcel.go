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
	DeviceSN     string `json:"device_sn"` // as its own row has it; see cabinetCache
	MainDeviceID int64  `json:"main_device_id"`
	DeviceType   int    `json:"device_type"`
}

// cabinetCache remembers cabinets by the serials of the parcels: the database finds a cabinet also by a serial that differs
// from its own in case or trailing blanks. What the cache does not return is read from the database. See redisstore.Store.
type cabinetCache interface {
	Cabinets(ctx context.Context, serials []string) map[string]Cabinet
	PutCabinets(ctx context.Context, cabinets map[string]Cabinet)
}

// Parcel is what the steps need to know of a paid order.
type Parcel struct {
	Cabinet
	Waybill string // JD's waybill code; empty if the row's is NULL
	CellSN  string // the door; empty if none is assigned
	// OtherCellSN is another door that is assigned as well; empty if there is none.
	OtherCellSN string
}

// MissingRowError names a row that the main database lacks. It may be written later, so the step is tried again.
type MissingRowError struct{ Table, Column, Value string }

// Error names the table and the row.
func (e *MissingRowError) Error() string {
	return fmt.Sprintf("no row in %s with %s = '%s'", e.Table, e.Column, e.Value)
}

// BadValueError names a value of a company's row that cannot be used. It may be corrected, so the job is tried again.
type BadValueError struct {
	Table, Column string
	Key, Value    string // the row is the one with Key = Value
	Found         sql.NullString
}

// Error names the table, the column and the row.
func (e *BadValueError) Error() string {
	found := "NULL"
	if e.Found.Valid {
		found = fmt.Sprintf("'%s'", message.Cut(e.Found.String, 40))
	}
	return fmt.Sprintf("%s.%s is %s in the row with %s = '%s': correct the row", e.Table, e.Column, found, e.Key, e.Value)
}

// Parcels reads parcels and cabinets from the main database, and writes pay infos into it, in batches.
type Parcels struct {
	DB    *sql.DB
	Cache cabinetCache // nil: none
	Log   *slog.Logger // nil: none

	info    PayInfo
	cut     onceEach // columns that a text did not fit
	lookups *batcher.Batcher[*lookup]
	infos   *batcher.Batcher[payInfo]
}

const (
	maxParcels        = 128
	parcelConcurrency = 2
	parcelTimeout     = 10 * time.Second
	// maxEarlyLookups is how many lookups may wait when settling starts another one: two batches for each goroutine.
	maxEarlyLookups = 2 * maxParcels * parcelConcurrency
)

// NewParcels returns the parcels of the main database.
func NewParcels(db *sql.DB, info PayInfo) *Parcels {
	p := &Parcels{DB: db, info: info}
	p.lookups = batcher.New(maxParcels, parcelConcurrency, p.find)
	p.infos = batcher.New(maxParcels, parcelConcurrency, func(batch []payInfo) []error { return sqldb.WriteBatch(batch, p.writeInfos) })
	return p
}

type lookup struct {
	id     string // post_order_id: the recharge order's id as text
	parcel Parcel
	err    error
}

// Find returns the parcel of an order, a *MissingRowError or a *BadValueError.
func (p *Parcels) Find(ctx context.Context, orderID int64) (Parcel, error) {
	return p.startLookup(orderID).wait(ctx)
}

// pendingLookup is a lookup that may still be running.
type pendingLookup struct {
	*lookup
	result  *batcher.Result
	started time.Time
}

// startLookup starts looking up the parcel of an order, and does not wait for it.
func (p *Parcels) startLookup(orderID int64) *pendingLookup {
	l := &lookup{id: strconv.FormatInt(orderID, 10)}
	return &pendingLookup{l, p.lookups.Add(l), time.Now()}
}

// startEarly is startLookup for a parcel that nobody waits for yet. It returns nil while too many lookups wait: the main
// database hangs, and a step looks the parcel up itself when it has a slot. Payments are settled at any rate meanwhile.
func (p *Parcels) startEarly(orderID int64) *pendingLookup {
	if p.lookups.Waiting() >= maxEarlyLookups {
		return nil
	}
	return p.startLookup(orderID)
}

func (l *pendingLookup) wait(ctx context.Context) (Parcel, error) {
	if err := l.result.Wait(ctx); err != nil {
		return Parcel{}, err // the parcel must not be read: if ctx ended, the lookup may still write it
	}
	return l.parcel, nil
}

// find does many lookups together, or each by itself if they fail together.
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

// findAll does many lookups with three queries: parcels, cabinets that are not cached, cells. Two more follow for parcels of
// cached cabinets whose cells were not found.
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
	if err := p.askAgain(ctx, posts, cabinets, cells); err != nil {
		return fmt.Errorf("reading %s and %s again: %w", cabinetTable, cellTable, err)
	}
	for _, l := range batch {
		l.parcel, l.err = assemble(l.id, posts, cabinets, cells)
	}
	return nil
}

// assemble returns the parcel of one order, a *MissingRowError or a *BadValueError.
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
	return Parcel{Cabinet: cabinet.Cabinet, Waybill: post.waybill, CellSN: cell.serial, OtherCellSN: cell.other}, nil
}
