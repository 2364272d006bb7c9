package jdapi

import (
	"cmp"
	"errors"
	"slices"
	"strings"
)

// reply is what JD answered, as far as it matters.
type reply struct {
	ok      bool
	code    string // of the object that says so
	message string
	// platform is the code of a reply that refuses as a whole. Codes further in are the service's own and share only their
	// digits with those of the platform.
	platform string
}

// The names and words by which JD's services say how a call went. A reply is a success only if it says so by one of them
// and no object of it, however deep, says the opposite: an unknown way to say no must not pass for a yes.
var (
	// A flag is true or false. Anything else in its place, except null, is no known way to say success.
	flagNames = []string{"success", "issuccess"}
	// A value is true or false, or the content of the reply, which says nothing by itself.
	valueNames = []string{"result", "data", "returntype"}
	// A code is one of okCodes, or says that the call failed. For "code" that holds only where no true flag stands beside it.
	codeNames    = []string{"code", "resultcode", "statuscode", "errorcode", "errcode"}
	messageNames = []string{
		"message", "msg", "zhdesc", "endesc", "resultmessage", "resultmsg", "statusmessage", "errormessage", "errormsg", "errmsg",
	}
	idNames = []string{"requestid", "traceid"}

	okCodes   = []string{"0", "200", "success"}
	yesFlags  = []string{"true"}
	yesValues = []string{"true", "success"}
	noValues  = []string{"false", "fail", "failed", "failure", "error"}
)

var errUnclear = errors.New("the reply does not say in a known way that the call succeeded")

// parsePlain reads the reply of the contract. It is a success if its own "success" is true and nothing refuses.
func parsePlain(body []byte) (reply, error) {
	n, err := parse(body)
	if err != nil {
		return reply{}, err
	}
	if r, refused := n.refusal(n); refused {
		return r, nil
	}
	code := n.code()
	return reply{ok: n.flagged("success"), code: code, message: n.message(), platform: code}, nil
}

// parseJOS reads the platform's reply: {"<method>_responce": {…}} in JD's spelling, or {"error_response": {…}}. Code "0"
// only says that the platform passed the call on; whether it succeeded is said by the service, beside the code, in an
// object below it, or in a JSON text. A service that says nothing at all has succeeded.
func parseJOS(body []byte, method string) (reply, error) {
	n, err := parse(body)
	if err != nil {
		return reply{}, err
	}
	if e, found := n.member("error_response"); found {
		if e.kind != object {
			return reply{}, errNotObject
		}
		return reply{code: e.code(), message: e.message(), platform: e.code()}, nil
	}
	name := strings.ReplaceAll(method, ".", "_")
	service, found := n.member(name + "_responce")
	if !found {
		service, found = n.member(name + "_response")
	}
	switch {
	case !found:
		return reply{}, errors.New("the reply has neither " + name + "_responce nor error_response")
	case service.kind != object:
		return reply{}, errNotObject
	}
	if r, refused := n.refusal(service); refused {
		return r, nil
	}
	return service.verdict(body), nil
}

// verdict is what a service's reply says, of which no object refuses.
func (n node) verdict(body []byte) reply {
	code := n.code()
	if code != "" && !slices.Contains(okCodes, strings.ToLower(code)) { // a flag beside it does not change what the platform says
		return reply{code: code, message: n.message(), platform: code}
	}
	for o := range n.objects() {
		if o.flagged(flagNames...) {
			return reply{ok: true, code: o.code(), message: o.message()}
		}
	}
	if n.word("code").text == "0" {
		if n.bare() {
			return reply{ok: true, code: code, message: n.message()}
		}
		below := codeNames[1:] // the platform's own code is no word of the service
		for o := range n.objects() {
			if o.accepts(below) {
				return reply{ok: true, code: o.code(), message: o.message()}
			}
			below = codeNames
		}
	}
	return reply{code: code, message: cmp.Or(n.message(), errUnclear.Error()+": "+string(body))}
}

// refusal finds an object that says no: own, which is the reply itself, or else the outermost one. JD's text stands in
// it, or else somewhere in the reply.
func (n node) refusal(own node) (r reply, found bool) {
	if own.refuses() {
		return reply{code: own.code(), message: cmp.Or(own.message(), n.anyMessage()), platform: own.word("code").text}, true
	}
	for o := range n.objects() {
		if o.refuses() {
			return reply{code: o.code(), message: cmp.Or(o.message(), n.anyMessage())}, true
		}
	}
	return reply{}, false
}

// anyMessage is the outermost text for people.
func (n node) anyMessage() string {
	for o := range n.objects() {
		if text := o.message(); text != "" {
			return text
		}
	}
	return ""
}

// refuses reports whether one of the object's own members says no.
func (n node) refuses() bool {
	explained := n.flagged(flagNames...)
	for _, m := range n.members {
		switch {
		case m.unsaid():
		case slices.Contains(flagNames, m.word):
			if !m.is(yesFlags) {
				return true
			}
		case slices.Contains(valueNames, m.word):
			if m.is(noValues) {
				return true
			}
		case slices.Contains(codeNames, m.word):
			if !m.is(okCodes) && (m.word != "code" || !explained) {
				return true
			}
		}
	}
	return false
}

// accepts reports whether one of the object's own members says yes in another way than by a flag.
func (n node) accepts(codes []string) bool {
	for _, m := range n.members {
		if slices.Contains(valueNames, m.word) && m.is(yesValues) || slices.Contains(codes, m.word) && m.is(okCodes) {
			return true
		}
	}
	return false
}

// flagged reports whether one of these flags is true.
func (n node) flagged(names ...string) bool {
	return slices.ContainsFunc(n.members, func(m member) bool { return slices.Contains(names, m.word) && m.is(yesFlags) })
}

// bare reports whether the object has nothing but a code and texts.
func (n node) bare() bool {
	return !slices.ContainsFunc(n.members, func(m member) bool {
		known := m.word == "code" || slices.Contains(messageNames, m.word) || slices.Contains(idNames, m.word)
		return !known && m.kind != null
	})
}

// code is the object's code: the one that says no, or else the first one.
func (n node) code() (code string) {
	for _, m := range n.members {
		switch {
		case m.unsaid() || !slices.Contains(codeNames, m.word):
		case !m.is(okCodes):
			return m.text
		case code == "":
			code = m.text
		}
	}
	return code
}

// message is the object's text for people.
func (n node) message() string {
	for _, name := range messageNames {
		for _, m := range n.members {
			if m.word == name && m.text != "" {
				return m.text
			}
		}
	}
	return ""
}
