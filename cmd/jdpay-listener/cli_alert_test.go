package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"jdpay-listener/internal/alert"
	"jdpay-listener/internal/sandbox/robotserver"
)

// TestAlertTest sends a test to all receivers, then to one that refuses it.
func TestAlertTest(t *testing.T) {
	robots := map[string]*robotserver.Server{}
	section := `"Language": "en"`
	for _, name := range []string{robotserver.DingTalk, robotserver.WeCom, robotserver.Feishu, robotserver.Webhook} {
		robots[name] = robotserver.New(name)
		t.Cleanup(robots[name].Close)
		section += fmt.Sprintf(`, %q: { "Url": %q`, name, robots[name].URL())
		if name != robotserver.WeCom {
			section += fmt.Sprintf(`, "Secret": %q`, robotserver.Secret)
		}
		section += " }"
	}
	deadMan := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(deadMan.Close)
	file := func(alerts string) string {
		path := filepath.Join(t.TempDir(), "appsettings.json")
		text := `{ "ConnectionStrings": { "Account": "Server=127.0.0.1;Database=a;Uid=u;Pwd=p", "Main": "Server=127.0.0.1;Database=a;Uid=u;Pwd=p" },
			"Mns": { "Endpoint": "http://127.0.0.1:1" }, "JDPay": { "NotifyQueueName": "q", "Md5Key": "0123456789abcdef" }, "Mqtt": { "Server": "127.0.0.1" },
			"JDApi": { "BaseUrl": "http://127.0.0.1:1", "ProducerCode": "p", "CloudProducerCode": "c" }, "Alerts": {` + alerts + "} }"
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	run := func(alerts string, want int, flags ...string) (string, string) {
		t.Helper()
		out, errOut, code := inProcess(t, "", append([]string{"alert", flags[0], "--config", file(alerts)}, flags[1:]...)...)
		if code != want {
			t.Errorf("%q: exit %d, want %d\n%s\n%s", flags, code, want, out, errOut)
		}
		for _, secret := range []string{robotserver.Token, robotserver.Secret} {
			if strings.Contains(out+errOut, secret) {
				t.Errorf("%q prints %s:\n%s\n%s", flags, secret, out, errOut)
			}
		}
		return out, errOut
	}

	if out, _ := run(section, exitOK, "test"); strings.Count(out, "took it") != 4 {
		t.Errorf("alerts test prints:\n%s", out)
	}
	out, _ := run(section, exitOK, "--test")
	for name, robot := range robots {
		if cards := robot.Cards(); len(cards) != 2 || !strings.Contains(out, name) || name != robotserver.Webhook && !strings.Contains(cards[0], "🔵 jdpay: this is a test") {
			t.Errorf("%s: %q\n%s", name, cards, out)
		}
	}

	robots[robotserver.WeCom].Answer(0, `{"errcode":93000,"errmsg":"invalid webhook url `+robotserver.Token+`"}`)
	out, errOut := run(section+fmt.Sprintf(`, "Heartbeat": %q`, deadMan.URL+"/"+robotserver.Token), exitFailed, "--test", "--json")
	var results []alert.Tried
	if err := json.Unmarshal([]byte(out), &results); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	failed := map[string]string{}
	for _, r := range results {
		if !r.OK {
			failed[r.Target] = r.Error
		}
	}
	if len(results) != 5 || len(failed) != 2 || failed["WeCom"] != "it refuses the notice: code 93000, invalid webhook url ***" || !strings.Contains(failed["heartbeat"], "404") {
		t.Errorf("%v", results)
	}
	if !strings.Contains(errOut, "WeCom, heartbeat: not taken") {
		t.Error(errOut)
	}

	if _, errOut := run("", exitFailed, "--test"); !strings.Contains(errOut, "no receiver is configured") {
		t.Error(errOut)
	}
}
