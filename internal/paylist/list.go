package paylist

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/message"
)

// Options name the columns; an empty name is looked for among the usual ones, but for External, which is not read then.
type Options struct{ Order, Amount, External, Time string }

// Row is a payment of the list.
type Row struct {
	Order, External string
	Fen             int64
	Line            int
}

// Unreadable is a row that cannot be read.
type Unreadable struct {
	Line    int          `json:"line"`
	Problem lang.Message `json:"problem"`
}

// List is what a file says.
type List struct {
	Rows       []Row // payments, sorted by order and line
	Fen        int64 // their sum
	Refunds    int
	RefundFen  int64 // positive
	Unreadable []Unreadable
	Columns    Options // which were taken
}

// The usual names of columns, in lower case.
var (
	orderNames  = []string{"订单号", "商户订单号", "业务订单号", "商家订单号", "order_no", "orderno", "order no", "order_number", "out_trade_no", "merchant_order_no"}
	amountNames = []string{"订单金额", "应结订单金额", "支付金额", "实付金额", "交易金额", "金额", "amount", "pay_amount", "payamount", "order_amount"}
	timeNames   = []string{"交易时间", "支付时间", "付款时间", "pay_time", "paytime", "time"}
	typeNames   = []string{"订单类型", "业务类型", "交易类型", "order_type", "type"}
)

const (
	maxPreamble   = 100  // lines before the header
	maxUnreadable = 1000 // that are kept one by one
	jdColumns     = 17   // of the merchant's file of JD
	jdRemark      = 14   // its column 备注2, which may hold commas that are not quoted
)

// reader reads one list.
type reader struct {
	*records
	list      *List
	separator byte
	columns   int
	jd        bool
	order     int
	amount    int
	external  int // -1: none
	kinds     []int
	unread    int // rows
	lost      int // order numbers whose last digits are zeros, as spreadsheets make them
	exact     int // others
}

// Read reads a file. Its errors are a *Refusal, or the file's own.
func Read(file io.ReaderAt, size int64, o Options) (*List, error) {
	text, err := open(file, size)
	if err != nil {
		return nil, err
	}
	r := &reader{records: newRecords(text), list: &List{}, external: -1}
	if err := r.header(o); err != nil {
		return nil, err
	}
	for {
		record, err := r.record()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = r.row(record)
		}
		if err != nil {
			return nil, err
		}
	}
	if r.lost >= 3 && r.exact == 0 {
		return nil, &Refusal{lang.M("every order number ends in zeros after its 15th digit: a spreadsheet has lost the last digits; take the file as it was before")}
	}
	if len(r.list.Rows)+r.list.Refunds+r.unread == 0 {
		return nil, &Refusal{lang.M("the file has a header and no row")}
	}
	slices.SortFunc(r.list.Rows, func(a, b Row) int {
		if c := strings.Compare(a.Order, b.Order); c != 0 {
			return c
		}
		return a.Line - b.Line
	})
	return r.list, nil
}

// header finds the line with the columns' names, and the separator with which it is written.
func (r *reader) header(o Options) error {
	best := []string{}
	for range maxPreamble {
		record, err := r.record()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if strings.HasPrefix(strings.TrimLeft(record, blanks), "#") {
			continue
		}
		for _, separator := range []byte(",\t;") {
			names := split(record, separator)
			for i, name := range names {
				names[i] = clean(name)
			}
			if len(names) > len(best) {
				best = names
			}
			if r.take(names, o) {
				r.separator, r.columns = separator, len(names)
				r.jd = len(names) == jdColumns && names[jdRemark] == "备注2"
				return nil
			}
		}
	}
	for name, given := range map[string]string{"--order-column": o.Order, "--amount-column": o.Amount, "--external-column": o.External, "--time-column": o.Time} {
		if given != "" && !slices.Contains(best, given) {
			return &Refusal{lang.M("there is no column %q (%s); the columns are %s", given, name, strings.Join(best, ", "))}
		}
	}
	return &Refusal{lang.M("no line names a column of order numbers and one of amounts; name them with --order-column and --amount-column. The longest line has %s", strings.Join(best, ", "))}
}

// take reports whether these are the columns' names, and notes which are read.
func (r *reader) take(names []string, o Options) bool {
	find := func(given string, usual []string) int {
		if given != "" {
			return slices.Index(names, given)
		}
		for _, name := range usual {
			if i := slices.IndexFunc(names, func(n string) bool { return strings.ToLower(n) == name }); i >= 0 {
				return i
			}
		}
		return -1
	}
	r.order, r.amount, r.external = find(o.Order, orderNames), find(o.Amount, amountNames), find(o.External, nil)
	at := find(o.Time, timeNames)
	if r.order < 0 || r.amount < 0 || o.External != "" && r.external < 0 || o.Time != "" && at < 0 {
		return false
	}
	r.list.Columns = Options{Order: names[r.order], Amount: names[r.amount]}
	if r.external >= 0 {
		r.list.Columns.External = names[r.external]
	}
	if at >= 0 {
		r.list.Columns.Time = names[at]
	}
	for i, name := range names {
		if slices.Contains(typeNames, strings.ToLower(name)) {
			r.kinds = append(r.kinds, i)
		}
	}
	return true
}

var (
	scientific = regexp.MustCompile(`^[0-9](\.[0-9]+)?[eE]\+?[0-9]+$`)
	lostDigits = regexp.MustCompile(`^[1-9][0-9]{14}0+$`)
	totals     = regexp.MustCompile(`(?i)^(合计|总计|总|汇总|小计|total|sum)`)
)

// row reads one line after the header.
func (r *reader) row(record string) error {
	if strings.Trim(record, blanks+string(r.separator)) == "" || strings.HasPrefix(strings.TrimLeft(record, blanks), "#") {
		return nil
	}
	cells := split(record, r.separator)
	if totals.MatchString(clean(cells[0])) {
		return r.total(cells)
	}
	for len(cells) > r.columns && clean(cells[len(cells)-1]) == "" {
		cells = cells[:len(cells)-1]
	}
	if extra := len(cells) - r.columns; extra > 0 && r.jd {
		cells = slices.Concat(cells[:jdRemark], []string{strings.Join(cells[jdRemark:jdRemark+extra+1], ",")}, cells[jdRemark+extra+1:])
	}
	if len(cells) != r.columns {
		return refuse(r.line, lang.M("it has %d fields, the header has %d: a field with a separator must stand in quotes", len(cells), r.columns))
	}
	order := clean(cells[r.order])
	switch {
	case scientific.MatchString(order):
		return refuse(r.line, lang.M("the order number is %s: a spreadsheet has lost its digits; take the file as it was before", order))
	case lostDigits.MatchString(order):
		r.lost++
	default:
		r.exact++
	}
	fen, negative, err := amount(clean(cells[r.amount]))
	if err != nil {
		r.unreadable(lang.M("the amount %q is not a number of yuan", message.Cut(clean(cells[r.amount]), 40)))
		return nil
	}
	refund := negative
	for _, i := range r.kinds {
		kind := clean(cells[i])
		refund = refund || strings.Contains(kind, "退款") || strings.EqualFold(kind, "REFUND")
	}
	switch {
	case refund:
		r.list.Refunds++
		r.list.RefundFen += fen
	case order == "" || len(order) > 128:
		r.unreadable(lang.M("there is no order number"))
	default:
		row := Row{Order: strings.Clone(order), Fen: fen, Line: r.line}
		if r.external >= 0 {
			row.External = strings.Clone(clean(cells[r.external]))
		}
		r.list.Rows = append(r.list.Rows, row)
		r.list.Fen += fen
	}
	return nil
}

func (r *reader) unreadable(problem lang.Message) {
	if r.unread++; len(r.list.Unreadable) < maxUnreadable {
		r.list.Unreadable = append(r.list.Unreadable, Unreadable{r.line, problem})
	}
}

// amount reads yuan, as people write them: -1,234.50, ￥8, 8.00元.
func amount(cell string) (fen int64, negative bool, err error) {
	cell = strings.Trim(strings.TrimSuffix(strings.ReplaceAll(cell, ",", ""), "元"), blanks+"¥￥")
	cell, negative = strings.CutPrefix(cell, "-")
	yuan, err := message.ParseYuan(strings.Trim(cell, blanks+"¥￥+"))
	return int64(yuan), negative, err
}

// total checks a line of totals: in a file that was cut off neither its sum nor its number of rows is that of the rows before it.
func (r *reader) total(cells []string) error {
	rows, found := int64(len(r.list.Rows)), false
	sums := []int64{r.list.Fen, r.list.Fen - r.list.RefundFen, 100 * rows, 100 * (rows + int64(r.list.Refunds))}
	for _, cell := range cells {
		for _, part := range strings.FieldsFunc(clean(cell), func(c rune) bool { return strings.ContainsRune("：:笔条 ", c) }) {
			n, negative, err := amount(part)
			if err == nil && !negative && slices.Contains(sums, n) {
				return nil
			}
			found = found || err == nil
		}
	}
	if found && r.unread == 0 {
		return refuse(r.line, lang.M("the totals do not match the %d rows with %s yuan before them: the file is cut off, or was edited", len(r.list.Rows)+r.list.Refunds, fmt.Sprint(message.Fen(r.list.Fen))))
	}
	return nil
}
