package deploy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

type manifest struct {
	Kind     string
	Metadata struct {
		Name, Namespace string
		Labels          map[string]string
	}
	Spec struct {
		PolicyTypes []string `yaml:"policyTypes"`
		Template    struct{ Spec podSpec }
	}
}

type podSpec struct {
	AutomountServiceAccountToken *bool           `yaml:"automountServiceAccountToken"`
	HostNetwork                  bool            `yaml:"hostNetwork"`
	HostPID                      bool            `yaml:"hostPID"`
	HostIPC                      bool            `yaml:"hostIPC"`
	SecurityContext              securityContext `yaml:"securityContext"`
	InitContainers               []container     `yaml:"initContainers"`
	Containers                   []container
	EphemeralContainers          []container      `yaml:"ephemeralContainers"`
	Volumes                      []map[string]any `yaml:"volumes"`
}

type container struct {
	Name, Image     string
	SecurityContext securityContext `yaml:"securityContext"`
	Ports           []struct {
		HostPort int `yaml:"hostPort"`
	}
}

type securityContext struct {
	RunAsNonRoot             *bool `yaml:"runAsNonRoot"`
	RunAsUser                *int  `yaml:"runAsUser"`
	Privileged               bool
	AllowPrivilegeEscalation *bool                  `yaml:"allowPrivilegeEscalation"`
	ReadOnlyRootFilesystem   bool                   `yaml:"readOnlyRootFilesystem"`
	SeccompProfile           *struct{ Type string } `yaml:"seccompProfile"`
	Capabilities             struct{ Add, Drop []string }
}

// byDigest is an image that nobody can change under its name; "<digest>" stands for one that is still to be filled in,
// and is no name that a cluster starts.
var byDigest = regexp.MustCompile(`@sha256:([0-9a-f]{64}|<digest>)$`)

// faults says what keeps a pod from Pod Security "restricted", and from what this project wants beyond it.
func (p podSpec) faults() (out []string) {
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if p.AutomountServiceAccountToken == nil || *p.AutomountServiceAccountToken {
		say("the pod has a service account token")
	}
	if p.HostNetwork || p.HostPID || p.HostIPC {
		say("the pod shares a namespace with its host")
	}
	for _, v := range p.Volumes {
		for kind := range v {
			if !slices.Contains([]string{"name", "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}, kind) {
				say("volume %v is of kind %s", v["name"], kind)
			}
		}
	}
	pod := p.SecurityContext
	for _, c := range slices.Concat(p.InitContainers, p.Containers, p.EphemeralContainers) {
		own := c.SecurityContext
		if own.RunAsNonRoot == nil {
			own.RunAsNonRoot = pod.RunAsNonRoot
		}
		if own.RunAsNonRoot == nil || !*own.RunAsNonRoot {
			say("container %s may run as root", c.Name)
		}
		if own.RunAsUser != nil && *own.RunAsUser == 0 || pod.RunAsUser != nil && *pod.RunAsUser == 0 {
			say("container %s runs as user 0", c.Name)
		}
		if own.SeccompProfile == nil {
			own.SeccompProfile = pod.SeccompProfile
		}
		if own.SeccompProfile == nil || own.SeccompProfile.Type != "RuntimeDefault" {
			say("container %s has not the runtime's seccomp profile", c.Name)
		}
		if own.Privileged || own.AllowPrivilegeEscalation == nil || *own.AllowPrivilegeEscalation {
			say("container %s may gain privileges", c.Name)
		}
		if !slices.Contains(own.Capabilities.Drop, "ALL") || len(own.Capabilities.Add) > 0 {
			say("container %s has capabilities", c.Name)
		}
		if !own.ReadOnlyRootFilesystem {
			say("container %s can write its root file system", c.Name)
		}
		if !byDigest.MatchString(c.Image) {
			say("container %s has image %s, which is not named by its digest", c.Name, c.Image)
		}
		for _, port := range c.Ports {
			if port.HostPort != 0 {
				say("container %s has a port of its host", c.Name)
			}
		}
	}
	return out
}

func manifests(t *testing.T, text []byte) (all []manifest) {
	t.Helper()
	d := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var m manifest
		err := d.Decode(&m)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
}

func TestKubernetes(t *testing.T) {
	text, err := os.ReadFile("kubernetes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for _, m := range manifests(t, text) {
		kinds[m.Kind]++
		name := m.Kind + " " + m.Metadata.Name
		if m.Kind != "Namespace" && m.Metadata.Namespace != "jdpay" {
			t.Errorf("%s is in namespace %q", name, m.Metadata.Namespace)
		}
		switch m.Kind {
		case "Namespace":
			if m.Metadata.Labels["pod-security.kubernetes.io/enforce"] != "restricted" {
				t.Errorf("%s does not enforce the restricted level", name)
			}
		case "Deployment":
			pod := m.Spec.Template.Spec
			if len(pod.Containers) == 0 || len(pod.InitContainers) == 0 {
				t.Fatalf("%s has %d containers and %d init containers: is it read right?", name, len(pod.Containers), len(pod.InitContainers))
			}
			for _, fault := range pod.faults() {
				t.Errorf("%s: %s", name, fault)
			}
		case "NetworkPolicy":
			if !slices.Equal(m.Spec.PolicyTypes, []string{"Ingress", "Egress"}) {
				t.Errorf("%s closes only %v", name, m.Spec.PolicyTypes)
			}
		case "Secret", "ConfigMap":
		default: // a pod of another kind would pass unseen
			t.Errorf("%s is of a kind that this test does not know: extend it", name)
		}
	}
	for _, kind := range []string{"Namespace", "Deployment", "NetworkPolicy"} {
		if kinds[kind] != 1 {
			t.Errorf("there are %d of kind %s", kinds[kind], kind)
		}
	}
}

// TestKubernetesFaults changes one thing in the manifest, which must be found.
func TestKubernetesFaults(t *testing.T) {
	text, err := os.ReadFile("kubernetes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const digest = "@sha256:<digest>"
	for name, tt := range map[string]struct{ old, new, want string }{
		"a token":                      {"automountServiceAccountToken: false", "", "token"},
		"root":                         {"runAsNonRoot: true", "", "may run as root"},
		"user 0":                       {"runAsUser: 65532", "runAsUser: 0", "user 0"},
		"no seccomp":                   {"seccompProfile: { type: RuntimeDefault }", "seccompProfile: { type: Unconfined }", "seccomp"},
		"privileges":                   {"allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true", "container migrate may gain"},
		"a writable root":              {"readOnlyRootFilesystem: true", "", "container migrate can write"},
		"capabilities":                 {"drop: [ALL]", "drop: [NET_RAW]", "container migrate has capabilities"},
		"an image by tag":              {digest, ":latest", "container migrate has image"},
		"a folder of the host":         {"configMap: { name: jdpay-listener }\n---", "hostPath: { path: / }\n---", "hostPath"},
		"the host's network":           {"enableServiceLinks: false", "hostNetwork: true", "namespace with its host"},
		"a port of the host":           {"containerPort: 9300", "containerPort: 9300, hostPort: 80", "port of its host"},
		"a container without a word":   {"      volumes:\n", "        - name: sidecar\n          image: sidecar" + digest + "\n      volumes:\n", "container sidecar may gain"},
		"an init container of its own": {"      containers:\n", "        - name: first\n          image: first" + digest + "\n      containers:\n", "container first has capabilities"},
	} {
		t.Run(name, func(t *testing.T) {
			changed := strings.Replace(string(text), tt.old, tt.new, 1)
			if changed == string(text) {
				t.Fatalf("the manifest has no %q", tt.old)
			}
			var found []string
			for _, m := range manifests(t, []byte(changed)) {
				if m.Kind == "Deployment" {
					found = append(found, m.Spec.Template.Spec.faults()...)
				}
			}
			if !strings.Contains(strings.Join(found, "\n"), tt.want) {
				t.Errorf("found %q, want one with %q", found, tt.want)
			}
		})
	}
}
