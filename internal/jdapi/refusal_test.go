package jdapi

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

func josOptions() Options {
	return Options{BaseURL: "http://127.0.0.1:1/routerjson", Signer: "jos", Path: "a.b", AppKey: "k", AppSecret: "s", AccessToken: "t"}
}

// interpreted returns the Result or *Error of a reply with HTTP 200.
func interpreted(c *Client, body string) any {
	res, err := c.interpret(200, []byte(body))
	if err != nil {
		return err
	}
	return res
}

func refused(code, message string) any {
	return &Error{Class: Refused, HTTPStatus: 200, Code: code, Message: message}
}

// TestServiceRefusals has the forms in which a service of the open platform reports success or refusal, while the
// platform's code 0 only means that the call was forwarded.
func TestServiceRefusals(t *testing.T) {
	const unclear = "the reply does not report success in a known form: "
	for name, tt := range map[string]struct {
		service string // the content of a_b_responce
		want    any
	}{
		"success false in a JSON text":    {`{"code":"0","result":"{\"success\":false,\"code\":\"E1\",\"message\":\"no\"}"}`, refused("E1", "no")},
		"a status code":                   {`{"code":"0","result":{"statusCode":-1,"statusMessage":"no"}}`, refused("-1", "no")},
		"isSuccess false":                 {`{"code":"0","result":{"isSuccess":false,"errorMsg":"no"}}`, refused("", "no")},
		"a result code beside the code":   {`{"code":"0","resultCode":"500","resultMsg":"no"}`, refused("500", "no")},
		"result false":                    {`{"code":"0","result":false,"message":"no"}`, refused("0", "no")},
		"success false two objects deep":  {`{"code":"0","x":{"y":{"success":false,"code":7,"msg":"no"}}}`, refused("7", "no")},
		"success false five objects deep": {`{"code":"0","a":{"b":{"c":{"d":{"success":false}}}}}`, refused("", "")},

		"a status code beside the code":       {`{"code":"0","statusCode":-1}`, refused("-1", "")},
		"isSuccess false beside the code":     {`{"code":"0","isSuccess":false}`, refused("0", "")},
		"is_success with capital letters":     {`{"code":"0","IS_SUCCESS":"FALSE"}`, refused("0", "")},
		"a result code one object deeper":     {`{"code":"0","result":{"result_code":500}}`, refused("500", "")},
		"a code one object deeper":            {`{"code":"0","result":{"code":"E9","msg":"no"}}`, refused("E9", "no")},
		"an error code":                       {`{"code":"0","result":{"errorCode":"E9","errorMessage":"no"}}`, refused("E9", "no")},
		"a JSON text in a JSON text":          {`{"code":"0","result":"{\"x\":\"{\\\"success\\\":false}\"}"}`, refused("", "")},
		"a JSON text that is cut":             {`{"code":"0","success":true,"result":"{\"success\":false,"}`, refused("", "")},
		"a list in a JSON text":               {`{"code":"0","result":"[{\"success\":true},{\"success\":false,\"code\":\"E2\"}]"}`, refused("E2", "")},
		"false in a JSON text":                {`{"code":"0","result":"false"}`, refused("0", "")},
		"result FAIL":                         {`{"code":"0","success":true,"result":"FAIL"}`, refused("0", "")},
		"second object of a list":             {`{"code":"0","list":[{"success":true},{"success":false,"msg":"the second"}]}`, refused("", "the second")},
		"success twice":                       {`{"code":"0","success":false,"success":true}`, refused("0", "")},
		"success in two spellings":            {`{"code":"0","success":true,"Success":false}`, refused("0", "")},
		"success above, refusal below":        {`{"code":"0","success":true,"data":{"success":false,"code":"E3"}}`, refused("E3", "")},
		"success below, refusal above":        {`{"code":"0","success":false,"message":"no","data":{"success":true,"message":"ok"}}`, refused("0", "no")},
		"success with a status code":          {`{"code":"0","success":true,"statusCode":-1}`, refused("-1", "")},
		"the platform's code against success": {`{"code":"1","success":true}`, refused("1", "")},
		"two codes against success":           {`{"code":"0","code":"1","success":true}`, refused("1", "")},
		"success that is a number":            {`{"code":"0","success":1}`, refused("0", "")},
		"an error response within":            {`{"code":"0","error_response":{"code":"62","zh_desc":"拒绝"}}`, refused("62", "拒绝")},
		"message in an outer object":          {`{"code":"0","message":"no such waybill","result":{"success":false}}`, refused("", "no such waybill")},

		"a code of the service, not the platform's": {`{"code":"0","result":{"success":false,"code":"2"}}`, refused("2", "")},
		"message in an inner object":                {`{"code":"0","success":false,"result":{"msg":"no such waybill"}}`, refused("0", "no such waybill")},

		// Unknown forms are no success.
		"a word":                       {`{"code":"0","result":"PENDING"}`, refused("0", unclear+`{"a_b_responce":{"code":"0","result":"PENDING"}}`)},
		"a number":                     {`{"code":"0","result":1}`, refused("0", unclear+`{"a_b_responce":{"code":"0","result":1}}`)},
		"an object of unknown members": {`{"code":"0","result":{"state":3},"msg":"see state"}`, refused("0", "see state")},
		"an empty object":              {`{"code":"0","result":{}}`, refused("0", unclear+`{"a_b_responce":{"code":"0","result":{}}}`)},
		"no members":                   {`{}`, refused("", unclear+`{"a_b_responce":{}}`)},
		"a result without the code":    {`{"result":true}`, refused("", unclear+`{"a_b_responce":{"result":true}}`)},

		// The known forms of success.
		"only the code":                   {`{"code":"0","message":"ok","request_id":"x1","result":null}`, Result{Code: "0", Message: "ok"}},
		"success":                         {`{"code":"0","success":true}`, Result{Code: "0"}},
		"success without the code":        {`{"success":true}`, Result{}},
		"isSuccess as text":               {`{"code":"0","result":{"isSuccess":"true","msg":"ok"}}`, Result{Message: "ok"}},
		"success in a JSON text":          {`{"code":"0","result":"{\"success\":true,\"code\":\"200\"}"}`, Result{Code: "200"}},
		"success two objects deep":        {`{"code":"0","x":{"y":{"success":true,"code":"1","msg":"ok"}}}`, Result{Code: "1", Message: "ok"}},
		"result true":                     {`{"code":"0","result":true}`, Result{Code: "0"}},
		"data true":                       {`{"code":0,"data":"true"}`, Result{Code: "0"}},
		"a result code":                   {`{"code":"0","resultCode":"0","x":{"y":1}}`, Result{Code: "0"}},
		"a status code one object deeper": {`{"code":"0","result":{"statusCode":0,"statusMessage":"ok"}}`, Result{Code: "0", Message: "ok"}},
		"a code one object deeper, 200":   {`{"code":"0","result":{"code":200,"msg":"ok","data":{"x":1}}}`, Result{Code: "200", Message: "ok"}},
		"an empty error code":             {`{"code":"0","success":true,"errorCode":"","errorMsg":null}`, Result{Code: "0"}},
	} {
		t.Run(name, func(t *testing.T) {
			c, body := newClient(t, josOptions()), `{"a_b_responce":`+tt.service+`}`
			got := interpreted(c, body)
			if diff := cmp.Diff(shown(c, tt.want, body), got, cmpopts.IgnoreUnexported(Error{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	t.Run("beside the service's reply", func(t *testing.T) {
		got := interpreted(newClient(t, josOptions()), `{"a_b_responce":{"code":"0","success":true},"success":false,"message":"no"}`)
		if diff := cmp.Diff(refused("", "no"), got, cmpopts.IgnoreUnexported(Error{})); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("two replies of the service", func(t *testing.T) {
		c, body := newClient(t, josOptions()), `{"a_b_responce":{"code":"0","success":true},"a_b_responce":{"code":"1"}}`
		if diff := cmp.Diff(shown(c, refused("1", ""), body), interpreted(c, body), cmpopts.IgnoreUnexported(Error{})); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// TestPlainRefusals has the same for the signers none and header. By the contract only "success":true in the reply itself
// means success.
func TestPlainRefusals(t *testing.T) {
	for name, tt := range map[string]struct {
		body string
		want any
	}{
		"success":                        {`{"success":true,"data":{"waybillCode":"JD1"}}`, Result{}},
		"success as text":                {`{"success":"true"}`, Result{}},
		"success with a code of its own": {`{"success":true,"code":"A7"}`, Result{Code: "A7"}},
		"a code alone":                   {`{"code":"0"}`, refused("0", "")},
		"a code and a text":              {`{"code":200,"message":"ok"}`, refused("200", "ok")},
		"data true":                      {`{"code":"0","data":true}`, refused("0", "")},
		"data false":                     {`{"code":"0","data":false}`, refused("0", "")},
		"isSuccess alone":                {`{"isSuccess":true}`, refused("", "")},
		"success one object deeper":      {`{"data":{"success":true}}`, refused("", "")},
		"success null":                   {`{"success":null}`, refused("", "")},
		"isSuccess false":                {`{"success":true,"isSuccess":false}`, refused("", "")},
		"result false":                   {`{"success":true,"result":false}`, refused("", "")},
		"a status code":                  {`{"success":true,"statusCode":-1,"statusMessage":"no"}`, refused("-1", "no")},
		"a result code":                  {`{"success":true,"code":"0","resultCode":"500"}`, refused("500", "")},
		"data with a refusal":            {`{"success":true,"data":{"success":false,"code":"E1","message":"no"}}`, refused("E1", "no")},
		"data with a refusal as text":    {`{"success":true,"data":"{\"success\":false,\"message\":\"no\"}"}`, refused("", "no")},
		"a refusal two objects deep":     {`{"success":true,"data":{"x":[{"success":false}]}}`, refused("", "")},
		"success twice":                  {`{"success":false,"success":true}`, refused("", "")},
	} {
		t.Run(name, func(t *testing.T) {
			for _, o := range []Options{{Signer: "none"}, {Signer: "header", Headers: map[string]string{"X-Key": "k"}}} {
				o.BaseURL = "http://127.0.0.1:1"
				c := newClient(t, o)
				got := interpreted(c, tt.body)
				if diff := cmp.Diff(shown(c, tt.want, tt.body), got, cmpopts.IgnoreUnexported(Error{})); diff != "" {
					t.Errorf("%s (-want +got):\n%s", o.Signer, diff)
				}
			}
		})
	}
}

// TestCodesOfDeepRefusals: the configured codes apply to the code of the object that refuses.
func TestCodesOfDeepRefusals(t *testing.T) {
	o := josOptions()
	o.DoneCodes, o.RetryCodes = []string{"100"}, []string{"BUSY"}
	c := newClient(t, o)
	for body, want := range map[string]any{
		`{"a_b_responce":{"code":"0","result":{"resultCode":100,"resultMessage":"had it"}}}`: Result{Already: true, Code: "100", Message: "had it"},
		`{"a_b_responce":{"code":"0","result":"{\"success\":false,\"code\":\"BUSY\"}"}}`:     &Error{Class: Retry, HTTPStatus: 200, Code: "BUSY"},
	} {
		if diff := cmp.Diff(shown(c, want, body), interpreted(c, body), cmpopts.IgnoreUnexported(Error{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", body, diff)
		}
	}
}

// TestHostileReplies: a reply that is too long or nested too deeply is a failed try.
func TestHostileReplies(t *testing.T) {
	deep := func(n int) string {
		return `{"success":true,"x":` + strings.Repeat(`{"x":`, n) + `1` + strings.Repeat(`}`, n) + `}`
	}
	texts := `{"success":false}`
	for range 12 {
		b, err := json.Marshal(map[string]string{"x": texts})
		if err != nil {
			t.Fatal(err)
		}
		texts = string(b)
	}
	for name, tt := range map[string]struct {
		body string
		want any
	}{
		"nested to the limit":       {deep(maxDepth - 1), Result{}},
		"nested too deeply":         {deep(maxDepth), &Error{Class: Retry, HTTPStatus: 200, Message: errTooDeep.Error()}},
		"nested very deeply":        {deep(9_000), &Error{Class: Retry, HTTPStatus: 200, Message: errTooDeep.Error()}},
		"a list nested very deeply": {`{"success":true,"x":` + strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000) + `}`, &Error{Class: Retry, HTTPStatus: 200, Message: errTooDeep.Error()}},
		"texts nested in texts":     {strings.Replace(texts, `{`, `{"success":true,`, 1), refused("", "")},
		"success before long space": {`{"success":true}` + strings.Repeat(" ", maxReply), &Error{Class: Retry, HTTPStatus: 200, Message: errTooLong.Error()}},
		"as long as the limit":      {`{"success":true}` + strings.Repeat(" ", maxReply-len(`{"success":true}`)), Result{}},
		"thousands of members":      {`{"success":true` + strings.Repeat(`,"x":0`, 10_000) + `}`, Result{}},
		"thousands of items":        {`{"success":true,"x":[0` + strings.Repeat(`,0`, 30_000) + `]}`, Result{}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, Options{BaseURL: "http://127.0.0.1:1"})
			got := interpreted(c, tt.body)
			if diff := cmp.Diff(shown(c, tt.want, tt.body), got, cmpopts.IgnoreUnexported(Error{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Members for generated replies: those that mean refusal, and others.
var (
	refusingMembers = []string{
		`"success":false`, `"Success":"False"`, `"success":0`, `"isSuccess":false`, `"is_success":"false"`, `"result":false`, `"data":false`,
		`"data":"FALSE"`, `"statusCode":-1`, `"resultCode":"500"`, `"errorCode":"E1"`, `"err_code":17`, `"success":false,"code":"E1"`, `"y":{"code":"E1"}`, `"result":"failed"`,
	}
	otherMembers = []string{
		`"success":true`, `"isSuccess":"true"`, `"code":"0"`, `"resultCode":0`, `"statusCode":"200"`, `"message":"ok"`, `"waybillCode":"JD1"`, `"data":true`, `"n":null`,
	}
)

// drawReply draws an object of at most this depth; if refused is set, one object in it has a member that means refusal.
func drawReply(t *rapid.T, depth int, refused bool) string {
	var members []string
	for range rapid.IntRange(0, 3).Draw(t, "members") {
		members = append(members, rapid.SampledFrom(otherMembers).Draw(t, "member"))
	}
	here := refused && (depth == 0 || rapid.Bool().Draw(t, "here"))
	if here {
		members = append(members, rapid.SampledFrom(refusingMembers).Draw(t, "refusal"))
	}
	if depth > 0 && (refused && !here || rapid.Bool().Draw(t, "deeper")) {
		inner := drawReply(t, depth-1, refused && !here)
		switch rapid.IntRange(0, 2).Draw(t, "form") {
		case 1:
			inner = `[null,` + inner + `]`
		case 2:
			text, err := json.Marshal(inner)
			if err != nil {
				t.Fatal(err)
			}
			inner = string(text)
		}
		members = append(members, fmt.Sprintf("%q:%s", rapid.SampledFrom([]string{"x", "data", "result", "returnType", "message"}).Draw(t, "name"), inner))
	}
	return "{" + strings.Join(rapid.Permutation(members).Draw(t, "order"), ",") + "}"
}

// TestOneRefusalIsARefusal: a reply with a refusal in an object at any depth is never a success.
func TestOneRefusalIsARefusal(t *testing.T) {
	plain, jos := newClient(t, Options{BaseURL: "http://127.0.0.1:1"}), newClient(t, josOptions())
	rapid.Check(t, func(t *rapid.T) {
		inner := drawReply(t, rapid.IntRange(0, 8).Draw(t, "depth"), true)
		for _, c := range []*Client{plain, jos} {
			body := `{"success":true,"code":"0",` + strings.TrimPrefix(inner, "{")
			if c == jos {
				body = `{"a_b_responce":` + body + `}`
			}
			if _, err := c.interpret(200, []byte(body)); err == nil {
				t.Fatalf("counted as success: %s", body)
			}
		}
	})
}

// TestSuccessIsRecognised: members that do not mean refusal do not change a success.
func TestSuccessIsRecognised(t *testing.T) {
	plain, jos := newClient(t, Options{BaseURL: "http://127.0.0.1:1"}), newClient(t, josOptions())
	rapid.Check(t, func(t *rapid.T) {
		inner := drawReply(t, rapid.IntRange(0, 8).Draw(t, "depth"), false)
		body := `{"success":true,"x":` + inner + `}`
		if _, err := plain.interpret(200, []byte(body)); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		body = `{"a_b_responce":` + body + `}`
		if _, err := jos.interpret(200, []byte(body)); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
	})
}
