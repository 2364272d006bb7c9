package jdapi

import (
	"net/http"
	"strings"
	"unicode"
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

// interpret classifies a reply: first by the configured codes, then by the HTTP status, then by the reply itself.
func (c *Client) interpret(status int, body []byte) (Result, error) {
	r, err := c.parse(body)
	code, message := c.sanitize(r.code), c.sanitize(r.message)
	if err != nil {
		message = err.Error()
	}
	fail := func(class Class) (Result, error) {
		return Result{}, &Error{Class: class, HTTPStatus: status, Code: code, Message: message, down: status >= 500}
	}
	platform, known := platformCodes[r.platform]
	switch {
	case c.doneCodes[r.code] && !r.ok:
		return Result{Already: true, Code: code, Message: message}, nil
	case c.retryCodes[r.code] && !r.ok:
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

const maxMessage = 200 // runes

// sanitize makes a text of JD or the network fit for an error: secrets masked, one line, at most maxMessage.
func (c *Client) sanitize(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(c.mask.Replace(s), "�"))
	n := 0
	for i := range s {
		if n == maxMessage {
			return s[:i] + "…"
		}
		n++
	}
	return s
}
