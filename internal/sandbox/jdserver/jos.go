package jdserver

import (
	"crypto/md5"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// josLeeway is the greatest error of a call's timestamp; the open platform's documents say about six minutes.
const josLeeway = 6 * time.Minute

var beijing = time.FixedZone("CST", 8*60*60)

// readJOS reads the call as a form of JD's open platform. Refusals have status 200, and error_response as their root.
func (s *Server) readJOS(r *http.Request) (statusRequest, func(Reply) []byte, *Reply) {
	var request statusRequest
	if r.URL.Path != "/routerjson" || r.Method != http.MethodPost {
		return request, renderPlain, &Reply{HTTPStatus: http.StatusNotFound, Code: "404", Message: "POST /routerjson"}
	}
	r.Body = http.MaxBytesReader(nil, r.Body, maxRequest)
	if err := r.ParseForm(); err != nil {
		return request, renderPlain, &Reply{HTTPStatus: http.StatusBadRequest, Code: "400", Message: "the body is not a form"}
	}
	form := r.PostForm
	if refused := s.checkJOS(form); refused != nil {
		return request, renderPlain, refused
	}
	name := strings.ReplaceAll(form.Get("method"), ".", "_") + "_responce" // JD's spelling
	render := func(reply Reply) []byte { return marshal(map[string]result{name: reply.result()}) }
	if err := json.Unmarshal([]byte(form.Get("360buy_param_json")), &request); err != nil {
		return request, render, &Reply{Code: "INVALID_PARAM", Message: "360buy_param_json is not the JSON of a status"}
	}
	return request, render, request.refusal()
}

// checkJOS applies the platform's checks. The lower code of each pair stands for missing, the higher one for wrong.
func (s *Server) checkJOS(form url.Values) *Reply {
	checks := []struct {
		name           string
		missing, wrong string
		valid          func(string) bool
	}{
		{"timestamp", "7", "8", validTimestamp},
		{"v", "9", "10", func(v string) bool { return v == "2.0" }},
		{"method", "14", "15", func(v string) bool { return s.options.Method == "" || v == s.options.Method }},
		{"access_token", "18", "19", func(v string) bool { return v == s.options.AccessToken }},
		{"app_key", "20", "21", func(v string) bool { return v == s.options.AppKey }},
		{"sign", "11", "12", func(v string) bool { return v == josSign(s.options.AppSecret, form) }},
	}
	for _, check := range checks {
		switch value := form.Get(check.name); {
		case value == "":
			return josError(check.missing, "Missing "+check.name)
		case !check.valid(value):
			return josError(check.wrong, "Invalid "+check.name)
		}
	}
	return nil
}

func validTimestamp(text string) bool {
	t, err := time.ParseInLocation(time.DateTime, text, beijing)
	return err == nil && time.Since(t).Abs() <= josLeeway
}

// josSign is MD5, upper-case hexadecimal, of secret, each sorted name with its value, secret. Parameters without a value
// are left out.
func josSign(secret string, form url.Values) string {
	var text strings.Builder
	text.WriteString(secret)
	names := make([]string, 0, len(form))
	for name := range form {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if value := form.Get(name); name != "sign" && value != "" {
			text.WriteString(name + value)
		}
	}
	text.WriteString(secret)
	return fmt.Sprintf("%X", md5.Sum([]byte(text.String())))
}

// josError is a refusal by the platform, before the API gets the call.
func josError(code, description string) *Reply {
	return &Reply{Body: string(marshal(map[string]any{
		"error_response": map[string]string{"code": code, "en_desc": description, "zh_desc": description},
	}))}
}
