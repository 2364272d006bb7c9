package jdapi

import (
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestSignJOS(t *testing.T) {
	for name, tt := range map[string]struct {
		secret string
		params map[string]string
		want   string
	}{
		// printf %s 'helloworldbar2foo1foo_bar3foobar4helloworld' | openssl md5
		"in the order of the names": {"helloworld", map[string]string{"foo": "1", "bar": "2", "foo_bar": "3", "foobar": "4"}, "5AAF1C690262A24768F5478B084C2C8A"},
		// printf %s 'kAxab京东k' | openssl md5
		"upper case first, empty values and UTF-8 included": {"k", map[string]string{"b": "京东", "a": "", "A": "x"}, "AD4B1754EA3E8D55C47A0203FB0EFEC7"},
		// the test vector of profile concat_kv_wrapped
		"profile concat_kv_wrapped": {"TESTKEY", map[string]string{
			"merchantNo": "110000001", "timestamp": "20200101120001",
			"data": base64.StdEncoding.EncodeToString([]byte(`{"orderNo":"R20200101001","payType":"WXPAY","payAmount":"8.00","payTime":"2020-01-01 12:00:00"}`)),
		}, "67C9B2C664AAFACF9DB8CBAD1309B2CC"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := signJOS(tt.params, tt.secret); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestJOSRequest(t *testing.T) {
	type request struct {
		Path, ContentType string
		Form              url.Values
	}
	var got request
	record := func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		got = request{r.URL.Path, r.Header.Get("Content-Type"), r.PostForm}
		_, _ = io.WriteString(w, `{"jingdong_ldop_updateWaybillStatus_responce":{"code":"0","success":true}}`)
	}
	options := Options{
		Signer: "jos", Path: "jingdong.ldop.updateWaybillStatus", AppKey: "KEY", AppSecret: "SECRET", AccessToken: "TOKEN",
		Now: func() time.Time { return time.Date(2020, 11, 20, 4, 0, 0, 0, time.UTC) },
	}
	want := request{
		"/jingdong.ldop.updateWaybillStatus", "application/x-www-form-urlencoded; charset=utf-8",
		url.Values{
			"360buy_param_json": {`{"producer":"P1","thirdCode":"D1","waybillCode":"JD1","status":1}`},
			"access_token":      {"TOKEN"},
			"app_key":           {"KEY"},
			"format":            {"json"},
			"method":            {"jingdong.ldop.updateWaybillStatus"},
			"sign_method":       {"md5"},
			"timestamp":         {"2020-11-20 12:00:00"},
			"v":                 {"2.0"},
			// printf %s 'SECRET360buy_param_json{"producer":"P1","thirdCode":"D1","waybillCode":"JD1","status":1}access_tokenTOKENapp_keyKEYformatjsonmethodjingdong.ldop.updateWaybillStatussign_methodmd5timestamp2020-11-20 12:00:00v2.0SECRET' | openssl md5
			"sign": {"122DBAD8A2E915EB882046600D38B232"},
		},
	}
	t.Run("to a gateway without a path", func(t *testing.T) {
		if _, err := serve(t, options, record).UpdateWaybillStatus(t.Context(), paid); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("request (-want +got):\n%s", diff)
		}
	})
	t.Run("to the platform's one address", func(t *testing.T) {
		c := serve(t, options, record)
		o := options
		o.BaseURL = c.url[:len(c.url)-len("/jingdong.ldop.updateWaybillStatus")] + "/routerjson"
		if _, err := newClient(t, o).UpdateWaybillStatus(t.Context(), paid); err != nil {
			t.Fatal(err)
		}
		if got.Path != "/routerjson" || got.Form.Get("method") != "jingdong.ldop.updateWaybillStatus" {
			t.Errorf("got path %s, method %s", got.Path, got.Form.Get("method"))
		}
	})
}

func TestJOSReplies(t *testing.T) {
	fails := func(class Class, code, message string) any {
		return &Error{Class: class, HTTPStatus: 200, Code: code, Message: message}
	}
	for name, tt := range map[string]struct {
		body string
		want any
	}{
		"done":                            {`{"a_b_responce":{"code":"0","success":true,"message":"ok","data":true}}`, Result{Code: "0", Message: "ok"}},
		"done in the usual spelling":      {`{"a_b_response":{"code":"0","success":true}}`, Result{Code: "0"}},
		"done in an inner object":         {`{"a_b_responce":{"code":"0","returnType":{"code":"200","success":true,"message":"ok"}}}`, Result{Code: "200", Message: "ok"}},
		"done with the code only":         {`{"a_b_responce":{"code":"0"}}`, Result{Code: "0"}},
		"already done":                    {`{"a_b_responce":{"code":"0","result":{"success":false,"code":"HAD"}}}`, Result{Already: true, Code: "HAD"}},
		"refused":                         {`{"a_b_responce":{"code":"0","success":false,"message":"no"}}`, fails(Refused, "0", "no")},
		"refused in an inner object":      {`{"a_b_responce":{"code":"0","result":{"success":false,"code":"E1","msg":"no"}}}`, fails(Refused, "E1", "no")},
		"refused by data":                 {`{"a_b_responce":{"code":"0","success":true,"data":false}}`, fails(Refused, "0", "")},
		"refused by the code":             {`{"a_b_responce":{"code":"1"}}`, fails(Refused, "1", "")},
		"too many calls":                  {`{"error_response":{"code":"2","zh_desc":"调用频繁","en_desc":"limit"}}`, fails(Retry, "2", "调用频繁")},
		"token refused":                   {`{"error_response":{"code":"19","en_desc":"Invalid access_token"}}`, fails(Permanent, "19", "Invalid access_token")},
		"permission missing, as a number": {`{"error_response":{"code":24,"msg":"no permission"}}`, fails(Permanent, "24", "no permission")},
		"an unknown platform error":       {`{"error_response":{"code":"62","zh_desc":"x"}}`, fails(Refused, "62", "x")},
		"an error that claims success":    {`{"error_response":{"code":"0","success":true}}`, fails(Refused, "0", "")},
		"another method's reply":          {`{"c_d_responce":{"code":"0","success":true}}`, fails(Retry, "", errNotJOS)},
		"the plain api's reply":           {`{"success":true}`, fails(Retry, "", errNotJOS)},
		"not an object":                   {`null`, fails(Retry, "", "the reply is not a JSON object")},
		"an inner reply that is text":     {`{"a_b_responce":"ok"}`, fails(Retry, "", "the reply is not a JSON object")},
	} {
		t.Run(name, func(t *testing.T) {
			o := Options{Signer: "jos", Path: "a.b", AppKey: "k", AppSecret: "s", AccessToken: "t", DoneCodes: []string{"HAD"}}
			c := serve(t, o, respond(200, tt.body))
			res, err := c.UpdateWaybillStatus(t.Context(), paid)
			var got any = res
			if err != nil {
				got = failure(t, err)
			}
			if diff := cmp.Diff(shown(c, tt.want, tt.body), got, cmpopts.IgnoreUnexported(Error{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
