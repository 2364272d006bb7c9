package console

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/printable"
)

const (
	cookieLife = 12 * time.Hour
	// After each failed sign-in its address waits twice as long as before, from firstDelay to maxDelay.
	firstDelay, maxDelay = time.Second, 5 * time.Minute
	failedSignIns        = 10   // in a minute; then all have to wait
	maxAddresses         = 1000 // that are remembered
)

// attempts are the failed sign-ins.
type attempts struct {
	mu    sync.Mutex
	of    map[netip.Addr]attempt
	total *rate.Limiter
}

type attempt struct {
	delay time.Duration
	until time.Time
}

// begin reports whether an address may try now; if it may not, for how long it has to wait.
func (a *attempts) begin(ip netip.Addr, now time.Time) (wait time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.total == nil {
		a.of, a.total = map[netip.Addr]attempt{}, rate.NewLimiter(rate.Every(time.Minute/failedSignIns), failedSignIns)
	}
	if a.total.TokensAt(now) < 1 {
		return time.Minute / failedSignIns
	}
	return max(a.of[ip].until.Sub(now), 0)
}

// end notes how a try ended.
func (a *attempts) end(ip netip.Addr, now time.Time, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if ok {
		delete(a.of, ip)
		return
	}
	a.total.AllowN(now, 1)
	if len(a.of) >= maxAddresses {
		clear(a.of) // the limit for all together holds
	}
	delay := min(max(2*a.of[ip].delay, firstDelay), maxDelay)
	a.of[ip] = attempt{delay, now.Add(delay)}
}

// peer is the address that the connection comes from, and whether it is a trusted proxy.
func (s *Server) peer(r *http.Request) (ip netip.Addr, proxy bool) {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return ip, false
	}
	ip = at.Addr().Unmap()
	return ip, slices.ContainsFunc(s.Config.Console.TrustedProxies, func(text string) bool {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			one, err := netip.ParseAddr(text)
			return err == nil && one.Unmap() == ip
		}
		return prefix.Contains(ip)
	})
}

// client is the address of the reader: the last one of X-Forwarded-For that a trusted proxy has added, or the connection's.
func (s *Server) client(r *http.Request) netip.Addr {
	ip, proxy := s.peer(r)
	if forwarded := r.Header.Values("X-Forwarded-For"); proxy && len(forwarded) > 0 {
		list := strings.Split(forwarded[len(forwarded)-1], ",")
		if given, err := netip.ParseAddr(strings.TrimSpace(list[len(list)-1])); err == nil {
			return given.Unmap()
		}
	}
	return ip
}

// secure reports whether the reader's connection is encrypted.
func (s *Server) secure(r *http.Request) bool {
	_, proxy := s.peer(r)
	return r.TLS != nil || proxy && r.Header.Get("X-Forwarded-Proto") == "https"
}

// identify finds out who asks: by the header of a trusted proxy, by a token, or by the cookie of a sign-in. Without any way to sign
// in, which Check allows on loopback only, everybody reads and nobody acts.
func (s *Server) identify(p *page) bool {
	c := s.Config.Console
	_, proxy := s.peer(p.r)
	given, bearer := strings.CutPrefix(p.r.Header.Get("Authorization"), "Bearer ")
	switch {
	case proxy && c.UserHeader != "" && p.r.Header.Get(c.UserHeader) != "":
		p.User = printable.Text(p.r.Header.Get(c.UserHeader))
	case len(c.Tokens) == 0 && c.UserHeader == "":
		return true
	case bearer:
		p.User = s.signIn(p.r, "", given)
	default:
		if cookie, err := p.r.Cookie(s.cookieName(p.r)); err == nil {
			p.User = s.cookieUser(cookie.Value, time.Now())
			p.Signed = p.User != ""
		}
	}
	p.Acts = c.Acts && s.Operator != nil && p.User != "" && slices.Contains(c.Operators, p.User)
	return p.User != ""
}

// signIn returns whose token is given, empty if it is nobody's or the address has to wait. A name, if there is one, must be the
// token's.
func (s *Server) signIn(r *http.Request, name, token string) (user string) {
	ip, now := s.client(r), time.Now()
	if s.attempts.begin(ip, now) > 0 {
		return ""
	}
	got := sha256.Sum256([]byte(token))
	for who, secret := range s.Config.Console.Tokens { // all of them: the time tells nothing
		want := sha256.Sum256([]byte(secret.Reveal()))
		if subtle.ConstantTimeCompare(got[:], want[:]) == 1 && (name == "" || name == who) {
			user = who
		}
	}
	s.attempts.end(ip, now, user != "")
	if user == "" {
		s.Log.Warn("a sign-in to the console failed", "from", ip.String(), "who", printable.Text(name))
	}
	return user
}

func (s *Server) cookieName(r *http.Request) string {
	if s.secure(r) {
		return "__Host-jdpay"
	}
	return "jdpay"
}

// cookieValue is the proof of a sign-in: name, expiry and their HMAC by the person's token. A token that is changed or removed ends it.
func (s *Server) cookieValue(user string, expiry time.Time) string {
	text := base64.RawURLEncoding.EncodeToString([]byte(user)) + "." + strconv.FormatInt(expiry.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(s.Config.Console.Tokens[user].Reveal()))
	fmt.Fprintf(mac, "jdpay-listener console\n%s", text)
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// cookieUser returns who a cookie's value is of, empty if it is not one of ours or its time is over.
func (s *Server) cookieUser(value string, now time.Time) string {
	parts := strings.Split(value, ".")
	if len(parts) != 3 {
		return ""
	}
	name, err := base64.RawURLEncoding.DecodeString(parts[0])
	expiry, errTime := strconv.ParseInt(parts[1], 10, 64)
	user := string(name)
	if _, known := s.Config.Console.Tokens[user]; err != nil || errTime != nil || !known || !now.Before(time.Unix(expiry, 0)) ||
		!hmac.Equal([]byte(value), []byte(s.cookieValue(user, time.Unix(expiry, 0)))) {
		return ""
	}
	return user
}

// loginData is what the sign-in page shows.
type loginData struct{ Name, Token, Next string }

func (s *Server) loginPage(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	s.newPage(w, r).showLogin(http.StatusOK, "", loginData{q.Get("name"), q.Get("token"), nextPath(q.Get("next"))})
}

func (p *page) showLogin(code int, problem string, d loginData) {
	p.name, p.Title, p.Problem, p.Data = "login", p.T(lang.Mark("Sign in")), problem, d
	p.show(code, nil)
}

// nextPath is a path of this server, to be sent to after the sign-in.
func nextPath(path string) string {
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.ContainsAny(path, "\\\r\n") {
		return "/"
	}
	return path
}

func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	p := s.newPage(w, r)
	d := loginData{Name: strings.TrimSpace(r.PostFormValue("name")), Next: nextPath(r.PostFormValue("next"))}
	if wait := s.attempts.begin(s.client(r), time.Now()); wait > 0 {
		seconds := int(wait.Seconds()) + 1
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
		p.showLogin(http.StatusTooManyRequests, p.T(lang.Mark("too many sign-ins failed: wait %d s"), seconds), d)
		return
	}
	user := s.signIn(r, d.Name, strings.TrimSpace(r.PostFormValue("token")))
	if user == "" {
		p.showLogin(http.StatusUnauthorized, p.T(lang.Mark("the name or the token is wrong")), d)
		return
	}
	s.Log.Info("signed in to the console", "who", user, "from", s.client(r).String())
	s.setCookie(w, r, s.cookieName(r), s.cookieValue(user, time.Now().Add(cookieLife)), cookieLife)
	http.Redirect(w, r, d.Next, http.StatusSeeOther)
}

func (s *Server) logout(w http.ResponseWriter, r *http.Request) {
	s.setCookie(w, r, s.cookieName(r), "", -time.Second)
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

func (s *Server) setCookie(w http.ResponseWriter, r *http.Request, name, value string, life time.Duration) {
	http.SetCookie(w, &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: int(life.Seconds()), HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: s.secure(r)})
}
