package payment

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"jdpay-listener/internal/batcher"
	"jdpay-listener/internal/kernel"
	"jdpay-listener/internal/sqldb"
)

// cabinetCache remembers cabinets by the serials of the parcels: the database finds a cabinet also by a serial that differs
// from its own in case or trailing blanks. What the cache does not return is read from the database. See redisstore.Store.
type cabinetCache interface {
	Cabinets(ctx context.Context, serials []string) map[string]kernel.Cabinet
	PutCabinets(ctx context.Context, cabinets map[string]kernel.Cabinet)
}

// Parcel is what the steps need to know of a paid order.
type Parcel struct {
	kernel.Cabinet
	Waybill string // JD's waybill code; empty if the row's is NULL
	CellSN  string // the door; empty if none is assigned
	// OtherCellSN is another door that is assigned as well; empty if there is none.
	OtherCellSN string
}

// Parcels reads parcels and cabinets from the main database, and writes pay infos into it, in batches.
type Parcels struct {
	DB    *sql.DB
	Cache cabinetCache // nil: none
	Log   *slog.Logger // nil: none

	info    kernel.PayInfo // what every row has
	cut     onceEach       // columns that a text did not fit
	lookups *batcher.Batcher[*lookup]
	infos   *batcher.Batcher[kernel.PayInfo]
}

const (
	maxParcels        = 128
	parcelConcurrency = 2
	parcelTimeout     = 10 * time.Second
	// maxEarlyLookups is how many lookups may wait when settling starts another one: two batches for each goroutine.
	maxEarlyLookups = 2 * maxParcels * parcelConcurrency
)

// NewParcels returns the parcels of the main database; info has the status and the message of every pay info.
func NewParcels(db *sql.DB, info kernel.PayInfo) *Parcels {
	p := &Parcels{DB: db, info: info}
	p.lookups = batcher.New(maxParcels, parcelConcurrency, p.find)
	p.infos = batcher.New(maxParcels, parcelConcurrency, func(batch []kernel.PayInfo) []error { return sqldb.WriteBatch(batch, p.writeInfos) })
	return p
}

type lookup struct {
	id     string // post_order_id: the recharge order's id as text
	parcel Parcel
	err    error
}

// Find returns the parcel of an order, a *kernel.MissingRowError or a *kernel.BadValueError.
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
	ids := make([]string, len(batch))
	for i, l := range batch {
		ids[i] = l.id
	}
	slices.Sort(ids)
	ids = slices.Compact(ids) // two steps of one order are usually in the same batch
	posts, err := kernel.PostOrders(ctx, p.DB, ids)
	if err != nil {
		return fmt.Errorf("reading %s: %w", kernel.PostOrderTable.Name, err)
	}
	cabinets, err := p.cabinets(ctx, posts)
	if err != nil {
		return fmt.Errorf("reading %s: %w", kernel.CabinetTable.Name, err)
	}
	cells, err := p.cells(ctx, posts, cabinets)
	if err != nil {
		return fmt.Errorf("reading %s: %w", kernel.CellTable.Name, err)
	}
	if err := p.askAgain(ctx, posts, cabinets, cells); err != nil {
		return fmt.Errorf("reading %s and %s again: %w", kernel.CabinetTable.Name, kernel.CellTable.Name, err)
	}
	for _, l := range batch {
		l.parcel, l.err = assemble(l.id, posts, cabinets, cells)
	}
	return nil
}

// assemble returns the parcel of one order, a *kernel.MissingRowError or a *kernel.BadValueError.
func assemble(id string, posts map[string]kernel.PostOrder, cabinets map[string]cabinet, cells map[string]kernel.Cell) (Parcel, error) {
	post, ok := posts[id]
	if !ok {
		return Parcel{}, &kernel.MissingRowError{Table: kernel.PostOrderTable.Name, Column: "post_order_id", Value: id}
	}
	if !post.DeviceSN.Valid {
		return Parcel{}, &kernel.BadValueError{Table: kernel.PostOrderTable.Name, Column: "device_sn", Key: "post_order_id", Value: id}
	}
	cabinet, ok := cabinets[post.DeviceSN.String]
	if !ok {
		return Parcel{}, &kernel.MissingRowError{Table: kernel.CabinetTable.Name, Column: "device_sn", Value: post.DeviceSN.String}
	}
	cell := cells[id]
	if err := cmp.Or(cabinet.Err, cell.Err); err != nil {
		return Parcel{}, err
	}
	return Parcel{Cabinet: cabinet.Cabinet, Waybill: post.Waybill, CellSN: cell.SN, OtherCellSN: cell.OtherSN}, nil
}

// writeInfo writes the row that the ERP reads about a paid order. Writing it again changes nothing.
func (p *Parcels) writeInfo(ctx context.Context, orderID int64, payType int, payTime string) error {
	info := p.info
	info.OrderID, info.Type, info.Time = orderID, payType, payTime
	return p.infos.Do(ctx, info)
}

func (p *Parcels) writeInfos(batch []kernel.PayInfo) error {
	ctx, cancel := context.WithTimeout(context.Background(), parcelTimeout)
	defer cancel()
	err := p.upsertInfos(ctx, batch)
	if sqldb.IsBadText(err) {
		fitted, fitErr := kernel.PayInfoTable.Storable(ctx, p.DB, []kernel.Text{{Column: "pay_message", Value: p.info.Message}})
		switch {
		case fitErr != nil:
			err = fitErr
		case fitted[0] != p.info.Message:
			warnCut(p.Log, &p.cut, kernel.PayInfoTable, "pay_message", "pay_message", p.info.Message)
			batch = slices.Clone(batch)
			for i := range batch {
				batch[i].Message = fitted[0]
			}
			err = p.upsertInfos(ctx, batch)
		}
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", kernel.PayInfoTable.Name, err)
	}
	return nil
}

// upsertInfos writes all rows with one statement and reads their keys back. What is not found is written by itself.
func (p *Parcels) upsertInfos(ctx context.Context, batch []kernel.PayInfo) error {
	missing, err := kernel.UpsertPayInfos(ctx, p.DB, batch)
	for i := range missing {
		still, failed := kernel.UpsertPayInfos(ctx, p.DB, missing[i:i+1])
		if failed == nil && len(still) > 0 {
			failed = fmt.Errorf("the server reports success, but there is no row with post_order_id %d", still[0].OrderID)
		}
		err = cmp.Or(err, failed)
	}
	return err
}
