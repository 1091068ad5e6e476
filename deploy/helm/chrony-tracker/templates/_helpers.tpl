{{- define "chrony-tracker.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "chrony-tracker.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- $name := include "chrony-tracker.name" . }}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- /* The service by which the pods find each other. */}}
{{- define "chrony-tracker.peers" -}}
{{ include "chrony-tracker.fullname" . | trunc 57 | trimSuffix "-" }}-peers
{{- end }}

{{- define "chrony-tracker.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{- define "chrony-tracker.selectorLabels" -}}
app.kubernetes.io/name: {{ include "chrony-tracker.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "chrony-tracker.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: {{ include "chrony-tracker.name" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{ include "chrony-tracker.selectorLabels" . }}
{{- with .Values.commonLabels }}
{{ tpl (toYaml .) $ }}
{{- end }}
{{- end }}

{{- define "chrony-tracker.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "chrony-tracker.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "chrony-tracker.image" -}}
{{- with .Values.image }}
{{- $repository := required "image.repository is not set. Push the image to a registry that your nodes can pull from (docs/guides/kubernetes.md), and say where it is: --set image.repository=REGISTRY/chrony-tracker" .repository }}
{{- $registry := default .registry $.Values.global.imageRegistry }}
{{- with $registry }}{{ . }}/{{ end }}{{ $repository }}
{{- if .digest }}@{{ .digest }}{{ else }}:{{ default (printf "v%s" $.Chart.AppVersion | replace "+" "-") .tag }}{{ end }}
{{- end }}
{{- end }}

{{- define "chrony-tracker.imagePullSecrets" -}}
{{- range concat .Values.global.imagePullSecrets .Values.imagePullSecrets }}
{{- if kindIs "string" . }}
- name: {{ . }}
{{- else }}
- {{ toYaml . | nindent 2 | trim }}
{{- end }}
{{- end }}
{{- end }}

{{- define "chrony-tracker.shm" -}}
{{ .Values.clockbound.path }}/{{ .Values.clockbound.file }}
{{- end }}

{{- define "chrony-tracker.userId" -}}
{{ ternary .Values.securityContext.runAsUser .Values.socket.userId .Values.hostNetwork }}
{{- end }}

{{- /* Scheme of the tracker's own server. */}}
{{- define "chrony-tracker.scheme" -}}
{{- ternary "https" "http" (and (not (empty .Values.web.existingSecret)) .Values.web.tls) -}}
{{- end }}

{{- define "chrony-tracker.probe" -}}
{{- if and .Values.web.existingSecret .Values.web.auth -}}
tcpSocket: # a password or a client certificate protects every path
  port: {{ .Values.service.portName }}
{{- else -}}
httpGet:
  path: /-/healthy
  port: {{ .Values.service.portName }}
  {{- if eq (include "chrony-tracker.scheme" .) "https" }}
  scheme: HTTPS
  {{- end }}
{{- end }}
{{- end }}

{{- /* The common part of both monitors, from the values .monitor. */}}
{{- define "chrony-tracker.limits" -}}
{{- $azure := hasPrefix "azmonitoring.coreos.com" .apiVersion }}
{{- with .sampleLimit }}
sampleLimit: {{ . }}
{{- end }}
{{- with .targetLimit }}
targetLimit: {{ . }}
{{- end }}
{{- with .labelLimit | default (ternary 63 0 $azure) }}
labelLimit: {{ . }}
{{- end }}
{{- with .labelNameLengthLimit | default (ternary 511 0 $azure) }}
labelNameLengthLimit: {{ . }}
{{- end }}
{{- with .labelValueLengthLimit | default (ternary 1023 0 $azure) }}
labelValueLengthLimit: {{ . }}
{{- end }}
{{- if .attachMetadata.node }}
attachMetadata:
  node: true
{{- end }}
{{- end }}

{{- define "chrony-tracker.endpoint" -}}
{{- with .interval }}
interval: {{ . }}
{{- end }}
{{- with .scrapeTimeout }}
scrapeTimeout: {{ . }}
{{- end }}
{{- with .scheme }}
scheme: {{ . }}
{{- end }}
{{- with .proxyUrl }}
proxyUrl: {{ . }}
{{- end }}
{{- with .tlsConfig }}
tlsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .basicAuth }}
basicAuth:
  {{- toYaml . | nindent 2 }}
{{- end }}
relabelings:
  - sourceLabels: [__meta_kubernetes_pod_node_name]
    targetLabel: node
  {{- with .relabelings }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
