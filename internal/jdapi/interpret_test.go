package jdapi

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

func TestReplies(t *testing.T) {
	done := func(r Result) any { return r }
	fails := func(class Class, status int, code, message string) any {
		return &Error{Class: class, HTTPStatus: status, Code: code, Message: message}
	}
	const notJSON = "the reply is not a JSON object"
	for name, tt := range map[string]struct {
		status int
		body   string
		want   any
	}{
		"done":                               {200, `{"success":true,"code":"0","message":"ok","data":true}`, done(Result{Code: "0", Message: "ok"})},
		"done in .NET spelling":              {200, `{"Success":"True","Code":200,"Msg":"成功","Data":null}`, done(Result{Code: "200", Message: "成功"})},
		"done without data":                  {200, `{"success":true}`, done(Result{})},
		"done with data that is an object":   {201, `{"success":true,"data":{"waybillCode":"JD1"}}`, done(Result{})},
		"done with a retry code":             {200, `{"success":true,"code":"LATER"}`, done(Result{Code: "LATER"})},
		"done with a done code":              {200, `{"success":true,"code":"HAD"}`, done(Result{Code: "HAD"})},
		"already done":                       {200, `{"success":false,"code":"HAD","message":"had it"}`, done(Result{Already: true, Code: "HAD", Message: "had it"})},
		"already done with a numeric code":   {200, `{"success":false,"code":4711}`, done(Result{Already: true, Code: "4711"})},
		"already done with a conflict":       {409, `{"success":false,"code":"HAD"}`, done(Result{Already: true, Code: "HAD"})},
		"retry code":                         {200, `{"success":false,"code":"LATER","message":"busy"}`, fails(Retry, 200, "LATER", "busy")},
		"retry code with a bad request":      {400, `{"success":false,"code":"LATER"}`, fails(Retry, 400, "LATER", "")},
		"retry code that is a platform code": {200, `{"success":false,"code":"11"}`, fails(Retry, 200, "11", "")},
		"too many calls":                     {200, `{"success":false,"code":"2"}`, fails(Retry, 200, "2", "")},
		"request timeout":                    {408, ``, fails(Retry, 408, "", notJSON)},
		"throttled":                          {429, `{"success":false,"code":"1"}`, fails(Retry, 429, "1", "")},
		"server error":                       {500, `{"success":false,"code":"E1","message":"oops"}`, fails(Retry, 500, "E1", "oops")},
		"server error that claims success":   {500, `{"success":true}`, fails(Retry, 500, "", "")},
		"bad gateway":                        {502, `<html>bad gateway</html>`, fails(Retry, 502, "", notJSON)},
		"gateway timeout":                    {504, ``, fails(Retry, 504, "", notJSON)},
		"a web page":                         {200, `<html>please log in</html>`, fails(Retry, 200, "", notJSON)},
		"a list":                             {200, `[{"success":true}]`, fails(Retry, 200, "", notJSON)},
		"a cut reply":                        {200, `{"success":true`, fails(Retry, 200, "", notJSON)},
		"empty reply":                        {204, ``, fails(Retry, 204, "", notJSON)},
		"redirected":                         {302, ``, fails(Retry, 302, "", "the reply is a redirect, which is not followed: check the address of the jd api")},
		"bad request":                        {400, `{"success":false,"code":"E2","message":"no waybill"}`, fails(Permanent, 400, "E2", "no waybill")},
		"unauthorized":                       {401, ``, fails(Permanent, 401, "", notJSON)},
		"forbidden":                          {403, `{"message":"not you"}`, fails(Permanent, 403, "", "not you")},
		"not found":                          {404, `not found`, fails(Permanent, 404, "", notJSON)},
		"method not allowed":                 {405, ``, fails(Permanent, 405, "", notJSON)},
		"bad request that claims success":    {400, `{"success":true}`, fails(Permanent, 400, "", "")},
		"signature refused":                  {200, `{"success":false,"code":12,"message":"bad sign"}`, fails(Permanent, 200, "12", "bad sign")},
		"token refused":                      {200, `{"success":false,"code":"19"}`, fails(Permanent, 200, "19", "")},
		"permission missing":                 {200, `{"success":false,"code":"24"}`, fails(Permanent, 200, "24", "")},
		"refused":                            {200, `{"success":false,"code":"E3","message":"unknown waybill"}`, fails(Refused, 200, "E3", "unknown waybill")},
		"refused without a code":             {200, `{"success":"false"}`, fails(Refused, 200, "", "")},
		"refused by data":                    {200, `{"success":true,"data":false,"message":"no"}`, fails(Refused, 200, "", "no")},
		"refused by data as text":            {200, `{"success":true,"data":"false"}`, fails(Refused, 200, "", "")},
		"no success flag":                    {200, `{"code":"0"}`, fails(Refused, 200, "0", "")},
		"success that is a number":           {200, `{"success":1}`, fails(Refused, 200, "", "")},
	} {
		t.Run(name, func(t *testing.T) {
			c := serve(t, Options{RetryCodes: []string{"LATER", "11", ""}, DoneCodes: []string{" HAD ", "4711", ""}}, respond(tt.status, tt.body))
			res, err := c.UpdateWaybillStatus(t.Context(), paid)
			var got any = res
			if err != nil {
				e := failure(t, err)
				if want := tt.status >= 500; e.down != want {
					t.Errorf("down = %v, want %v", e.down, want)
				}
				got = e
			}
			if diff := cmp.Diff(shown(c, tt.want, tt.body), got, cmpopts.IgnoreUnexported(Error{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// errNotJOS is the error of a reply that is not of the method a.b.
const errNotJOS = "the reply has neither a_b_responce nor error_response"

// shown returns what is wanted with the start of the reply where JD gave no text, or where the reply was not understood.
func shown(c *Client, want any, body string) any {
	e, isError := want.(*Error)
	if !isError || body == "" {
		return want
	}
	out := *e
	switch {
	case e.Message == "":
		out.Message = c.sanitize(body)
	case slices.Contains([]string{errNotObject.Error(), errTooLong.Error(), errTooDeep.Error(), errNotJOS}, e.Message):
		out.Message = c.sanitize(e.Message + ": " + body)
	}
	return &out
}

func TestPlatformCodes(t *testing.T) {
	// The codes that the platform documents for sign, token, app key, method, timestamp and permission.
	for _, code := range strings.Fields("7 8 11 12 14 15 18 19 20 21 24") {
		if platformCodes[code] != Permanent {
			t.Errorf("code %s is %v, want Permanent", code, platformCodes[code])
		}
	}
	if platformCodes["2"] != Retry {
		t.Errorf("code 2 is %v, want Retry", platformCodes["2"])
	}
}

func TestErrorTexts(t *testing.T) {
	for want, e := range map[string]*Error{
		"jd cannot take the status now: http 503": {Class: Retry, HTTPStatus: 503},
		"jd refused the status: code E3: no":      {Class: Refused, HTTPStatus: 200, Code: "E3", Message: "no"},
		"jd will not take the status until something is corrected: http 401: check the address, signer and credentials of the jd api": {Class: Permanent, HTTPStatus: 401},
	} {
		if e.Error() != want {
			t.Errorf("got  %q\nwant %q", e.Error(), want)
		}
	}
}

func TestErrorsAreShortAndWithoutSecrets(t *testing.T) {
	const secret, token, key = "app-secret-5f2c", "access-token-9d1e", "app-key-77"
	echo := `"bad ` + secret + ` or ` + token + ` or ` + key + "\\n\\u0000" + strings.Repeat("快递", 500) + `"`
	for name, tt := range map[string]struct {
		options Options
		body    string
	}{
		"header": {
			Options{Signer: "header", Headers: map[string]string{"X-Secret": secret, "X-Token": token, "X-Key": key}},
			`{"success":false,"code":` + echo + `,"message":` + echo + `}`,
		},
		"jos": {
			Options{Signer: "jos", Path: "jingdong.x", AppKey: key, AppSecret: secret, AccessToken: token},
			`{"error_response":{"code":` + echo + `,"zh_desc":` + echo + `}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := serve(t, tt.options, respond(200, tt.body)).UpdateWaybillStatus(t.Context(), paid)
			e := failure(t, err)
			for _, s := range []string{secret, token, key, "\n", "\x00"} {
				if strings.Contains(err.Error(), s) {
					t.Errorf("the error contains %q", s)
				}
			}
			for _, s := range []string{e.Code, e.Message} {
				if n := utf8.RuneCountInString(s); n != maxMessage+1 || !strings.HasSuffix(s, "…") {
					t.Errorf("%d characters: %q", n, s)
				}
			}
		})
	}
}

// A random reply neither causes a panic nor counts as success.
func TestRandomReplyIsNeverSuccess(t *testing.T) {
	c := newClient(t, Options{BaseURL: "http://127.0.0.1:1"})
	jos := newClient(t, Options{BaseURL: "http://127.0.0.1:1/routerjson", Signer: "jos", Path: "a.b", AppKey: "k", AppSecret: "s", AccessToken: "t"})
	rapid.Check(t, func(t *rapid.T) {
		body := rapid.SliceOf(rapid.Byte()).Draw(t, "body")
		if json.Valid(body) && strings.Contains(strings.ToLower(string(body)), "true") {
			return
		}
		for _, c := range []*Client{c, jos} {
			if _, err := c.interpret(200, body); err == nil {
				t.Fatalf("%q counted as success", body)
			}
		}
	})
}
