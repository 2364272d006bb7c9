// Package kubernetes has only tests: what is shipped for a cluster must be what a cluster takes, and must hold what
// docs/security.md promises. It is a module of its own, so that the daemon's does not name Kubernetes.
package kubernetes

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// kinds are all that the overlay may have, with the types by which the API server reads them.
var kinds = map[string]func() any{
	"v1 Namespace":                           func() any { return new(core.Namespace) },
	"v1 Secret":                              func() any { return new(core.Secret) },
	"v1 Service":                             func() any { return new(core.Service) },
	"v1 ConfigMap":                           func() any { return new(core.ConfigMap) },
	"apps/v1 Deployment":                     func() any { return new(apps.Deployment) },
	"networking.k8s.io/v1 NetworkPolicy":     func() any { return new(networking.NetworkPolicy) },
	"policy/v1 PodDisruptionBudget":          func() any { return new(policy.PodDisruptionBudget) },
	"autoscaling/v2 HorizontalPodAutoscaler": func() any { return new(autoscaling.HorizontalPodAutoscaler) },
	"monitoring.coreos.com/v1 PodMonitor":    func() any { return new(monitoring.PodMonitor) },
}

// cluster is what `kubectl apply -k production` would create.
type cluster struct {
	objects    []any
	namespaces map[string]bool // of all objects but the namespace itself
	names      map[string]bool // kind/name
	adapter    string          // prometheus-adapter.yaml, which is applied by others
	wanted     []string        // kind/name of what must be there
}

// wanted is what the overlays must have.
var wanted = map[string][]string{
	"production": {
		"Namespace/jdpay", "Secret/jdpay-listener", "ConfigMap/jdpay-listener", "Deployment/jdpay-listener", "NetworkPolicy/jdpay-listener",
		"PodDisruptionBudget/jdpay-listener", "HorizontalPodAutoscaler/jdpay-listener", "PodMonitor/jdpay-listener",
	},
	"console": {"Secret/jdpay-console", "Deployment/jdpay-console", "Service/jdpay-console", "NetworkPolicy/jdpay-console"},
}

// render builds an overlay, production or console, with replacements of texts in its files, and reads each object as the API server does: no
// unknown field, no value of another type.
func render(t *testing.T, overlay string, replace ...string) (cluster, error) {
	t.Helper()
	fs := filesys.MakeFsInMemory()
	c := cluster{namespaces: map[string]bool{}, names: map[string]bool{}, wanted: wanted[overlay]}
	replaced := len(replace) == 0
	files, err := filepath.Glob("*/*")
	if err != nil || len(files) < 10 {
		t.Fatalf("files %v, %v", files, err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		changed := string(text)
		if !replaced && (strings.HasPrefix(name, overlay) || strings.HasPrefix(name, "base")) {
			changed = strings.Replace(changed, replace[0], replace[1], 1)
			replaced = changed != string(text)
		}
		if name == "production/prometheus-adapter.yaml" {
			c.adapter = changed
		}
		if err := fs.WriteFile("/"+filepath.ToSlash(name), []byte(changed)); err != nil {
			t.Fatal(err)
		}
	}
	if !replaced {
		t.Fatalf("no file has %q", replace[0])
	}
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(fs, "/"+overlay)
	if err != nil {
		return c, err
	}
	for _, r := range built.Resources() {
		text, err := r.AsYAML()
		if err != nil {
			return c, err
		}
		newObject := kinds[r.GetApiVersion()+" "+r.GetKind()]
		if newObject == nil {
			return c, fmt.Errorf("%s %s is of a kind that this test does not know: extend it", r.GetApiVersion(), r.GetKind())
		}
		o := newObject()
		if err := yaml.UnmarshalStrict(text, o); err != nil {
			return c, fmt.Errorf("%s %s: %w", r.GetKind(), r.GetName(), err)
		}
		c.objects = append(c.objects, o)
		c.names[r.GetKind()+"/"+r.GetName()] = true
		if r.GetKind() != "Namespace" {
			c.namespaces[r.GetNamespace()] = true
		}
	}
	return c, nil
}

func TestKubernetes(t *testing.T) {
	for _, overlay := range []string{"production", "console"} {
		c, err := render(t, overlay)
		if err != nil {
			t.Fatal(err)
		}
		for _, fault := range c.faults() {
			t.Errorf("%s: %s", overlay, fault)
		}
	}
}

// TestFaultsAreFound changes one thing in the files, which must be found.
func TestFaultsAreFound(t *testing.T) {
	const container = "          image: jdpay-listener\n          args: [run"
	for name, tt := range map[string]struct{ old, new, want string }{
		"a token":                      {"automountServiceAccountToken: false", "", "token"},
		"root":                         {"runAsNonRoot: true", "", "may run as root"},
		"user 0":                       {"runAsUser: 65532", "runAsUser: 0", "user 0"},
		"no seccomp":                   {"seccompProfile: { type: RuntimeDefault }", "seccompProfile: { type: Unconfined }", "seccomp"},
		"privileges":                   {"allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true", "container migrate may gain"},
		"a writable root":              {"readOnlyRootFilesystem: true", "", "container migrate can write"},
		"capabilities":                 {"drop: [ALL]", "drop: [NET_RAW]", "container migrate has capabilities"},
		"an image by tag":              {"digest: sha256:<digest>", "newTag: latest", "container migrate has image"},
		"a folder of the host":         {"configMap: { name: jdpay-listener }", "hostPath: { path: / }", "volume config is of a kind"},
		"the host's network":           {"enableServiceLinks: false", "hostNetwork: true", "namespace with its host"},
		"a port of the host":           {"containerPort: 9300", "containerPort: 9300, hostPort: 80", "port of its host"},
		"a container without a word":   {container, "          image: sidecar\n        - name: second\n" + container, "container jdpay-listener may gain"},
		"all on one host":              {"podAntiAffinity", "podAffinity", "all be on one host"},
		"a field that is none":         {"minReplicas", "minimumReplicas", `unknown field "minimumReplicas"`},
		"a number that is a text":      {"terminationGracePeriodSeconds: 60", "terminationGracePeriodSeconds: a minute", "cannot unmarshal"},
		"another kind":                 {"kind: PodDisruptionBudget", "kind: PodDisruptionBudge", "a kind that this test does not know"},
		"scaling by the queue's depth": {"seriesQuery: jdpay_mns_oldest_message_age_seconds", "seriesQuery: jdpay_mns_queue_messages", "no age of ours"},
		"replicas beside scaling":      {"- { op: remove, path: /spec/replicas }", "- { op: replace, path: /spec/replicas, value: 3 }", "beside the autoscaler"},
		"metrics without the token":    {"key: Ops__Token", "key: Token", "does not give the token"},
		"a secret that is not there":   {"secretRef: { name: jdpay-listener-migrate }", "secretRef: { name: other }", "nobody creates"},
		"a budget of other pods":       {"  selector:\n    matchLabels: { app: jdpay-listener }\n", "  selector:\n    matchLabels: { app: other }\n", "does not select"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := render(t, "production", tt.old, tt.new)
			found := strings.Join(c.faults(), "\n")
			if err != nil {
				found = err.Error()
			}
			if !strings.Contains(found, tt.want) {
				t.Errorf("found %q, want one with %q", found, tt.want)
			}
		})
	}
}
