package mnsserver

import (
	"encoding/base64"
	"strconv"
	"strings"
)

// handle is the content of a receipt handle in the service's older and documented form: "1-" and base64 of
// "offset-nextVisibleSeconds-n-priority". It often ends in "=", so that requests fail if a client does not escape it, or
// signs another text.
type handle struct {
	seq    uint64
	number uint32
}

func appendHandle(b []byte, m *message) []byte {
	var text [64]byte
	t := strconv.AppendUint(text[:0], m.seq, 10)
	t = strconv.AppendInt(append(t, '-'), m.visibleAt/1000, 10)
	t = strconv.AppendUint(append(t, '-'), uint64(m.handle), 10)
	t = strconv.AppendUint(append(t, '-'), uint64(m.priority), 10)
	return base64.StdEncoding.AppendEncode(append(b, "1-"...), t)
}

// parseHandle reports false for a text that is no handle.
func parseHandle(text string) (handle, bool) {
	encoded, ok := strings.CutPrefix(text, "1-")
	if !ok {
		return handle{}, false
	}
	decoded, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return handle{}, false
	}
	fields := strings.Split(string(decoded), "-")
	if len(fields) != 4 {
		return handle{}, false
	}
	var numbers [4]uint64
	for i, field := range fields {
		if numbers[i], err = strconv.ParseUint(field, 10, 64); err != nil {
			return handle{}, false
		}
	}
	return handle{seq: numbers[0], number: uint32(numbers[2])}, true
}
