//go:build system

package deploy

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/chrony-tracker/chrony-tracker/internal/programtest"
)

// The Go modules that contain the schemas of Kubernetes and of the Prometheus Operator.
// Modules are available everywhere.
const (
	kubectlModule  = "k8s.io/kubectl@v0.34.4"
	operatorModule = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
)

// kubernetesSchemas writes strict schemas for the manifests, and returns their location
// in the form that kubeconform takes.
func kubernetesSchemas(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write := func(group, version, kind string, schema any) {
		text, err := json.Marshal(schema)
		if err != nil {
			t.Fatal(err)
		}
		group, _, _ = strings.Cut(group, ".")
		name := strings.ToLower(strings.Join(slices.DeleteFunc([]string{kind, group, version}, func(s string) bool { return s == "" }), "-")) + ".json"
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}

	var swagger struct{ Definitions map[string]object }
	text, err := os.ReadFile(filepath.Join(moduleDir(t, kubectlModule), "testdata/openapi/swagger.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &swagger); err != nil {
		t.Fatal(err)
	}
	for definition, gvk := range map[string][3]string{
		"io.k8s.api.apps.v1.DaemonSet":             {"apps", "v1", "DaemonSet"},
		"io.k8s.api.batch.v1.CronJob":              {"batch", "v1", "CronJob"},
		"io.k8s.api.core.v1.ConfigMap":             {"", "v1", "ConfigMap"},
		"io.k8s.api.core.v1.Namespace":             {"", "v1", "Namespace"},
		"io.k8s.api.core.v1.PersistentVolumeClaim": {"", "v1", "PersistentVolumeClaim"},
		"io.k8s.api.core.v1.Pod":                   {"", "v1", "Pod"},
		"io.k8s.api.core.v1.Service":               {"", "v1", "Service"},
		"io.k8s.api.core.v1.ServiceAccount":        {"", "v1", "ServiceAccount"},
		"io.k8s.api.networking.v1.NetworkPolicy":   {"networking.k8s.io", "v1", "NetworkPolicy"},
		"io.k8s.api.rbac.v1.ClusterRole":           {"rbac.authorization.k8s.io", "v1", "ClusterRole"},
		"io.k8s.api.rbac.v1.ClusterRoleBinding":    {"rbac.authorization.k8s.io", "v1", "ClusterRoleBinding"},
	} {
		write(gvk[0], gvk[1], gvk[2], inline(swagger.Definitions, swagger.Definitions[definition]))
	}

	for _, kind := range []string{"PodMonitor", "ServiceMonitor", "PrometheusRule"} {
		text, err := os.ReadFile(filepath.Join(moduleDir(t, operatorModule), "example/prometheus-operator-crd", "monitoring.coreos.com_"+strings.ToLower(kind)+"s.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		var definition object
		if err := yaml.Unmarshal(text, &definition); err != nil {
			t.Fatal(err)
		}
		schema := inline(nil, at(definition, "spec", "versions", 0, "schema", "openAPIV3Schema"))
		at(schema, "properties").(object)["metadata"] = object{"type": "object"}
		write("monitoring.coreos.com", "v1", kind, schema)
		write("azmonitoring.coreos.com", "v1", kind, schema) // the same except for the group
	}
	return dir + "/{{.ResourceKind}}{{.KindSuffix}}.json"
}

// inline replaces references by their definitions, and forbids all properties that are
// not named.
func inline(definitions map[string]object, schema any) any {
	switch schema := schema.(type) {
	case []any:
		list := make([]any, len(schema))
		for i, item := range schema {
			list[i] = inline(definitions, item)
		}
		return list
	case object:
		if reference, ok := schema["$ref"].(string); ok {
			name := strings.TrimPrefix(reference, "#/definitions/")
			if strings.HasSuffix(name, ".JSONSchemaProps") {
				return object{} // it contains itself
			}
			return inline(definitions, definitions[name])
		}
		if schema["format"] == "int-or-string" || schema["x-kubernetes-int-or-string"] == true {
			return object{"type": []string{"integer", "string"}}
		}
		made := make(object)
		for key, value := range schema {
			if key != "description" && key != "default" {
				made[key] = inline(definitions, value)
			}
		}
		if _, isObject := schema["properties"].(object); isObject && schema["additionalProperties"] == nil && schema["x-kubernetes-preserve-unknown-fields"] == nil {
			made["additionalProperties"] = false
		}
		return made
	default:
		return schema
	}
}

// moduleDir returns the folder of a module. It downloads the module if necessary.
func moduleDir(t *testing.T, module string) string {
	t.Helper()
	cmd := programtest.Tool(t, "go", "mod", "download", "-json", module)
	cmd.Env = append(os.Environ(), "GOFLAGS=")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v: %s", module, err, out)
	}
	var answer struct{ Dir string }
	if err := json.Unmarshal(out, &answer); err != nil {
		t.Fatal(err)
	}
	return answer.Dir
}
