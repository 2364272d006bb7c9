package ops

import (
	"fmt"
	"strings"
	"time"
)

// Promise is what the service promises about each payment: something is done within a time. The metric jdpay_slo_total
// counts the payments of which that can be said, jdpay_slo_good_total those of which it is true.
type Promise struct {
	Name   string // the label
	Within time.Duration
	Text   string
}

// The names of the promises.
const (
	Kept      = "kept"
	Settled   = "settled"
	Told      = "told"
	Confirmed = "confirmed"
)

// Promises lists the promises in the order of a payment.
var Promises = []Promise{
	{Kept, 5 * time.Second, "from MNS's enqueue time until the notification is in the job table"},
	{Settled, 10 * time.Second, "from MNS's enqueue time until the order is paid"},
	{Told, 2 * time.Second, "from settling until the broker acknowledges the cabinet's command"},
	{Confirmed, 30 * time.Second, "from settling until the cabinet replies that it has opened; only with Mqtt:RequireReply"},
}

// promisesText lists the promises for the metric's help.
func promisesText() string {
	texts := make([]string, len(Promises))
	for i, p := range Promises {
		texts[i] = fmt.Sprintf("%s (within %s %s)", p.Name, p.Within, p.Text)
	}
	return strings.Join(texts, ", ")
}

// CountPromise counts a payment of which a promise was kept or broken. A broken one may be counted long before the payment
// gets there, or if it never does.
func (m *Metrics) CountPromise(name string, good bool) {
	m.Promised.WithLabelValues(name).Inc()
	if good {
		m.PromisesKept.WithLabelValues(name).Inc()
	}
}
