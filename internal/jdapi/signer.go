package jdapi

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"html"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"jdpay-listener/internal/check"
	"jdpay-listener/internal/lang"
)

// checkSigner adds what is wrong with the signer, its credentials and the path.
func (o Options) checkSigner(faults *check.Faults) {
	if o.Signer != "jos" && !strings.HasPrefix(o.Path, "/") {
		faults.Add("Path", lang.M("does not start with /"), lang.M("write /path"))
	}
	switch o.Signer {
	case "none":
	case "header":
		if len(o.Headers) == 0 {
			faults.Add("Headers", lang.M("empty while the signer is header"), lang.M("list the headers that authenticate a call"))
		}
		for _, name := range slices.Sorted(maps.Keys(o.Headers)) {
			if !validHeader(name, o.Headers[name]) {
				faults.Add("Headers:"+name, lang.M("has characters that are invalid in http, or is Host"), lang.M("correct its name or value"))
			}
		}
	case "jos":
		for _, needed := range []struct{ name, value string }{{"AppKey", o.AppKey}, {"AppSecret", o.AppSecret}, {"AccessToken", o.AccessToken}} {
			if needed.value == "" {
				faults.Add(needed.name, lang.M("required by the signer jos"), lang.Message{})
			}
		}
		if method(o) == "" {
			faults.Add("Path", lang.M("names no method, which the signer jos requires"), lang.M("give the platform's method"))
		}
	default:
		faults.Add("Signer", lang.M("unknown"), lang.M("use none, header or jos"))
	}
}

// method is the platform's method of the signer jos.
func method(o Options) string { return strings.TrimLeft(o.Path, "/") }

// sign sets the address, encoding and authentication of calls, and the parser of replies. Check has checked the options.
func (c *Client) sign(o Options) {
	c.url = strings.TrimRight(o.BaseURL, "/") + "/" + strings.TrimLeft(o.Path, "/")
	c.encode = func(s Status) ([]byte, error) { return encodeJSON(s) }
	c.parse = parsePlain
	c.header.Set("Content-Type", "application/json")
	c.header.Set("Accept", "application/json")
	secrets := []string{}
	switch o.Signer {
	case "header":
		for name, value := range o.Headers {
			c.header.Set(name, value)
			_, token, _ := strings.Cut(value, " ") // of "Bearer TOKEN"
			secrets = append(secrets, value, token)
		}
	case "jos":
		method := method(o)
		// The platform has one address for all methods, https://api.jd.com/routerjson. A base without a path is a
		// gateway that has a path for each method.
		if base, err := url.Parse(o.BaseURL); err == nil && strings.Trim(base.Path, "/") != "" {
			c.url = o.BaseURL
		}
		now := o.Now
		if now == nil {
			now = time.Now
		}
		c.encode = func(s Status) ([]byte, error) { return encodeJOS(s, method, o, now()) }
		c.parse = func(text []byte) (reply, error) { return parseJOS(text, method) }
		c.header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
		secrets = append(secrets, o.AppSecret, o.AccessToken, o.AppKey)
	}
	c.mask = masks(secrets)
}

// masks replaces secrets by ***, in each form in which a reply may repeat them; longer ones first, since one may be a part of
// another.
func masks(secrets []string) *strings.Replacer {
	var forms []string
	for _, s := range secrets {
		if len(s) < minSecret {
			continue
		}
		quoted, _ := json.Marshal(s) // a text always has a JSON form
		inJSON, inForm := strings.Trim(string(quoted), `"`), url.QueryEscape(s)
		lower := percentCode.ReplaceAllStringFunc(inForm, strings.ToLower)
		forms = append(forms, s, inJSON, strings.ReplaceAll(s, "/", `\/`), html.EscapeString(s), inForm, lower, url.PathEscape(s))
	}
	slices.SortStableFunc(forms, func(a, b string) int { return len(b) - len(a) })
	pairs := make([]string, 0, 2*len(forms))
	for _, form := range forms {
		pairs = append(pairs, form, "***")
	}
	return strings.NewReplacer(pairs...)
}

var percentCode = regexp.MustCompile("%[0-9A-F]{2}")

// minSecret is the shortest text that is masked in messages; masking every "1" would make them unreadable.
const minSecret = 4

// encodeJSON is json.Marshal without the escaping for HTML.
func encodeJSON(s Status) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(s)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// beijing is the zone of the platform's timestamps; it has no daylight saving time and needs no zone database.
var beijing = time.FixedZone("CST", 8*60*60)

// encodeJOS encodes a call to JD's open platform as a form.
func encodeJOS(s Status, method string, o Options, now time.Time) ([]byte, error) {
	param, err := encodeJSON(s)
	if err != nil {
		return nil, err
	}
	params := map[string]string{
		"360buy_param_json": string(param),
		"access_token":      o.AccessToken,
		"app_key":           o.AppKey,
		"format":            "json",
		"method":            method,
		"sign_method":       "md5",
		"timestamp":         now.In(beijing).Format(time.DateTime),
		"v":                 "2.0",
	}
	form := url.Values{}
	for name, value := range params {
		form.Set(name, value)
	}
	form.Set("sign", signJOS(params, o.AppSecret))
	return []byte(form.Encode()), nil
}

// signJOS is the platform's signature: MD5 over secret, every name followed by its value in the order of the names,
// secret; in upper-case hex.
func signJOS(params map[string]string, secret string) string {
	var b strings.Builder
	b.WriteString(secret)
	for _, name := range slices.Sorted(maps.Keys(params)) {
		b.WriteString(name)
		b.WriteString(params[name])
	}
	b.WriteString(secret)
	sum := md5.Sum([]byte(b.String()))
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}

// validHeader reports whether the header is valid in http and is not Host, which cannot be set; with an invalid one the
// transport would refuse every call.
func validHeader(name, value string) bool {
	for _, c := range []byte(name) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0) {
			return false
		}
	}
	for _, c := range []byte(value) {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return name != "" && !strings.EqualFold(name, "Host")
}
