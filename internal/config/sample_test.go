package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"jdpay-listener/internal/testenv"

	"github.com/google/go-cmp/cmp"
	"github.com/tailscale/hujson"
)

const samplePath = "../../configs/appsettings.json"

func loadSample(t *testing.T) *Loaded {
	t.Helper()
	path, err := filepath.Abs(samplePath)
	if err != nil {
		t.Fatal(err)
	}
	opts := testOptions(t)
	opts.Files = []string{path}
	loaded, err := Load(opts)
	// Its key is a placeholder, which is refused.
	if faults := faultsOf(t, err); len(faults) != 1 || !strings.HasPrefix(faults[0], `JDPay:Md5Key = "["***"]" (`+path+`:`) || !strings.Contains(faults[0], "a placeholder") {
		t.Fatalf("the shipped sample must be refused for its key alone:\n%v", err)
	}
	return loaded
}

func TestSampleNeedsNothingButAKey(t *testing.T) {
	path, err := filepath.Abs(samplePath)
	if err != nil {
		t.Fatal(err)
	}
	opts := testOptions(t, "JDPay__Md5Key="+minimalKey)
	opts.Files = []string{path}
	if _, err := Load(opts); err != nil {
		t.Errorf("the shipped sample with a key is refused:\n%v", err)
	}
}

func TestSampleHasNoUnknownKeyAndNoNotice(t *testing.T) {
	if diff := cmp.Diff([]string(nil), testenv.Texts(loadSample(t).Warnings)); diff != "" {
		t.Error(diff)
	}
}

func TestSampleStatesEveryDefault(t *testing.T) {
	want := defaults()
	required := map[string]bool{}
	for _, o := range want.options() {
		if _, hasDefault := o.Tag.Lookup("default"); o.Tag.Get("required") == "true" && !hasDefault {
			required[o.Key] = true
		}
	}
	// The values of these are made while loading.
	computed := map[string]string{
		"Host:Instance":                   "default",
		"SyncReply:Md5Key":                "JDPay:Md5Key",
		"Jobs:Retry:pay-complete:Timeout": "Mqtt:CommandTtl",
	}
	expected := map[string]string{}
	for _, s := range (&Loaded{Config: want}).Effective() {
		expected[s.Key] = s.Value
	}

	for _, s := range loadSample(t).Effective() {
		if source, ok := computed[s.Key]; ok {
			if s.Source != source {
				t.Errorf("%s comes from %s, want %s", s.Key, s.Source, source)
			}
		} else if !strings.Contains(s.Source, "appsettings.json:") {
			t.Errorf("%s is not in the sample", s.Key)
		} else if !required[s.Key] && s.Value != expected[s.Key] {
			t.Errorf("%s is %q in the sample, but its default is %q", s.Key, s.Value, expected[s.Key])
		}
		delete(expected, s.Key)
	}
	for key := range expected {
		t.Errorf("%s is not in the sample", key)
	}
}

// TestSampleNamesEveryOption reads the file itself, since Effective has no line for an empty map.
func TestSampleNamesEveryOption(t *testing.T) {
	content, err := os.ReadFile(samplePath)
	if err != nil {
		t.Fatal(err)
	}
	root, err := hujson.Parse(content)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range new(Config).options() {
		if root.Find("/"+strings.ReplaceAll(o.Key, ":", "/")) == nil {
			t.Errorf("%s is not in the sample", o.Key)
		}
	}
}
