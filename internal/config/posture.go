package config

import (
	"crypto/tls"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// Words of a Link.
const (
	Yes       = "yes"
	No        = "no"
	IfOffered = "if offered" // Encrypted: only when the server, or whoever answers for it, offers it
	Authority = "authority"  // Verified: the certificate is from the given authority, whatever name is on it
	AnyIssuer = "any issuer" // Verified: any certificate of a public authority is taken, whatever name is on it

	NoCredentials = "none"
	Protected     = "protected"          // only the verified server can read them, or they are proven and never sent
	Exposed       = "to whoever answers" // whoever stands between and answers for the server can read them
	InClear       = "in clear"           // whoever sees the traffic can read them
)

// Link is how the connection to one dependency is secured: as the configuration asks for it or, after Seen, as it is. It
// has no address: what stands in its place in a garbled connection string may be a password.
type Link struct {
	Name        string `json:"name"`
	Key         string `json:"key"`         // that decides over it
	Local       bool   `json:"local"`       // loopback or a socket: nothing goes over a network
	Encrypted   string `json:"encrypted"`   // Yes, No or IfOffered
	Verified    string `json:"verified"`    // Yes, Authority, AnyIssuer or No
	Credentials string `json:"credentials"` // NoCredentials, Protected, Exposed or InClear
	// Session is what was found at the connection, such as "TLS 1.3 TLS_AES_128_GCM_SHA256", "not encrypted" or why there
	// was none. Empty: nobody has looked.
	Session string `json:"session,omitempty"`

	sent   string // how credentials go to the server
	remedy string
}

// How credentials go to a server.
const (
	sentNot      = ""
	sentProof    = "proof"    // requests are signed
	sentExchange = "exchange" // whoever answers for the server can ask for the text, as MySQL's protocol allows
	sentText     = "text"
)

// judge derives what becomes of the credentials.
func (l Link) judge() Link {
	switch {
	case l.sent == sentNot:
		l.Credentials = NoCredentials
	case l.sent == sentProof, l.isSecure():
		l.Credentials = Protected
	case l.sent == sentText && l.Encrypted == No:
		l.Credentials = InClear
	default:
		l.Credentials = Exposed
	}
	return l
}

func (l Link) isSecure() bool {
	return l.Encrypted == Yes && (l.Verified == Yes || l.Verified == Authority)
}

// Seen returns the link as its connection turned out to be: session names protocol and cipher and is empty for one
// that is not encrypted; verified says whether the server's certificate was checked.
func (l Link) Seen(session string, verified bool) Link {
	l.Session, l.Encrypted = session, Yes
	if session == "" {
		l.Session, l.Encrypted = "not encrypted", No
	}
	if l.Encrypted == No || !verified {
		l.Verified = No
	}
	return l.judge()
}

// Risk says what can happen on the link, and what to do about it. It is empty when the other end is verified and the
// link encrypted, or when it does not leave this machine.
func (l Link) Risk() (problem, remedy string) {
	if l.Local || l.isSecure() {
		return "", ""
	}
	switch {
	case l.Encrypted == IfOffered:
		problem = "a server without TLS, or whoever stands between and says so, gets an unencrypted connection"
	case l.Encrypted == No:
		problem = "the connection is not encrypted"
	case l.Verified == AnyIssuer:
		problem = "anybody with a certificate of any public authority passes for the server"
	default:
		problem = "whoever answers passes for the server: its certificate is not checked"
	}
	switch l.Credentials {
	case Exposed:
		problem += "; the password can be read by whoever answers"
	case InClear:
		problem += "; the credentials can be read by whoever sees the traffic"
	}
	return problem, l.remedy
}

// Links are the daemon's connections as the configuration asks for them. What cannot be parsed, and is a fault, is
// left out.
func (c *Config) Links() []Link {
	var links []Link
	add := func(l Link) { links = append(links, l.judge()) }
	for _, db := range []struct {
		name, key string
		text      Secret
	}{
		{"account database", "ConnectionStrings:Account", c.ConnectionStrings.Account},
		{"main database", "ConnectionStrings:Main", c.ConnectionStrings.Main},
	} {
		if parsed, _, err := ParseMySQL(db.text.Reveal()); err == nil {
			l := parsed.link()
			l.Name, l.Key = db.name, db.key
			add(l)
		}
	}
	add(c.urlLink("mns", "Mns:Endpoint", c.Mns.Endpoint, sentProof))
	add(c.mqttLink())
	jd := sentText
	if c.JDApi.Signer == "none" {
		jd = sentNot
	}
	add(c.urlLink("jd api", "JDApi:BaseUrl", c.JDApi.BaseUrl, jd))
	if l, on := c.redisLink(); on {
		add(l)
	}
	if c.Elasticsearch.Url != "" {
		sent := sentNot
		if c.Elasticsearch.Username != "" || c.Elasticsearch.ApiKey.IsSet() {
			sent = sentText
		}
		add(c.urlLink("elasticsearch", "Elasticsearch:Url", c.Elasticsearch.Url, sent))
	}
	ops := Link{
		Name: "ops port", Key: "Ops:Listen", Encrypted: No, Verified: No,
		remedy: "listen on 127.0.0.1, behind a proxy that speaks TLS",
	}
	if host, _, err := net.SplitHostPort(c.Ops.Listen); err == nil {
		ops.Local = isLoopback(host)
	}
	if c.Ops.Token.IsSet() {
		ops.sent = sentText
	}
	add(ops)
	return links
}

// link is how the database is asked to be connected.
func (m MySQL) link() Link {
	l := Link{
		Encrypted: Yes, Verified: No,
		remedy: "set SslMode=VerifyFull (or VerifyCA) and SslCa, in a Go DSN tls=true, and let the server speak TLS",
	}
	if m.Config.Passwd != "" {
		l.sent = sentExchange
	}
	switch m.Config.Net {
	case "unix":
		l.Local = true
	case "tcp":
		if host, _, err := net.SplitHostPort(m.Config.Addr); err == nil {
			l.Local = isLoopback(host)
		}
	}
	switch m.SslMode {
	case SslNone:
		l.Encrypted = No
	case SslPreferred:
		l.Encrypted = IfOffered
	case SslVerifyCA:
		l.Verified = Authority
		if m.SslCa == "" {
			l.Verified, l.remedy = AnyIssuer, "set SslCa to the authority of the server, or SslMode=VerifyFull"
		}
	case SslVerifyFull:
		l.Verified = Yes
	}
	return l
}

func (c *Config) urlLink(name, key, address, sent string) Link {
	l := Link{Name: name, Key: key, Encrypted: No, Verified: No, remedy: "write https://", sent: sent}
	if u, err := url.Parse(address); err == nil {
		l.Local = isLoopback(u.Hostname())
		if u.Scheme == "https" {
			l.Encrypted, l.Verified = Yes, Yes
		}
	}
	return l
}

func (c *Config) mqttLink() Link {
	m := c.Mqtt
	l := Link{
		Name: "mqtt broker", Key: "Mqtt:Server", Local: isLoopback(m.Server), Encrypted: No, Verified: No, remedy: "set Mqtt:Tls:Enabled to true and Mqtt:Port to the broker's port for TLS, such as 8883",
	}
	if m.Username != "" {
		l.sent = sentText
	}
	if m.Tls.Enabled {
		l.Encrypted, l.Verified = Yes, Yes
	}
	return l
}

// redisLink takes Sentinels and clusters for remote: they name the servers themselves.
func (c *Config) redisLink() (Link, bool) {
	o, on := c.RedisOptions()
	if !on {
		return Link{}, false
	}
	l := Link{
		Name: "redis", Key: c.redisKey(), Encrypted: No, Verified: No,
		remedy: "write ssl=true or rediss://, and the server's port for TLS",
	}
	if host, _, err := net.SplitHostPort(o.Addrs[0]); err == nil {
		l.Local = len(o.Addrs) == 1 && o.MasterName == "" && isLoopback(host)
	}
	if o.Password.IsSet() {
		l.sent = sentText
	}
	if o.TLS {
		l.Encrypted, l.Verified = Yes, Yes
	}
	return l, true
}

// isLoopback reports whether a host is this machine.
func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.Unmap().IsLoopback()
}

// posture warns of links on which credentials can be read. With Security:Strict every link that leaves this machine
// must be encrypted and verified, or it is a fault.
func (v *validator) posture() {
	for _, l := range v.c.Links() {
		problem, remedy := l.Risk()
		switch {
		case problem == "" || v.faulty(l.Key):
		case v.c.Security.Strict:
			v.fault(l.Key, "refused by Security:Strict: "+problem, remedy)
		case l.Key != "Ops:Listen" && slices.Contains([]string{Exposed, InClear}, l.Credentials):
			v.warn(l.Key, problem+"; "+remedy)
		}
	}
}

// SessionName names protocol and cipher of a TLS connection, as a Link's Seen wants it.
func SessionName(s tls.ConnectionState) string {
	return tls.VersionName(s.Version) + " " + tls.CipherSuiteName(s.CipherSuite)
}
