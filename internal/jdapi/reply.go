package jdapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
)

// reply is what JD answered, as far as it matters.
type reply struct {
	Success flag `json:"success"`
	Code    text `json:"code"`
	Message text `json:"message"`
	Msg     text `json:"msg"`
	Data    flag `json:"data"` // a boolean, or anything else, which says nothing
	ZhDesc  text `json:"zh_desc"`
	EnDesc  text `json:"en_desc"`
}

// ok is the success rule: success is true and data, if it is a boolean, does not take that back.
func (r reply) ok() bool { return r.Success == yes && r.Data != no }

func (r reply) message() string {
	for _, m := range []text{r.Message, r.Msg, r.ZhDesc, r.EnDesc} {
		if m != "" {
			return string(m)
		}
	}
	return ""
}

// flag is a boolean that may be text and may be missing.
type flag int8

const (
	unsaid flag = iota
	no
	yes
)

// UnmarshalJSON accepts everything; what is not a boolean says nothing.
func (f *flag) UnmarshalJSON(b []byte) error {
	switch strings.ToLower(strings.Trim(string(b), `"`)) {
	case "true":
		*f = yes
	case "false":
		*f = no
	}
	return nil
}

// text is a string that may be a number.
type text string

// UnmarshalJSON accepts everything; null is empty, and what is not a string is kept as it stands.
func (t *text) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		s = string(b)
	}
	*t = text(strings.TrimSpace(s))
	return nil
}

var errNotObject = errors.New("the reply is not a JSON object")

func parsePlain(body []byte) (r reply, err error) {
	if !bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) || json.Unmarshal(body, &r) != nil {
		return reply{}, errNotObject
	}
	return r, nil
}

// parseJOS reads the platform's reply: {"<method>_responce": {…}} in JD's spelling, or {"error_response": {…}}. Code "0"
// only says that the platform passed the call on; whether it succeeded is said by the service's own success, beside the
// code or one object deeper. A service that says nothing of the kind has succeeded.
func parseJOS(body []byte, method string) (reply, error) {
	var outer map[string]json.RawMessage
	if json.Unmarshal(body, &outer) != nil || outer == nil {
		return reply{}, errNotObject
	}
	if inner, found := outer["error_response"]; found {
		r, err := parsePlain(inner)
		r.Success = no
		return r, err
	}
	name := strings.ReplaceAll(method, ".", "_")
	inner, found := outer[name+"_responce"]
	if !found {
		inner, found = outer[name+"_response"]
	}
	if !found {
		return reply{}, errors.New("the reply has neither " + name + "_responce nor error_response")
	}
	r, err := parsePlain(inner)
	if err != nil || r.Success != unsaid {
		return r, err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(inner, &members); err != nil {
		return reply{}, errNotObject
	}
	for _, member := range members {
		if deeper, err := parsePlain(member); err == nil && deeper.Success != unsaid {
			return deeper, nil
		}
	}
	if r.Code == "0" {
		r.Success = yes
	}
	return r, nil
}
