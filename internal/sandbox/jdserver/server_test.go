package jdserver

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const good = `{"producer":"P","thirdCode":"D1","waybillCode":"JD1","status":1}`

func start(t testing.TB, o Options) (*Server, string) {
	t.Helper()
	s := New(o)
	base, err := s.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, base
}

// post returns status and body, or the error.
func post(ctx context.Context, address, contentType, body string, headers ...string) (int, string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Content-Type", contentType)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), err
}

func TestPlainCall(t *testing.T) {
	const accept = `{"success":true,"code":"0","message":"ok","data":true}`
	tests := []struct {
		name, path, body string
		headers          []string
		status           int
		want             string
	}{
		{"accepted", "/updateWaybillStatus", good, []string{"X-App", "a"}, 200, accept},
		{"another path", "/other", good, []string{"X-App", "a"}, 404, `"code":"404"`},
		{"no header", "/updateWaybillStatus", good, nil, 401, `"code":"401"`},
		{"another header", "/updateWaybillStatus", good, []string{"X-App", "b"}, 401, `"code":"401"`},
		{"not JSON", "/updateWaybillStatus", "producer=P", []string{"X-App", "a"}, 400, `"code":"400"`},
		{"no waybill", "/updateWaybillStatus", `{"producer":"P","thirdCode":"D1","status":1}`, []string{"X-App", "a"}, 200, `"success":false,"code":"INVALID_PARAM"`},
		{"no status", "/updateWaybillStatus", `{"producer":"P","thirdCode":"D1","waybillCode":"JD1"}`, []string{"X-App", "a"}, 200, `"success":false,"code":"INVALID_PARAM"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, base := start(t, Options{Signer: "header", Headers: map[string]string{"X-App": "a"}})
			status, body, err := post(t.Context(), base+tt.path, "application/json", tt.body, tt.headers...)
			if err != nil || status != tt.status || !strings.Contains(body, tt.want) {
				t.Errorf("answered %d %s, %v; want %d %s", status, body, err, tt.status, tt.want)
			}
			if calls := s.Calls(); len(calls) != 1 || calls[0].Accepted != (tt.want == accept) {
				t.Errorf("recorded %+v", calls)
			}
		})
	}
	t.Run("GET", func(t *testing.T) {
		_, base := start(t, Options{})
		response, err := http.Get(base + "/updateWaybillStatus")
		if err != nil || response.StatusCode != 405 {
			t.Errorf("answered %v, %v", response, err)
		}
		response.Body.Close()
	})
}

func TestCallsAreRecordedAndRepeatsCounted(t *testing.T) {
	s, base := start(t, Options{})
	before := time.Now()
	var callers sync.WaitGroup
	for range 50 {
		callers.Go(func() {
			if status, body, err := post(t.Context(), base+"/updateWaybillStatus", "application/json", good); err != nil || status != 200 {
				t.Errorf("answered %d %s, %v", status, body, err)
			}
		})
	}
	callers.Wait()
	if diff := cmp.Diff(map[string]int{"JD1": 50}, s.CountByWaybill()); diff != "" {
		t.Error(diff)
	}
	calls := s.Calls()
	want := Call{Waybill: "JD1", Producer: "P", ThirdCode: "D1", Status: 1, Accepted: true}
	if diff := cmp.Diff(want, calls[0], cmpopts.IgnoreFields(Call{}, "At")); diff != "" {
		t.Error(diff)
	}
	if calls[0].At.Before(before) || calls[0].At.After(time.Now()) {
		t.Errorf("arrived at %s", calls[0].At)
	}
}

func TestScripts(t *testing.T) {
	s, base := start(t, Options{})
	call := func(waybill string) (int, string, error) {
		return post(t.Context(), base+"/updateWaybillStatus", "application/json", strings.ReplaceAll(good, "JD1", waybill))
	}
	expect := func(waybill string, status int, text string) {
		t.Helper()
		if got, body, err := call(waybill); err != nil || got != status || !strings.Contains(body, text) {
			t.Fatalf("%s: answered %d %s, %v; want %d %s", waybill, got, body, err, status, text)
		}
	}
	s.ScriptWaybill("JD2", Reply{Code: "4711", Message: "unknown waybill"}, Reply{HTTPStatus: 503})
	s.ScriptNext(2, Reply{HTTPStatus: 502, Body: "<html>", ContentType: "text/html"})
	s.ScriptNext(1, Reply{Close: true})
	expect("JD1", 502, "<html>")
	expect("JD2", 200, `{"success":false,"code":"4711","message":"unknown waybill","data":false}`)
	expect("JD2", 503, "")
	expect("JD2", 502, "<html>")
	if status, body, err := call("JD1"); err == nil {
		t.Errorf("the connection should be cut, not answered %d %s", status, body)
	}
	expect("JD1", 200, `"success":true`)
	s.ScriptNext(-1, Reply{HTTPStatus: 500})
	for range 3 {
		expect("JD1", 500, "")
	}
	s.ScriptWaybill("JD2", Reply{HTTPStatus: 500})
	s.ClearScripts()
	expect("JD2", 200, `"success":true`)
	if diff := cmp.Diff(map[string]int{"JD1": 1, "JD2": 1}, s.CountByWaybill()); diff != "" {
		t.Error(diff)
	}
}

func TestLatencyAndHang(t *testing.T) {
	t.Run("a reply is sent after the latency", func(t *testing.T) {
		_, base := start(t, Options{Latency: 30 * time.Millisecond})
		begin := time.Now()
		if status, _, err := post(t.Context(), base+"/updateWaybillStatus", "application/json", good); err != nil || status != 200 {
			t.Errorf("answered %d, %v", status, err)
		}
		if took := time.Since(begin); took < 30*time.Millisecond {
			t.Errorf("answered after %s", took)
		}
	})
	t.Run("a call is accepted although the client gives up", func(t *testing.T) {
		s, base := start(t, Options{Latency: time.Hour})
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, _, err := post(ctx, base+"/updateWaybillStatus", "application/json", good); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("ended with %v", err)
		}
		if got := s.CountByWaybill()["JD1"]; got != 1 {
			t.Errorf("accepted %d times, want 1", got)
		}
	})
	t.Run("a hanging call is not accepted", func(t *testing.T) {
		s, base := start(t, Options{})
		s.ScriptNext(1, Reply{Hang: true})
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, _, err := post(ctx, base+"/updateWaybillStatus", "application/json", good); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("ended with %v", err)
		}
		if calls := s.Calls(); len(calls) != 1 || calls[0].Accepted {
			t.Errorf("recorded %+v", calls)
		}
	})
}

// The value is that of
// printf '%s' 's3cret360buy_param_json{"producer":...}access_tokentok...v2.0s3cret' | openssl md5, in upper case.
func TestJOSSignature(t *testing.T) {
	form := url.Values{
		"app_key": {"key"}, "access_token": {"tok"}, "method": {"jingdong.test.update"}, "timestamp": {"2026-11-20 20:00:00"},
		"v": {"2.0"}, "sign_method": {"md5"}, "360buy_param_json": {good}, "sign": {"ignored"}, "empty": {""},
	}
	if got, want := josSign("s3cret", form), "84324590233D920295BF212DF8C74312"; got != want {
		t.Errorf("signed %s, want %s", got, want)
	}
}

func TestJOSCall(t *testing.T) {
	tests := []struct {
		name   string
		change func(url.Values)
		want   string
	}{
		{"accepted", func(url.Values) {}, `{"jingdong_test_update_responce":{"success":true,"code":"0","message":"ok","data":true}}`},
		{"no waybill", func(f url.Values) { f.Set("360buy_param_json", `{"producer":"P"}`) }, `{"jingdong_test_update_responce":{"success":false,"code":"INVALID_PARAM"`},
		{"parameters that are not JSON", func(f url.Values) { f.Set("360buy_param_json", "P") }, `{"jingdong_test_update_responce":{"success":false,"code":"INVALID_PARAM"`},
		{"no timestamp", func(f url.Values) { f.Del("timestamp") }, `"code":"7"`},
		{"an old timestamp", func(f url.Values) { f.Set("timestamp", "2020-01-01 00:00:00") }, `"code":"8"`},
		{"another version", func(f url.Values) { f.Set("v", "1.0") }, `"code":"10"`},
		{"no method", func(f url.Values) { f.Del("method") }, `"code":"14"`},
		{"another method", func(f url.Values) { f.Set("method", "jingdong.other") }, `"code":"15"`},
		{"no token", func(f url.Values) { f.Del("access_token") }, `"code":"18"`},
		{"another token", func(f url.Values) { f.Set("access_token", "x") }, `"code":"19"`},
		{"no key", func(f url.Values) { f.Del("app_key") }, `"code":"20"`},
		{"another key", func(f url.Values) { f.Set("app_key", "x") }, `"code":"21"`},
	}
	options := Options{Signer: "jos", AppKey: "key", AppSecret: "s3cret", AccessToken: "tok", Method: "jingdong.test.update"}
	form := func() url.Values {
		return url.Values{
			"app_key": {"key"}, "access_token": {"tok"}, "method": {"jingdong.test.update"}, "v": {"2.0"}, "format": {"json"},
			"timestamp": {time.Now().In(beijing).Format(time.DateTime)}, "sign_method": {"md5"}, "360buy_param_json": {good},
		}
	}
	send := func(t *testing.T, f url.Values, want string) {
		t.Helper()
		s, base := start(t, options)
		status, body, err := post(t.Context(), base+"/routerjson", "application/x-www-form-urlencoded", f.Encode())
		if err != nil || status != 200 || !strings.Contains(body, want) {
			t.Errorf("answered %d %s, %v; want %s", status, body, err, want)
		}
		if calls := s.Calls(); len(calls) != 1 || calls[0].Accepted != strings.Contains(want, "true") {
			t.Errorf("recorded %+v", calls)
		}
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := form()
			tt.change(f)
			f.Set("sign", josSign("s3cret", f))
			send(t, f, tt.want)
		})
	}
	t.Run("unsigned", func(t *testing.T) { send(t, form(), `"code":"11"`) })
	t.Run("wrongly signed", func(t *testing.T) {
		f := form()
		f.Set("sign", josSign("other", f))
		send(t, f, `{"error_response":{"code":"12"`)
	})
	t.Run("another path", func(t *testing.T) {
		_, base := start(t, options)
		if status, body, err := post(t.Context(), base+"/updateWaybillStatus", "application/json", good); status != 404 {
			t.Errorf("answered %d %s, %v", status, body, err)
		}
	})
}

// BenchmarkCall is one plain call with net/http on both sides.
func BenchmarkCall(b *testing.B) {
	_, base := start(b, Options{})
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if status, _, err := post(b.Context(), base+"/updateWaybillStatus", "application/json", good); err != nil || status != 200 {
				b.Fatal(status, err)
			}
		}
	})
}
