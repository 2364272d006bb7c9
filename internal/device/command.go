// Package device is where a payment reaches the cabinet: it keeps one MQTT session with the broker up and publishes the
// pay-complete command over it. A published command is "sent" only when the broker acknowledged it on the connection it
// went out on; everything else is doubt, and the caller sends the same command again with the same message id.
package device

import (
	"strconv"
	"strings"
)

// Command tells a cabinet that a parcel order is paid and which cell to open. Names and order of the fields are the
// payload's (contract, "Cabinet command").
type Command struct {
	PostOrderId   int64
	DeviceGroupSN string
	DeviceType    int
	CellSN        string // empty when the order has no cell: the command is sent all the same
	MessageId     string // from MessageID; the same in every resend
	IssuedAt      int64  // epoch milliseconds
	ExpireAt      int64  // epoch milliseconds; the cabinet must not open a door later
}

const messagePrefix = "pay-complete-"

// MessageID is the message id of an order's pay-complete command. It depends on the order alone, so that a cabinet and
// the reply side can tell a resend from a new command.
func MessageID(orderID int64) string {
	return messagePrefix + strconv.FormatInt(orderID, 10)
}

// ParseMessageID returns the order whose command has this message id, and false for every text MessageID never returns.
func ParseMessageID(id string) (orderID int64, ok bool) {
	digits, ok := strings.CutPrefix(id, messagePrefix)
	if !ok {
		return 0, false
	}
	orderID, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || MessageID(orderID) != id {
		return 0, false
	}
	return orderID, true
}
