package main

import (
	"database/sql"
	"encoding/csv"
	"errors"
	"io"
	"maps"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/inspect"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/message"
	"jdpay-listener/internal/paylist"
	"jdpay-listener/internal/printable"
)

const (
	// listMemory is what a list of a million rows may take.
	listMemory = 140 << 20
	// maxListed findings are in the JSON document; --csv has all.
	maxListed = 10_000
)

// listFlags are those of audit --list.
type listFlags struct {
	file, day, csv string
	columns        paylist.Options
}

func (l *listFlags) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&l.file, "list", "", "compare this `FILE` of payments, such as JD's bill, with the orders: CSV, plain, .gz or .zip")
	f.StringVar(&l.columns.Order, "order-column", "", "the `NAME` of the list's column of order numbers")
	f.StringVar(&l.columns.Amount, "amount-column", "", "the `NAME` of the list's column of amounts, in yuan")
	f.StringVar(&l.columns.External, "external-column", "", "the `NAME` of the list's column of JD's trade numbers (default: not compared)")
	f.StringVar(&l.columns.Time, "time-column", "", "the `NAME` of the list's column of times")
	f.StringVar(&l.day, "day", "", "also name what was paid here on this `DAY`, as 2006-01-02, and is not in the list")
	f.StringVar(&l.csv, "csv", "", "write all findings to this `FILE`, too")
}

// given returns an error if one of the flags that go with --list was given without it.
func (l *listFlags) given(cmd *cobra.Command) error {
	for _, name := range []string{"order-column", "amount-column", "external-column", "time-column", "day", "csv"} {
		if cmd.Flags().Changed(name) {
			return usageError{lang.Errorf("--%s goes with --list", name)}
		}
	}
	return nil
}

func (a *app) auditList(cmd *cobra.Command, l *listFlags) (err error) {
	if _, err := time.Parse(time.DateOnly, l.day); l.day != "" && err != nil {
		return usageError{lang.Errorf("--day: %q is not a day, such as 2006-01-02", l.day)}
	}
	debug.SetMemoryLimit(listMemory)
	list, err := readList(l)
	if err != nil {
		return err
	}
	columns := []string{list.Columns.Order, list.Columns.Amount}
	for _, name := range []string{list.Columns.External, list.Columns.Time} {
		if name != "" {
			columns = append(columns, name)
		}
	}
	var findings []inspect.ListFinding
	write := func(inspect.ListFinding) error { return nil }
	if l.csv != "" {
		out, err := os.OpenFile(l.csv, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) // it names orders and amounts
		if err != nil {
			return lang.Errorf("--csv: %s", err)
		}
		w := csv.NewWriter(out)
		defer func() {
			w.Flush()
			err = errors.Join(err, w.Error(), out.Close())
		}()
		write = func(f inspect.ListFinding) error {
			return w.Write([]string{f.Class, strconv.Itoa(f.Line), harmless(f.OrderNo), f.Yuan, strconv.FormatInt(f.JobID, 10), harmless(f.Text.In(a.lang))})
		}
		if err := w.Write([]string{"class", "line", "order_no", "yuan", "job_id", "text"}); err != nil {
			return lang.Errorf("--csv: %s", err)
		}
	}
	var result *inspect.Compared
	err = a.withDatabases(cmd.Context(), func(c *config.Config, account, _ *sql.DB) (err error) {
		if !a.json {
			a.say(lang.M("columns taken: %s", strings.Join(columns, ", ")))
		}
		audit := inspect.ListAudit{Account: account, Zone: c.Payment.Location(), Day: l.day, Found: func(f inspect.ListFinding) error {
			switch {
			case a.json && len(findings) < maxListed:
				findings = append(findings, f)
			case !a.json:
				a.say(lang.M("line %d  %s  %s yuan  %s: %s", f.Line, f.OrderNo, f.Yuan, f.Class, f.Text))
			}
			return write(f)
		}}
		result, err = audit.Run(cmd.Context(), list)
		return a.advise(cmd.Context(), account, nil, err)
	})
	if refused, ok := errors.AsType[*paylist.Refusal](err); ok {
		return usageError{lang.Errorf("%s: %s", l.file, refused.Message)}
	}
	if err != nil {
		return err
	}
	if a.json {
		err = a.printJSON(struct {
			Columns []string `json:"columns"`
			*inspect.Compared
			Found []inspect.ListFinding `json:"found"`
		}{columns, result, orEmpty(findings)})
	} else {
		a.printCompared(result)
	}
	if result.Findings > 0 {
		return lang.Errorf("%d findings", result.Findings)
	}
	return err
}

func readList(l *listFlags) (*paylist.List, error) {
	file, err := os.Open(l.file)
	if err != nil {
		return nil, usageError{lang.Errorf("--list: %s", err)}
	}
	defer file.Close()
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, usageError{lang.Errorf("--list: %s", err)}
	}
	list, err := paylist.Read(file, size, l.columns)
	if refused, ok := errors.AsType[*paylist.Refusal](err); ok {
		return nil, usageError{lang.Errorf("%s: %s", l.file, refused.Message)}
	}
	return list, err
}

// printCompared prints the proof: the classes have all rows and fen of the list.
func (a *app) printCompared(r *inspect.Compared) {
	line := func(name string, s inspect.ListSum) []string {
		return []string{"  " + name, strconv.Itoa(s.Rows), message.Fen(s.Fen).String()}
	}
	rows := [][]string{a.row(lang.M("CLASS"), lang.M("ROWS"), lang.M("YUAN"))}
	var sum inspect.ListSum
	for _, class := range slices.Sorted(maps.Keys(r.Classes)) {
		s := r.Classes[class]
		rows = append(rows, line(class, s))
		if class != inspect.NotListed {
			sum.Rows, sum.Fen = sum.Rows+s.Rows, sum.Fen+s.Fen
		}
	}
	a.table(rows, 0)
	a.say(lang.M("the list has %d rows and %s yuan, the classes %d rows and %s yuan; %d refunds of %s yuan apart",
		r.List.Rows, message.Fen(r.List.Fen), sum.Rows, message.Fen(sum.Fen), r.Refunds.Rows, message.Fen(r.Refunds.Fen)))
}

// harmless makes a cell that no spreadsheet takes for a formula.
func harmless(cell string) string {
	if cell = printable.Text(cell); cell != "" && strings.ContainsRune("=+-@", rune(cell[0])) {
		return "'" + cell
	}
	return cell
}
