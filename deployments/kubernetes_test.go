package deployments_test

import (
	"bytes"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"

	"rollcall/cmd/rollcall/config"
)

// The manifests are what Kubernetes understands, field by field; pods mount what they name, probe what is served, run as nobody, and
// their configuration loads.
func TestKubernetes(t *testing.T) {
	text, err := os.ReadFile("kubernetes/rollcall.yaml")
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for _, document := range bytes.Split(text, []byte("\n---\n")) {
		var of struct{ Kind string }
		if err := yaml.Unmarshal(document, &of); err != nil {
			t.Fatal(err)
		}
		kinds[of.Kind]++
		into := map[string]any{"Namespace": &corev1.Namespace{}, "ServiceAccount": &corev1.ServiceAccount{}, "ConfigMap": &corev1.ConfigMap{},
			"StatefulSet": &appsv1.StatefulSet{}, "Service": &corev1.Service{}, "Deployment": &appsv1.Deployment{},
			"PodDisruptionBudget": &policyv1.PodDisruptionBudget{}, "NetworkPolicy": &networkingv1.NetworkPolicy{}}[of.Kind]
		if into == nil {
			t.Errorf("kind %q", of.Kind)
			continue
		}
		if err := yaml.UnmarshalStrict(document, into); err != nil {
			t.Errorf("%s: %v", of.Kind, err)
		}
		switch o := into.(type) {
		case *corev1.ConfigMap:
			checkConfiguration(t, o.Data["rollcall.yaml"])
		case *appsv1.StatefulSet:
			checkLabels(t, o.Name, o.Spec.Selector.MatchLabels, o.Spec.Template.Labels)
			checkPod(t, o.Name, &o.Spec.Template.Spec, "data")
		case *appsv1.Deployment:
			checkLabels(t, o.Name, o.Spec.Selector.MatchLabels, o.Spec.Template.Labels)
			checkPod(t, o.Name, &o.Spec.Template.Spec)
		}
	}
	if kinds["Deployment"] != 3 || kinds["StatefulSet"] != 1 || kinds["NetworkPolicy"] != 3 {
		t.Errorf("kinds %v", kinds)
	}
}

// kustomization.yaml lists exactly the manifests that are there, and the image that they run.
func TestKustomization(t *testing.T) {
	var k struct {
		APIVersion string `json:"apiVersion"`
		Kind       string
		Resources  []string
		Images     []struct{ Name, NewName, NewTag string }
	}
	if err := yaml.UnmarshalStrict([]byte(read(t, "kubernetes/kustomization.yaml")), &k); err != nil {
		t.Fatal(err)
	}
	there, err := filepath.Glob("kubernetes/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := append([]string{"kustomization.yaml"}, k.Resources...)
	for i := range there {
		there[i] = filepath.Base(there[i])
	}
	slices.Sort(want)
	if !slices.Equal(there, want) {
		t.Errorf("resources %v, there are %v", k.Resources, there)
	}
	if k.APIVersion != "kustomize.config.k8s.io/v1beta1" || k.Kind != "Kustomization" {
		t.Errorf("it is %s %s", k.APIVersion, k.Kind)
	}
	for _, image := range k.Images {
		if !strings.Contains(read(t, "kubernetes/rollcall.yaml"), "image: "+image.Name+":") {
			t.Errorf("no pod runs the image %s", image.Name)
		}
	}
}

// scaledObject is what KEDA documents of a ScaledObject with a trigger of its Prometheus scaler, as far as we use it.
type scaledObject struct {
	APIVersion string `json:"apiVersion"`
	Kind       string
	Metadata   struct{ Name, Namespace string }
	Spec       struct {
		ScaleTargetRef                   struct{ APIVersion, Kind, Name string }
		MinReplicaCount, MaxReplicaCount int
		PollingInterval, CooldownPeriod  int
		Triggers                         []struct {
			Type     string
			Metadata struct{ ServerAddress, Query, Threshold string }
		}
	}
}

func scaler(t *testing.T) (o scaledObject) {
	t.Helper()
	if err := yaml.UnmarshalStrict([]byte(read(t, "kubernetes/keda.yaml")), &o); err != nil {
		t.Fatal(err)
	}
	return o
}

// The scaler's fields are KEDA's own, and its target is a deployment of ours.
func TestKEDA(t *testing.T) {
	o := scaler(t)
	if o.APIVersion != "keda.sh/v1alpha1" || o.Kind != "ScaledObject" || len(o.Spec.Triggers) != 1 || o.Spec.Triggers[0].Type != "prometheus" {
		t.Fatalf("it is %+v", o)
	}
	manifests := read(t, "kubernetes/rollcall.yaml")
	if !regexp.MustCompile(`kind: Deployment\nmetadata:\s*\{?\s*name: `+o.Spec.ScaleTargetRef.Name+`\b`).MatchString(manifests) || !strings.Contains(manifests, "namespace: "+o.Metadata.Namespace) {
		t.Errorf("it scales %s in %s, which is no deployment of ours", o.Spec.ScaleTargetRef.Name, o.Metadata.Namespace)
	}
	trigger := o.Spec.Triggers[0].Metadata
	if n, err := strconv.Atoi(trigger.Threshold); err != nil || n <= 0 || o.Spec.MinReplicaCount < 1 || o.Spec.MaxReplicaCount <= o.Spec.MinReplicaCount {
		t.Errorf("thresholds %+v", o.Spec)
	}
	if _, err := url.ParseRequestURI(trigger.ServerAddress); err != nil {
		t.Error(err)
	}
}

// checkConfiguration loads a configuration that signs in as NATS_USER.
func checkConfiguration(t *testing.T, text string) {
	t.Helper()
	t.Setenv("NATS_USER", "reconciler")
	path := filepath.Join(t.TempDir(), "rollcall.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if c.Console.Listen == "" || c.Console.TokenFile == "" {
		t.Errorf("the console is %+v", c.Console)
	}
	if c.Pipeline.NATS.User != "reconciler" || c.Pipeline.NATS.Replicas != 3 || c.Source("corp") == nil {
		t.Errorf("the configuration says %+v", c.Pipeline.NATS)
	}
}

func checkLabels(t *testing.T, name string, selector, labels map[string]string) {
	t.Helper()
	for key, value := range selector {
		if labels[key] != value {
			t.Errorf("%s: its pods lack the label %s=%s that it selects by", name, key, value)
		}
	}
}

// checkPod checks a pod that has volumes of those names besides its own.
func checkPod(t *testing.T, name string, pod *corev1.PodSpec, volumes ...string) {
	t.Helper()
	for _, v := range pod.Volumes {
		volumes = append(volumes, v.Name)
	}
	c := pod.Containers[0]
	for _, mount := range c.VolumeMounts {
		if !slices.Contains(volumes, mount.Name) {
			t.Errorf("%s mounts %s, which is no volume", name, mount.Name)
		}
	}
	for path, probe := range map[string]*corev1.Probe{"/startupz": c.StartupProbe, "/livez": c.LivenessProbe, "/readyz": c.ReadinessProbe} {
		if probe == nil || probe.HTTPGet.Path != path || probe.HTTPGet.Port.StrVal != c.Ports[0].Name {
			t.Errorf("%s does not probe %s", name, path)
		}
	}
	if !*pod.SecurityContext.RunAsNonRoot || !*c.SecurityContext.ReadOnlyRootFilesystem || *c.SecurityContext.AllowPrivilegeEscalation || c.Resources.Limits.Memory().IsZero() {
		t.Errorf("%s may do too much", name)
	}
	if role := c.Args[slices.Index(c.Args, "--roles")+1]; !strings.HasPrefix(name, role) {
		t.Errorf("%s takes the role %s", name, role)
	}
	if strings.Contains(strings.Join(c.Args, " "), "assword") {
		t.Errorf("%s has a secret on its command line", name)
	}
}
