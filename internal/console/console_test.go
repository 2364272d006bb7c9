package console

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/inspect"
	"jdpay-listener/internal/job"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/migrate"
	"jdpay-listener/internal/payment"
	"jdpay-listener/internal/replica"
	"jdpay-listener/internal/sandbox/schema"
	"jdpay-listener/internal/status"
	"jdpay-listener/internal/testenv"
)

const (
	annaToken = "anna's long random text"
	boToken   = "bo's long random text!!"
	// hostile stands in every field that comes from outside.
	hostile = "<script>alert(1)</script>\x1b[2J\u202e\"'=1+1"
)

// world is a console on real tables.
type world struct {
	*Server
	db  *sql.DB
	url string
}

// settings are those of a console that anna and bo may read and anna may act on.
func settings(t *testing.T) *config.Config {
	t.Helper()
	c := &config.Config{}
	c.Payment.TimeZone = "Asia/Shanghai"
	c.Console.Tokens = map[string]config.Secret{"anna": config.NewSecret(annaToken), "bo": config.NewSecret(boToken)}
	c.Console.Acts, c.Console.Operators = true, []string{"anna"}
	c.JDPay.NotifyQueueName = "q"
	return c
}

func open(t *testing.T) *world {
	t.Helper()
	server := testenv.MariaDB(t)
	db := server.Open(t, server.Create(t, schema.Account, schema.Main))
	if _, _, err := migrate.Up(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	w := &world{Server: &Server{Account: db, Main: db, Operator: db, Config: settings(t)}, db: db}
	if err := replica.Sign(t.Context(), db, "host-1:0badcafe", "v1.2.3", time.Hour); err != nil {
		t.Fatal(err)
	}
	w.exec(t,
		"INSERT INTO kernelorder_charge (order_id, order_no, amount, is_paid, external_id) VALUES (7, 'R7', 8.00, 1, 'X7'), (8, 'R8', 9.00, 0, NULL), (70, 'R7001', 1.00, 0, NULL), (71, 'R7002', 1.00, 0, NULL)",
		"INSERT INTO kernel_post_order (post_order_id, device_sn, express_number) VALUES ('7', 'CAB-01', 'JD7')",
		"INSERT INTO kernel_device_group (device_sn, main_device_id, device_type) VALUES ('CAB-01', 1, 6)",
		"INSERT INTO kernel_smartbox_boxact_info (main_device_id, act_type, post_order_id, cell_sn) VALUES (1, 0, '7', 'A01')",
		`INSERT INTO jdpay_job (id, kind, unique_key, ref, args, state, outcome, priority, try_count, next_try_at, created_at, finished_at, last_error) VALUES
			(1, 'settle', 'settle:q:M1', 'R7', 'the raw message', 'done', 'settled', 15, 1, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), NULL),
			(2, 'pay-complete', 'pay-complete:7', 'R7', '{"order_id":7}', 'parked', 'expired', 15, 3, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), 'given up after 15m0s and 3 tries'),
			(3, 'waybill-status', 'waybill-status:7', 'R7', '{"order_id":7}', 'ready', NULL, 15, 1, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), NULL, 'jd: http 500'),
			(4, 'pay-info', 'pay-info:7', 'R7', '{"order_id":7}', 'done', 'written', 15, 1, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), NULL)`,
		"INSERT INTO jdpay_alert (unique_key, cause, ref, job_id, since, text_en, text_zh) VALUES ('a', 'expired', 'R7', 2, UTC_TIMESTAMP(6), 'the door of R7', 'R7 的柜门')")
	web := httptest.NewServer(w.Handler())
	t.Cleanup(web.Close)
	w.url = web.URL
	return w
}

func (w *world) exec(t *testing.T, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := w.db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%.80s: %v", s, err)
		}
	}
}

// reader is a browser with cookies that does not follow redirects.
func reader(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// signedIn is a browser of a person.
func (w *world) signedIn(t *testing.T, token string) *http.Client {
	t.Helper()
	c := reader(t)
	if resp, _ := w.post(t, c, "/login", url.Values{"token": {token}}); resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "/" {
		t.Fatalf("the sign-in: %s to %q", resp.Status, resp.Header.Get("Location"))
	}
	return c
}

func (w *world) get(t *testing.T, c *http.Client, path string, header ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return do(t, c, r, header)
}

func (w *world) post(t *testing.T, c *http.Client, path string, form url.Values, header ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return do(t, c, r, header)
}

func do(t *testing.T, c *http.Client, r *http.Request, header []string) (*http.Response, string) {
	t.Helper()
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// TestRoutes asks for each route signed out, signed in, and as an operator.
func TestRoutes(t *testing.T) {
	w := open(t)
	clients := map[string]*http.Client{"signed out": reader(t), "signed in": w.signedIn(t, boToken), "operator": w.signedIn(t, annaToken)}
	for route, want := range map[string]struct{ out, in, operator int }{
		"GET /":                     {303, 200, 200},
		"GET /?every=15":            {303, 200, 200},
		"GET /find":                 {303, 200, 200},
		"GET /find?q=700":           {303, 200, 200},
		"GET /find?q=R7":            {303, 303, 303},
		"GET /orders/R7":            {303, 200, 200},
		"GET /orders/R8":            {303, 200, 200},
		"GET /orders/unknown":       {303, 404, 404},
		"GET /jobs":                 {303, 200, 200},
		"GET /jobs.csv":             {303, 200, 200},
		"GET /jobs?state=parked":    {303, 200, 200},
		"GET /jobs?state=nonsense":  {303, 400, 400},
		"GET /jobs/2":               {303, 200, 200},
		"GET /jobs/99":              {303, 404, 404},
		"GET /jobs/x":               {303, 404, 404},
		"GET /help":                 {303, 200, 200},
		"GET /nowhere":              {303, 404, 404},
		"GET /login":                {200, 200, 200},
		"GET /style.css":            {200, 200, 200},
		"GET /healthz":              {200, 200, 200},
		"POST /jobs/2/retry":        {303, 403, 200},
		"POST /jobs/2/discard":      {303, 403, 200},
		"POST /jobs/2/burn":         {303, 404, 404},
		"POST /jobs/4/retry":        {303, 403, 409},
		"GET /jobs/2/retry":         {303, 404, 404},
		"POST /":                    {405, 405, 405},
		"GET /.json":                {401, 200, 200},
		"GET /orders/R7.json":       {401, 200, 200},
		"GET /jobs/2.json":          {401, 200, 200},
		"GET /jobs.json?state=done": {401, 200, 200},
	} {
		method, path, _ := strings.Cut(route, " ")
		for who, code := range map[string]int{"signed out": want.out, "signed in": want.in, "operator": want.operator} {
			var resp *http.Response
			var body string
			if method == "POST" {
				resp, body = w.post(t, clients[who], path, nil)
			} else {
				resp, body = w.get(t, clients[who], path)
			}
			if resp.StatusCode != code {
				t.Errorf("%s, %s: %s, want %d: %.300s", route, who, resp.Status, code, body)
			}
			for name, value := range map[string]string{"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"} {
				if resp.Header.Get(name) != value {
					t.Errorf("%s, %s: %s is %q", route, who, name, resp.Header.Get(name))
				}
			}
			if strings.Contains(body, "the raw message") {
				t.Errorf("%s, %s has the raw message", route, who)
			}
			if strings.Contains(body, "Go template") || strings.Contains(body, "ZgotmplZ") || strings.Contains(body, "%!") {
				t.Errorf("%s, %s: %s", route, who, body)
			}
			if policy := resp.Header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'") {
				t.Errorf("%s, %s: the policy is %q", route, who, policy)
			}
		}
	}
}

// TestDocuments: a page asked for as JSON is the command's document.
func TestDocuments(t *testing.T) {
	w := open(t)
	c := w.signedIn(t, boToken)
	in := func(document string, into any) {
		t.Helper()
		if err := json.Unmarshal([]byte(document), into); err != nil {
			t.Fatalf("%v: %s", err, document)
		}
	}
	var s status.Status
	_, body := w.get(t, c, "/", "Accept", "application/json")
	if in(body, &s); s.NotOpen != 2-1 || len(s.Doors) != 1 || s.Parked != 1 || !s.NeedsPerson {
		t.Errorf("status: %s", body)
	}
	var found inspect.FoundOrders
	_, body = w.get(t, c, "/find.json?q=R7")
	if in(body, &found); len(found.Orders) != 1 || found.Orders[0].Waybill != "JD7" {
		t.Errorf("find: %s", body)
	}
	var trace struct {
		OrderNo string `json:"order_no"`
		Jobs    []job.Row
	}
	_, body = w.get(t, c, "/orders/R7.json")
	if in(body, &trace); trace.OrderNo != "R7" || len(trace.Jobs) != 4 || trace.Jobs[0].Args != "" {
		t.Errorf("trace: %s", body)
	}
	var explained inspect.Explanation
	_, body = w.get(t, c, "/orders/R7.json?document=explain&lang=zh")
	if in(body, &explained); explained.Outcome != payment.Expired || explained.Lang != lang.Chinese {
		t.Errorf("explain: %s", body)
	}
	var rows []job.Row
	_, body = w.get(t, c, "/jobs.json?order=R7")
	if in(body, &rows); len(rows) != 4 {
		t.Errorf("jobs: %s", body)
	}
	_, body = w.get(t, c, "/jobs.json?text=nothing+has+this")
	if strings.TrimSpace(body) != "[]" {
		t.Errorf("no jobs: %s", body)
	}
	var one job.Row
	_, body = w.get(t, c, "/jobs/2.json")
	if in(body, &one); one.ID != 2 || one.Args != "" || one.LastError == "" {
		t.Errorf("job: %s", body)
	}
	var failed struct {
		Error    string `json:"error"`
		ExitCode int    `json:"exit_code"`
	}
	_, body = w.get(t, c, "/jobs/99.json")
	if in(body, &failed); failed.ExitCode != 1 || failed.Error == "" {
		t.Errorf("failure: %s", body)
	}
}

// TestActs retries a job, and requires that nothing is done without a reason, without the right, or when the job has changed.
func TestActs(t *testing.T) {
	w := open(t)
	c := w.signedIn(t, annaToken)
	state := func() (state string) {
		if err := w.db.QueryRow("SELECT state FROM jdpay_job WHERE id = 2").Scan(&state); err != nil {
			t.Fatal(err)
		}
		return state
	}
	_, confirm := w.post(t, c, "/jobs/2/retry", nil)
	if !strings.Contains(confirm, "opens the door of cell A01 of CAB-01") {
		t.Errorf("the page before the act: %s", confirm)
	}
	m := regexp.MustCompile(`name="shown" value="([^"]*)"`).FindStringSubmatch(confirm)
	if m == nil {
		t.Fatalf("what was shown is not in the form: %s", confirm)
	}
	form := url.Values{"confirmed": {"1"}, "shown": {m[1]}}
	if resp, body := w.post(t, c, "/jobs/2/retry", form); resp.StatusCode != 400 || state() != "parked" {
		t.Errorf("without a reason: %s, the job is %s: %s", resp.Status, state(), body)
	}
	form.Set("reason", "the customer stands there")
	for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://elsewhere.example"}} {
		if resp, _ := w.post(t, c, "/jobs/2/retry", form, header...); resp.StatusCode != 403 || state() != "parked" {
			t.Errorf("from another site: %s, the job is %s", resp.Status, state())
		}
	}
	if resp, _ := w.post(t, w.signedIn(t, boToken), "/jobs/2/retry", form); resp.StatusCode != 403 || state() != "parked" {
		t.Errorf("by somebody else: %s, the job is %s", resp.Status, state())
	}
	w.exec(t, "UPDATE jdpay_job SET next_try_at = next_try_at + INTERVAL 1 MICROSECOND WHERE id = 2")
	if resp, body := w.post(t, c, "/jobs/2/retry", form); resp.StatusCode != 409 || state() != "parked" || !strings.Contains(body, "nothing was done") {
		t.Errorf("after a change: %s, the job is %s: %s", resp.Status, state(), body)
	}
	w.exec(t, "UPDATE jdpay_job SET next_try_at = next_try_at - INTERVAL 1 MICROSECOND WHERE id = 2")
	if resp, body := w.post(t, c, "/jobs/2/retry", form); resp.StatusCode != 200 || state() != "ready" || !strings.Contains(body, "the job is due now") {
		t.Errorf("the act: %s, the job is %s: %s", resp.Status, state(), body)
	}
	var who, from, reason string
	if err := w.db.QueryRow("SELECT who, from_host, reason FROM jdpay_audit ORDER BY id DESC LIMIT 1").Scan(&who, &from, &reason); err != nil {
		t.Fatal(err)
	}
	if who != "anna" || from != "console, from 127.0.0.1" || reason != "the customer stands there" {
		t.Errorf("the trail: %q, %q, %q", who, from, reason)
	}
	if resp, _ := w.post(t, c, "/jobs/2/retry", form); resp.StatusCode != 409 {
		t.Errorf("the same once more: %s", resp.Status)
	}
	w.exec(t, "UPDATE jdpay_job SET state = 'parked', outcome = 'refused', args = '"+job.RedactedMark+`"bytes":3}' WHERE id = 2`)
	if resp, body := w.post(t, c, "/jobs/2/retry", nil); resp.StatusCode != 409 || !strings.Contains(body, "can only be discarded") {
		t.Errorf("a job without its message: %s: %s", resp.Status, body)
	}
	if resp, _ := w.post(t, c, "/jobs/2/discard", nil); resp.StatusCode != 200 {
		t.Errorf("the end of a job without its message: %s", resp.Status)
	}
}

// TestHostileTexts: what comes from outside is text on every page.
func TestHostileTexts(t *testing.T) {
	w := open(t)
	for _, s := range []struct {
		statement string
		args      []any
	}{
		{"INSERT INTO kernelorder_charge (order_id, order_no, amount, is_paid, external_id) VALUES (9, ?, 9.00, 1, ?)", []any{hostile, hostile}},
		{"INSERT INTO kernel_post_order (post_order_id, device_sn, express_number) VALUES ('9', ?, ?)", []any{hostile, hostile}},
		{`INSERT INTO jdpay_job (id, kind, unique_key, ref, args, state, outcome, priority, next_try_at, created_at, finished_at, last_error)
			VALUES (10, 'pay-complete', 'pay-complete:10', '=HYPERLINK(1)', '{}', 'parked', 'refused', 15, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), '+1'),
			(9, 'pay-complete', 'pay-complete:9', ?, '{}', 'parked', 'refused', 15, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), ?)`, []any{hostile, hostile}},
		{"INSERT INTO jdpay_alert (unique_key, cause, ref, job_id, since, text_en, text_zh) VALUES ('h', 'refused/pay-complete', ?, 9, UTC_TIMESTAMP(6), ?, ?)", []any{hostile, hostile, hostile}},
		{"INSERT INTO jdpay_pause (name, since, ends_at, who, reason) VALUES ('pay-info', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6) + INTERVAL 1 HOUR, ?, ?)", []any{hostile, hostile}},
	} {
		if _, err := w.db.Exec(s.statement, s.args...); err != nil {
			t.Fatalf("%.60s: %v", s.statement, err)
		}
	}
	c := w.signedIn(t, annaToken)
	for _, path := range []string{"/", "/find?q=" + url.QueryEscape(hostile), "/find?q=alert", "/orders/" + url.PathEscape(hostile), "/jobs?text=" + url.QueryEscape("<script>"), "/jobs/9", "/login?name=" + url.QueryEscape(hostile)} {
		for _, in := range []string{"en", "zh"} {
			_, body := w.get(t, c, path, "Cookie", "lang="+in)
			if strings.Contains(body, "<script") || strings.ContainsAny(body, "\x1b\u202e") {
				t.Errorf("%s: %s", path, body)
			}
		}
	}
	_, sheet := w.get(t, c, "/jobs.csv?state=parked")
	if strings.Contains(sheet, "\n=") || strings.Contains(sheet, ",=") || strings.ContainsAny(sheet, "\x1b\u202e") || strings.Count(sheet, "\n") < 3 {
		t.Errorf("the spreadsheet: %s", sheet)
	}
}

// TestPages writes what each page says in both languages to the test's log, and requires no text in the other language.
func TestPages(t *testing.T) {
	w := open(t)
	c := w.signedIn(t, annaToken)
	for path, want := range map[string][2]string{
		"/":                   {"1 orders are paid and the door is not open", "柜门"},
		"/orders/R7":          {"too late", "已过期"},
		"/jobs?kind=pay-info": {"written", "已写入"},
		"/jobs/2":             {"Retry…", "重试…"},
		"/help":               {"amount_mismatch", "amount_mismatch"},
		"/find?q=r-700":       {"R7002", "R7001"},
	} {
		for i, in := range []string{"en", "zh"} {
			resp, body := w.get(t, c, path, "Cookie", "lang="+in, "Accept-Language", "fr")
			if resp.StatusCode != 200 || !strings.Contains(body, want[i]) {
				t.Errorf("%s in %s: %s: %s", path, in, resp.Status, body)
			}
		}
	}
	resp, body := w.get(t, c, "/?lang=zh&every=1")
	if resp.Header.Get("Refresh") != "15" || !strings.Contains(body, `lang="zh-CN"`) || !strings.Contains(body, "每 15 秒") {
		t.Errorf("Refresh is %q: %s", resp.Header.Get("Refresh"), body)
	}
	if _, body := w.get(t, c, "/"); !strings.Contains(body, `lang="zh-CN"`) {
		t.Errorf("the choice of the language is not kept: %s", body)
	}
}

// TestJobsByKey walks through more jobs than a page has.
func TestJobsByKey(t *testing.T) {
	w := open(t)
	w.exec(t, `INSERT INTO jdpay_job (kind, unique_key, ref, args, state, outcome, priority, next_try_at, created_at, finished_at)
		SELECT 'pay-info', CONCAT('p', seq), CONCAT('S', seq), '{}', 'done', 'written', 15, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), UTC_TIMESTAMP(6) FROM seq_1_to_120`)
	c := w.signedIn(t, boToken)
	seen := map[string]bool{}
	link := regexp.MustCompile(`<a href="(/jobs\?[^"]*before=[^"]*)">Older`)
	path := "/jobs?kind=pay-info"
	for range 10 {
		_, body := w.get(t, c, path)
		for _, m := range regexp.MustCompile(`href="/orders/(S\d+)"`).FindAllStringSubmatch(body, -1) {
			seen[m[1]] = true
		}
		m := link.FindStringSubmatch(body)
		if m == nil {
			break
		}
		path = strings.ReplaceAll(m[1], "&amp;", "&")
	}
	if len(seen) != 120 {
		t.Errorf("%d of 120 jobs were listed", len(seen))
	}
}

// TestSignIn: cookies, failures and their limits.
func TestSignIn(t *testing.T) {
	w := open(t)
	now := time.Now()
	if user := w.cookieUser(w.cookieValue("anna", now.Add(time.Hour)), now); user != "anna" {
		t.Errorf("a good cookie is of %q", user)
	}
	good := w.cookieValue("anna", now.Add(time.Hour))
	for name, value := range map[string]string{
		"expired": w.cookieValue("anna", now.Add(-time.Second)), "of nobody": w.cookieValue("eve", now.Add(time.Hour)), "empty": "", "cut": good[:len(good)-2],
		"another name": w.cookieValue("bo", now.Add(time.Hour))[:4] + good[4:], "later": strings.Replace(good, fmt.Sprint(now.Add(time.Hour).Unix()), fmt.Sprint(now.Add(2*time.Hour).Unix()), 1),
	} {
		if user := w.cookieUser(value, now); user != "" {
			t.Errorf("%s: it is of %q", name, user)
		}
	}
	w.Config.Console.Tokens["anna"] = config.NewSecret("another long random text")
	if user := w.cookieUser(good, now); user != "" {
		t.Errorf("after a change of the token it is of %q", user)
	}
	delete(w.Config.Console.Tokens, "anna")
	if user := w.cookieUser(good, now); user != "" {
		t.Errorf("after the token was removed it is of %q", user)
	}

	c := reader(t)
	resp, body := w.post(t, c, "/login", url.Values{"token": {"wrong"}})
	if resp.StatusCode != 401 || strings.Contains(body, "wrong\"") {
		t.Errorf("a wrong token: %s: %s", resp.Status, body)
	}
	if resp, _ := w.post(t, c, "/login", url.Values{"token": {boToken}}); resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("at once after it: %s", resp.Status)
	}
	for _, next := range []string{"https://elsewhere.example", "//elsewhere.example", "/\\elsewhere.example", "javascript:1"} {
		if nextPath(next) != "/" {
			t.Errorf("after the sign-in one is sent to %q", nextPath(next))
		}
	}
}

// TestAttempts: the delay of an address grows, and all together fail at most ten times a minute.
func TestAttempts(t *testing.T) {
	var a attempts
	now := time.Now()
	one := testAddr(1)
	a.begin(one, now)
	a.end(one, now, false)
	if wait := a.begin(one, now); wait != firstDelay {
		t.Errorf("after the first failure: %s", wait)
	}
	now = now.Add(firstDelay)
	a.end(one, now, false)
	if wait := a.begin(one, now); wait != 2*firstDelay {
		t.Errorf("after the second failure: %s", wait)
	}
	if wait := a.begin(testAddr(2), now); wait != 0 {
		t.Errorf("another address waits %s", wait)
	}
	for i := range byte(failedSignIns) {
		a.end(testAddr(10+i), now, false)
	}
	if wait := a.begin(testAddr(100), now); wait == 0 {
		t.Error("after ten failures of others an address may try")
	}
	if wait := a.begin(testAddr(100), now.Add(time.Minute)); wait != 0 {
		t.Errorf("a minute later it waits %s", wait)
	}
	a.end(one, now, true)
	if _, remembered := a.of[one]; remembered {
		t.Error("a success does not end the delay")
	}
}

// TestLargeTables measures the pages with a million finished jobs, 100,000 that wait or are parked, and a million orders: JDPAY_LARGE=1.
func TestLargeTables(t *testing.T) {
	if os.Getenv("JDPAY_LARGE") == "" {
		t.Skip("it fills tables for a minute: JDPAY_LARGE=1")
	}
	w := open(t)
	const columns = "INSERT INTO jdpay_job (kind, unique_key, ref, args, state, outcome, priority, next_try_at, created_at, finished_at, last_error) "
	w.exec(t, columns+`SELECT ELT(1 + seq % 4, 'settle', 'pay-complete', 'waybill-status', 'pay-info'), CONCAT('done:', seq), CONCAT('S', seq DIV 4), REPEAT('x', 400), 'done', ELT(1 + seq % 4, 'settled', 'sent', 'updated', 'written'), 15,
			UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), NULL FROM seq_1_to_1000000`,
		columns+`SELECT 'pay-complete', CONCAT('open:', seq), CONCAT('T', seq), REPEAT('x', 100), IF(seq % 10 = 0, 'parked', 'ready'), IF(seq % 10 = 0, 'expired', NULL), 25, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), IF(seq % 10 = 0, UTC_TIMESTAMP(6), NULL), 'the broker is away' FROM seq_1_to_100000`,
		columns+`SELECT 'pay-info', CONCAT('late:', seq), CONCAT('U', seq), REPEAT('x', 100), 'done', 'written', 15, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), NULL FROM seq_1_to_100000`,
		`INSERT INTO kernelorder_charge (order_id, order_no, amount, is_paid) SELECT seq + 100, CONCAT('S', seq), 8, 1 FROM seq_1_to_1000000`,
		"ANALYZE TABLE jdpay_job", "ANALYZE TABLE kernelorder_charge")
	c := w.signedIn(t, annaToken)
	for _, path := range []string{
		"/", "/orders/S1000", "/orders/R7", "/jobs", "/jobs?state=parked", "/jobs?state=ready", "/jobs?state=parked&kind=pay-complete", "/jobs?state=parked&outcome=expired", "/jobs?state=parked&text=broker", "/jobs?state=parked&text=nothing",
		"/jobs?state=ready&text=nothing", "/jobs?state=done", "/jobs?state=waiting", "/jobs?kind=settle", "/jobs?outcome=settled", "/jobs?text=nothing", "/jobs?order=S1000", "/jobs/2", "/help", "/find?q=S1000", "/find?q=000777",
	} {
		took := make([]time.Duration, 5)
		for i := range took {
			begin := time.Now()
			if resp, _ := w.get(t, c, path); resp.StatusCode != 200 && resp.StatusCode != 303 {
				t.Errorf("%s: %s", path, resp.Status)
			}
			took[i] = time.Since(begin).Round(time.Millisecond)
		}
		t.Log(path, took)
	}
}
