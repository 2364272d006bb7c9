package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"jdpay-listener/e2e/box"
	"jdpay-listener/internal/sandbox/jdserver"
	"jdpay-listener/internal/testenv"
)

// TestPromisesInAnOutage stops the broker: the cabinets of five payments are told late. That must show while the outage lasts,
// and each command must count once in notify_to_command when it is over, although its first tries failed.
func TestPromisesInAnOutage(t *testing.T) {
	t.Parallel()
	s := box.New(t, jdserver.Options{})
	port, err := testenv.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	s.Extra["Ops__Listen"] = fmt.Sprintf("127.0.0.1:%d", port)
	p := s.Start()
	value := func(series string) float64 {
		resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", port))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(body)) {
			if text, ok := strings.CutPrefix(strings.TrimSpace(line), series+" "); ok {
				n, err := strconv.ParseFloat(text, 64)
				if err != nil {
					t.Fatal(err)
				}
				return n
			}
		}
		t.Fatalf("there is no series %s", series)
		return 0
	}
	s.Eventually(20*time.Second, "the metrics are served", func() bool {
		resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", port))
		if err == nil {
			resp.Body.Close()
		}
		return err == nil
	})

	s.Broker.Stop()
	s.BrokerFell = true
	stream := box.Ordinary(5)
	s.Play(stream)
	s.Eventually(60*time.Second, "the broken promises count while the broker is away", func() bool {
		return value(`jdpay_slo_total{promise="told"}`) == 5
	})
	if good, told := value(`jdpay_slo_good_total{promise="told"}`), value(`jdpay_stage_seconds_count{stage="notify_to_command"}`); good != 0 || told != 0 {
		t.Errorf("without a broker %v cabinets were told in time, %v at all", good, told)
	}
	if n := value(`jdpay_job_failures_total{kind="pay-complete",reason="not_connected"}`); n < 5 {
		t.Errorf("%v failed tries have the reason not_connected", n)
	}

	s.Broker.Start(t)
	s.Eventually(60*time.Second, "everything is done", func() bool {
		return s.Count("SELECT COUNT(*) FROM jdpay_job WHERE kind = 'settle' AND state = 'done'") == 5 && s.Unfinished() == 0
	})
	s.Eventually(20*time.Second, "each command counts", func() bool {
		return value(`jdpay_stage_seconds_count{stage="notify_to_command"}`) == 5
	})
	if late := 5 - value(`jdpay_stage_seconds_bucket{stage="notify_to_command",le="1"}`); late != 5 {
		t.Errorf("%v of 5 commands count as late, by more than a second", late)
	}
	if total, settled := value(`jdpay_slo_total{promise="told"}`), value(`jdpay_slo_total{promise="settled"}`); total != 5 || settled != 5 {
		t.Errorf("%v told and %v settled payments are counted, want 5 each", total, settled)
	}
	p.Stop()
}
