package alert

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"jdpay-listener/internal/lang"
	"jdpay-listener/internal/sandbox/robotserver"
)

// TestOutageIsToldWithoutTheTable tells a robot of an outage and of its end: without a database, with the time in the zone of the
// settings.
func TestOutageIsToldWithoutTheTable(t *testing.T) {
	since := time.Date(2025, 11, 20, 12, 0, 0, 0, time.UTC)
	for language, want := range map[lang.Lang][2]string{
		lang.English: {"Payments wait in the queue since 21:00:00: ", "The database is back after "},
		lang.Chinese: {"自 21:00:00 起支付消息在队列中等待：", "数据库已恢复，历时 "},
	} {
		robot := receiver(t, robotserver.WeCom)
		sender := NewSender(nil)
		teller := NewTeller(Options{Sender: sender, Instance: "a", Log: slog.New(slog.DiscardHandler)},
			Settings{Language: language, Zone: time.FixedZone("", 9*3600), Targets: []Target{target(robot)}})
		teller.TellOutage(t.Context(), Opened, since, "dial tcp 127.0.0.1:3306: connect: connection refused")
		teller.TellOutage(t.Context(), Over, since, "")
		sender.Close()
		cards := robot.Cards()
		if len(cards) != 2 || !strings.Contains(cards[0], want[0]) || !strings.Contains(cards[1], want[1]) {
			t.Errorf("%s: the cards are %q", language, cards)
		}
	}
}
