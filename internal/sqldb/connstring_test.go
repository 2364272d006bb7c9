package sqldb

import (
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"jdpay-listener/internal/testenv"
)

// database is what a connection string says, in comparable form.
type database struct {
	Addr, Name, User, Password, TLS string
	Connect, Read, Write            time.Duration
	Pool                            int
}

func describe(db Database) database {
	return database{
		db.Config.Addr, db.Config.DBName, db.Config.User, db.Config.Passwd, db.Config.TLSConfig,
		db.Config.Timeout, db.Config.ReadTimeout, db.Config.WriteTimeout, db.MaxPoolSize,
	}
}

func TestParseConnectionString(t *testing.T) {
	standard := database{Addr: "h:3306", Name: "d", User: "u", Password: "p", TLS: "preferred", Connect: 15 * time.Second, Read: 30 * time.Second, Write: 30 * time.Second, Pool: 100}
	with := func(change func(*database)) database {
		d := standard
		change(&d)
		return d
	}
	const noEffect = " has no effect here"
	tests := map[string]struct {
		text    string
		want    database
		notices []string
	}{
		"all keys":                   {text: "Server=h;Database=d;Uid=u;Pwd=p", want: standard},
		"closing semicolon, spaces":  {text: " server = h ; database=d;UID= u;pwd=p ;; ", want: standard},
		"port":                       {text: "Server=h;Port=3307;Database=d;Uid=u;Pwd=p", want: with(func(d *database) { d.Addr = "h:3307" })},
		"port in the server":         {text: "Server=h:3307;Database=d;Uid=u;Pwd=p", want: with(func(d *database) { d.Addr = "h:3307" })},
		"IPv6":                       {text: "Server=::1;Database=d;Uid=u;Pwd=p", want: with(func(d *database) { d.Addr = "[::1]:3306" })},
		"the last spelling wins":     {text: "Server=x;Host=h;Database=d;Uid=u;Pwd=x;Password=p", want: standard},
		"no password":                {text: "Server=h;Database=d;Uid=u;Pwd=", want: with(func(d *database) { d.Password = "" })},
		"quoted password":            {text: `Server=h;Database=d;Uid=u;Pwd='a;b=c"d''e'`, want: with(func(d *database) { d.Password = `a;b=c"d'e` })},
		"double quoted password":     {text: `Server=h;Database=d;Uid=u;Pwd = "a;b=c'd""e" ;`, want: with(func(d *database) { d.Password = `a;b=c'd"e` })},
		"= in a bare password":       {text: "Server=h;Database=d;Uid=u;Pwd=p==", want: with(func(d *database) { d.Password = "p==" })},
		"quote inside a password":    {text: "Server=h;Database=d;Uid=u;Pwd=p'q", want: with(func(d *database) { d.Password = "p'q" })},
		"charset":                    {text: "Server=h;Database=d;Uid=u;Pwd=p;CharSet=utf8;", want: standard},
		"another charset":            {text: "Server=h;Database=d;Uid=u;Pwd=p;Character Set=gbk", want: standard, notices: []string{"CharSet is ignored; the connection speaks utf8mb4 and the server converts"}},
		"no TLS":                     {text: "Server=h;Database=d;Uid=u;Pwd=p;SslMode=None", want: with(func(d *database) { d.TLS = "false" })},
		"disabled TLS":               {text: "Server=h;Database=d;Uid=u;Pwd=p;SSL Mode=disabled", want: with(func(d *database) { d.TLS = "false" })},
		"preferred TLS":              {text: "Server=h;Database=d;Uid=u;Pwd=p;Ssl-Mode=Preferred", want: standard},
		"required TLS":               {text: "Server=h;Database=d;Uid=u;Pwd=p;sslmode=REQUIRED", want: with(func(d *database) { d.TLS = "skip-verify" })},
		"an authority without check": {text: "Server=h;Database=d;Uid=u;Pwd=p;SslCa=/x.pem", want: standard, notices: []string{"SslCa is used only with SslMode VerifyCA or VerifyFull"}},
		"a client certificate of .NET's other form": {
			text: "Server=h;Database=d;Uid=u;Pwd=p;CertificateFile=/x.pfx", want: standard,
			notices: []string{"Certificate File has no effect here; give the client certificate as SslCert and SslKey (PEM)"},
		},
		"clear-text passwords over TLS":            {text: "u:p@tcp(h:3306)/d?tls=true&allowCleartextPasswords=true", want: with(func(d *database) { d.TLS = "true" })},
		"clear-text passwords inside of a machine": {text: "u:p@tcp(127.0.0.1:3306)/d?allowCleartextPasswords=true", want: with(func(d *database) { d.TLS, d.Addr = "", "127.0.0.1:3306" })},
		"limits": {
			text: "Server=h;Database=d;Uid=u;Pwd=p;Connection Timeout=5;Default Command Timeout=7;Max Pool Size=20",
			want: with(func(d *database) {
				d.Connect, d.Read, d.Write, d.Pool = 5*time.Second, 7*time.Second, 7*time.Second, 20
			}),
		},
		"a pool too small": {
			text: "Server=h;Database=d;Uid=u;Pwd=p;Max Pool Size=1", want: with(func(d *database) { d.Pool = 2 }),
			notices: []string{"Max Pool Size=1 is too small, since the instance lock needs a connection of its own; 2 is used"},
		},
		"limits, other spellings": {
			text: "Server=h;Database=d;Uid=u;Pwd=p;connecttimeout=5;DefaultCommandTimeout=7;MaximumPoolSize=20",
			want: with(func(d *database) {
				d.Connect, d.Read, d.Write, d.Pool = 5*time.Second, 7*time.Second, 7*time.Second, 20
			}),
		},
		"unlimited waits stay limited": {
			text: "Server=h;Database=d;Uid=u;Pwd=p;Connect Timeout=0;Default Command Timeout=0", want: standard,
			notices: []string{"Connection Timeout=0 would be unlimited; 15 is used", "Default Command Timeout=0 would be unlimited; 30 is used"},
		},
		"several hosts": {text: "Server=h, h2,h3;Database=d;Uid=u;Pwd=p", want: standard, notices: []string{"Server lists several hosts; only the first is used"}},
		"keys without effect": {
			text: "Server=h;Database=d;Uid=u;Pwd=p;Pooling=true;Min Pool Size=1;Connection LifeTime=3;Allow User Variables=True;TreatTinyAsBoolean=false;" +
				"ConvertZeroDateTime=x;Allow Zero Datetime=x;Persist Security Info=x;AllowPublicKeyRetrieval=True",
			want: standard,
			notices: []string{
				"Allow User Variables" + noEffect, "Allow Zero Datetime" + noEffect, "AllowPublicKeyRetrieval" + noEffect, "Connection Lifetime" + noEffect,
				"ConvertZeroDateTime" + noEffect, "Min Pool Size" + noEffect, "Persist Security Info" + noEffect, "Pooling" + noEffect, "TreatTinyAsBoolean" + noEffect,
			},
		},
		"an unknown key": {
			text: "Server=h;Database=d;Uid=u;Pwd=p;Max Pool Siz=3", want: standard,
			notices: []string{"part 5 has an unknown key and is ignored; the nearest known one is Max Pool Size (a value with ; needs quotes)"},
		},
		"Go DSN":               {text: "u:p@tcp(h:3306)/d", want: with(func(d *database) { d.TLS = "" })},
		"Go DSN without port":  {text: "u:p@tcp(h)/d", want: with(func(d *database) { d.TLS = "" })},
		"Go DSN, odd password": {text: "u:p;a=b@c/d:e@tcp(h:3306)/d", want: with(func(d *database) { d.TLS, d.Password = "", "p;a=b@c/d:e" })},
		"Go DSN, parameters": {
			text: "u:p@tcp(h:3306)/d?timeout=5s&readTimeout=6s&writeTimeout=7s&tls=skip-verify&charset=gbk&collation=gbk_bin&loc=Asia%2FTokyo&parseTime=false",
			want: with(func(d *database) {
				d.Connect, d.Read, d.Write, d.TLS = 5*time.Second, 6*time.Second, 7*time.Second, "skip-verify"
			}),
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			db, notices, err := ParseConnectionString(tt.text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, describe(db)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tt.notices, notices); diff != "" {
				t.Error(diff)
			}
			cfg := db.Config.Clone()
			if _, err := newConnector(cfg); err != nil {
				t.Errorf("the driver refuses it: %v", err)
			}
			if !cfg.InterpolateParams || !cfg.ParseTime || cfg.Loc != time.UTC || cfg.Collation != "" || !strings.Contains(cfg.FormatDSN(), "charset=utf8mb4") {
				t.Errorf("InterpolateParams %v, ParseTime %v, Loc %v, Collation %s; charset utf8mb4 is wanted", cfg.InterpolateParams, cfg.ParseTime, cfg.Loc, cfg.Collation)
			}
		})
	}
}

func TestSpellings(t *testing.T) {
	spellings := map[string][]string{
		"Addr":     {"Server", "Host", "Data Source", "DataSource", "Address", "Addr", "Network Address", "SERVER", "data_source"},
		"Name":     {"Database", "Initial Catalog", "InitialCatalog", "database"},
		"User":     {"User Id", "UserID", "Uid", "Username", "User Name", "User", "user-id"},
		"Password": {"Password", "Pwd", "PWD"},
	}
	for part, names := range spellings {
		for _, name := range names {
			t.Run(name, func(t *testing.T) {
				text := name + "=value"
				for other, names := range spellings {
					if other != part {
						text += ";" + names[0] + "=" + strings.ToLower(other)
					}
				}
				db, notices, err := ParseConnectionString(text)
				if err != nil || notices != nil {
					t.Fatalf("%v, notices %v", err, notices)
				}
				d := describe(db)
				got := map[string]string{"Addr": strings.TrimSuffix(d.Addr, ":3306"), "Name": d.Name, "User": d.User, "Password": d.Password}
				want := map[string]string{"Addr": "addr", "Name": "name", "User": "user", "Password": "password"}
				want[part] = "value"
				if diff := cmp.Diff(want, got); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

// docs/configuration.md must have the table of adoKeys, in their order.
func TestKeysAreDocumented(t *testing.T) {
	docs, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	table := "\n| key | spellings |\n|---|---|\n"
	for _, k := range adoKeys {
		table += "| " + k.name + " | " + strings.Join(k.spellings, ", ") + " |\n"
	}
	if !strings.Contains(string(docs), table) {
		t.Errorf("docs/configuration.md lacks this table:\n%s", table)
	}
}

func TestParseConnectionStringRefuses(t *testing.T) {
	const neither = "neither Server=…;… nor a Go DSN, or a parameter of the DSN has a wrong value"
	for text, want := range map[string]string{
		"Pwd=x":                               "no Server, no Database, no User Id",
		"Server=h;Uid=u":                      "no Database",
		"Server=;Database=d;Uid=u":            "no Server",
		"Server=h;Database=d;Uid=u;Port=x":    "Port: the port is not a number from 1 to 65535",
		"Server=a b;Database=d;Uid=u":         "Server: not a host name",
		"Server=h;Database=d;Uid=u;rest":      "its part 4 has no =",
		"Server=h;Database;Uid=u":             "its part 2 has no =",
		"Server=h;Database=d;Uid=u;Pwd='x":    "the quote in its part 4 is not closed",
		"Server=h;Database=d;Uid=u;Pwd='x'y":  "text follows the closing quote in its part 4",
		"Server=h;Database=d;Uid=u;SslMode=x": "SslMode is not one of None, Preferred, Required, VerifyCA, VerifyFull",
		"Server=h;Database=d;Uid=u;Max Pool Size=many;Connect Timeout=-1": "Connection Timeout is not a whole number, Max Pool Size is not a whole number",
		"Server=h;Database=d;Uid=u;SslMode=VerifyCA;SslCa=/missing.pem":   "SslCa: cannot be read: no such file or directory",
		"Server=h;Database=d;Uid=u;SslMode=VerifyFull;SslCa=/dev/null":    "SslCa: the file holds no PEM certificate",
		"localhost":                                               "invalid DSN: missing the slash separating the database name",
		"@tcp(h)/":                                                "no user, no database",
		"u:p@tcp(h/d":                                             "invalid DSN: network address not terminated (missing closing brace)",
		"mysql://u:p@h:3306/d":                                    neither,
		"u:p@tcp(h)/d?parseTime=perhaps":                          neither,
		"u:p@tcp(h)/d?tls=unregistered":                           neither,
		"u:p@tcp(h)/d?strict=true":                                "the parameter strict no longer exists",
		"u:p@tcp(h)/d?allowAllFiles=true":                         "the parameter allowAllFiles lets the server read every file that this program can read: remove it",
		"u:p@tcp(h)/d?tls=true&allowOldPasswords=true":            "the parameter allowOldPasswords makes the password readable: remove it and give the user a password of today's form",
		"u:p@tcp(h)/d?allowCleartextPasswords=true":               "the parameter allowCleartextPasswords shows the password to an impostor: remove it or set tls=true",
		"u:p@tcp(h)/d?tls=preferred&allowCleartextPasswords=true": "the parameter allowCleartextPasswords shows the password to an impostor: remove it or set tls=true",
		"u:p@tcp(h)/d?tls=true&allowFallbackToPlaintext=true&allowCleartextPasswords=true": "the parameter allowCleartextPasswords shows the password to an impostor: remove it or set tls=true",
		"Server=h;Database=d;Uid=u;SslMode=Required;SslCert=/c.pem":                        "SslCert and SslKey are not both set",
		"Server=h;Database=d;Uid=u;SslMode=Required;SslCert=/c.pem;SslKey=/k.pem":          "SslCert, SslKey: no PEM certificate with its key in these files, or they cannot be read",
		"u:p@tcp(h)/d?timeout=1s&strict=true":                                              "the parameter strict no longer exists",
	} {
		t.Run(text, func(t *testing.T) {
			_, _, err := ParseConnectionString(text)
			if err == nil || err.Error() != want {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
}

// Any value that is quoted as in ADO.NET is read back unchanged.
func TestQuotedValuesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var text strings.Builder
		var want [][2]string
		for i := range rapid.IntRange(0, 5).Draw(t, "pairs") {
			value := rapid.StringOf(rapid.SampledFrom([]rune(`ab;='" 寄=`))).Draw(t, "value")
			quote := rapid.SampledFrom([]string{"'", `"`}).Draw(t, "quote")
			space := rapid.SampledFrom([]string{"", " ", ";"}).Draw(t, "space")
			key := string(rune('a' + i))
			text.WriteString(space + strings.ToUpper(key) + " =" + strings.Trim(space, ";") + quote + strings.ReplaceAll(value, quote, quote+quote) + quote + ";")
			want = append(want, [2]string{key, value})
		}
		got, err := splitPairs(text.String())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func handshake(t *testing.T, client *tls.Config, certificate tls.Certificate) error {
	t.Helper()
	clientEnd, serverEnd := net.Pipe()
	defer clientEnd.Close()
	serverDone := make(chan struct{})
	go func() {
		defer close(serverDone)
		defer serverEnd.Close()
		server := tls.Server(serverEnd, &tls.Config{Certificates: []tls.Certificate{certificate}})
		server.SetDeadline(time.Now().Add(10 * time.Second))
		server.Handshake() // its error is the client's refusal
	}()
	conn := tls.Client(clientEnd, client)
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	err := conn.Handshake()
	clientEnd.Close()
	<-serverDone
	return err
}

func TestServerCertificates(t *testing.T) {
	ours, others := testenv.NewAuthority(t), testenv.NewAuthority(t)
	caFile, otherCA := ours.File, others.File
	certificate, err := tls.LoadX509KeyPair(ours.Issue(t, "db.test"))
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		server, mode, ca string
		accepted         bool
	}{
		"VerifyFull, right name":       {server: "db.test", mode: "VerifyFull", ca: caFile, accepted: true},
		"VerifyFull, other name":       {server: "other.test", mode: "VerifyFull", ca: caFile},
		"VerifyFull, other authority":  {server: "db.test", mode: "VerifyFull", ca: otherCA},
		"VerifyCA, other name":         {server: "other.test", mode: "VerifyCA", ca: caFile, accepted: true},
		"VerifyCA, other authority":    {server: "db.test", mode: "VerifyCA", ca: otherCA},
		"VerifyFull, system authority": {server: "db.test", mode: "VerifyFull"},
		"VerifyCA, system authority":   {server: "db.test", mode: "VerifyCA"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			text := "Server=" + tt.server + ";Database=d;Uid=u;SslMode=" + tt.mode
			if tt.ca != "" {
				text += ";CACertificateFile='" + filepath.ToSlash(tt.ca) + "'"
			}
			db, _, err := ParseConnectionString(text)
			if err != nil {
				t.Fatal(err)
			}
			err = handshake(t, db.Config.Clone().TLS, certificate) // the driver clones it, too
			if (err == nil) != tt.accepted {
				t.Errorf("accepted is %v (%v), want %v", err == nil, err, tt.accepted)
			}
		})
	}
}

func TestMasked(t *testing.T) {
	for text, want := range map[string]string{
		"Server=h;Database=d;Uid=u;Pwd=p":                              "Server=h;Port=3306;Database=d;Uid=u;Pwd=***;SslMode=Preferred",
		"Server=::1;Port=3307;Database=d;Uid=u@t#c;Pwd=p;SslMode=None": "Server=::1;Port=3307;Database=d;Uid=u@t#c;Pwd=***;SslMode=None",
		"u:p@tcp(h:3306)/d?tls=true":                                   "Server=h;Port=3306;Database=d;Uid=u;Pwd=***;SslMode=VerifyFull",
		"u:p@unix(/run/db.sock)/d":                                     "Server=/run/db.sock;Database=d;Uid=u;Pwd=***;SslMode=None",
		// A password may stand in a wrong place.
		"Server=h;Database=d;Uid=uPwd=p":          "",
		"up@tcp(h:3306)/d":                        "",
		"Server=h;Database=d;Uid=u=p;Pwd=q":       "Server=h;Port=3306;Database=d;Uid=***;Pwd=***;SslMode=Preferred",
		"Server=h;Database='d;Pwd=p';Uid=u;Pwd=q": "Server=h;Port=3306;Database=***;Uid=u;Pwd=***;SslMode=Preferred",
	} {
		db, _, err := ParseConnectionString(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if got := db.Masked(); got != want {
			t.Errorf("%s is shown as %q, want %q", text, got, want)
		}
	}
}
