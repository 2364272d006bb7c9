package deploy

import (
	"os"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"jdpay-listener/internal/config"
	"jdpay-listener/internal/setup"
)

// TestCompose: the daemon accepts the configuration of deploy/compose, and waits only for services that are there.
func TestCompose(t *testing.T) {
	text, err := os.ReadFile("compose/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Services map[string]struct {
			Environment map[string]string
			Command     []string
			Image       string
			Healthcheck struct{ Test []string }
			DependsOn   map[string]struct{ Condition string } `yaml:"depends_on"`
		}
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"migrate", "jdpay-listener"} {
		s := file.Services[name]
		var environ []string
		for k, v := range s.Environment {
			environ = append(environ, k+"="+v)
		}
		loaded, err := setup.Load(config.Options{Environ: environ, Dir: t.TempDir()})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, w := range loaded.Warnings {
			if strings.Contains(w.String(), "unknown") {
				t.Errorf("%s: %s", name, w)
			}
		}
		for other := range s.DependsOn {
			if _, ok := file.Services[other]; !ok {
				t.Errorf("%s waits for %s, which is not there", name, other)
			}
		}
	}
	if probe := file.Services["jdpay-listener"].Healthcheck.Test; !slices.Equal(probe, []string{"CMD", "/jdpay-listener", "probe"}) {
		t.Errorf("the health check is %v", probe)
	}
	if stand := file.Services["stand-ins"].Command; len(stand) == 0 || stand[0] != "serve" {
		t.Errorf("the stand-ins are started by %v", stand)
	}
}
