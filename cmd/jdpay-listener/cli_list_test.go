package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"jdpay-listener/e2e/box"
	"jdpay-listener/internal/sandbox/jdserver"
)

// TestAuditList compares a list as an operator does: exit 0, 1 and 2, on the screen, as JSON and as CSV.
func TestAuditList(t *testing.T) {
	t.Parallel()
	s := box.New(t, jdserver.Options{})
	if _, err := s.DB.Exec("INSERT INTO kernelorder_charge (order_id, order_no, amount, is_paid, pay_amount) VALUES (1, 'R1', 8.00, 1, 8.00), (2, 'R2', 8.00, 0, NULL)"); err != nil {
		t.Fatal(err)
	}
	file := func(text string) string {
		name := filepath.Join(t.TempDir(), "list.csv")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	mustContain(t, s.Run("audit", "--list", file("订单号,订单金额\nR1,8.00\n")), "columns taken: 订单号, 订单金额", "1 rows and 8.00 yuan, the classes 1 rows and 8.00 yuan")
	both := file("order_no,amount\nR1,8.00\nR2,8.00\n")
	out, errOut, code := s.Try("audit", "--list", both)
	if code != exitFailed || !strings.Contains(out, "never_received") || !strings.Contains(errOut, "1 findings") {
		t.Errorf("exit %d: %s%s", code, out, errOut)
	}
	found := filepath.Join(t.TempDir(), "found.csv")
	out, _, code = s.Try("audit", "--list", both, "--json", "--csv", found)
	if code != exitFailed || !strings.Contains(out, `"class": "never_received"`) {
		t.Errorf("exit %d: %s", code, out)
	}
	if text, err := os.ReadFile(found); err != nil || !strings.Contains(string(text), "never_received,3,R2,8.00,0,") {
		t.Errorf("%s, %v", text, err)
	}
	for args, want := range map[string]string{
		"--list " + file("a,b\n1,2\n"):                        "--order-column",
		"--list " + file("order_no,amount\nX,1\n"):            "none of our order numbers",
		"--list " + file("order_no,amount\n2.0E+17,1\n"):      "line 2",
		"--list /nonexistent":                                 "no such file",
		"--list " + both + " --day yesterday":                 "is not a day",
		"--day 2019-11-20":                                    "list",
		"--list " + both + " --order-column nosuch --lang zh": "没有列",
	} {
		if out, errOut, code := s.Try(append([]string{"audit"}, strings.Fields(args)...)...); code != exitUsage || !strings.Contains(errOut, want) {
			t.Errorf("%s: exit %d: %s%s; want %q", args, code, out, errOut, want)
		}
	}
}
