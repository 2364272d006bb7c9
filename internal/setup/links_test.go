package setup

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/google/go-cmp/cmp"

	"jdpay-listener/internal/sqldb"
	"jdpay-listener/internal/testenv"
)

// remote is a configuration in which nothing is on this machine and everything is verified.
var remote = []string{
	"Mns__Endpoint=https://mns.test", "Mns__AccessKeyId=id", "Mns__AccessKeySecret=x", "JDApi__BaseUrl=https://jd.test",
	"Mqtt__Server=mqtts://broker.test", "Mqtt__Username=u", "Mqtt__Password=p", "Redis__Server=rediss://:p@redis.test",
	"Elasticsearch__Url=https://es.test", "Elasticsearch__ApiKey=k",
}

func TestLinks(t *testing.T) {
	const (
		account, main, mns, mqtt, jd, redis, es, ops = "account database", "main database", "mns", "mqtt broker", "jd api", "redis", "elasticsearch", "ops port"
	)
	db := func(text string) []string { return []string{"ConnectionStrings__Account=" + text} }
	tests := map[string]struct {
		environ []string // beside remote
		of      string
		want    string // local, encrypted, verified, credentials
	}{
		"MySQL verified":                    {of: main, want: "network yes yes protected"},
		"MySQL without TLS":                 {db("Server=h;Database=d;Uid=u;Pwd=p;SslMode=None"), account, "network no no to an impostor"},
		"MySQL without TLS or password":     {db("Server=h;Database=d;Uid=u;SslMode=None"), account, "network no no none"},
		"MySQL preferred":                   {db("Server=h;Database=d;Uid=u;Pwd=p;SslMode=Preferred"), account, "network if offered no to an impostor"},
		"MySQL without SslMode":             {db("Server=h;Database=d;Uid=u;Pwd=p"), account, "network if offered no to an impostor"},
		"MySQL required":                    {db("Server=h;Database=d;Uid=u;Pwd=p;SslMode=Required"), account, "network yes no to an impostor"},
		"MySQL, any public authority":       {db("Server=h;Database=d;Uid=u;Pwd=p;SslMode=VerifyCA"), account, "network yes any issuer to an impostor"},
		"MySQL on loopback":                 {db("Server=127.0.0.1;Database=d;Uid=u;Pwd=p;SslMode=None"), account, "local no no to an impostor"},
		"MySQL on IPv6 loopback":            {db("Server=::1;Database=d;Uid=u;Pwd=p;SslMode=None"), account, "local no no to an impostor"},
		"MySQL on localhost":                {db("Server=LocalHost;Database=d;Uid=u;Pwd=p;SslMode=None"), account, "local no no to an impostor"},
		"MySQL, localhost as a subdomain":   {db("Server=localhost.evil.test;Database=d;Uid=u;Pwd=p;SslMode=None"), account, "network no no to an impostor"},
		"MySQL on a socket":                 {db("u:p@unix(/run/mysqld.sock)/d"), account, "local no no to an impostor"},
		"Go DSN":                            {db("u:p@tcp(h)/d"), account, "network no no to an impostor"},
		"Go DSN verified":                   {db("u:p@tcp(h)/d?tls=true"), account, "network yes yes protected"},
		"Go DSN unverified":                 {db("u:p@tcp(h)/d?tls=skip-verify"), account, "network yes no to an impostor"},
		"Go DSN preferred":                  {db("u:p@tcp(h)/d?tls=preferred"), account, "network if offered no to an impostor"},
		"Go DSN verified, or not encrypted": {db("u:p@tcp(h)/d?tls=true&allowFallbackToPlaintext=true"), account, "network if offered no to an impostor"},
		"MNS":                               {of: mns, want: "network yes yes protected"},
		"MNS without TLS: signed requests":  {[]string{"Mns__Endpoint=http://mns.test"}, mns, "network no no protected"},
		"MQTT":                              {of: mqtt, want: "network yes yes protected"},
		"MQTT without TLS":                  {[]string{"Mqtt__Server=broker"}, mqtt, "network no no plaintext"},
		"MQTT without TLS or user":          {[]string{"Mqtt__Server=broker", "Mqtt__Username=", "Mqtt__Password="}, mqtt, "network no no none"},
		"MQTT on loopback":                  {[]string{"Mqtt__Server=tcp://127.0.0.1"}, mqtt, "local no no plaintext"},
		"JD":                                {of: jd, want: "network yes yes none"},
		"JD without TLS":                    {[]string{"JDApi__BaseUrl=http://jd.test"}, jd, "network no no none"},
		"JD without TLS, with a header":     {[]string{"JDApi__BaseUrl=http://jd.test", "JDApi__Signer=header", "JDApi__Headers__X-Key=k"}, jd, "network no no plaintext"},
		"JOS without TLS":                   {[]string{"JDApi__BaseUrl=http://jd.test", "JDApi__Signer=jos", "JDApi__AppKey=k", "JDApi__AppSecret=s", "JDApi__AccessToken=t"}, jd, "network no no plaintext"},
		"Redis":                             {of: redis, want: "network yes yes protected"},
		"Redis without TLS":                 {[]string{"Redis__Server=h,password=p"}, redis, "network no no plaintext"},
		"Redis without TLS or password":     {[]string{"Redis__Server=h"}, redis, "network no no none"},
		"Redis on loopback":                 {[]string{"Redis__Server=127.0.0.1,password=p"}, redis, "local no no plaintext"},
		"Sentinels on loopback":             {[]string{"Redis__Server=127.0.0.1,password=p,serviceName=m"}, redis, "network no no plaintext"},
		"a cluster on loopback":             {[]string{"Redis__Server=127.0.0.1:1,127.0.0.1:2,password=p"}, redis, "network no no plaintext"},
		"Elasticsearch":                     {of: es, want: "network yes yes protected"},
		"Elasticsearch without TLS":         {[]string{"Elasticsearch__Url=http://es.test"}, es, "network no no plaintext"},
		"Elasticsearch, user and no TLS":    {[]string{"Elasticsearch__Url=http://u:p@es.test", "Elasticsearch__ApiKey="}, es, "network no no plaintext"},
		"Elasticsearch without TLS or key":  {[]string{"Elasticsearch__Url=http://es.test", "Elasticsearch__ApiKey="}, es, "network no no none"},
		"ops port":                          {of: ops, want: "local no no none"},
		"ops port for others":               {[]string{"Ops__Listen=0.0.0.0:9300", "Ops__Token=t"}, ops, "network no no plaintext"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			links := Links(mustLoad(t, append(slices.Clone(remote), tt.environ...)...).Config)
			at := slices.IndexFunc(links, func(l Link) bool { return l.Name == tt.of })
			if at < 0 {
				t.Fatalf("%s is not among the links", tt.of)
			}
			l := links[at]
			where := "network"
			if l.Local {
				where = "local"
			}
			if got := strings.Join([]string{where, l.Encrypted, l.Verified, l.Credentials}, " "); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// A link that causes a warning is a fault under Security:Strict, and so is an insecure link without credentials. A link that
// is verified, or stays on the machine, is neither.
func TestStrict(t *testing.T) {
	caFile := testenv.NewAuthority(t).File
	const db = "ConnectionStrings__Account=Server=db.test;Database=d;Uid=u;Pwd=p"
	const (
		tlsForMySQL  = "; set SslMode=VerifyFull (or VerifyCA) and SslCa, in a Go DSN tls=true, and let the server speak TLS"
		byAnswering  = "; an impostor can read the password"
		byWatching   = "; anybody who sees the traffic can read the credentials"
		notEncrypted = "the connection is not encrypted"
		preferred    = "a server without TLS, or a man in the middle who says so, gets an unencrypted connection" + byAnswering + tlsForMySQL
		any          = "an impostor passes for the server: its certificate is not checked" + byAnswering + tlsForMySQL
		anyIssuer    = "anybody with a certificate of any public authority passes for the server" + byAnswering + "; set SslCa to the authority of the server, or SslMode=VerifyFull"
		broker       = notEncrypted + byWatching + "; set Mqtt:Tls:Enabled to true and Mqtt:Port to the broker's port for TLS, such as 8883"
	)
	tests := map[string]struct {
		environ  []string
		key      string // none: accepted
		risk     string
		isSilent bool // no warning when it is not strict
	}{
		"all verified":          {},
		"Preferred":             {environ: []string{db + ";SslMode=Preferred"}, key: "ConnectionStrings:Account", risk: preferred},
		"no SslMode":            {environ: []string{db}, key: "ConnectionStrings:Account", risk: preferred},
		"None":                  {environ: []string{db + ";SslMode=None"}, key: "ConnectionStrings:Account", risk: notEncrypted + byAnswering + tlsForMySQL},
		"Required":              {environ: []string{db + ";SslMode=Required"}, key: "ConnectionStrings:Account", risk: any},
		"VerifyCA, any issuer":  {environ: []string{db + ";SslMode=VerifyCA"}, key: "ConnectionStrings:Account", risk: anyIssuer},
		"VerifyCA":              {environ: []string{db + ";SslMode=VerifyCA;SslCa=" + caFile}},
		"None on loopback":      {environ: []string{"ConnectionStrings__Account=Server=127.0.0.1;Database=d;Uid=u;Pwd=p;SslMode=None"}},
		"MNS over http":         {environ: []string{"Mns__Endpoint=http://mns.test"}, key: "Mns:Endpoint", risk: notEncrypted + "; write https://", isSilent: true},
		"JD over http":          {environ: []string{"JDApi__BaseUrl=http://jd.test"}, key: "JDApi:BaseUrl", risk: notEncrypted + "; write https://", isSilent: true},
		"JD over http, headers": {environ: []string{"JDApi__BaseUrl=http://jd.test", "JDApi__Signer=header", "JDApi__Headers__X=k"}, key: "JDApi:BaseUrl", risk: notEncrypted + byWatching + "; write https://"},
		"MQTT":                  {environ: []string{"Mqtt__Server=broker"}, key: "Mqtt:Server", risk: broker},
		"Redis":                 {environ: []string{"Redis__Server=h,password=p"}, key: "Redis:Server", risk: notEncrypted + byWatching + "; write ssl=true or rediss://, and the server's port for TLS"},
		"Elasticsearch":         {environ: []string{"Elasticsearch__Url=http://es.test"}, key: "Elasticsearch:Url", risk: notEncrypted + byWatching + "; write https://"},
		"ops port":              {environ: []string{"Ops__Listen=:9300", "Ops__Token=t"}, key: "Ops:Listen", risk: notEncrypted + byWatching + "; listen on 127.0.0.1, behind a proxy that speaks TLS", isSilent: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			environ := append(slices.Clone(remote), tt.environ...)
			var warnings []string
			if tt.key != "" && !tt.isSilent {
				warnings = []string{tt.key + ": " + tt.risk}
			}
			if diff := cmp.Diff(warnings, mustLoad(t, environ...).Warnings); diff != "" {
				t.Errorf("warnings: %s", diff)
			}
			_, err := loadMinimal(t, append(environ, "Security__Strict=true")...)
			if tt.key == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			faults := faultsOf(t, err)
			variable := strings.ReplaceAll(tt.key, ":", "__")
			if len(faults) != 1 || !strings.HasPrefix(faults[0], tt.key+" = ") || !strings.Contains(faults[0], "(env "+variable+"): refused by Security:Strict: "+tt.risk) {
				t.Errorf("got %v", faults)
			}
		})
	}
}

// TestObservedLink requires that an open connection is reported as it is, whatever was asked for.
func TestObservedLink(t *testing.T) {
	tests := map[string]struct {
		asked    Link
		session  string
		verified bool
		want     string // encrypted, verified, credentials, session
	}{
		"Preferred, server with TLS":    {Link{Encrypted: IfOffered, Verified: No, sent: sentExchange}, "TLS 1.3 X", false, "yes, no, to an impostor, TLS 1.3 X"},
		"Preferred, server without TLS": {Link{Encrypted: IfOffered, Verified: No, sent: sentExchange}, "", false, "no, no, to an impostor, not encrypted"},
		"verified":                      {Link{Encrypted: Yes, Verified: Yes, sent: sentText}, "TLS 1.3 X", true, "yes, yes, protected, TLS 1.3 X"},
		"verified by its authority":     {Link{Encrypted: Yes, Verified: Authority, sent: sentText}, "TLS 1.3 X", true, "yes, authority, protected, TLS 1.3 X"},
		"a proxy ends the encryption":   {Link{Encrypted: Yes, Verified: Yes, sent: sentText}, "", true, "no, no, plaintext, not encrypted"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			l := tt.asked.Observed(tt.session, tt.verified)
			if got := strings.Join([]string{l.Encrypted, l.Verified, l.Credentials, l.Session}, ", "); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// docs/configuration.md must have the table of what each SslMode asks for.
func TestSslModesAreDocumented(t *testing.T) {
	docs, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, mode, ca, dsn string }{
		{"None", sqldb.SslNone, "", "`tls=false`, or nothing"},
		{"Preferred", sqldb.SslPreferred, "", "`tls=preferred`"},
		{"Required", sqldb.SslRequired, "", "`tls=skip-verify`"},
		{"VerifyCA without SslCa", sqldb.SslVerifyCA, "", ""},
		{"VerifyCA", sqldb.SslVerifyCA, "ca.pem", ""},
		{"VerifyFull", sqldb.SslVerifyFull, "", "`tls=true`"},
	} {
		db := sqldb.Database{Config: &mysql.Config{Net: "tcp", Addr: "db:3306", Passwd: "p"}, SslMode: tt.mode, SslCa: tt.ca}
		l := databaseLink(db).judge()
		reader := map[string]string{Protected: "the server alone", Exposed: "an impostor"}[l.Credentials]
		if l.Verified == AnyIssuer {
			reader += " with any certificate of a public authority"
		}
		if row := fmt.Sprintf("\n| %s | %s | %s | %s |\n", tt.name, tt.dsn, l.Encrypted, reader); !strings.Contains(string(docs), row) {
			t.Errorf("docs/configuration.md lacks the row %s", row)
		}
	}
}
