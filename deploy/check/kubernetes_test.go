package check

import (
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	security "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"

	"github.com/gwadmin/gwadmin/internal/promtool"
)

// kinds are those that the manifests may have.
var kinds = map[string]func() runtime.Object{
	"apps/v1 Deployment":                      func() runtime.Object { return new(apps.Deployment) },
	"batch/v1 Job":                            func() runtime.Object { return new(batch.Job) },
	"v1 Service":                              func() runtime.Object { return new(core.Service) },
	"networking.k8s.io/v1 Ingress":            func() runtime.Object { return new(networking.Ingress) },
	"networking.k8s.io/v1 NetworkPolicy":      func() runtime.Object { return new(networking.NetworkPolicy) },
	"monitoring.coreos.com/v1 ServiceMonitor": func() runtime.Object { return new(monitoring.ServiceMonitor) },
	"monitoring.coreos.com/v1 PrometheusRule": func() runtime.Object { return new(monitoring.PrometheusRule) },
}

// decode reads the documents of a manifest into the types of Kubernetes' API. A field that a
// type does not have is an error.
func decode(t testing.TB, text string) (objects []runtime.Object) {
	t.Helper()
	for _, part := range split(text) {
		var kind meta.TypeMeta
		if err := yaml.Unmarshal([]byte(part), &kind); err != nil {
			t.Fatalf("%v in\n%s", err, part)
		}
		if kind.Kind == "" {
			continue
		}
		known := kinds[kind.APIVersion+" "+kind.Kind]
		if known == nil {
			t.Fatalf("there should be no %s %s", kind.APIVersion, kind.Kind)
		}
		object := known()
		if err := yaml.UnmarshalStrict([]byte(part), object); err != nil {
			t.Errorf("%v in\n%s", err, part)
		}
		objects = append(objects, object)
	}
	if len(objects) == 0 {
		t.Error("the manifest is empty")
	}
	return objects
}

// A pod is a template of pods, with the selector of its Deployment.
type pod struct {
	name     string
	selector map[string]string
	template core.PodTemplateSpec
}

// checkManifest checks what belongs together.
func checkManifest(t testing.TB, objects []runtime.Object) {
	t.Helper()
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var pods []pod
	services := map[string]*core.Service{}
	for _, object := range objects {
		switch o := object.(type) {
		case *batch.Job:
			pods = append(pods, pod{o.Name + o.GenerateName, nil, o.Spec.Template})
			for _, rule := range o.Spec.PodFailurePolicy.Rules {
				if exit := rule.OnExitCodes; exit != nil && *exit.ContainerName != o.Spec.Template.Spec.Containers[0].Name {
					t.Errorf("%s: there is no container %s", o.Name, *exit.ContainerName)
				}
			}
			if o.Spec.TTLSecondsAfterFinished == nil || o.Spec.BackoffLimit == nil || o.Spec.ActiveDeadlineSeconds == nil {
				t.Errorf("%s has no limits: %+v", o.Name, o.Spec)
			}
		case *apps.Deployment:
			pods = append(pods, pod{o.Name, o.Spec.Selector.MatchLabels, o.Spec.Template})
		case *core.Service:
			services[o.Name] = o
		}
	}
	level := security.LevelVersion{Level: security.LevelRestricted, Version: security.LatestVersion()}
	for _, p := range pods {
		spec := p.template.Spec
		for _, answer := range evaluator.EvaluatePod(level, &p.template.ObjectMeta, &spec) {
			if !answer.Allowed {
				t.Errorf("%s is not restricted: %s: %s", p.name, answer.ForbiddenReason, answer.ForbiddenDetail)
			}
		}
		if !within(p.selector, p.template.Labels) {
			t.Errorf("%s does not select its pods: %v, which have %v", p.name, p.selector, p.template.Labels)
		}
		if spec.AutomountServiceAccountToken == nil || *spec.AutomountServiceAccountToken {
			t.Errorf("%s has a token of the API", p.name)
		}
		for _, c := range spec.Containers {
			if c.Resources.Requests.Memory().IsZero() || c.Resources.Limits.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() {
				t.Errorf("%s has no resources: %+v", p.name, c.Resources)
			}
			if c.SecurityContext.ReadOnlyRootFilesystem == nil || !*c.SecurityContext.ReadOnlyRootFilesystem {
				t.Errorf("%s can write to its image", p.name)
			}
			for _, variable := range c.Env {
				if variable.Name != "GWADMIN_SCHEMA" && (variable.ValueFrom == nil || variable.ValueFrom.SecretKeyRef.Name == "" || variable.ValueFrom.SecretKeyRef.Key == "") {
					t.Errorf("%s: %s is not from a Secret", p.name, variable.Name)
				}
			}
			if c.Env[0].Name != "DATABASE_URL" {
				t.Errorf("%s has no database", p.name)
			}
			for _, probe := range []*core.Probe{c.LivenessProbe, c.ReadinessProbe} {
				if probe != nil && probe.HTTPGet != nil && !hasPort(c, probe.HTTPGet.Port) || probe != nil && probe.TCPSocket != nil && !hasPort(c, probe.TCPSocket.Port) {
					t.Errorf("%s: a probe of a port that it does not have", p.name)
				}
			}
			for _, mount := range c.VolumeMounts {
				if !slices.ContainsFunc(spec.Volumes, func(v core.Volume) bool { return v.Name == mount.Name }) {
					t.Errorf("%s has no volume %s", p.name, mount.Name)
				}
			}
		}
	}
	// behind returns the pods that a selector finds, and requires that there is one.
	behind := func(what string, selector map[string]string) pod {
		t.Helper()
		found := slices.DeleteFunc(slices.Clone(pods), func(p pod) bool { return !within(selector, p.template.Labels) })
		if len(found) != 1 || len(selector) == 0 {
			t.Fatalf("%s selects %d kinds of pods", what, len(found))
		}
		return found[0]
	}
	for _, object := range objects {
		switch o := object.(type) {
		case *core.Service:
			for _, port := range o.Spec.Ports {
				if !hasPort(behind(o.Name, o.Spec.Selector).template.Spec.Containers[0], port.TargetPort) {
					t.Errorf("service %s: its pods have no port %s", o.Name, port.TargetPort.String())
				}
			}
		case *networking.NetworkPolicy:
			p := behind(o.Name, o.Spec.PodSelector.MatchLabels)
			for _, rule := range o.Spec.Ingress {
				for _, port := range rule.Ports {
					if !hasPort(p.template.Spec.Containers[0], *port.Port) {
						t.Errorf("policy %s: its pods have no port %s", o.Name, port.Port.String())
					}
				}
			}
		case *networking.Ingress:
			for _, rule := range o.Spec.Rules {
				to := rule.HTTP.Paths[0].Backend.Service
				if s := services[to.Name]; s == nil || !hasServicePort(s, to.Port.Name) {
					t.Errorf("ingress %s: there is no service %s with a port %s", o.Name, to.Name, to.Port.Name)
				}
			}
		case *monitoring.ServiceMonitor:
			found := 0
			for _, s := range services {
				if within(o.Spec.Selector.MatchLabels, s.Labels) && hasServicePort(s, o.Spec.Endpoints[0].Port) {
					found++
				}
			}
			if found != 1 {
				t.Errorf("the monitor %s selects %d services", o.Name, found)
			}
		case *monitoring.PrometheusRule:
			checkRule(t, o)
		}
	}
}

// within reports whether all labels are among others.
func within(labels, others map[string]string) bool {
	for name, value := range labels {
		if others[name] != value {
			return false
		}
	}
	return true
}

func hasPort(c core.Container, port intstr.IntOrString) bool {
	return slices.ContainsFunc(c.Ports, func(p core.ContainerPort) bool { return p.Name == port.StrVal && port.IntVal == 0 })
}

func hasServicePort(s *core.Service, name string) bool {
	return slices.ContainsFunc(s.Spec.Ports, func(p core.ServicePort) bool { return p.Name == name })
}

// checkRule compares a PrometheusRule with the alerts for Prometheus, and lets promtool check
// it.
func checkRule(t testing.TB, rule *monitoring.PrometheusRule) {
	t.Helper()
	var want monitoring.PrometheusRuleSpec
	if err := yaml.UnmarshalStrict([]byte(read(t, "../prometheus/rules.yml")), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, rule.Spec); diff != "" || len(want.Groups) == 0 {
		t.Errorf("the alerts: -prometheus/rules.yml +chart\n%s", diff)
	}
	text, err := yaml.Marshal(rule.Spec)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "rules.yml")
	write(t, file, string(text))
	if out, err := exec.Command(promtool.Find(t, "promtool"), "check", "rules", file).CombinedOutput(); err != nil {
		t.Errorf("promtool: %v\n%s", err, out)
	}
}

// The plain manifests are what Kubernetes' API knows, and belong together.
func TestKubernetes(t *testing.T) {
	t.Parallel()
	for _, file := range files(t, "../kubernetes", ".yaml") {
		checkManifest(t, decode(t, read(t, file)))
	}
}

// kindsOf counts the objects of a manifest.
func kindsOf(objects []runtime.Object) []string {
	counts := map[string]int{}
	for _, object := range objects {
		counts[object.GetObjectKind().GroupVersionKind().Kind]++
	}
	var lines []string
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		lines = append(lines, fmt.Sprint(kind, " ", counts[kind]))
	}
	return lines
}
