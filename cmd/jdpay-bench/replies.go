package main

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// repliesRate is the load in payments per second.
const repliesRate = 100

// replies measures the time from a cabinet's reply to the conclusion of the command that waits for it.
func (b *bench) replies(ctx context.Context) error {
	c, err := b.newCompany(ctx)
	if err != nil {
		return err
	}
	c.replies, c.extra = true, []string{"Mqtt__RequireReply=true", "Mqtt__ReplyTimeout=60s"}

	commanded := make(chan int64, 10_000)
	put := map[int64]time.Time{}
	var failed error
	var answering sync.WaitGroup
	answering.Go(func() {
		for id := range commanded {
			var at time.Time
			if err := c.standIns.Call("StandIns.Reply", id, &at); err != nil {
				failed = fmt.Errorf("answering a command: %w", err)
			}
			put[id] = at
		}
	})
	c.cabinets.answer(commanded)
	l, orders, err := c.paced(ctx, repliesRate, max(int(b.sizes.paced.Seconds()*repliesRate), 100), func([]*process) error { return nil })
	c.cabinets.answer(nil)
	close(commanded)
	answering.Wait()
	if err == nil {
		err = failed
	}
	if err != nil {
		return err
	}
	rows, err := c.db.QueryContext(ctx, "SELECT CAST(SUBSTRING_INDEX(unique_key, ':', -1) AS SIGNED), finished_at FROM jdpay_job WHERE kind = 'pay-complete' AND outcome = 'confirmed'")
	if err != nil {
		return fmt.Errorf("reading the confirmations: %w", err)
	}
	defer rows.Close()
	var waits []time.Duration
	for rows.Next() {
		var id int64
		var confirmed time.Time
		if err := rows.Scan(&id, &confirmed); err != nil {
			return fmt.Errorf("reading the confirmations: %w", err)
		}
		if orders.contains(id) {
			waits = append(waits, confirmed.Sub(put[id]))
		}
	}
	if err := rows.Err(); err != nil || len(waits) == 0 {
		return fmt.Errorf("no command was confirmed: %w", err)
	}
	l.measure(waits)
	b.results.Replies = &l
	progress("replies at %d/s: p50 %.1f ms, p99 %.1f ms", l.PerSecond, l.P50, l.P99)
	return c.close()
}
