package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"jdpay-listener/internal/inspect"
)

// inProcess runs a command line in this process, with the test's environment.
func inProcess(t *testing.T, stdin string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errOut bytes.Buffer
	code = execute(t.Context(), args, strings.NewReader(stdin), &out, &errOut)
	return out.String(), errOut.String(), code
}

func TestEveryCommandHasHelp(t *testing.T) {
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Short == "" || !strings.Contains(cmd.Example, "jdpay-listener") {
			t.Errorf("%s has no short text or no example", cmd.CommandPath())
		}
		out, _, code := inProcess(t, "", append(strings.Fields(cmd.CommandPath())[1:], "--help")...)
		if code != exitOK || !strings.Contains(out, cmd.Example) {
			t.Errorf("%s --help: exit %d\n%s", cmd.CommandPath(), code, out)
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk((&app{}).root())
}

func TestWrongUsage(t *testing.T) {
	for line, want := range map[string]string{
		"jobs":                             "jobs list, show, retry, discard, redact, pause or resume",
		"jobs redact 1":                    "--reason is missing",
		"jobs retry":                       "name jobs by id, or give --all with a filter",
		"jobs retry --all":                 "--all wants a filter",
		"jobs retry 1 --all --kind settle": "not both",
		"jobs retry 1 --kind settle":       "go with --all",
		"jobs discard --all --state parked --ref=": "--order is empty",
		"jobs discard x":                         `"x" is no job id`,
		"jobs list --state lost":                 `there is no state "lost": use ready, running,`,
		"jobs list --limit 0":                    "--limit must be at least 1",
		"jobs show":                              "a job id is missing",
		"trace":                                  "an order number is missing",
		"explain R1 R2":                          `"R2" is too much: give an order number`,
		"find":                                   "is missing",
		"doctor x":                               `"x" is too much`,
		"docter":                                 `unknown command "docter" for "jdpay-listener": did you mean doctor?`,
		"jobs list --limit ten":                  `--limit: "ten" is not a whole number`,
		"jobs list --limit 99999999999999999999": `--limit: "99999999999999999999" is not a whole number`,
		"jobs list --json=maybe":                 `--json: "maybe" is neither true nor false`,
		"send --order R1 --amount 1 --field PayAmount=2": "the amount is given by --amount",
		"explain R1 --lang de":                           "--lang is en or zh",
		"send":                                           "give --order and --amount, or --body",
		"send --order R1 --body f":                       "--body is a whole message",
		"send --order R1 --amount 1 --field x":           "is not NAME=VALUE",
		"send --order R1 --amount 1 --field OrderNo=R2":  "the order is named by --order",
		"send --order R1 --amount 1 --field sentby=JD":   "sentBy is set by the program",
		"nonsense":                     `unknown command "nonsense"`,
		"jobs nonsense":                `unknown command "nonsense" for "jdpay-listener jobs"`,
		"config chek":                  `did you mean check?`,
		"config":                       "config needs a command",
		"config init":                  "name the old file: --from OLD",
		"config init --from x --force": "--force goes with --output",
		"completion bash x":            `unknown command "x"`,
		"--nonsense":                   "unknown flag: --nonsense",
		"jobs list --limit":            "flag needs an argument: --limit",
		"audit --acts x":               "--acts: ",
		"queue":                        "queue needs a command: queue peek",
		"queue peek --limit 17":        "--limit is a number from 1 to 16",
		"queue peek --reply --queue q": "--reply or --queue, not both",
		"verify f --job 1":             "give a file or --job, not both",
		"verify --job x":               `--job: "x" is no job id`,
		"find R1 --limit 0":            "--limit is a number from 1 to 1000",
	} {
		t.Run(line, func(t *testing.T) {
			out, errOut, code := inProcess(t, "", strings.Fields(line)...)
			if strings.Contains(errOut, "strconv") || strings.Contains(errOut, "arg(s)") {
				t.Errorf("a text of a library: %s", errOut)
			}
			if code != exitUsage || !strings.Contains(errOut, want) || strings.Count(errOut, "\n") != 1 || out != "" {
				t.Errorf("exit %d, stdout %q, stderr %q", code, out, errOut)
			}
		})
	}
}

func TestVerify(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("JDPay__Md5Key", "secret-key")
	message, _, code := inProcess(t, "", "send", "--order", "R1", "--amount", "8.00", "--field", "termNo=T9", "--dry-run")
	if code != exitOK {
		t.Fatal("send --dry-run failed")
	}
	if err := os.WriteFile("message.json", []byte(message), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Run("accepted", func(t *testing.T) {
		for _, args := range [][]string{{"verify", "message.json"}, {"verify"}, {"verify", "-"}} {
			out, errOut, code := inProcess(t, message, args...)
			if code != exitOK || !strings.Contains(out, "8.00 yuan") || !strings.Contains(out, `"termNo":"T9"`) || !strings.Contains(out, "&***") || strings.Contains(out+errOut, "secret-key") {
				t.Errorf("%v: exit %d\n%s%s", args, code, out, errOut)
			}
		}
	})
	t.Run("faults in other sections are ignored", func(t *testing.T) {
		t.Setenv("Mqtt__Port", "many")
		t.Setenv("JDApi__BaseUrl", "x://")
		if _, errOut, code := inProcess(t, message, "verify"); code != exitOK {
			t.Errorf("exit %d: %s", code, errOut)
		}
	})
	t.Run("with the wrong profile the right one is named", func(t *testing.T) {
		t.Setenv("JDPay__SignProfile", "values_only")
		_, errOut, code := inProcess(t, message, "verify")
		if code != exitFailed || !strings.Contains(errOut, "its signature is right with JDPay:SignProfile=kv_amp_bare") {
			t.Errorf("exit %d: %s", code, errOut)
		}
	})
	t.Run("the wrong key", func(t *testing.T) {
		t.Setenv("JDPay__Md5Key", "another")
		out, errOut, code := inProcess(t, message, "verify", "--json")
		var in inspect.Inspection
		if err := json.Unmarshal([]byte(out), &in); err != nil || code != exitFailed || in.Accepted || len(in.Matches) != 0 || !strings.Contains(errOut, "bad signature") {
			t.Errorf("exit %d, %v\n%s%s", code, err, out, errOut)
		}
	})
	t.Run("without a key the configuration is refused", func(t *testing.T) {
		t.Setenv("JDPay__Md5Key", "")
		if _, errOut, code := inProcess(t, message, "verify"); code != exitUsage || !strings.Contains(errOut, "JDPay:Md5Key") {
			t.Errorf("exit %d: %s", code, errOut)
		}
	})
	t.Run("no file", func(t *testing.T) {
		if _, errOut, code := inProcess(t, "", "verify", filepath.Join("no", "file")); code != exitFailed || !strings.Contains(errOut, "no such file") {
			t.Errorf("exit %d: %s", code, errOut)
		}
	})
}

func TestSendRefusesWhatIsNoAmount(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("JDPay__Md5Key", "secret-key")
	for unit, amounts := range map[string][]string{"yuan": {"8,00", "8.001", "-8", "1e-3", "eight", " ", "5.5.5", "99999999999.00"}, "fen": {"8.5", "x"}} {
		t.Setenv("Payment__AmountUnit", unit)
		for _, amount := range amounts {
			out, errOut, code := inProcess(t, "", "send", "--order", "R1", "--amount", amount, "--dry-run")
			if code != exitUsage || out != "" || !strings.Contains(errOut, "is no amount in "+unit) {
				t.Errorf("%q: exit %d: %s%s", amount, code, out, errOut)
			}
		}
	}
	if _, errOut, code := inProcess(t, "", "send", "--order", "R1", "--amount", "800", "--dry-run"); code != exitOK {
		t.Errorf("exit %d: %s", code, errOut)
	}
}

func TestVersion(t *testing.T) {
	word, _, _ := inProcess(t, "", "version")
	for _, args := range [][]string{{"--version"}, {"version"}} {
		if out, _, code := inProcess(t, "", args...); code != exitOK || out != word || !strings.Contains(out, "go1.") {
			t.Errorf("%v: exit %d: %s", args, code, out)
		}
		var fields map[string]string
		if out, _, _ := inProcess(t, "", append(args, "--json")...); json.Unmarshal([]byte(out), &fields) != nil || fields["commit"] == "" {
			t.Errorf("%v: %s", args, out)
		}
	}
}

func TestCompletion(t *testing.T) {
	for line, want := range map[string][]string{
		"jobs list --state":   {"ready", "running", "waiting", "done", "rejected", "parked"},
		"jobs retry --kind":   {"settle", "reply", "pay-complete", "waybill-status", "pay-info", "reply-publish"},
		"jobs discard --kind": {"settle"},
		"explain --lang":      {"en", "zh"},
	} {
		out, _, code := inProcess(t, "", append(append([]string{"__complete"}, strings.Fields(line)...), "")...)
		values := strings.Fields(out)
		for _, value := range want {
			if code != exitOK || !slices.Contains(values, value) {
				t.Errorf("%s: exit %d, no %s in %q", line, code, value, values)
			}
		}
		if !slices.Contains(values, ":4") { // no file names
			t.Errorf("%s: %q", line, values)
		}
	}
	if out, _, _ := inProcess(t, "", "__complete", "verify", ""); !strings.Contains(out, ":0") {
		t.Errorf("verify completes no files: %q", out)
	}
	if out, _, _ := inProcess(t, "", "__complete", "trace", ""); !strings.Contains(out, ":4") {
		t.Errorf("trace completes files: %q", out)
	}
}
