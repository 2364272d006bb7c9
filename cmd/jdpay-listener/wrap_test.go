package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"

	"jdpay-listener/internal/lang"
)

func TestWrapper(t *testing.T) {
	var out bytes.Buffer
	w := &wrapper{w: &out, columns: 40}
	for _, part := range []string{"short\n", "Mqtt:Server  " + strings.Repeat("word ", 20), "\n", strings.Repeat("门打不开", 20) + "\n", strings.Repeat("x", 100) + "\nrest"} {
		if _, err := w.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
	}
	w.flush()
	lines := strings.Split(out.String(), "\n")
	for _, line := range lines {
		if lang.Width(line) > 40 {
			t.Errorf("%d columns: %q", lang.Width(line), line)
		}
	}
	if lines[0] != "short" || !strings.HasPrefix(lines[2], strings.Repeat(" ", 13)+"word") || lines[len(lines)-1] != "rest" {
		t.Errorf("it is\n%s", out.String())
	}
	if got := strings.Count(out.String(), "开"); got != 20 {
		t.Errorf("%d of 20 are left", got)
	}
}

func TestFailuresAreDocuments(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"jobs list --json --state gone": "there is no state", "jobs list --nope --json": "unknown flag", "help nosuch --json": "there is no command", "status --json --watch": "--watch",
	} {
		var out, errOut bytes.Buffer
		code := execute(context.Background(), strings.Fields(args), strings.NewReader(""), &out, &errOut)
		var doc failure
		if err := json.Unmarshal(out.Bytes(), &doc); err != nil || code != exitUsage || doc.ExitCode != code || !strings.Contains(doc.Error, want) || errOut.Len() == 0 {
			t.Errorf("%s: exit %d, %v: %s%s", args, code, err, out.String(), errOut.String())
		}
	}
}
