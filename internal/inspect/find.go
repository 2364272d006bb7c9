package inspect

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/width"

	"jdpay-listener/internal/device"
	"jdpay-listener/internal/kernel"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/payment"
	"jdpay-listener/internal/sqldb"
)

// Found is an order that Find has found.
type Found struct {
	OrderNo    string   `json:"order_no"`
	OrderID    int64    `json:"order_id"` // 0: there is no such order, only messages about it
	Matched    []string `json:"matched"`  // what of it has the text: MatchOrderNo, …
	Paid       bool     `json:"is_paid"`
	Amount     string   `json:"amount"` // yuan; empty if it is NULL
	ExternalID string   `json:"external_id,omitempty"`
	Waybill    string   `json:"waybill,omitempty"`
	DeviceSN   string   `json:"device_sn,omitempty"`
}

// Values of Found.Matched.
const (
	MatchOrderNo    = "order number"
	MatchOrderID    = "order id"
	MatchExternalID = "external id"
	MatchWaybill    = "waybill"
	MatchDevice     = "device"
	MatchMessage    = "message"
)

// FoundOrders is the result of Find, the newest orders first for each column.
type FoundOrders struct {
	Text   string  `json:"text"`
	Orders []Found `json:"orders"`
	More   bool    `json:"more"` // there are more than were asked for
	// Notes say what was not searched, and why.
	Notes []lang.Message `json:"notes"`
}

const (
	// findTimeout is how long each database may search. The server ends a statement that takes longer, except MySQL 5.6, which
	// knows no limit.
	findTimeout = 5 * time.Second
	// findNewest is how many orders, counted from the newest, are searched for a part of a number. Whole numbers are found
	// however old they are.
	findNewest = 200_000
	// minFragment is how many letters and digits a part must have.
	minFragment = 3
	maxFindText = 128
)

// ErrFindText means that Find cannot search for a text.
var ErrFindText = lang.Errorf("give a number, or a part of one, of at most 128 characters")

// Find looks for orders by order number, order id, external id, waybill, cabinet, or the id of a message. First it looks for
// the whole text, as it is, in capitals and in small letters; if there is none, in the newest orders and all parcels for
// values that contain it without regard to case, blanks and dashes. It returns at most limit orders. If the main database cannot be searched, a note
// says so; the error is that of the account database.
func Find(ctx context.Context, account, main *sql.DB, queues []string, text string, limit int) (*FoundOrders, error) {
	f := &finder{account: account, main: main, limit: limit, whole: variants(text), part: fragment(text), found: map[string]*Found{}}
	result := &FoundOrders{Text: strings.TrimSpace(text), Orders: []Found{}, Notes: []lang.Message{}}
	if result.Text == "" || len(result.Text) > maxFindText {
		return nil, ErrFindText
	}
	for _, step := range []func(context.Context) error{
		func(ctx context.Context) error { return f.indexed(ctx, queues) }, f.unindexed, f.parts,
	} {
		if f.hasOrder() {
			break // the next step reads more, and finds less likely what is meant
		}
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	f.completeParcels(ctx)
	for _, key := range f.order[:min(len(f.order), limit)] {
		result.Orders = append(result.Orders, *f.found[key])
	}
	result.More, result.Notes = len(f.order) > limit, append(result.Notes, f.notes...)
	return result, nil
}

// variants are the forms in which a whole number may be stored.
func variants(text string) []any {
	var forms []any
	narrow := width.Narrow.String(strings.TrimSpace(text))
	for _, form := range []string{strings.TrimSpace(text), narrow, strings.ToUpper(narrow), strings.ToLower(narrow), fragment(text), strings.ToUpper(fragment(text))} {
		if form != "" && !slices.Contains(forms, any(form)) {
			forms = append(forms, form)
		}
	}
	return forms
}

// fragment is what counts of a text that was read out, typed or copied: its letters and digits, in small letters. It has no
// character with a meaning in LIKE.
func fragment(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return r
		}
		return -1
	}, strings.ToLower(width.Narrow.String(text)))
}

// finder collects orders. It knows an order by its id or, if there is none, by its number.
type finder struct {
	account, main *sql.DB
	limit         int
	whole         []any
	part          string

	found map[string]*Found
	order []string // keys of found, as they were found
	notes []lang.Message
}

// matchOf says what of an order a column is.
var matchOf = map[string]string{"order_no": MatchOrderNo, "order_id": MatchOrderID, "external_id": MatchExternalID, "express_number": MatchWaybill, "device_sn": MatchDevice}

// parcelColumns are those of a parcel that may have the text.
var parcelColumns = []string{"express_number", "device_sn"}

// indexed looks for the whole text where that reads few rows.
func (f *finder) indexed(ctx context.Context, queues []string) error {
	if err := f.orders(ctx, MatchOrderNo, "order_no", f.isWhole(), nil); err != nil {
		return err
	}
	id, err := strconv.ParseInt(f.whole[0].(string), 10, 64)
	if err != nil {
		id, _ = device.ParseMessageID(f.whole[0].(string)) // 0 if it is none
	}
	if id > 0 {
		if err := f.orders(ctx, MatchOrderID, "order_id", kernel.OneOf(id), nil); err != nil {
			return err
		}
	}
	if err := f.messages(ctx, queues); err != nil {
		return err
	}
	return f.columns(ctx, true)
}

// unindexed looks for the whole text in the columns without an index.
func (f *finder) unindexed(ctx context.Context) error { return f.columns(ctx, false) }

func (f *finder) columns(ctx context.Context, withIndex bool) error {
	if hasIndex(ctx, f.account, kernel.OrderTable, "external_id") == withIndex {
		if err := f.orders(ctx, MatchExternalID, "external_id", f.isWhole(), nil); err != nil {
			return err
		}
	}
	var wanted []string
	for _, c := range parcelColumns {
		if hasIndex(ctx, f.main, kernel.PostOrderTable, c) == withIndex {
			wanted = append(wanted, c)
		}
	}
	if !withIndex { // one pass over the table for both
		return f.parcels(ctx, wanted, f.isWhole())
	}
	for _, c := range wanted {
		if err := f.parcels(ctx, []string{c}, f.isWhole()); err != nil {
			return err
		}
	}
	return nil
}

// isWhole is the condition that a column has one of the forms of the whole text.
func (f *finder) isWhole() kernel.Match { return kernel.OneOf(f.whole...) }

// hasOrder reports whether an order was found. Messages do not count: anybody can name any number in one.
func (f *finder) hasOrder() bool {
	return slices.ContainsFunc(f.order, func(key string) bool { return f.found[key].OrderID != 0 })
}

// parts looks for values that contain the fragment.
func (f *finder) parts(ctx context.Context) error {
	if len([]rune(f.part)) < minFragment {
		f.note(lang.M("parts of numbers were not searched: that wants at least %d letters or digits", minFragment))
		return nil
	}
	oldest, err := kernel.BeforeNewest(ctx, f.account, findNewest)
	if err != nil {
		return fmt.Errorf("looking for the newest orders: %w", err)
	}
	if oldest.Valid {
		f.note(lang.M("of orders older than the newest %d only whole numbers were searched", findNewest))
	}
	for _, c := range []string{"order_no", "external_id"} {
		if err := f.orders(ctx, matchOf[c], c, kernel.Containing(f.part), &oldest.Int64); err != nil {
			return err
		}
	}
	return f.parcels(ctx, parcelColumns, kernel.Containing(f.part))
}

// orders adds the orders whose column matches, the newest first; see kernel.SearchOrders.
func (f *finder) orders(ctx context.Context, match, column string, m kernel.Match, newerThan *int64) error {
	return f.search(ctx, f.account, kernel.OrderTable, func(ctx context.Context, conn *sql.Conn) error {
		orders, err := kernel.SearchOrders(ctx, conn, column, m, newerThan, f.limit+1)
		for _, o := range orders {
			f.add(Found{OrderNo: o.No, OrderID: o.ID, Paid: o.Paid, Amount: o.Amount, ExternalID: o.ExternalID}, match)
		}
		return err
	})
}

// messages adds the orders that kept messages name, which may not exist, and those of a message with the id.
func (f *finder) messages(ctx context.Context, queues []string) error {
	var keys []any
	for _, queue := range queues {
		for _, kind := range []string{payment.KindSettle, payment.KindReply} {
			for _, form := range f.whole {
				keys = append(keys, kind+":"+queue+":"+form.(string))
			}
		}
	}
	refs, err := refsOf(ctx, f.account, f.whole, keys, f.limit+1)
	if err != nil && !sqldb.IsBadText(err) {
		return err
	}
	for _, ref := range refs {
		if f.hasNo(ref) {
			continue
		}
		if err := f.orders(ctx, MatchMessage, "order_no", kernel.OneOf(ref), nil); err != nil {
			return err
		}
		if !f.hasNo(ref) {
			f.add(Found{OrderNo: ref}, MatchMessage)
		}
	}
	return nil
}

func (f *finder) hasNo(orderNo string) bool {
	for _, o := range f.found {
		if o.OrderNo == orderNo {
			return true
		}
	}
	return false
}

// parcels adds the orders of the parcels of which one of the columns matches. A main database that cannot be searched becomes
// a note.
func (f *finder) parcels(ctx context.Context, columns []string, m kernel.Match) error {
	if len(columns) == 0 {
		return nil
	}
	var ids map[string][]any // of orders, by column
	f.searchMain(ctx, func(ctx context.Context, conn *sql.Conn) (err error) {
		ids, err = kernel.SearchPostOrders(ctx, conn, columns, m, f.limit+1)
		return err
	})
	for _, c := range columns {
		if found := ids[c]; len(found) > 0 {
			if err := f.orders(ctx, matchOf[c], "order_id", kernel.OneOf(found...), nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// completeParcels fills in waybills and cabinets.
func (f *finder) completeParcels(ctx context.Context) {
	byID := map[string]*Found{}
	var ids []string
	for _, o := range f.found {
		if o.OrderID != 0 {
			id := strconv.FormatInt(o.OrderID, 10)
			byID[id], ids = o, append(ids, id)
		}
	}
	if len(ids) == 0 {
		return
	}
	f.searchMain(ctx, func(ctx context.Context, conn *sql.Conn) error {
		posts, err := kernel.PostOrders(ctx, conn, ids)
		for id, post := range posts {
			if o := byID[id]; o != nil {
				o.Waybill, o.DeviceSN = post.Waybill, post.DeviceSN.String
			}
		}
		return err
	})
}

// searchMain is search in the table of parcels. That it fails is a note.
func (f *finder) searchMain(ctx context.Context, query func(context.Context, *sql.Conn) error) {
	if err := f.search(ctx, f.main, kernel.PostOrderTable, query); err != nil {
		f.note(lang.M("waybills and cabinets were not searched: the main database cannot be read: %s", CauseMessage(err.Error())))
	}
}

// add adds an order, or a match to one that is there.
func (f *finder) add(o Found, match string) {
	key := strconv.FormatInt(o.OrderID, 10)
	if o.OrderID == 0 {
		key = "no " + o.OrderNo
	}
	if f.found[key] == nil {
		f.found[key] = &o
		f.order = append(f.order, key)
	}
	if known := f.found[key]; !slices.Contains(known.Matched, match) {
		known.Matched = append(known.Matched, match)
	}
}

func (f *finder) note(text lang.Message) {
	if !slices.ContainsFunc(f.notes, func(m lang.Message) bool { return m.String() == text.String() }) {
		f.notes = append(f.notes, text)
	}
}

// search runs a query for at most findTimeout. A timeout is reported as a note, and so is a text that the column cannot hold.
func (f *finder) search(ctx context.Context, db *sql.DB, table kernel.Table, query func(context.Context, *sql.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, findTimeout+time.Second) // the server's own limit comes first
	defer cancel()
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := limitStatements(ctx, conn, findTimeout); err != nil {
		return err
	}
	err = query(ctx, conn)
	switch {
	case err == nil, sqldb.IsBadText(err):
		return nil
	case sqldb.IsOverdue(err), ctx.Err() != nil:
		f.note(lang.M("%s was not searched whole, because that takes longer than %s: give a whole number, or create an index", table.Name, findTimeout))
		return nil
	}
	return fmt.Errorf("searching %s: %w", table.Name, err)
}

// limitStatements has the server end statements of this connection that take too long. MariaDB and MySQL have different
// variables for it, and older servers none.
func limitStatements(ctx context.Context, conn *sql.Conn, limit time.Duration) error {
	for _, set := range []string{
		fmt.Sprintf("SET SESSION max_statement_time = %d", int(limit.Seconds())),
		fmt.Sprintf("SET SESSION max_execution_time = %d", limit.Milliseconds()),
	} {
		if _, err := conn.ExecContext(ctx, set); err != nil && sqldb.Number(err) == 0 {
			return err
		}
	}
	return nil
}

// hasIndex reports whether a query by the column reads few rows only. For a view nobody can tell; the time limit holds.
func hasIndex(ctx context.Context, db *sql.DB, table kernel.Table, column string) bool {
	table.Indexes = []kernel.Index{{Columns: []string{column}}}
	missing, err := kernel.MissingIndexes(ctx, db, []kernel.Table{table})
	return err == nil && len(missing) == 0
}

// refsOf returns order numbers, at most limit for each condition: those of jobs with one of the refs, and of jobs with one of
// the unique keys. Values are compared as the columns compare.
func refsOf(ctx context.Context, db *sql.DB, refs, keys []any, limit int) ([]string, error) {
	var found []string
	for _, c := range []struct {
		column string
		values []any
	}{{"ref", refs}, {"unique_key", keys}} {
		if len(c.values) == 0 {
			continue
		}
		some, err := sqldb.SelectColumn[string](ctx, db, "SELECT DISTINCT ref FROM jdpay_job WHERE "+c.column+" IN "+sqldb.In(len(c.values))+" AND ref IS NOT NULL LIMIT ?",
			append(slices.Clone(c.values), limit)...)
		if err != nil {
			return nil, fmt.Errorf("looking for jobs: %w", err)
		}
		for _, ref := range some {
			if !slices.Contains(found, ref) {
				found = append(found, ref)
			}
		}
	}
	return found, nil
}
