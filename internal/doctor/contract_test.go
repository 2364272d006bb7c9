package doctor

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// brokenElsewhere are the tests that break what no statement on a server can, by the check that names it.
var brokenElsewhere = map[string]string{
	"session": "TestSettingsThatAreLost", "isolation": "TestSessionChecks", "version": "TestCheckVersion", "binary log": "TestStatementBinlog", "clock": "TestSessionChecks",
	"transactions": "TestTransactionChecks", "packets": "TestPackets", "locks": "TestLocksOnTwoServers", "durability": "TestDurability", "writes": "TestReadOnlyPrimary", "indexes": "TestDoctor",
}

// TestEachNeedHasItsCheck compares the needs in docs/contract.md with the checks of the databases: each need is proven, each
// check is of a need, and each is broken by a test.
func TestEachNeedHasItsCheck(t *testing.T) {
	doc, err := os.ReadFile("../../docs/contract.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(doc), "\n## The database\n")
	section, _, _ = strings.Cut(section, "\n## ")
	listed := map[string]bool{}
	for line := range strings.Lines(section) {
		if cells := strings.Split(line, "|"); len(cells) == 4 {
			for _, m := range regexp.MustCompile("`((?:account|main|table) [a-z_ ]+)`").FindAllStringSubmatch(cells[2], -1) {
				listed[m[1]] = true
			}
		}
	}
	c := settings(t)
	made := map[string]bool{}
	for _, p := range append(slices.Concat(accountDatabase(c).beyondConnect(), mainDatabase(c).beyondConnect()), accountDatabase(c).ofEngine()...) {
		made[p.name] = true
	}
	if !maps.Equal(listed, made) {
		t.Errorf("listed are %v, checks are %v", slices.Sorted(maps.Keys(listed)), slices.Sorted(maps.Keys(made)))
	}
	for name := range listed {
		_, topic, found := strings.Cut(name, " database ")
		if !found {
			_, topic, _ = strings.Cut(name, " ")
		}
		if _, broken := needs[name]; !broken && brokenElsewhere[topic] == "" {
			t.Errorf("no test breaks %s", name)
		}
	}
}
