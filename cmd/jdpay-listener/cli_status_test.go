package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"jdpay-listener/e2e/box"
	"jdpay-listener/internal/sandbox/jdserver"
)

func TestStatusCommand(t *testing.T) {
	t.Parallel()
	s := box.New(t, jdserver.Options{})
	id := addJob(s, finished("parked", "refused", "the cabinet refused"))
	out, errOut, code := s.Try("status")
	if code != exitFailed || errOut != "" {
		t.Errorf("exit %d: %s", code, errOut)
	}
	mustContain(t, out, "a person is needed", "1 jobs are parked", "0 replicas live")
	out, _, _ = s.Try("status", "--lang", "zh")
	mustContain(t, out, "需要人工处理", "待人工处理的任务 1 个")
	out, _, code = s.Try("status", "--json")
	var doc struct {
		NeedsPerson bool `json:"needs_person"`
		Parked      int  `json:"parked_jobs"`
	}
	if err := json.Unmarshal([]byte(out), &doc); err != nil || code != exitFailed || !doc.NeedsPerson || doc.Parked != 1 {
		t.Errorf("exit %d, %v: %s", code, err, out)
	}

	t.Run("jobs by outcome, text and age", func(t *testing.T) {
		for _, args := range [][]string{{"--outcome", "refused"}, {"--text", "CABINET"}, {"--older-than", "1h"}} {
			if got := listed(s, args...); len(got) != 1 || got[0] != id {
				t.Errorf("%v: %v", args, got)
			}
		}
		if got := listed(s, "--text", "100%"); len(got) != 0 {
			t.Errorf("listed %v", got)
		}
		_, errOut, code := s.Try("jobs", "list", "--kind", "pay-comlete")
		if code != exitUsage || !strings.Contains(errOut, "pay-complete, ") {
			t.Errorf("exit %d: %s", code, errOut)
		}
	})
	t.Run("a dry run changes nothing, and exactly the listed ids are changed", func(t *testing.T) {
		before := jobState(s, id)
		out, _, code := s.Try("jobs", "retry", "--all", "--order", "R1", "--dry-run", "--json")
		if code != exitOK || !strings.Contains(out, `"does": "`) || jobState(s, id) != before {
			t.Errorf("exit %d: %s", code, out)
		}
		seen := filepath.Join(t.TempDir(), "seen")
		later := addJob(s, map[string]any{"kind": "pay-info", "state": "parked", "outcome": "abandoned", "finished_at": "2020-11-20 04:05:00"})
		for _, text := range []string{out, s.Run("jobs", "list", "--outcome", "refused", "--json"), s.Run("jobs", "list", "--outcome", "refused"), id + "\n"} {
			if err := os.WriteFile(seen, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			mustContain(t, s.Run("jobs", "retry", "--dry-run", "--ids-from", seen), id)
		}
		mustContain(t, s.Run("jobs", "discard", "--ids-from", seen), "1 jobs are discarded")
		if jobState(s, id) != "done discarded" || jobState(s, later) != "parked abandoned" {
			t.Errorf("%s, %s", jobState(s, id), jobState(s, later))
		}
	})
}

func TestPauseCommands(t *testing.T) {
	t.Parallel()
	s := box.New(t, jdserver.Options{})
	mustContain(t, s.Run("jobs", "pause", "pay-info", "--for", "2h", "--reason", "moved", "--as", "anna"), "pay-info is paused until")
	out, _, _ := s.Try("status", "--lang", "zh")
	mustContain(t, out, "已暂停：pay-info", "anna", "moved")
	mustContain(t, s.Run("jobs", "resume", "pay-info", "--lang", "zh"), "pay-info 已恢复")
	for args, want := range map[string]int{
		"jobs resume pay-info": exitFailed, "jobs pause pay-inf --for 1h --reason x": exitUsage, "jobs pause pay-info --reason x": exitUsage, "jobs pause pay-info --for 1h": exitUsage,
		"queue pause nosuch --for 1h --reason x": exitUsage,
	} {
		if _, errOut, code := s.Try(strings.Fields(args)...); code != want {
			t.Errorf("%s: exit %d: %s", args, code, errOut)
		}
	}
}
