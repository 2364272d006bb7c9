package main

import (
	"cmp"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
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
		Args: oneArg("an order number"),
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
		return nil, nil, usageError{errors.New("the order number is empty")}
	}
	err = a.withDatabases(cmd.Context(), func(loaded *config.Config, account, main *sql.DB) (err error) {
		c = loaded
		t, err = inspect.LookUp(cmd.Context(), account, main, orderNo)
		return err
	})
	return c, t, err
}

func (a *app) printTrace(t *inspect.Trace, zone *time.Location) {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	defer w.Flush() // a closed pipe is its reader's choice
	line := func(name, format string, args ...any) { cells(w, name, fmt.Sprintf(format, args...)) }
	switch o := t.Order; {
	case t.OrderError != "":
		line("order", "%s: cannot be read: %s", t.OrderNo, inspect.Cause(t.OrderError, a.lang))
	case o == nil:
		line("order", "%s: there is no such row", t.OrderNo)
	case !o.Paid:
		line("order", "%s, id %d: %s yuan, not paid", t.OrderNo, o.ID, cmp.Or(o.Amount, "any amount of"))
	default:
		line("order", "%s, id %d: paid %s of %s yuan at %s, type %s, external id %q", t.OrderNo, o.ID, cmp.Or(o.PayAmount, "?"), cmp.Or(o.Amount, "?"), cmp.Or(o.PayTime, "?"), cmp.Or(o.PayType, "?"), o.ExternalID)
	}
	if p := t.Parcel; p != nil {
		line("parcel", "waybill %s, cabinet %s of type %d, cell %s", p.Waybill, p.DeviceSN, p.DeviceType, cmp.Or(p.CellSN, "none"))
	}
	if p := t.PayInfo; p != nil {
		line("pay info", "status %d, type %d, %s, %s", p.Status, p.Type, p.Time, p.Message)
	}
	if t.Missing != "" {
		line("missing", "%s", t.Missing)
	}
	if t.Unread > 0 {
		line("unread", "%d kept messages have not been decoded yet; one of them may be about this order", t.Unread)
	}
	if t.Unlisted > 0 {
		line("unlisted", "%d more rejected messages and copies name this order: see jobs list --order", t.Unlisted)
	}
	if t.Deleted > 0 {
		line("deleted", "%d more rejected messages named this order; they were deleted and counted, the first and the newest of each hour are kept", t.Deleted)
	}
	if len(t.Events) == 0 {
		return
	}
	cells(w)
	cells(w, fmt.Sprintf("time (%s)", zone), "job", "kind", "")
	for _, e := range t.Events {
		id := "-"
		if e.JobID != 0 {
			id = strconv.FormatInt(e.JobID, 10)
		}
		cells(w, e.At.In(zone).Format("2006-01-02 15:04:05.000"), id, e.Kind, shorten(plain(e.What), 300)) // jobs show and --json have all of it
	}
}
