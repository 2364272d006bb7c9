package jdapi

import (
	"bytes"
	"cmp"
	"net/http"
	"strings"

	"jdpay-listener/internal/printable"
)

// platformCodes are the codes of JD's open platform that a reply of any of its services can have.
var platformCodes = map[string]Class{
	"2":  Retry,     // too many calls
	"7":  Permanent, // timestamp missing
	"8":  Permanent, // timestamp invalid
	"11": Permanent, // signature missing
	"12": Permanent, // signature invalid
	"14": Permanent, // method missing
	"15": Permanent, // method unknown
	"18": Permanent, // access token missing
	"19": Permanent, // access token invalid
	"20": Permanent, // app key missing
	"21": Permanent, // app key invalid
	"24": Permanent, // permission missing
}

// outageCodes are the codes by which the platform says that it, or the service behind it, is failing.
var outageCodes = map[string]bool{
	"43": true, // error of the platform
	"65": true, // the service does not answer in time
	"66": true, // the service is not available
	"67": true, // the service ended with an unknown error
	"69": true, // data cannot be had
}

// interpret classifies a reply: first by the platform's own codes, then by the configured ones, which are the service's,
// then by the HTTP status, then by the reply itself.
func (c *Client) interpret(status int, body []byte) (Result, error) {
	var r reply
	text, err := readable(body)
	if err == nil {
		r, err = c.parse(text)
	}
	code, message := c.sanitize(r.code), c.sanitize(r.message)
	start := string(bytes.TrimSpace(text)) // of the reply, for people
	if err != nil {
		message = c.sanitize(strings.TrimSuffix(err.Error()+": "+start, ": "))
	}
	isOutage := r.byPlatform && outageCodes[r.code]
	fail := func(class Class) (Result, error) {
		return Result{}, &Error{Class: class, HTTPStatus: status, Code: code, Message: cmp.Or(message, c.sanitize(start)), down: status >= 500 || isOutage}
	}
	isService := !r.ok && !r.byPlatform
	platform, known := platformCodes[r.platform]
	switch {
	case isOutage, r.byPlatform && platform == Retry:
		return fail(Retry)
	case isService && c.doneCodes[r.code]:
		return Result{Already: true, Code: code, Message: message}, nil
	case isService && c.retryCodes[r.code]:
		return fail(Retry)
	case status == http.StatusRequestTimeout, status == http.StatusTooManyRequests, status >= 500:
		return fail(Retry)
	case status >= 400:
		return fail(Permanent)
	case status >= 300:
		message = "the reply is a redirect, which is not followed: check the address of the jd api"
		return fail(Retry)
	case err != nil:
		return fail(Retry)
	case r.ok:
		return Result{Code: code, Message: message}, nil
	case known:
		return fail(platform)
	}
	return fail(Refused)
}

const maxMessage = 200 // characters

// sanitize makes a text of JD or the network fit for an error: secrets masked, one line of printable characters, at most
// maxMessage.
func (c *Client) sanitize(s string) string {
	s = printable.Text(strings.Join(strings.Fields(c.mask.Replace(s)), " "))
	n := 0
	for i := range s {
		if n == maxMessage {
			return s[:i] + "…"
		}
		n++
	}
	return s
}
