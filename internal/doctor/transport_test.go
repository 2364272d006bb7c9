package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/setup"
	"jdpay-listener/internal/testenv"
)

// load loads a configuration that is complete with the given keys, NAME=value as in the environment.
func load(t *testing.T, environ ...string) *config.Loaded {
	t.Helper()
	loaded, err := setup.Load(config.Options{Dir: t.TempDir(), Environ: testenv.Settings(environ...)})
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

// settings is the configuration that load loads.
func settings(t *testing.T, environ ...string) *config.Config {
	t.Helper()
	return load(t, environ...).Config
}

// TestObserve connects to real servers, which have certificates of an authority of the test.
func TestObserve(t *testing.T) {
	ours, strangers := testenv.NewAuthority(t), testenv.NewAuthority(t)
	certFile, keyFile := ours.Issue(t, "127.0.0.1")
	clientCert, clientKey := ours.Issue(t, "daemon")
	namedCert, namedKey := ours.Issue(t, "cache.test")

	testenv.NeedServers(t)
	mysql, err := testenv.StartMariaDB("--ssl-ca="+ours.File, "--ssl-cert="+certFile, "--ssl-key="+keyFile)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(mysql.Close)
	admin := mysql.Open(t, "mysql")
	for _, stmt := range []string{
		"CREATE DATABASE d", "CREATE USER daemon@'%' IDENTIFIED BY 'p'", "CREATE USER certified@'%' IDENTIFIED BY 'p' REQUIRE X509",
		"GRANT ALL ON d.* TO daemon@'%'", "GRANT ALL ON d.* TO certified@'%'",
	} {
		if _, err := admin.ExecContext(t.Context(), stmt); err != nil {
			t.Fatal(err)
		}
	}
	db := func(user, words string) []string {
		return []string{fmt.Sprintf("ConnectionStrings__Account=Server=127.0.0.1;Port=%d;Database=d;Uid=%s;Pwd=p;%s", mysql.Port, user, words)}
	}

	broker := testenv.Mosquitto(t, "listener {port} 127.0.0.1", "cafile "+ours.File, "certfile "+certFile, "keyfile "+keyFile)
	mqtt := func(ca string) []string {
		return []string{"Mqtt__Port=" + strconv.Itoa(broker.Port), "Mqtt__Username=u", "Mqtt__Password=p", "Mqtt__Tls__Enabled=true", "Mqtt__Tls__CaFile=" + ca}
	}
	plainBroker := testenv.Mosquitto(t)

	redisPort, err := testenv.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	plainRedis := testenv.RedisServer(t, "--requirepass", "p", "--tls-port", strconv.Itoa(redisPort), "--tls-cert-file", namedCert, "--tls-key-file", namedKey,
		"--tls-ca-cert-file", ours.File, "--tls-auth-clients", "no")
	redis := func(port int, words, ca string) []string {
		return []string{fmt.Sprintf("Redis__Server=127.0.0.1:%d,password=p%s", port, words), "Redis__CaFile=" + ca}
	}

	web := httptest.NewUnstartedServer(http.NotFoundHandler())
	certificate, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	web.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	web.StartTLS()
	t.Cleanup(web.Close)

	const unseen = "no connection"
	tests := map[string]struct {
		of      string
		environ []string
		want    string // encrypted, verified, credentials; session's beginning
	}{
		"MySQL, None":                             {"account database", db("daemon", "SslMode=None"), "no, no, to an impostor; not encrypted"},
		"MySQL, Preferred":                        {"account database", db("daemon", "SslMode=Preferred"), "yes, no, to an impostor; TLS 1.3 "},
		"MySQL, Required":                         {"account database", db("daemon", "SslMode=Required"), "yes, no, to an impostor; TLS 1.3 "},
		"MySQL, VerifyCA":                         {"account database", db("daemon", "SslMode=VerifyCA;SslCa="+ours.File), "yes, authority, protected; TLS 1.3 "},
		"MySQL, VerifyFull":                       {"account database", db("daemon", "SslMode=VerifyFull;SslCa="+ours.File), "yes, yes, protected; TLS 1.3 "},
		"MySQL, another authority":                {"account database", db("daemon", "SslMode=VerifyFull;SslCa="+strangers.File), "yes, yes, protected; " + unseen},
		"MySQL, client certificate":               {"account database", db("certified", "SslMode=VerifyFull;SslCa="+ours.File+";SslCert="+clientCert+";SslKey="+clientKey), "yes, yes, protected; TLS 1.3 "},
		"MySQL, client certificate, Required":     {"account database", db("certified", "SslMode=Required;SslCert="+clientCert+";SslKey="+clientKey), "yes, no, to an impostor; TLS 1.3 "},
		"MySQL, client certificate is missing":    {"account database", db("certified", "SslMode=VerifyFull;SslCa="+ours.File), "yes, yes, protected; " + unseen},
		"MQTT":                                    {"mqtt broker", mqtt(ours.File), "yes, yes, protected; TLS 1.3 "},
		"MQTT, another authority":                 {"mqtt broker", mqtt(strangers.File), "yes, yes, protected; " + unseen},
		"MQTT without TLS":                        {"mqtt broker", []string{"Mqtt__Port=" + strconv.Itoa(plainBroker.Port), "Mqtt__Username=u", "Mqtt__Password=p"}, "no, no, plaintext; not encrypted"},
		"Redis, sslHost names the certificate":    {"redis", redis(redisPort, ",ssl=true,sslHost=cache.test", ours.File), "yes, yes, protected; TLS 1.3 "},
		"Redis, certificate for another host":     {"redis", redis(redisPort, ",ssl=true", ours.File), "yes, yes, protected; " + unseen},
		"Redis, another authority":                {"redis", redis(redisPort, ",ssl=true,sslHost=cache.test", strangers.File), "yes, yes, protected; " + unseen},
		"Redis without TLS":                       {"redis", redis(plainRedis.Port, "", ""), "no, no, plaintext; not encrypted"},
		"JD":                                      {"jd api", []string{"JDApi__BaseUrl=" + web.URL, "JDApi__CaFile=" + ours.File}, "yes, yes, none; TLS 1.3 "},
		"JD, the system's authorities":            {"jd api", []string{"JDApi__BaseUrl=" + web.URL}, "yes, yes, none; " + unseen},
		"Elasticsearch":                           {"elasticsearch", []string{"Elasticsearch__Url=" + web.URL, "Elasticsearch__CaFile=" + ours.File}, "yes, yes, none; TLS 1.3 "},
		"Elasticsearch, the system's authorities": {"elasticsearch", []string{"Elasticsearch__Url=" + web.URL}, "yes, yes, none; " + unseen},
		"MNS, the system's authorities":           {"mns", []string{"Mns__Endpoint=" + web.URL, "Mns__AccessKeyId=id", "Mns__AccessKeySecret=s"}, "yes, yes, protected; " + unseen},
		"MNS without TLS":                         {"mns", nil, "no, no, protected; not encrypted"},
		"the ops port":                            {"ops port", nil, "no, no, none; "},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := settings(t, tt.environ...)
			links := setup.Links(c)
			at := slices.IndexFunc(links, func(l setup.Link) bool { return l.Name == tt.of })
			if at < 0 {
				t.Fatalf("%s is not among the links", tt.of)
			}
			timeout := probeTimeout
			if strings.HasSuffix(tt.want, unseen) {
				timeout /= 5 // clients that reconnect would use all of it
			}
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			l := observe(ctx, c, links[at])
			got := fmt.Sprintf("%s, %s, %s; %s", l.Encrypted, l.Verified, l.Credentials, l.Session)
			if !strings.HasPrefix(got, tt.want) || tt.want == "" {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// TestJDCertificateIsChecked requires that the check of JD's API fails where the daemon's calls would.
func TestJDCertificateIsChecked(t *testing.T) {
	web := httptest.NewTLSServer(http.NotFoundHandler())
	defer web.Close()
	for _, p := range connectProbes(settings(t, "JDApi__BaseUrl="+web.URL)) {
		if p.name != "jd api" {
			continue
		}
		if _, err := p.run(t.Context()); err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("got %v", err)
		}
		return
	}
	t.Error("there is no probe of JD's API")
}

func TestTransportFindings(t *testing.T) {
	full := setup.Links(settings(t, "ConnectionStrings__Account=Server=db.test;Database=d;Uid=u;Pwd=p;SslMode=VerifyFull"))[0]
	none := setup.Links(settings(t, "ConnectionStrings__Account=Server=db.test;Database=d;Uid=u;Pwd=p;SslMode=None"))[0]
	tests := map[string]struct {
		asked, seen setup.Link
		strict      bool
		want        string
	}{
		"as asked":                   {full, full.Observed("TLS 1.3 X", true), false, "ok"},
		"as asked, strict":           {full, full.Observed("TLS 1.3 X", true), true, "ok"},
		"a proxy ends TLS":           {full, full.Observed("", true), false, "warned"},
		"a proxy ends TLS, strict":   {full, full.Observed("", true), true, "failed"},
		"insecure, as asked":         {none, none.Observed("", true), false, "ok"},
		"insecure, as asked, strict": {none, none.Observed("", true), true, "failed"},
		"not reached, secure":        {full, full, true, "ok"},
		"not reached, insecure":      {none, none, false, "ok"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := transport(tt.asked, tt.seen, tt.strict)
			got := "ok"
			switch {
			case !f.OK:
				got = "failed"
			case f.Warning:
				got = "warned"
			}
			if got != tt.want || got != "ok" && f.Remedy.IsZero() || f.Transport == nil {
				t.Errorf("%s: %+v", got, f)
			}
		})
	}
}

// TestReadableKeyFileIsAWarning makes the key of a client certificate readable to all users.
func TestReadableKeyFileIsAWarning(t *testing.T) {
	cert, key := testenv.NewAuthority(t).Issue(t, "daemon")
	words := "=Server=127.0.0.1;Database=d;Uid=u;SslMode=Required;SslCert=" + cert + ";SslKey=" + key
	c := settings(t, "ConnectionStrings__Account"+words, "ConnectionStrings__Main"+words)
	if detail, err := filePermissions(&config.Loaded{Config: c}); err != nil || detail.String() != "1 files, none open to everybody" {
		t.Errorf("%s, %v", detail, err)
	}
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	var open advice
	if _, err := filePermissions(&config.Loaded{Config: c}); !errors.As(err, &open) || open.remedy.String() != "chmod o-rwx "+key {
		t.Errorf("got %v", err)
	}
}
