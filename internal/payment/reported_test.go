package payment

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
)

// reported is a message of testdata/messages.jsonl: forms that were reported of other programs, signed with reportedKey. The times in
// them are only copied.
type reported struct {
	Name, Body string
	Settings   map[string]string // beside the defaults
	End        string            // state and outcome
	Amount     string            // of a settled payment, in yuan
	PayTime    string            `json:"pay_time"`
}

const reportedKey = "cases-signing-key-01"

// reportedMessages reads testdata/messages.jsonl, by settings.
func reportedMessages(t *testing.T) map[string][]reported {
	t.Helper()
	file, err := os.Open("testdata/messages.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	messages := map[string][]reported{}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var m reported
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			t.Fatal(err)
		}
		messages[fmt.Sprint(m.Settings)] = append(messages[fmt.Sprint(m.Settings)], m)
	}
	if err := lines.Err(); err != nil || len(messages) == 0 {
		t.Fatal(len(messages), err)
	}
	return messages
}

// TestReportedMessages takes each message to its end: settled with the exact amount, parked if the key signed it, else rejected.
func TestReportedMessages(t *testing.T) {
	t.Parallel()
	for _, messages := range reportedMessages(t) {
		settings := messages[0].Settings
		t.Run(fmt.Sprint(settings), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(w *world) {
				m := &w.rules.Message
				m.Keys, m.Format.InFen = []string{reportedKey}, settings["Payment:AmountUnit"] == "fen"
				if exclude := settings["JDPay:Exclude"]; exclude != "" {
					m.Profile.Exclude = strings.Split(exclude, ",")
				}
			})
			w.order(1, "8.00")
			w.serve()
			for _, m := range messages {
				w.exec("UPDATE kernelorder_charge SET is_paid = 0, external_id = NULL, pay_time = NULL, amount = COALESCE(?, 8) WHERE order_id = 1", nullText(m.Amount))
				w.keep(m.Body)
				w.eventually(m.Name+": "+m.End, func() bool {
					return fmt.Sprint(w.strings("SELECT CONCAT(state, ' ', outcome) FROM jdpay_job WHERE kind = 'settle'")) == "["+m.End+"]" &&
						len(w.strings("SELECT id FROM jdpay_job WHERE finished_at IS NULL")) == 0
				})
				paid := w.strings("SELECT CONCAT(is_paid, ' ', COALESCE(pay_amount, '-'), ' ', COALESCE(pay_time, '-')) FROM kernelorder_charge")[0]
				want := "0 "
				if m.Amount != "" {
					want = "1 " + m.Amount + " " + m.PayTime
				}
				if !strings.HasPrefix(paid, want) {
					t.Errorf("%s: is_paid, pay_amount and pay_time are %s, want %s…", m.Name, paid, want)
				}
				w.exec("DELETE FROM jdpay_job")
			}
		})
	}
}

// nullText is NULL for an empty text.
func nullText(s string) any {
	if s == "" {
		return nil
	}
	return s
}
