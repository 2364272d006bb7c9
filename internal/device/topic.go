package device

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"jdpay-listener/internal/lang"
)

// InvalidTopicError means that a cabinet's serial cannot be part of an MQTT topic. A retry does not help: a person must
// correct the device group's row.
type InvalidTopicError struct {
	DeviceGroupSN string
	Reason        string
}

// Error names the serial and its fault.
func (e *InvalidTopicError) Error() string {
	return fmt.Sprintf("device group serial %.64q cannot be in an mqtt topic: %s: correct the serial of the device group", e.DeviceGroupSN, e.Reason)
}

// maxTopic is the maximum length of an MQTT topic in bytes (MQTT 3.1.1, 1.5.3); the library cuts longer ones silently.
const maxTopic = 65535

// topicTemplate is a parsed topic with placeholders: texts and fields alternate, beginning and ending with a text.
type topicTemplate struct {
	texts  []string
	fields []string
}

// parseTopic parses and checks a template, so that only a serial can make a topic invalid later.
func parseTopic(template string) (topicTemplate, error) {
	var t topicTemplate
	if template == "" {
		return t, lang.Errorf("it is empty")
	}
	for rest, more := template, true; more; {
		var text, field string
		text, rest, more = strings.Cut(rest, "{")
		if reason := topicFault(text); reason != "" {
			return t, errors.New(reason)
		}
		closed := true
		if more {
			field, rest, closed = strings.Cut(rest, "}")
		}
		switch {
		case !closed, strings.Contains(text, "}"), strings.Contains(field, "{"):
			return t, lang.Errorf("a brace is not closed or not opened")
		case more && !slices.Contains([]string{"DeviceGroupSN", "PostOrderId", "DeviceType"}, field):
			return t, lang.Errorf("unknown placeholder {%s}", field)
		}
		t.texts = append(t.texts, text)
		if more {
			t.fields = append(t.fields, field)
		}
	}
	return t, nil
}

// topic fills in the template. It returns an *InvalidTopicError for a serial that cannot be one topic level.
func (t topicTemplate) topic(c *Command) (string, error) {
	reason := topicFault(c.DeviceGroupSN)
	switch {
	case c.DeviceGroupSN == "":
		reason = "it is empty"
	case strings.Contains(c.DeviceGroupSN, "/"):
		reason = "it contains /"
	case strings.HasPrefix(c.DeviceGroupSN, "$") && t.texts[0] == "":
		reason = "the topic would begin with $, which is reserved for the broker"
	}
	if reason != "" {
		return "", &InvalidTopicError{DeviceGroupSN: c.DeviceGroupSN, Reason: reason}
	}
	topic := make([]byte, 0, 128)
	topic = append(topic, t.texts[0]...)
	for i, field := range t.fields {
		switch field {
		case "DeviceGroupSN":
			topic = append(topic, c.DeviceGroupSN...)
		case "PostOrderId":
			topic = strconv.AppendInt(topic, c.PostOrderId, 10)
		case "DeviceType":
			topic = strconv.AppendInt(topic, int64(c.DeviceType), 10)
		}
		topic = append(topic, t.texts[i+1]...)
	}
	if len(topic) > maxTopic {
		return "", &InvalidTopicError{DeviceGroupSN: c.DeviceGroupSN, Reason: "it is too long"}
	}
	return string(topic), nil
}

// topicFault returns why s cannot be part of a topic to publish to, or "". Wildcards (MQTT 3.1.1, 3.3.2.1) and invalid
// UTF-8 (1.5.3) are forbidden. Upon control characters and non-characters a broker may end the connection, which would
// interrupt the commands of all cabinets.
func topicFault(s string) string {
	if !utf8.ValidString(s) {
		return "it is not valid UTF-8"
	}
	for _, r := range s {
		switch {
		case r == '+' || r == '#':
			return "it contains the wildcard " + string(r)
		case unicode.IsControl(r), r >= 0xFDD0 && r <= 0xFDEF, r&0xFFFE == 0xFFFE:
			return fmt.Sprintf("it contains the character %U", r)
		}
	}
	return ""
}
