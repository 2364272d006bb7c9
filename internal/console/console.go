// Package console serves pages for the people who have no shell: how things are, where an order is, which jobs there are and,
// for those who may, to retry or discard one. What the commands do it calls; it has no SQL of its own.
//
// Reading order: the routes and what holds for all of them (console.go), who asks (auth.go), the pages (pages.go), the acts
// (acts.go), the pictures (picture.go), the templates (pages.html).
package console

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"database/sql"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/inspect"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/ops"
	"jdpay-listener/internal/outage"
	"jdpay-listener/internal/printable"
	"jdpay-listener/internal/sqldb"
	"jdpay-listener/internal/status"
)

const (
	maxPages               = 8 // that read the databases at the same time, each with one query at a time
	maxFinds               = 2
	pageTimeout            = 5 * time.Second
	findTimeout            = 12 * time.Second // inspect.Find has limits of its own
	minRefresh, maxRefresh = 15, 300
)

// Server serves the pages. All fields but Operator and Log are needed.
type Server struct {
	Account, Main *sql.DB // of a user that only reads
	Operator      *sql.DB // of a user that acts; nil: nobody acts
	Config        *config.Config
	Log           *slog.Logger // nil discards the log
	// OnListen is called with the address when the server listens.
	OnListen func(addr net.Addr)

	attempts attempts
	pages    chan struct{}
	finds    chan struct{}

	outage outage.Outage // of the account database
}

// Serve serves until ctx ends. It returns an error at once if the address cannot be bound or the certificate cannot be read.
func (s *Server) Serve(ctx context.Context) error {
	c := s.Config.Console
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return lang.Errorf("the console cannot listen on %s (Console:Listen): %s", c.Listen, err)
	}
	if c.CertFile != "" {
		load := func(*tls.ClientHelloInfo) (*tls.Certificate, error) { // each time: a renewed certificate counts without a restart
			cert, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
			return &cert, err
		}
		if _, err := load(nil); err != nil {
			_ = l.Close()
			return lang.Errorf("the console's certificate cannot be read (Console:CertFile, Console:KeyFile): %s", err)
		}
		l = tls.NewListener(l, &tls.Config{GetCertificate: load, MinVersion: tls.VersionTLS12})
	}
	if s.OnListen != nil {
		s.OnListen(l.Addr())
	}
	return ops.ServeHTTP(ctx, l, s.Handler())
}

//go:embed style.css
var style []byte

//go:embed pages.html
var source string

var templates = template.Must(template.New("").Parse(source))

// Handler serves the routes.
func (s *Server) Handler() http.Handler {
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	s.pages, s.finds = make(chan struct{}, maxPages), make(chan struct{}, maxFinds)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /style.css", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/css; charset=utf-8")
		_, _ = w.Write(style)
	})
	mux.HandleFunc("GET /login", s.loginPage)
	mux.HandleFunc("POST /login", s.login)
	mux.HandleFunc("POST /logout", s.logout)
	mux.HandleFunc("GET /{$}", s.page(pageTimeout, s.home))
	mux.HandleFunc("GET /find", s.page(findTimeout, s.find))
	mux.HandleFunc("GET /orders/{no}", s.page(pageTimeout, s.order))
	mux.HandleFunc("GET /jobs", s.page(pageTimeout, s.jobs))
	mux.HandleFunc("GET /jobs.csv", s.page(pageTimeout, s.jobs))
	mux.HandleFunc("GET /jobs/{id}", s.page(pageTimeout, s.job))
	mux.HandleFunc("POST /jobs/{id}/{act}", s.page(pageTimeout, s.act))
	mux.HandleFunc("GET /help", s.page(pageTimeout, s.help))
	mux.HandleFunc("GET /", s.page(pageTimeout, func(context.Context, *page) error { return errNoPage }))
	return s.guard(http.NewCrossOriginProtection().Handler(mux))
}

// guard sets what holds for every response. A path that ends in .json asks for a document, as Accept: application/json does.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		if s.secure(r) {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
		if trimmed, ok := strings.CutSuffix(r.URL.Path, ".json"); ok {
			r.URL.Path, r.URL.RawPath = trimmed, ""
			r.Header.Set("Accept", "application/json")
		}
		next.ServeHTTP(w, r)
	})
}

// page is what the templates get, and the request that they answer.
type page struct {
	Lang    lang.Lang
	Title   string
	User    string // who asks; empty on loopback without sign-in
	Acts    bool   // who asks may act
	Signed  bool   // there is a sign-in to end
	Every   int    // seconds between two readings; 0: none
	Path    string // of this page, without lang and every, for links
	Problem string // what could not be read, or why nothing was done
	Data    any

	name   string // of the template
	status int
	zone   *time.Location
	json   any // the command's document
	w      http.ResponseWriter
	r      *http.Request
	log    *slog.Logger
}

// T is a text in the page's language.
func (p *page) T(format string, args ...any) string { return lang.Filled(format, args...).In(p.Lang) }

// In is a message in the page's language.
func (p *page) In(m lang.Message) string { return m.In(p.Lang) }

// Word is a state, a kind or an outcome in words.
func (p *page) Word(name any) string { return inspect.Word(fmt.Sprint(name)).In(p.Lang) }

// Cause is an error's text in words.
func (p *page) Cause(text string) string { return inspect.Cause(text, p.Lang) }

// At is a time in Payment:TimeZone.
func (p *page) At(t any) string {
	switch t := t.(type) {
	case *time.Time:
		if t != nil {
			return t.In(p.zone).Format(time.DateTime)
		}
	case time.Time:
		return t.In(p.zone).Format(time.DateTime)
	}
	return "–"
}

// Age is how long ago a time was, at another one.
func (p *page) Age(now, t time.Time) string { return status.Age(now.Sub(t)).In(p.Lang) }

// Seconds is a duration in words.
func (p *page) Seconds(n float64) string {
	return status.Age(time.Duration(n * float64(time.Second))).In(p.Lang)
}

// Link is the address of this page with one parameter set, or left out if the value is empty.
func (p *page) Link(name, value string) string {
	u, _ := url.Parse(p.Path)
	q := u.Query()
	if q.Set(name, value); value == "" {
		q.Del(name)
	}
	return (&url.URL{Path: u.Path, RawQuery: q.Encode()}).String()
}

// CSV is the address of the list of jobs as a spreadsheet.
func (p *page) CSV() string { return strings.Replace(p.Path, "/jobs", "/jobs.csv", 1) }

var errNoPage = lang.Errorf("there is no such page")

// page signs the reader in, limits how much is read at the same time and for how long, and shows what fill reads, as a page or as the
// command's document.
func (s *Server) page(timeout time.Duration, fill func(context.Context, *page) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p := s.newPage(w, r)
		if !s.identify(p) {
			if p.json != nil {
				p.show(http.StatusUnauthorized, lang.Errorf("sign in, or send a token as Authorization: Bearer"))
				return
			}
			http.Redirect(w, r, "/login?next="+url.QueryEscape(p.Path), http.StatusSeeOther)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), timeout)
		defer cancel()
		slots := s.pages
		if timeout == findTimeout {
			slots = s.finds
		}
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
		case <-ctx.Done():
			p.show(http.StatusServiceUnavailable, lang.Errorf("too many people look at this moment: try again"))
			return
		}
		err := fill(ctx, p)
		since := s.noteDatabase(err)
		switch {
		case p.status == http.StatusSeeOther: // it was answered
		case err == errNoPage:
			p.show(http.StatusNotFound, err)
		case err != nil && !since.IsZero():
			p.show(http.StatusServiceUnavailable, lang.Errorf("the database could not be read in time; since %s no page could be read: %s. Payments do not depend on this page.", p.At(since), inspect.CauseMessage(err.Error())))
		case err != nil:
			p.show(cmp.Or(p.status, http.StatusInternalServerError), err)
		default:
			p.show(cmp.Or(p.status, http.StatusOK), nil)
		}
	}
}

// newPage reads what every page has from the request.
func (s *Server) newPage(w http.ResponseWriter, r *http.Request) *page {
	p := &page{w: w, r: r, log: s.Log, zone: s.Config.Payment.Location()}
	q := r.URL.Query()
	choice := q.Get("lang")
	if cookie, err := r.Cookie("lang"); choice == "zh" || choice == "en" {
		s.setCookie(w, r, "lang", choice, 365*24*time.Hour)
	} else if choice = r.Header.Get("Accept-Language"); err == nil {
		choice = cookie.Value
	}
	if p.Lang = lang.English; strings.HasPrefix(choice, "zh") {
		p.Lang = lang.Chinese
	}
	if n, err := strconv.Atoi(q.Get("every")); err == nil && r.Method == http.MethodGet { // an act is not repeated
		p.Every = min(max(n, minRefresh), maxRefresh)
		w.Header().Set("Refresh", strconv.Itoa(p.Every))
	}
	q.Del("lang")
	q.Del("every")
	if p.Path = (&url.URL{Path: r.URL.Path, RawQuery: q.Encode()}).String(); r.Method != http.MethodGet {
		p.Path = path.Dir(r.URL.Path)
	}
	if strings.HasPrefix(r.Header.Get("Accept"), "application/json") {
		p.json = struct{}{}
	}
	return p
}

// show writes the page or the document; with an error the one that says it.
func (p *page) show(code int, err error) {
	text, contentType := []byte(nil), "text/html; charset=utf-8"
	if p.json != nil {
		document := p.json
		if err != nil {
			document = map[string]any{"error": lang.ErrorMessage(err).In(lang.English), "exit_code": 1}
		}
		text, _ = json.MarshalIndent(document, "", "  ")
		text, contentType = append(printable.JSON(text), '\n'), "application/json"
	} else {
		if err != nil {
			p.name, p.Title, p.Problem = "problem", p.T(lang.Mark("Not shown")), lang.ErrorMessage(err).In(p.Lang)
		}
		var b bytes.Buffer
		if err := templates.ExecuteTemplate(&b, p.name, p); err != nil {
			p.log.Error("page "+p.name+" of the console cannot be made", "error", err)
			http.Error(p.w, "internal error", http.StatusInternalServerError)
			return
		}
		for line := range strings.Lines(b.String()) {
			text = append(append(text, printable.Text(strings.TrimSpace(line))...), '\n')
		}
	}
	p.w.Header().Set("Content-Type", contentType)
	p.w.WriteHeader(code)
	_, _ = p.w.Write(text)
}

// noteDatabase remembers since when the account database cannot be read, and returns that; zero: it can.
func (s *Server) noteDatabase(err error) time.Time {
	if !sqldb.IsDown(err) && !errors.Is(err, context.DeadlineExceeded) {
		err = nil
	}
	return s.outage.Note(time.Now(), err, func() {
		s.Log.Warn("pages cannot be read", "error", err)
	}, func(lasted time.Duration) {
		s.Log.Info("pages can be read again", "outage_ms", lasted.Milliseconds())
	})
}
