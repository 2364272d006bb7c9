package kubernetes

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

// faults says what is wrong with what would be created.
func (c cluster) faults() (out []string) {
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	var labels map[string]string // of the pods
	for _, o := range c.objects {
		if d, ok := o.(*apps.Deployment); ok {
			labels = d.Spec.Template.Labels
		}
	}
	selects := func(what string, selector map[string]string) {
		if len(selector) == 0 {
			say("%s selects everything", what)
		}
		for k, v := range selector {
			if labels[k] != v {
				say("%s does not select the daemon's pods", what)
			}
		}
	}
	if len(c.namespaces) != 1 || !c.namespaces["jdpay"] {
		say("the namespaces are %v", c.namespaces)
	}
	for _, name := range c.wanted {
		if !c.names[name] {
			say("there is no %s", name)
		}
	}
	for _, o := range c.objects {
		switch o := o.(type) {
		case *core.Namespace:
			if o.Labels["pod-security.kubernetes.io/enforce"] != "restricted" {
				say("the namespace does not enforce the restricted level")
			}
		case *apps.Deployment:
			selects("the Deployment", o.Spec.Selector.MatchLabels)
			if o.Spec.Replicas != nil && c.names["HorizontalPodAutoscaler/"+o.Name] {
				say("the number of replicas is set beside the autoscaler")
			}
			out = append(out, podFaults(o.Spec.Template.Spec)...)
			out = append(out, c.missing(o.Spec.Template.Spec)...)
		case *core.Service:
			selects("the Service", o.Spec.Selector)
		case *networking.NetworkPolicy:
			selects("the NetworkPolicy", o.Spec.PodSelector.MatchLabels)
			if !slices.Equal(o.Spec.PolicyTypes, []networking.PolicyType{"Ingress", "Egress"}) {
				say("the NetworkPolicy closes only %v", o.Spec.PolicyTypes)
			}
		case *policy.PodDisruptionBudget:
			selects("the PodDisruptionBudget", o.Spec.Selector.MatchLabels)
			if o.Spec.MaxUnavailable == nil || o.Spec.MaxUnavailable.IntVal != 1 {
				say("more than one replica may be moved at once")
			}
		case *monitoring.PodMonitor:
			selects("the PodMonitor", o.Spec.Selector.MatchLabels)
			for _, e := range o.Spec.PodMetricsEndpoints {
				if e.Authorization == nil || e.Authorization.Credentials == nil || e.Authorization.Credentials.Key != "Ops__Token" {
					say("the PodMonitor does not give the token")
				}
			}
		case *autoscaling.HorizontalPodAutoscaler:
			out = append(out, c.scalerFaults(o)...)
		}
	}
	return out
}

// missing names what a pod refers to and nobody creates: the API server takes such a pod, and it never starts.
func (c cluster) missing(p core.PodSpec) (out []string) {
	for _, container := range slices.Concat(p.InitContainers, p.Containers) {
		for _, from := range container.EnvFrom {
			if from.SecretRef == nil || !c.names["Secret/"+from.SecretRef.Name] {
				out = append(out, "container "+container.Name+" wants variables that nobody creates")
			}
		}
	}
	for _, v := range p.Volumes {
		if v.ConfigMap != nil && !c.names["ConfigMap/"+v.ConfigMap.Name] {
			out = append(out, "volume "+v.Name+" is of a ConfigMap that nobody creates")
		}
	}
	return out
}

// scalerFaults: each metric of the autoscaler is one that prometheus-adapter.yaml makes, of ages and not of the vendor's depth.
func (c cluster) scalerFaults(h *autoscaling.HorizontalPodAutoscaler) (out []string) {
	ref := h.Spec.ScaleTargetRef
	if !c.names[ref.Kind+"/"+ref.Name] {
		out = append(out, "the autoscaler scales "+ref.Kind+"/"+ref.Name+", which is not there")
	}
	var adapter struct {
		Rules struct {
			External []struct {
				SeriesQuery, MetricsQuery string
				Name                      struct{ As string }
				Resources                 map[string]any
			}
		}
	}
	if err := yaml.UnmarshalStrict([]byte(c.adapter), &adapter); err != nil {
		return append(out, err.Error())
	}
	made := map[string]bool{}
	for _, r := range adapter.Rules.External {
		made[r.Name.As] = strings.Contains(r.SeriesQuery, "_age_seconds") && strings.Contains(r.MetricsQuery, r.SeriesQuery+"{")
	}
	for _, m := range h.Spec.Metrics {
		if m.External == nil || !made[m.External.Metric.Name] {
			out = append(out, fmt.Sprintf("the autoscaler asks for a metric of type %s that is no age of ours", m.Type))
		}
	}
	return out
}

// byDigest is an image that nobody can change under its name; "<digest>" stands for one that is still to be filled in,
// and is no name that a cluster starts.
var byDigest = regexp.MustCompile(`@sha256:([0-9a-f]{64}|<digest>)$`)

// podFaults says what keeps a pod from Pod Security "restricted", and from what this project wants beyond it.
func podFaults(p core.PodSpec) (out []string) {
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if p.AutomountServiceAccountToken == nil || *p.AutomountServiceAccountToken {
		say("the pod has a service account token")
	}
	if p.HostNetwork || p.HostPID || p.HostIPC {
		say("the pod shares a namespace with its host")
	}
	if p.Affinity == nil || p.Affinity.PodAntiAffinity == nil {
		say("the replicas may all be on one host")
	}
	for _, v := range p.Volumes {
		if v.ConfigMap == nil && v.Secret == nil && v.EmptyDir == nil && v.Projected == nil {
			say("volume %s is of a kind that is not allowed", v.Name)
		}
	}
	if p.SecurityContext == nil {
		p.SecurityContext = &core.PodSecurityContext{}
	}
	for _, c := range slices.Concat(p.InitContainers, p.Containers) {
		own := c.SecurityContext
		if own == nil {
			own = &core.SecurityContext{}
		}
		if root := first(own.RunAsNonRoot, p.SecurityContext.RunAsNonRoot); root == nil || !*root {
			say("container %s may run as root", c.Name)
		}
		if user := first(own.RunAsUser, p.SecurityContext.RunAsUser); user == nil || *user == 0 {
			say("container %s runs as user 0, or its image's", c.Name)
		}
		if profile := first(own.SeccompProfile, p.SecurityContext.SeccompProfile); profile == nil || profile.Type != core.SeccompProfileTypeRuntimeDefault {
			say("container %s has not the runtime's seccomp profile", c.Name)
		}
		if own.Privileged != nil && *own.Privileged || own.AllowPrivilegeEscalation == nil || *own.AllowPrivilegeEscalation {
			say("container %s may gain privileges", c.Name)
		}
		if own.Capabilities == nil || !slices.Contains(own.Capabilities.Drop, "ALL") || len(own.Capabilities.Add) > 0 {
			say("container %s has capabilities", c.Name)
		}
		if own.ReadOnlyRootFilesystem == nil || !*own.ReadOnlyRootFilesystem {
			say("container %s can write its root file system", c.Name)
		}
		if !byDigest.MatchString(c.Image) {
			say("container %s has image %s, which is not named by its digest", c.Name, c.Image)
		}
		if _, limited := c.Resources.Limits[core.ResourceMemory]; !limited {
			say("container %s has no limit of memory", c.Name)
		}
		for _, port := range c.Ports {
			if port.HostPort != 0 {
				say("container %s has a port of its host", c.Name)
			}
		}
	}
	return out
}

// first returns the first that is set: a container's own setting goes before its pod's.
func first[T any](own, pod *T) *T {
	if own != nil {
		return own
	}
	return pod
}
