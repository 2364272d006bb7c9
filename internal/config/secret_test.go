package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
)

// marker is the value of every secret; where it is printed, a secret leaks.
const marker = "hunter2"

// printAll prints a configuration in every way that a caller may.
func printAll(l *Loaded, err error) string {
	var b bytes.Buffer
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		fmt.Fprintf(&b, format+"\n", *l.Config)
		fmt.Fprintf(&b, format+"\n", l)
		fmt.Fprintf(&b, format+"\n", err)
	}
	fmt.Fprintln(&b, l.Effective(), l.Warnings)
	asJSON, _ := json.Marshal([]any{l, l.Config, err})
	b.Write(asJSON)
	log := slog.New(slog.NewJSONHandler(&b, nil))
	log.Info("", "config", l.Config, "password", l.Config.Mqtt.Password, "error", err)
	log = slog.New(slog.NewTextHandler(&b, nil))
	log.Info("", "config", *l.Config, "password", l.Config.Mqtt.Password, "error", err)
	return b.String()
}

func checkNoMarker(t interface {
	Helper()
	Errorf(string, ...any)
}, printed string,
) {
	t.Helper()
	if at := strings.Index(printed, marker); at >= 0 {
		t.Errorf("a secret is printed: …%s…", printed[max(0, at-80):min(len(printed), at+80)])
	}
}

// secretVariables returns variables that set every secret to value(key).
func secretVariables(value func(key string) string) []string {
	var environ []string
	for _, o := range new(Config).options() {
		key := variableName(o.Key)
		if !o.isSecret() {
			continue
		}
		switch o.Value.Kind() {
		case reflect.Slice:
			environ = append(environ, key+"__0="+value(o.Key), key+"__1="+value(o.Key))
		case reflect.Map:
			environ = append(environ, key+"__X="+value(o.Key))
		default:
			environ = append(environ, key+"="+value(o.Key))
		}
	}
	return environ
}

func TestNoSecretIsPrinted(t *testing.T) {
	t.Run("of a valid configuration", func(t *testing.T) {
		environ := secretVariables(func(key string) string {
			switch {
			case strings.HasPrefix(key, "ConnectionStrings:"):
				return "Server=h;Database=d;Uid=u;Pwd=" + marker + ";Unknown=" + marker + ";" + marker + "=x"
			case strings.HasSuffix(key, ":Url"):
				return "https://h/?token=" + marker
			case key == "Redis:Server", key == "Redis:EndPoints":
				return "h,password=" + marker + "," + marker + "=x"
			}
			return marker
		})
		environ = append(environ, "Mqtt__Username=u", "ElasticSearchUrl=http://u:"+marker+"@h")
		loaded, err := loadMinimal(t, "", environ...)
		if err != nil {
			t.Fatal(err)
		}
		if got := loaded.Config.Mqtt.Password.Reveal(); got != marker {
			t.Fatalf("the marker did not arrive: %q", got)
		}
		checkNoMarker(t, printAll(loaded, err))
	})
	t.Run("of a refused one", func(t *testing.T) {
		environ := secretVariables(func(string) string { return marker })
		environ = append(
			environ, "Redis__Unknown="+marker, "JDPAY_X="+marker, "JDPayMd5Key="+marker, "Mns__WaitSeconds__X="+marker)
		opts := testOptions(t, environ...)
		opts.Set = []string{"Mqtt:Password:" + marker, "Mqtt:Passwort=" + marker}
		write(t, opts.Dir, "appsettings.json", `{"Mqtt": {"Password": "`+marker+`", "Password": "`+marker+`", "Passw": "`+marker+`"}}`)
		loaded, err := Load(opts)
		if err == nil {
			t.Fatal("accepted")
		}
		checkNoMarker(t, printAll(loaded, err))
	})
	t.Run("of addresses with credentials", func(t *testing.T) {
		loaded, err := loadMinimal(t, "", "Mns__Endpoint=http://u:"+marker+"@h", "JDApi__BaseUrl=u:"+marker+"@h",
			"Mqtt__Server="+marker+"@h", "Elasticsearch__Url=http://u:"+marker+"@%%", "Alerts__WeCom__Url=x:"+marker)
		checkNoMarker(t, fmt.Sprint(err, loaded.Effective(), loaded.Warnings))
	})
	t.Run("of a broken file", func(t *testing.T) {
		for _, content := range []string{
			`{"Mqtt": {"Password": "` + marker + `\w"}}`, `{"Mqtt": {"Password": ` + marker + `}}`, `{"Mqtt": {"Password": "` + marker,
			`{"Password": "` + marker + `" "x"}`, `"` + marker + `"`,
		} {
			opts := testOptions(t)
			write(t, opts.Dir, "appsettings.json", content)
			loaded, err := Load(opts)
			if err == nil {
				t.Fatalf("accepted: %s", content)
			}
			checkNoMarker(t, printAll(loaded, err))
		}
	})
}
