package setup

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"jdpay-listener/internal/alert"
	"jdpay-listener/internal/lang"
)

// TestAlertSettings are those of section Alerts, with the receivers that have an address.
func TestAlertSettings(t *testing.T) {
	c := mustLoad(t, "Alerts__Language=en", "Alerts__Console=https://console.test", "Alerts__Heartbeat=https://beat.test/1", "Payment__TimeZone=Asia/Tokyo",
		"Alerts__DingTalk__Url=https://robot.test/d", "Alerts__DingTalk__AtMobiles__0=13800000000", "Alerts__WeCom__AtAll=true", "Alerts__DingTalk__Secret=secret-d", "Alerts__WeCom__Url=https://robot.test/w",
		"Alerts__Webhook__Url=https://robot.test/h", "Alerts__Webhook__Secret=secret-h").Config
	got := AlertSettings(c)
	if zone := got.Zone.String(); zone != "Asia/Tokyo" {
		t.Errorf("zone %s", zone)
	}
	got.Zone = nil
	if got.Grace != c.Payment.GracePeriod {
		t.Errorf("grace %s", got.Grace)
	}
	got.Grace = 0
	want := alert.Settings{Language: lang.English, Console: "https://console.test", Heartbeat: "https://beat.test/1", Targets: []alert.Target{
		{Name: alert.DingTalk, URL: "https://robot.test/d", Secret: "secret-d", At: []string{"13800000000"}},
		{Name: alert.WeCom, URL: "https://robot.test/w", AtAll: true},
		{Name: alert.Webhook, URL: "https://robot.test/h", Secret: "secret-h"},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
}
