package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Azure Managed Prometheus does not read rule files: its rules are resources. This
// file writes them as an ARM template. `az` deploys it without other tools, and tests
// read it as JSON. There is no Bicep file: docs/reference/alerts.md says why.

const (
	ruleGroups   = "Microsoft.AlertsManagement/prometheusRuleGroups"
	apiVersion   = "2023-03-01"
	maxRules     = 20 // per group
	resolveAfter = "PT10M"
)

// severities are Azure's, from 0 (critical) to 4 (verbose).
var severities = map[string]int{"critical": 0, "warning": 2, "info": 3}

type rule struct {
	Record      string
	Alert       string
	Expr        string
	For         string
	Labels      map[string]string
	Annotations map[string]string
}

type group struct {
	Name  string
	Rules []rule
}

func parse(rules string) ([]group, error) {
	var file struct{ Groups []group }
	if err := yaml.Unmarshal([]byte(rules), &file); err != nil {
		return nil, err
	}
	for _, g := range file.Groups {
		if len(g.Rules) > maxRules {
			return nil, fmt.Errorf("group %s has %d rules, and Azure allows %d", g.Name, len(g.Rules), maxRules)
		}
	}
	return file.Groups, nil
}

// An azureRule is a rule with Azure's names.
type azureRule struct {
	Record      string            `json:"record,omitempty"`
	Alert       string            `json:"alert,omitempty"`
	Enabled     bool              `json:"enabled"`
	Expression  string            `json:"expression"`
	For         string            `json:"for,omitempty"`
	Severity    *int              `json:"severity,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Resolve     *azureResolve     `json:"resolveConfiguration,omitempty"`
	Actions     string            `json:"actions,omitempty"` // an expression: the parameter decides
}

type azureResolve struct {
	Auto  bool   `json:"autoResolved"`
	After string `json:"timeToResolve"`
}

// queries are the parts of texts that ask Prometheus once more. Azure does not say
// that it can.
var queries = regexp.MustCompile(`{{ with printf [^}]*(}[^}]+)*\| query }}.*?{{ end }}`)

func azure(r rule) (azureRule, error) {
	if strings.Contains(r.Expr, "#") {
		return azureRule{}, fmt.Errorf("%s%s: a comment in the expression would hide the rest of it, because the expression becomes one line", r.Alert, r.Record)
	}
	a := azureRule{Record: r.Record, Alert: r.Alert, Enabled: true, Expression: strings.Join(strings.Fields(r.Expr), " "), Labels: r.Labels, Annotations: r.Annotations}
	if r.Alert == "" {
		return a, nil
	}
	severity, known := severities[r.Labels["severity"]]
	if !known {
		return a, fmt.Errorf("%s: no severity %q", r.Alert, r.Labels["severity"])
	}
	for key, text := range a.Annotations {
		a.Annotations[key] = queries.ReplaceAllString(text, "")
	}
	a.Severity, a.Resolve, a.Actions = &severity, &azureResolve{true, resolveAfter}, "[variables('actions')]"
	if r.For != "" {
		d, err := parseDuration(r.For)
		if err != nil {
			return a, fmt.Errorf("%s: %w", r.Alert, err)
		}
		a.For = isoDuration(d)
	}
	return a, nil
}

func isoDuration(d time.Duration) string {
	if d%time.Minute == 0 {
		return fmt.Sprintf("PT%dM", d/time.Minute)
	}
	return fmt.Sprintf("PT%dS", d/time.Second)
}

const azureUse = "az deployment group create --resource-group GROUP --template-file rules.json --parameters workspaceId=… clusterId=… actionGroupId=…"

func arm(rules string, s settings) (string, error) {
	groups, err := parse(s.apply(rules))
	if err != nil {
		return "", err
	}
	parameter := func(description string, fallback *string) object {
		p := object{"type": "string", "metadata": object{"description": description}}
		if fallback != nil {
			p["defaultValue"] = *fallback
		}
		return p
	}
	here, none, itsName := "[resourceGroup().location]", "", "[last(split(parameters('clusterId'), '/'))]"
	var resources []object
	for _, g := range groups {
		var all []azureRule
		for _, r := range g.Rules {
			a, err := azure(r)
			if err != nil {
				return "", err
			}
			escapeARM(&a)
			all = append(all, a)
		}
		resources = append(resources, object{
			"type":       ruleGroups,
			"apiVersion": apiVersion,
			"name":       "[concat('" + g.Name + "-', parameters('clusterName'))]",
			"location":   "[parameters('location')]",
			"properties": object{
				"description": "How far off the clocks of the nodes can be",
				"scopes":      []string{"[parameters('workspaceId')]", "[parameters('clusterId')]"},
				"clusterName": "[parameters('clusterName')]",
				"enabled":     true,
				"interval":    "PT1M",
				"rules":       all,
			},
		})
	}
	return marshal(object{
		"$schema":        "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
		"contentVersion": "1.0.0.0",
		"metadata":       object{"comments": strings.TrimSpace(strings.TrimPrefix(generated, "# ")) + " " + azureUse},
		"parameters": object{
			"location":      parameter("Where the rule groups are kept.", &here),
			"workspaceId":   parameter("Resource id of the Azure Monitor workspace that has the metrics.", nil),
			"clusterId":     parameter("Resource id of the AKS cluster that the rules are for.", nil),
			"actionGroupId": parameter("Resource ID of the action group to notify. If empty, no one is notified.", &none),
			"clusterName":   parameter("Value of the metrics' label cluster. The default is the name of the AKS cluster.", &itsName),
		},
		"variables": object{
			"actions": "[if(empty(parameters('actionGroupId')), createArray(), createArray(createObject('actionGroupId', parameters('actionGroupId'))))]",
		},
		"resources": resources,
	})
}

type object = map[string]any

// escapeARM escapes texts that begin with a bracket, which ARM would read as code.
func escapeARM(r *azureRule) {
	escape := func(s string) string {
		if strings.HasPrefix(s, "[") {
			return "[" + s
		}
		return s
	}
	r.Expression = escape(r.Expression)
	for _, texts := range []map[string]string{r.Labels, r.Annotations} {
		for key, text := range texts {
			texts[key] = escape(text)
		}
	}
}

func marshal(v any) (string, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false) // "<" in expressions is for people to read
	encoder.SetIndent("", "  ")
	err := encoder.Encode(v)
	return b.String(), err
}
