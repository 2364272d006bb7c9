package jdapi

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// reply is what matters of JD's reply.
type reply struct {
	ok      bool
	code    string // of the object that means success or refusal
	message string
	// platform is the code of the outermost object of a refusal. Codes of inner objects are the service's own: their
	// numbers have other meanings.
	platform string
	// byPlatform: the code is one of the platform itself, so the configured codes, which are the service's, do not apply.
	byPlatform bool
}

// The names and values by which JD's services report the result of a call. A reply is a success only if one of them means
// success and none, in an object at any depth, means refusal: a refusal in an unknown form must not count as success.
var (
	// A flag is true or false. Any other value, except null, is a refusal.
	flagNames = []string{"success", "issuccess"}
	// A value is true or false, or the content of the reply, which has no meaning here.
	valueNames = []string{"result", "data", "returntype"}
	// A code is one of okCodes, else a refusal. "code" is not a refusal beside a true flag.
	codeNames    = []string{"code", "resultcode", "statuscode", "errorcode", "errcode"}
	messageNames = []string{
		"message", "msg", "zhdesc", "endesc", "resultmessage", "resultmsg", "statusmessage", "errormessage", "errormsg", "errmsg",
	}
	idNames = []string{"requestid", "traceid"}

	okCodes       = []string{"0", "200", "success"}
	okFlags       = []string{"true"}
	okValues      = []string{"true", "success"}
	refusalValues = []string{"false", "fail", "failed", "failure", "error"}
)

var errUnclear = errors.New("the reply does not report success in a known form")

// parsePlain reads the reply of the contract. It is a success if its own "success" is true and no object refuses.
func parsePlain(body []byte) (reply, error) {
	n, err := parse(body)
	if err != nil {
		return reply{}, err
	}
	if e, found := n.platformError(); found { // of a gateway that signs for us
		return e, nil
	}
	if r, refused := n.refusal(n); refused {
		return r, nil
	}
	code := n.code()
	return reply{ok: n.flagged("success"), code: code, message: n.message(), platform: code}, nil
}

// parseJOS reads the platform's reply: {"<method>_responce": {…}} in JD's spelling, or {"error_response": {…}}. Code "0"
// only means that the platform has forwarded the call; the service reports its result beside the code, in an inner object,
// or in a JSON text. A reply with code "0" and no content is a success.
func parseJOS(body []byte, method string) (reply, error) {
	n, err := parse(body)
	if err != nil {
		return reply{}, err
	}
	if e, found := n.platformError(); found {
		return e, nil
	}
	if _, found := n.member("error_response"); found {
		return reply{}, errNotObject
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
		r.byPlatform = r.code == r.platform && isPlatformCode(r.code)
		return r, nil
	}
	return service.result(body), nil
}

// platformError finds the platform's own error, {"error_response": {…}}, at any depth: a gateway or a service may wrap it.
func (n node) platformError() (reply, bool) {
	for o := range n.objects() {
		if e := o.keyed("errorresponse"); e.kind == object {
			return reply{code: e.code(), message: e.message(), platform: e.code(), byPlatform: true}, true
		}
	}
	return reply{}, false
}

// isPlatformCode reports whether a code in the place of the platform's is one: they have one or two digits, or mean
// success. Services put longer codes of their own there.
func isPlatformCode(code string) bool {
	if slices.Contains(okCodes, strings.ToLower(code)) {
		return true
	}
	_, err := strconv.ParseUint(code, 10, 64)
	return err == nil && len(code) <= 2
}

// result is the result of a service's reply in which no object refuses.
func (n node) result(body []byte) reply {
	code := n.code()
	if code != "" && !slices.Contains(okCodes, strings.ToLower(code)) { // the platform's code counts even beside a true flag
		return reply{code: code, message: n.message(), platform: code, byPlatform: isPlatformCode(code)}
	}
	for o := range n.objects() {
		if o.flagged(flagNames...) {
			return reply{ok: true, code: o.code(), message: o.message()}
		}
	}
	if n.keyed("code").text == "0" {
		if n.onlyCodeAndTexts() {
			return reply{ok: true, code: code, message: n.message()}
		}
		names := codeNames[1:] // "code" of the outermost object is the platform's, not the service's
		for o := range n.objects() {
			if o.accepts(names) {
				return reply{ok: true, code: o.code(), message: o.message()}
			}
			names = codeNames
		}
	}
	return reply{code: code, message: cmp.Or(n.message(), errUnclear.Error()+": "+string(body))}
}

// refusal finds an object that refuses: own, which is the reply itself, else the outermost one. The message is that of
// the object, else any of the reply.
func (n node) refusal(own node) (r reply, found bool) {
	if own.refuses() {
		return reply{code: own.code(), message: cmp.Or(own.message(), n.anyMessage()), platform: own.keyed("code").text}, true
	}
	for o := range n.objects() {
		if o.refuses() {
			return reply{code: o.code(), message: cmp.Or(o.message(), n.anyMessage())}, true
		}
	}
	return reply{}, false
}

// anyMessage is the outermost message.
func (n node) anyMessage() string {
	for o := range n.objects() {
		if text := o.message(); text != "" {
			return text
		}
	}
	return ""
}

// refuses reports whether one of the object's own members means refusal.
func (n node) refuses() bool {
	trueFlag := n.flagged(flagNames...)
	for _, m := range n.members {
		switch {
		case m.empty():
		case slices.Contains(flagNames, m.key):
			if !m.isOneOf(okFlags) {
				return true
			}
		case slices.Contains(valueNames, m.key):
			if m.isOneOf(refusalValues) {
				return true
			}
		case slices.Contains(codeNames, m.key):
			if !m.isOneOf(okCodes) && (m.key != "code" || !trueFlag) {
				return true
			}
		}
	}
	return false
}

// accepts reports whether one of the object's own members, other than a flag, means success.
func (n node) accepts(codes []string) bool {
	for _, m := range n.members {
		if slices.Contains(valueNames, m.key) && m.isOneOf(okValues) || slices.Contains(codes, m.key) && m.isOneOf(okCodes) {
			return true
		}
	}
	return false
}

// flagged reports whether one of these flags is true.
func (n node) flagged(names ...string) bool {
	return slices.ContainsFunc(n.members, func(m member) bool { return slices.Contains(names, m.key) && m.isOneOf(okFlags) })
}

// onlyCodeAndTexts reports whether the object has no other members than a code, messages and ids.
func (n node) onlyCodeAndTexts() bool {
	return !slices.ContainsFunc(n.members, func(m member) bool {
		known := m.key == "code" || slices.Contains(messageNames, m.key) || slices.Contains(idNames, m.key)
		return !known && m.kind != null
	})
}

// code is the object's code: one that means refusal, else the first one.
func (n node) code() (code string) {
	for _, m := range n.members {
		switch {
		case m.empty() || !slices.Contains(codeNames, m.key):
		case !m.isOneOf(okCodes):
			return m.text
		case code == "":
			code = m.text
		}
	}
	return code
}

// message is the object's message.
func (n node) message() string {
	for _, name := range messageNames {
		for _, m := range n.members {
			if m.key == name && m.text != "" {
				return m.text
			}
		}
	}
	return ""
}
