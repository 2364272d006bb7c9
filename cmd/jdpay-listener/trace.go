package main

import (
	"cmp"
	"database/sql"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/inspect"
	"jdpay-listener/internal/lang"
)

func (a *app) traceCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "trace ORDER_NO",
		Short: "Print everything known about one order, in time order",
		Long: `Prints everything known about one order: the order, its parcel, cabinet and pay info, and then, in time order, the
notifications and replies that arrived, the steps, their tries, errors and outcomes, what operators did, and what is
planned. Times are in Payment:TimeZone. It only reads. Exits with 1 if nothing is known of the number, or the order cannot
be read.`,
		Example: `  jdpay-listener trace R20261120001
  jdpay-listener trace R20261120001 --json`,
		Args: oneArg(lang.M("an order number")),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, t, err := a.lookUp(cmd, args[0])
			if err != nil {
				return err
			}
			if a.json {
				err = a.printJSON(t)
			} else {
				a.printTrace(t, c.Payment.Location())
			}
			return cmp.Or(a.unreadable(t), err)
		},
	}
}

// unreadable returns an error if nothing is known of the order, or it cannot be read.
func (a *app) unreadable(t *inspect.Trace) error {
	switch {
	case t.OrderError != "":
		return lang.Errorf("the order cannot be read: %s", inspect.Cause(t.OrderError, a.lang))
	case !t.Known():
		return lang.Errorf("nothing is known of order %q: find looks for similar numbers", t.OrderNo)
	}
	return nil
}

// lookUp reads everything known about an order.
func (a *app) lookUp(cmd *cobra.Command, orderNo string) (c *config.Config, t *inspect.Trace, err error) {
	if orderNo = strings.TrimSpace(orderNo); orderNo == "" { // blanks come along when a number is copied
		return nil, nil, usageError{lang.Errorf("the order number is empty")}
	}
	err = a.withDatabases(cmd.Context(), func(loaded *config.Config, account, main *sql.DB) (err error) {
		c = loaded
		t, err = inspect.LookUp(cmd.Context(), account, main, orderNo)
		return err
	})
	return c, t, err
}

func (a *app) printTrace(t *inspect.Trace, zone *time.Location) {
	var rows [][]string
	line := func(name, text lang.Message) { rows = append(rows, a.row(name, text)) }
	switch o := t.Order; {
	case t.OrderError != "":
		line(lang.M("order"), lang.M("%s: cannot be read: %s", t.OrderNo, inspect.Cause(t.OrderError, a.lang)))
	case o == nil:
		line(lang.M("order"), lang.M("%s: there is no such row", t.OrderNo))
	case !o.Paid:
		line(lang.M("order"), lang.M("%s, id %d: %s yuan, not paid", t.OrderNo, o.ID, cmp.Or(o.Amount, "any amount of")))
	default:
		line(lang.M("order"), lang.M("%s, id %d: paid %s of %s yuan at %s, type %s, external id %q", t.OrderNo, o.ID, cmp.Or(o.PayAmount, "?"), cmp.Or(o.Amount, "?"), cmp.Or(o.PayTime, "?"), cmp.Or(o.PayType, "?"), o.ExternalID))
	}
	if p := t.Parcel; p != nil {
		line(lang.M("parcel"), lang.M("waybill %s, cabinet %s of type %d, cell %s", p.Waybill, p.DeviceSN, p.DeviceType, cmp.Or(p.CellSN, "none")))
	}
	if p := t.PayInfo; p != nil {
		line(lang.M("pay info"), lang.M("status %d, type %d, %s, %s", p.Status, p.Type, p.Time, p.Message))
	}
	if !t.Missing.IsZero() {
		line(lang.M("missing"), t.Missing)
	}
	if t.Unread > 0 {
		line(lang.M("unread"), lang.M("%d kept messages have not been decoded yet; one of them may be about this order", t.Unread))
	}
	if t.Unlisted > 0 {
		line(lang.M("unlisted"), lang.M("%d more rejected messages and copies name this order: see jobs list --order", t.Unlisted))
	}
	if t.Deleted > 0 {
		line(lang.M("deleted"), lang.M("%d more rejected messages named this order; they were deleted and counted, the first and the newest of each hour are kept", t.Deleted))
	}
	a.table(rows, 0)
	if len(t.Events) == 0 {
		return
	}
	a.printLine("")
	rows = [][]string{a.row(lang.M("time (%s)", zone), lang.M("job"), lang.M("kind"), lang.Message{})}
	for _, e := range t.Events {
		id := "-"
		if e.JobID != 0 {
			id = strconv.FormatInt(e.JobID, 10)
		}
		what := shorten(plain(e.What.In(a.lang)), 300) // jobs show and --json have all of it
		rows = append(rows, []string{e.At.In(zone).Format("2006-01-02 15:04:05.000"), id, e.Kind, what})
	}
	a.table(rows, 0)
}
