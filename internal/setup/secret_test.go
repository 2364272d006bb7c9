package setup

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"jdpay-listener/internal/config"
)

// marker is the value of every secret; where it is printed, a secret leaks.
const marker = "hunter2"

// checkNoMarker fails the test if the commands would print the marker of a configuration.
func checkNoMarker(t interface {
	Helper()
	Errorf(string, ...any)
}, l *config.Loaded, err error,
) {
	t.Helper()
	printed := fmt.Sprint(err, l.Effective(), l.Warnings, Links(l.Config))
	printed += fmt.Sprintf("%v %+v %#v", *l.Config, *l.Config, *l.Config)
	if at := strings.Index(printed, marker); at >= 0 {
		t.Errorf("a secret is printed: …%s…", printed[max(0, at-80):min(len(printed), at+80)])
	}
}

// secretVariables returns variables that set every single secret of a section to the value.
func secretVariables(prefix string, section reflect.Type, value string) (environ []string) {
	for f := range section.Fields() {
		switch {
		case f.Type == reflect.TypeFor[config.Secret]():
			environ = append(environ, prefix+f.Name+"="+value)
		case f.Type.Kind() == reflect.Struct:
			environ = append(environ, secretVariables(prefix+f.Name+"__", f.Type, value)...)
		}
	}
	return environ
}

// TestFaultsQuoteNoSecret requires that no fault quotes a secret or an address's credentials.
func TestFaultsQuoteNoSecret(t *testing.T) {
	environ := secretVariables("", reflect.TypeFor[config.Config](), marker)
	if len(environ) < 15 {
		t.Fatalf("only %d secrets were found", len(environ))
	}
	for name, environ := range map[string][]string{
		"secrets in the wrong form": environ,
		"addresses with credentials": {
			"Mns__Endpoint=http://u:" + marker + "@h", "JDApi__BaseUrl=u:" + marker + "@h", "Mqtt__Server=" + marker + "@h", "Alerts__WeCom__Url=x:" + marker,
		},
	} {
		t.Run(name, func(t *testing.T) {
			loaded, err := loadMinimal(t, environ...)
			if len(faultsOf(t, err)) < 4 {
				t.Fatalf("faults: %v", err)
			}
			for _, f := range faultsOf(t, err) {
				if strings.Contains(f, marker) {
					t.Errorf("a secret is printed: %s", f)
				}
			}
			if printed := fmt.Sprint(loaded.Effective(), loaded.Warnings, Links(loaded.Config)); strings.Contains(printed, marker) {
				t.Errorf("a secret is printed: %s", printed)
			}
		})
	}
	t.Run("connection strings with notices", func(t *testing.T) {
		db := "Server=h;Database=d;Uid=u;Pwd=" + marker + ";Unknown=" + marker + ";" + marker + "=x"
		loaded, err := loadMinimal(t, "ConnectionStrings__Account="+db, "ConnectionStrings__Main="+db, "Redis__Server=h,password="+marker+","+marker+"=x")
		if err != nil || len(loaded.Warnings) < 3 {
			t.Fatalf("%v, warnings %v", err, loaded.Warnings)
		}
		checkNoMarker(t, loaded, err)
	})
}

// TestMalformedConnectionStringsAreNotQuoted changes connection strings at random; no fault may quote the password.
func TestMalformedConnectionStringsAreNotQuoted(t *testing.T) {
	templates := []string{
		"Server=h;Port=3306;Database=d;Uid=u;Pwd=" + marker + ";SslMode=None",
		"Server=h;Database=d;Uid=u;Pwd='" + marker + "';Max Pool Size=10",
		"u:" + marker + "@tcp(h:3306)/d?parseTime=true&tls=skip-verify",
		"h:6379,password=" + marker + ",defaultDatabase=1,ssl=true",
		"rediss://u:" + marker + "@h:6379/1",
	}
	opts := config.Options{Dir: t.TempDir()}
	if err := os.WriteFile(filepath.Join(opts.Dir, "appsettings.json"), []byte(minimal), 0o600); err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SampledFrom(templates).Draw(t, "template")
		for range rapid.IntRange(1, 4).Draw(t, "changes") {
			at := rapid.IntRange(0, len(text)).Draw(t, "at")
			if secret := strings.Index(text, marker); secret < at && at < secret+len(marker) {
				at = secret
			}
			cut := at
			if rapid.Bool().Draw(t, "cut") && at < len(text) && !strings.HasPrefix(text[at:], marker) {
				cut++
			}
			text = text[:at] + rapid.SampledFrom([]string{"", "=", ";", ",", "'", `"`, "@", "/", "?", ":", "%", "(", ")", "&", "x", " "}).Draw(t, "insert") + text[cut:]
		}
		for _, key := range []string{"ConnectionStrings__Account", "Redis__Server", "Redis__EndPoints__0"} {
			opts.Environ = []string{key + "=" + text}
			loaded, err := Load(opts)
			checkNoMarker(t, loaded, err)
		}
	})
}
