package main

import (
	"cmp"
	"database/sql"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/inspect"
	"jdpay-listener/internal/lang"
)

func (a *app) findCommand() *cobra.Command {
	limit := 0
	cmd := &cobra.Command{
		Use:   "find TEXT…",
		Short: "Find orders by order number, external id, waybill, cabinet, or a part of one",
		Long: `Finds orders by order number, order id, JD's external id, waybill, the cabinet's serial, or the id of a message in MNS or
to a cabinet. TEXT may be a part that was read out over the phone: case, blanks and dashes do not matter, and it may be in
several words. Whole numbers are found however old they are, if their column has an index; parts of at least 3 letters or
digits in the newest 200,000 orders. Each table is searched for 5 seconds at most. It only reads. Exits with 1 if nothing is
found.`,
		Example: `  jdpay-listener find R20261120001
  jdpay-listener find jd 0012 3456
  jdpay-listener find CAB-7 --limit 50 --json`,
		Args: someArgs(lang.M("a number, or a part of one,")),
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 1 || limit > 1000 {
				return usageError{lang.Errorf("--limit is a number from 1 to 1000")}
			}
			var found *inspect.FoundOrders
			err := a.withDatabases(cmd.Context(), func(c *config.Config, account, main *sql.DB) (err error) {
				queues := slices.DeleteFunc([]string{c.JDPay.NotifyQueueName, c.SyncReply.QueueName}, func(q string) bool { return q == "" })
				found, err = inspect.Find(cmd.Context(), account, main, queues, strings.Join(args, " "), limit)
				if errors.Is(err, inspect.ErrFindText) {
					return usageError{err}
				}
				return err
			})
			if err != nil {
				return err
			}
			if a.json {
				err = a.printJSON(found)
			} else {
				a.printFound(found)
			}
			if len(found.Orders) == 0 {
				return lang.Errorf("no order is found by %q", found.Text)
			}
			return err
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 20, "at most this `NUMBER` of orders")
	return cmd
}

func (a *app) printFound(found *inspect.FoundOrders) {
	if len(found.Orders) > 0 {
		rows := [][]string{a.row(lang.M("ORDER"), lang.M("ID"), lang.M("YUAN"), lang.M("PAID"), lang.M("WAYBILL"), lang.M("CABINET"), lang.M("EXTERNAL ID"), lang.M("FOUND BY"))}
		for _, o := range found.Orders {
			id, paid := lang.Plain(strconv.FormatInt(o.OrderID, 10)), lang.M("no")
			if o.Paid {
				paid = lang.M("yes")
			}
			if o.OrderID == 0 {
				id, paid = lang.M("no such order"), lang.Plain("-")
			}
			var matched []lang.Message
			for _, by := range o.Matched {
				matched = append(matched, lang.Marked(by))
			}
			value := func(text string) lang.Message { return lang.Plain(cmp.Or(text, "-")) }
			rows = append(rows, a.row(value(o.OrderNo), id, value(o.Amount), paid, value(o.Waybill), value(o.DeviceSN), value(o.ExternalID), lang.Join(matched, ", ")))
		}
		a.table(rows, 0)
	}
	if found.More {
		a.warn(lang.M("there are more than %d: give more of the number, or --limit", len(found.Orders)))
	}
	for _, note := range found.Notes {
		a.warn(lang.M("note: %s", note))
	}
}
