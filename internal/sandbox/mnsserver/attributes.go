package mnsserver

import (
	"strconv"
	"strings"
)

// attributes are the settings of a queue. Times are seconds, sizes bytes.
type attributes struct {
	DelaySeconds           int
	MaximumMessageSize     int
	MessageRetentionPeriod int
	VisibilityTimeout      int
	PollingWaitSeconds     int
	LoggingEnabled         bool
}

var defaultAttributes = attributes{
	MaximumMessageSize:     65536,
	MessageRetentionPeriod: 345600,
	VisibilityTimeout:      30,
}

// numbers lists the numeric attributes with their documented ranges, in the order of replies.
func (a *attributes) numbers() []attribute {
	return []attribute{
		{"DelaySeconds", &a.DelaySeconds, 0, maxDelay},
		{"MaximumMessageSize", &a.MaximumMessageSize, 1024, 65536},
		{"MessageRetentionPeriod", &a.MessageRetentionPeriod, 60, 604800},
		{"VisibilityTimeout", &a.VisibilityTimeout, 1, maxVisibility},
		{"PollingWaitSeconds", &a.PollingWaitSeconds, 0, 30},
	}
}

type attribute struct {
	name      string
	value     *int
	low, high int
}

const (
	maxDelay      = 604800
	maxVisibility = 43200
)

// merge returns a with the elements of a Queue document. Unknown elements are ignored.
func (a attributes) merge(doc element) (attributes, error) {
	if doc.name != "" && !doc.is("Queue") {
		return a, invalidArgument("The root element is %s, not Queue", doc.name)
	}
	for _, attr := range a.numbers() {
		e := doc.child(attr.name)
		if e == nil {
			continue
		}
		n, err := strconv.Atoi(strings.TrimSpace(e.text))
		if err != nil || n < attr.low || n > attr.high {
			return a, outOfRange(attr.name, attr.low, attr.high)
		}
		*attr.value = n
	}
	if e := doc.child("LoggingEnabled"); e != nil {
		enabled, err := strconv.ParseBool(strings.ToLower(strings.TrimSpace(e.text)))
		if err != nil {
			return a, invalidArgument("The value of LoggingEnabled should be True or False")
		}
		a.LoggingEnabled = enabled
	}
	return a, nil
}

// appendAttributes writes the reply of GetQueueAttributes. One client refuses a reply without one of these elements.
func (q *queue) appendAttributes(b []byte) []byte {
	b = appendElement(b, "QueueName", q.name)
	b = appendNumber(b, "CreateTime", q.created.Unix())
	b = appendNumber(b, "LastModifyTime", q.modified.Unix())
	for _, attr := range q.attrs.numbers() {
		b = appendNumber(b, attr.name, int64(*attr.value))
	}
	b = appendElement(b, "LoggingEnabled", map[bool]string{true: "True", false: "False"}[q.attrs.LoggingEnabled])
	stats := q.snapshot()
	b = appendNumber(b, "ActiveMessages", int64(stats.Active))
	b = appendNumber(b, "InactiveMessages", int64(stats.Inactive))
	return appendNumber(b, "DelayMessages", int64(stats.Delayed))
}

// validQueueName checks letters, digits and hyphens, the first no hyphen, 120 at most.
func validQueueName(name string) error {
	if name == "" || len(name) > 120 {
		return errQueueNameLength
	}
	for i := range len(name) {
		c := name[i]
		letterOrDigit := c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9'
		if !letterOrDigit && (c != '-' || i == 0) {
			return errInvalidQueueName
		}
	}
	return nil
}
