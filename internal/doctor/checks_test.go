package doctor

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/testenv"
)

// checkLevel fails the test unless the error is of the level (ok, warn, unchecked, fail) and its text has the words.
func checkLevel(t *testing.T, err error, level string, words ...string) {
	t.Helper()
	got := "ok"
	text := ""
	var better advice
	var untried notTried
	switch {
	case errors.As(err, &better):
		got, text = "warn", better.detail.String()+"; "+better.remedy.String()
	case errors.As(err, &untried):
		got, text = "unchecked", untried.reason.String()+"; "+untried.remedy.String()
	case err != nil:
		got, text = "fail", err.Error()
	}
	if got != level {
		t.Fatalf("%s (%v), want %s", got, err, level)
	}
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("%q is not in the text: %s", word, text)
		}
	}
}

// TestSessionChecks checks a real server through a session with wrong settings.
func TestSessionChecks(t *testing.T) {
	server := testenv.MariaDB(t)
	db := server.Open(t, server.Create(t))
	db.SetMaxOpenConns(1) // so that the session that is changed is the one that is checked
	for name, tt := range map[string]struct {
		set   string
		run   func(context.Context, *sql.DB) (lang.Message, error)
		level string
		words []string
	}{
		"isolation as asked for": {"SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED", isolation, "ok", nil},
		"isolation not applied":  {"SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ", isolation, "fail", []string{"REPEATABLE-READ"}},
		"a clock that is right":  {"SET timestamp = DEFAULT", clock, "ok", nil},
		"a clock that is behind": {"SET timestamp = UNIX_TIMESTAMP() - 60", clock, "warn", []string{"-1m", "NTP"}},
		"a clock that is ahead":  {"SET timestamp = UNIX_TIMESTAMP() + 60", clock, "warn", []string{"off this machine's", "NTP"}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := db.Exec(tt.set); err != nil {
				t.Fatal(err)
			}
			defer func() { _, _ = db.Exec("SET timestamp = DEFAULT") }() // for the next case, which fails otherwise
			_, err := tt.run(t.Context(), db)
			checkLevel(t, err, tt.level, tt.words...)
		})
	}
}

// TestQueueSettings checks queues whose settings do not fit the daemon's timeouts.
func TestQueueSettings(t *testing.T) {
	const oneDay = 24 * 60 * 60
	for name, tt := range map[string]struct {
		visibility, retention int           // seconds
		age                   time.Duration // of the next message; 0: there is none
		level                 string
		words                 []string
	}{
		"fine and empty":               {30, oneDay, 0, "ok", nil},
		"fine, with a young message":   {43200, oneDay, time.Minute, "ok", nil},
		"deleted after a night":        {30, oneDay - 1, 0, "warn", []string{"23h59m59s", "deleted and lost", "a day or more"}},
		"visibility timeout too short": {29, oneDay, 0, "warn", []string{"29s", "30 s or more"}},
		"messages will soon be lost":   {30, oneDay, 13 * time.Hour, "warn", []string{"13h", "24h"}},
	} {
		t.Run(name, func(t *testing.T) {
			cloud := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/xml")
				w.Header().Set("x-mns-request-id", "5F290C926D472878A2D01234") // without it the reply counts as a proxy's
				switch {
				case !strings.HasSuffix(r.URL.Path, "/messages"):
					fmt.Fprintf(w, "<Queue><QueueName>q</QueueName><VisibilityTimeout>%d</VisibilityTimeout><MessageRetentionPeriod>%d</MessageRetentionPeriod></Queue>", tt.visibility, tt.retention)
				case r.Method != http.MethodGet || r.URL.Query().Get("peekonly") != "true":
					t.Errorf("the doctor changes the queue: %s %s", r.Method, r.URL)
				case tt.age == 0:
					w.WriteHeader(http.StatusNotFound)
					fmt.Fprint(w, "<Error><Code>MessageNotExist</Code><Message>none</Message></Error>")
				default:
					at := time.Now().Add(-tt.age).UnixMilli()
					fmt.Fprintf(w, "<Messages><Message><MessageId>1</MessageId><MessageBody>x</MessageBody><MessageBodyMD5>9DD4E461268C8034F5C8564E155C67A6</MessageBodyMD5><EnqueueTime>%d</EnqueueTime><FirstDequeueTime>%d</FirstDequeueTime><DequeueCount>0</DequeueCount><Priority>8</Priority></Message></Messages>", at, at)
				}
			}))
			defer cloud.Close()
			c := &config.Config{Mns: config.Mns{Endpoint: cloud.URL, AccessKeyId: config.NewSecret("ak"), AccessKeySecret: config.NewSecret("sk")}}
			detail, err := queueSettings(t.Context(), c, "q")
			checkLevel(t, err, tt.level, tt.words...)
			if tt.level == "ok" && !strings.Contains(detail.String(), "dead-letter") {
				t.Errorf("the detail does not mention the dead-letter policy: %s", detail)
			}
		})
	}
}

func TestFilePermissions(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, mode fs.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil { // whatever the umask is
			t.Fatal(err)
		}
		return path
	}
	closed, shared, open := file("closed", 0o600), file("shared", 0o640), file("open", 0o644)
	for name, tt := range map[string]struct {
		settings, secret, key string
		level                 string
	}{
		"all closed":           {closed, shared, closed, "ok"},
		"no key of TLS":        {closed, closed, "", "ok"},
		"open settings":        {open, closed, closed, "warn"},
		"an open secret":       {closed, open, closed, "warn"},
		"an open key of TLS":   {closed, closed, open, "warn"},
		"a file that has gone": {filepath.Join(dir, "gone"), closed, closed, "fail"},
	} {
		t.Run(name, func(t *testing.T) {
			loaded := &config.Loaded{Config: &config.Config{}, Files: []string{tt.settings}, SecretFiles: []string{tt.secret}}
			loaded.Config.Mqtt.Tls.KeyFile = tt.key
			_, err := filePermissions(loaded)
			words := []string(nil)
			if tt.level == "warn" {
				words = []string{"chmod o-rwx " + open}
			}
			checkLevel(t, err, tt.level, words...)
		})
	}
}

// TestRoundTripSkipsSharedTopics: where all cabinets share a topic, one of them could take the test for a command.
func TestRoundTripSkipsSharedTopics(t *testing.T) {
	c := &config.Config{Mqtt: config.Mqtt{Server: "192.0.2.1", Port: 1, PayCompleteTopic: "cabinets/pay-complete"}}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second) // in case it connects all the same
	defer cancel()
	_, err := roundTrip(ctx, c)
	checkLevel(t, err, "unchecked", "one of them could take the test for a command")
}
