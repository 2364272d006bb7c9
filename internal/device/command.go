// Package device sends the pay-complete command to a cabinet, over one MQTT session with the broker. A command is sent
// only when the broker has acknowledged it on the same connection. Otherwise its fate is unknown, and the caller sends it
// again with the same message id.
package device

import (
	"strconv"
	"strings"
)

// Command tells a cabinet that a parcel order is paid and which cell to open. Its JSON, with the fields in this order, is
// the payload (contract, "Cabinet command").
type Command struct {
	PostOrderId   int64
	DeviceGroupSN string
	DeviceType    int
	CellSN        string // empty if the order has no cell
	MessageId     string // from MessageID; the same in every resend
	IssuedAt      int64  // epoch milliseconds
	ExpireAt      int64  // epoch milliseconds; the cabinet must not open a cell later
}

const messagePrefix = "pay-complete-"

// MessageID is the message id of an order's pay-complete command. It depends only on the order, so that a cabinet can
// recognise a resent command, and a reply finds its command.
func MessageID(orderID int64) string {
	return messagePrefix + strconv.FormatInt(orderID, 10)
}

// ParseMessageID returns the order whose command has this message id, and false if id is none of MessageID.
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
