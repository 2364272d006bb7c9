package setup

import (
	"net"
	"net/url"

	"jdpay-listener/internal/check"
	"jdpay-listener/internal/config"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/sqldb"
)

// Values of a Link's fields.
const (
	Yes       = "yes"
	No        = "no"
	IfOffered = "if offered" // Encrypted: only when the server, or an impostor, offers it
	Authority = "authority"  // Verified: the certificate is from the given authority, whatever name is on it
	AnyIssuer = "any issuer" // Verified: any certificate of a public authority is taken, whatever name is on it

	NoCredentials = "none"
	Protected     = "protected"      // only the verified server can read them, or they are proven and never sent
	Exposed       = "to an impostor" // a program that answers in place of the server can read them
	InClear       = "plaintext"      // anybody who sees the traffic can read them
)

// Link is how the connection to one dependency is secured: as the configuration asks for it or, after Observed, as it is. It
// has no address: a malformed connection string may have a password in its place.
type Link struct {
	Name        string `json:"name"`
	Key         string `json:"key"`         // of the configuration
	Local       bool   `json:"local"`       // loopback or a socket: nothing goes over a network
	Encrypted   string `json:"encrypted"`   // Yes, No or IfOffered
	Verified    string `json:"verified"`    // Yes, Authority, AnyIssuer or No
	Credentials string `json:"credentials"` // NoCredentials, Protected, Exposed or InClear
	// Session is what the connection uses, such as "TLS 1.3 TLS_AES_128_GCM_SHA256" or "not encrypted", or why there is no
	// connection. Empty: it was not opened.
	Session string `json:"session,omitempty"`

	sent   string // how credentials go to the server
	remedy lang.Message
}

// How credentials go to a server.
const (
	sentNone     = ""
	sentProof    = "proof"    // requests are signed
	sentExchange = "exchange" // an impostor can ask for the text, as MySQL's protocol allows
	sentText     = "text"
)

// judge sets Credentials: who can read them.
func (l Link) judge() Link {
	switch {
	case l.sent == sentNone:
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

// Observed returns the link as its open connection is: session names protocol and cipher, and is empty for one that is not
// encrypted; verified says whether the server's certificate was checked.
func (l Link) Observed(session string, verified bool) Link {
	l.Session, l.Encrypted = session, Yes
	if session == "" {
		l.Session, l.Encrypted = "not encrypted", No
	}
	if l.Encrypted == No || !verified {
		l.Verified = No
	}
	return l.judge()
}

// Risk says what can happen on the link, and what to do about it. Both are empty when the link is encrypted and the server
// verified, or when the link does not leave this machine.
func (l Link) Risk() (problem, remedy lang.Message) {
	if l.Local || l.isSecure() {
		return problem, remedy
	}
	switch {
	case l.Encrypted == IfOffered:
		problem = lang.M("a server without TLS, or a man in the middle who says so, gets an unencrypted connection")
	case l.Encrypted == No:
		problem = lang.M("the connection is not encrypted")
	case l.Verified == AnyIssuer:
		problem = lang.M("anybody with a certificate of any public authority passes for the server")
	default:
		problem = lang.M("an impostor passes for the server: its certificate is not checked")
	}
	switch l.Credentials {
	case Exposed:
		problem = lang.Join([]lang.Message{problem, lang.M("an impostor can read the password")}, "; ")
	case InClear:
		problem = lang.Join([]lang.Message{problem, lang.M("anybody who sees the traffic can read the credentials")}, "; ")
	}
	return problem, l.remedy
}

// Links are the daemon's connections as the configuration asks for them. Addresses that cannot be parsed are faults, and
// left out here.
func Links(c *config.Config) []Link {
	var links []Link
	add := func(l Link) { links = append(links, l.judge()) }
	addDatabase := func(name, key string, text config.Secret) {
		if db, _, err := sqldb.ParseConnectionString(text.Reveal()); err == nil {
			l := databaseLink(db)
			l.Name, l.Key = name, key
			add(l)
		}
	}
	addDatabase("account database", "ConnectionStrings:Account", c.ConnectionStrings.Account)
	addDatabase("main database", "ConnectionStrings:Main", c.ConnectionStrings.Main)
	add(urlLink("mns", "Mns:Endpoint", c.Mns.Endpoint, sentProof))
	mqtt := Link{
		Name: "mqtt broker", Key: "Mqtt:Server", Local: check.IsLoopback(c.Mqtt.Server), sent: sentIf(c.Mqtt.Username != ""),
		remedy: lang.M("set Mqtt:Tls:Enabled to true and Mqtt:Port to the broker's port for TLS, such as 8883"),
	}
	add(mqtt.encrypted(c.Mqtt.Tls.Enabled))
	add(urlLink("jd api", "JDApi:BaseUrl", c.JDApi.BaseUrl, sentIf(c.JDApi.Signer != "none")))
	if o, _, on, err := redisOptions(c); on && err == nil {
		redis := Link{
			Name: "redis", Key: redisKey(c), sent: sentIf(o.Password != ""), remedy: lang.M("write ssl=true or rediss://, and the server's port for TLS"),
		}
		// Sentinels and clusters name the servers themselves.
		if host, _, err := net.SplitHostPort(o.Addrs[0]); err == nil {
			redis.Local = len(o.Addrs) == 1 && o.MasterName == "" && check.IsLoopback(host)
		}
		add(redis.encrypted(o.TLS))
	}
	if e := c.Elasticsearch; e.Url != "" {
		add(urlLink("elasticsearch", "Elasticsearch:Url", e.Url, sentIf(e.Username != "" || e.ApiKey.IsSet())))
	}
	for _, t := range AlertTargets(c) {
		add(urlLink("alerts "+t.Name, "Alerts:"+t.Name+":Url", t.URL, sentText)) // the address is the credential
	}
	if h := c.Alerts.Heartbeat; h.IsSet() {
		add(urlLink("heartbeat", "Alerts:Heartbeat", h.Reveal(), sentText))
	}
	if c.Ops.Listen == "" {
		return links
	}
	port := Link{Name: "ops port", Key: "Ops:Listen", sent: sentIf(c.Ops.Token.IsSet()), remedy: lang.M("listen on 127.0.0.1, behind a proxy that speaks TLS")}
	if host, _, err := net.SplitHostPort(c.Ops.Listen); err == nil {
		port.Local = check.IsLoopback(host)
	}
	add(port.encrypted(false))
	return links
}

// sentIf is sentText if there are credentials to send.
func sentIf(isSent bool) string {
	if isSent {
		return sentText
	}
	return sentNone
}

// encrypted returns the link with or without TLS. TLS means verification, too, except for databases.
func (l Link) encrypted(isEncrypted bool) Link {
	l.Encrypted, l.Verified = No, No
	if isEncrypted {
		l.Encrypted, l.Verified = Yes, Yes
	}
	return l
}

// databaseLink is the connection to a database as its connection string asks for it.
func databaseLink(db sqldb.Database) Link {
	l := Link{
		Local: db.IsLocal(), Encrypted: Yes, Verified: No,
		remedy: lang.M("set SslMode=VerifyFull (or VerifyCA) and SslCa, in a Go DSN tls=true, and let the server speak TLS"),
	}
	if db.Config.Passwd != "" {
		l.sent = sentExchange
	}
	switch db.SslMode {
	case sqldb.SslNone:
		l.Encrypted = No
	case sqldb.SslPreferred:
		l.Encrypted = IfOffered
	case sqldb.SslVerifyCA:
		l.Verified = Authority
		if db.SslCa == "" {
			l.Verified, l.remedy = AnyIssuer, lang.M("set SslCa to the authority of the server, or SslMode=VerifyFull")
		}
	case sqldb.SslVerifyFull:
		l.Verified = Yes
	}
	return l
}

func urlLink(name, key, address, sent string) Link {
	l := Link{Name: name, Key: key, remedy: lang.M("write https://"), sent: sent}
	u, err := url.Parse(address)
	l.Local = err == nil && check.IsLoopback(u.Hostname())
	return l.encrypted(err == nil && u.Scheme == "https")
}
