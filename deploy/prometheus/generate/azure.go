package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Azure Managed Prometheus reads no rule files. Its rules are resources, in Bicep or
// in an ARM template. Both have the same content.

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

// An azureRule is a rule with Azure's field names. Actions depends on the language.
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
	Actions     any               `json:"actions,omitempty"`
}

type azureResolve struct {
	Auto  bool   `json:"autoResolved"`
	After string `json:"timeToResolve"`
}

// A verbatim is code in the output language, not a string.
type verbatim string

// queries matches the parts of annotations that query Prometheus. Azure does not
// document that it supports them.
var queries = regexp.MustCompile(`{{ with printf [^}]*(}[^}]+)*\| query }}.*?{{ end }}`)

func azure(r rule, actions any) (azureRule, error) {
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
	a.Severity, a.Resolve, a.Actions = &severity, &azureResolve{true, resolveAfter}, actions
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

func azureRules(g group, actions any) ([]azureRule, error) {
	var all []azureRule
	for _, r := range g.Rules {
		a, err := azure(r, actions)
		if err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	return all, nil
}

const azureUse = `az deployment group create --resource-group GROUP --template-file %s \
  --parameters workspaceId=… clusterId=… actionGroupId=…`

func bicep(rules string, s settings) (string, error) {
	groups, err := parse(s.apply(rules))
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(strings.ReplaceAll(generated, "# ", "// "))
	for line := range strings.Lines(fmt.Sprintf(azureUse, "rules.bicep")) {
		b.WriteString("//   " + line)
	}
	b.WriteString(`

@description('Location of the rule groups.')
param location string = resourceGroup().location
@description('Resource ID of the Azure Monitor workspace with the metrics.')
param workspaceId string
@description('Resource ID of the AKS cluster that the rules watch.')
param clusterId string
@description('Resource ID of the action group to notify. If empty, no one is notified.')
param actionGroupId string = ''
@description('Value of the label cluster in the metrics. The default is the name of the AKS cluster.')
param clusterName string = last(split(clusterId, '/'))

var actions = empty(actionGroupId) ? [] : [
  {
    actionGroupId: actionGroupId
  }
]
`)
	for _, g := range groups {
		all, err := azureRules(g, verbatim("actions"))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, `
resource %s '%s@%s' = {
  name: '%s-${clusterName}'
  location: location
  properties: {
    description: 'How far off the clocks of the nodes can be'
    scopes: [
      workspaceId
      clusterId
    ]
    clusterName: clusterName
    enabled: true
    interval: 'PT1M'
    rules: [
`, identifier(g.Name), ruleGroups, apiVersion, g.Name)
		for _, r := range all {
			writeBicep(&b, r)
		}
		b.WriteString("    ]\n  }\n}\n")
	}
	return b.String(), nil
}

// identifier turns chrony-tracker into chronyTracker.
func identifier(name string) string {
	words := strings.Split(name, "-")
	for i, word := range words[1:] {
		words[i+1] = strings.ToUpper(word[:1]) + word[1:]
	}
	return strings.Join(words, "")
}

func writeBicep(b *strings.Builder, r azureRule) {
	const indent = "        "
	line := func(key, value string) { fmt.Fprintf(b, "%s%s: %s\n", indent, key, value) }
	b.WriteString("      {\n")
	if r.Record != "" {
		line("record", bicepString(r.Record))
	} else {
		line("alert", bicepString(r.Alert))
	}
	line("enabled", fmt.Sprint(r.Enabled))
	line("expression", bicepString(r.Expression))
	if r.For != "" {
		line("for", bicepString(r.For))
	}
	if r.Severity != nil {
		line("severity", fmt.Sprint(*r.Severity))
		line("labels", bicepMap(r.Labels, indent))
		line("annotations", bicepMap(r.Annotations, indent))
		line("resolveConfiguration", fmt.Sprintf("{\n%s  autoResolved: %v\n%s  timeToResolve: '%s'\n%s}", indent, r.Resolve.Auto, indent, r.Resolve.After, indent))
		line("actions", fmt.Sprint(r.Actions))
	}
	b.WriteString("      }\n")
}

func bicepMap(m map[string]string, indent string) string {
	text := "{\n"
	for _, key := range sortedKeys(m) {
		text += indent + "  " + key + ": " + bicepString(m[key]) + "\n"
	}
	return text + indent + "}"
}

func bicepString(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`, `${`, `\${`, "\n", `\n`).Replace(s) + "'"
}

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
		all, err := azureRules(g, "[variables('actions')]")
		if err != nil {
			return "", err
		}
		for i := range all {
			escapeARM(&all[i])
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
		"metadata":       object{"comments": strings.TrimSpace(strings.TrimPrefix(generated, "# ")) + " " + fmt.Sprintf(strings.ReplaceAll(azureUse, "\\\n  ", ""), "rules.json")},
		"parameters": object{
			"location":      parameter("Location of the rule groups.", &here),
			"workspaceId":   parameter("Resource ID of the Azure Monitor workspace with the metrics.", nil),
			"clusterId":     parameter("Resource ID of the AKS cluster that the rules watch.", nil),
			"actionGroupId": parameter("Resource ID of the action group to notify. If empty, no one is notified.", &none),
			"clusterName":   parameter("Value of the label cluster in the metrics. The default is the name of the AKS cluster.", &itsName),
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

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
