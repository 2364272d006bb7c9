package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"jdpay-listener/e2e/box"
	"jdpay-listener/internal/alert"
	"jdpay-listener/internal/sandbox"
	"jdpay-listener/internal/sandbox/jdserver"
	"jdpay-listener/internal/sandbox/robotserver"
)

// heldRobot is a receiver of webhooks that keeps whoever sends the first notice waiting for its answer.
type heldRobot struct {
	*robotserver.Server
	taken bool // it takes the first notice before it waits; else it never has it

	mu     sync.Mutex
	sender string        // the instance that sent the first one
	sent   chan string   // gets its name
	done   chan struct{} // is closed when it may have its answer
}

func (r *heldRobot) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body) // an unreadable body fails the robot's checks
	req.Body = io.NopCloser(bytes.NewReader(body))
	var n alert.Notice
	_ = json.Unmarshal(body, &n)
	r.mu.Lock()
	first := r.sender == ""
	if first {
		r.sender = n.Instance
	}
	held := n.Instance == r.sender
	r.mu.Unlock()
	switch {
	case first && r.taken:
		r.Serve(httptest.NewRecorder(), req)
		fallthrough
	case first:
		r.sent <- n.Instance
		fallthrough
	case held:
		<-r.done
	default:
		r.Serve(w, req)
	}
}

// notices returns what the robot took of a cause.
func (r *heldRobot) notices(t *testing.T, cause string, status alert.Status) (list []alert.Notice) {
	t.Helper()
	for _, card := range r.Cards() {
		var n alert.Notice
		if err := json.Unmarshal([]byte(card), &n); err != nil {
			t.Fatal(err)
		}
		if n.Cause == cause && n.Status == status {
			list = append(list, n)
		}
	}
	return list
}

// TestReplicaKilledWhileItTells kills that one of two replicas with kill -9 which waits for a robot's answer. People are told once or
// twice, never not at all, and a repetition has the same id.
func TestReplicaKilledWhileItTells(t *testing.T) {
	t.Parallel()
	for name, taken := range map[string]bool{"the robot has it": true, "the robot does not have it": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := box.New(t, jdserver.Options{})
			robot := &heldRobot{Server: robotserver.New(robotserver.Webhook), taken: taken, sent: make(chan string, 1), done: make(chan struct{})}
			t.Cleanup(robot.Close)
			server := httptest.NewServer(robot)
			t.Cleanup(server.Close)
			release := sync.OnceFunc(func() { close(robot.done) })
			t.Cleanup(release)
			s.Extra["Alerts__Webhook__Url"], s.Extra["Alerts__Webhook__Secret"] = server.URL+"/alerts", robotserver.Secret
			replicas := map[string]*box.Process{}
			for _, instance := range []string{"replica-0", "replica-1"} {
				replicas[instance] = s.Start("Host__Instance=" + instance)
			}
			payment := box.Ordinary(1)[0]
			payment.Order.Amount = "99.00" // JD was paid another sum
			if err := sandbox.AddOrders(s.DB, *payment.Order); err != nil {
				t.Fatal(err)
			}
			s.MNS.Put(box.NotifyQueue, payment.Body)
			var sender string
			select {
			case sender = <-robot.sent:
			case <-time.After(90 * time.Second):
				t.Fatal("nothing is sent")
			}
			replicas[sender].Kill()
			release()
			told := func(stage int) func() bool {
				return func() bool {
					return s.Count("SELECT COUNT(*) FROM jdpay_alert WHERE cause = 'amount_mismatch' AND told_webhook = ?", stage) == 1
				}
			}
			s.Eventually(time.Minute, "the other replica tells", told(1))
			opened := robot.notices(t, "amount_mismatch", alert.Opened)
			if want := map[bool]int{true: 2, false: 1}[taken]; len(opened) != want || opened[0].ID != opened[len(opened)-1].ID {
				t.Errorf("told %d times, want %d: %+v", len(opened), want, opened)
			}
			s.Run("jobs", "discard", "--reason", "refunded", s.Strings("SELECT job_id FROM jdpay_alert")[0])
			s.Eventually(time.Minute, "the end is told", told(3))
			if over := robot.notices(t, "amount_mismatch", alert.Over); len(over) != 1 {
				t.Errorf("its end is told %d times: %+v", len(over), over)
			}
		})
	}
}
