{{- define "taskfleet.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* 40 characters: what is hung on at the end still fits into a name or a label of 63. */}}
{{- define "taskfleet.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- $name := include "taskfleet.name" . }}
{{- (contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name)) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* What a selector may hold: it can never be changed. */}}
{{- define "taskfleet.selector" -}}
app.kubernetes.io/name: {{ include "taskfleet.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "taskfleet.labels" -}}
{{ include "taskfleet.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: taskfleet
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_") | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Takes repository, tag and digest: the digest wins. */}}
{{- define "taskfleet.imageName" -}}
{{- .repository }}{{ .digest | empty | ternary (printf ":%s" .tag) (printf "@%s" .digest) }}
{{- end }}

{{- define "taskfleet.image" -}}
{{- $image := .Values.image }}
{{- include "taskfleet.imageName" (merge (dict "tag" (default .Chart.AppVersion $image.tag)) $image) }}
{{- end }}

{{- define "taskfleet.serviceAccountName" -}}
{{- .Values.serviceAccount.create | ternary (default (printf "%s-controller" (include "taskfleet.fullname" .)) .Values.serviceAccount.name) .Values.serviceAccount.name }}
{{- end }}

{{/* The Secret with Valkey's password, and the key in it. */}}
{{- define "taskfleet.passwordRef" -}}
{{- if .Values.valkey.auth.existingSecret -}}
name: {{ .Values.valkey.auth.existingSecret }}
key: {{ .Values.valkey.auth.existingSecretKey }}
{{- else -}}
name: {{ include "taskfleet.fullname" . }}-valkey
key: password
{{- end }}
{{- end }}

{{/* The variables that lead to the store. A password only ever stands in a Secret: the URL takes it from a variable. */}}
{{- define "taskfleet.storeEnv" -}}
{{- $valkey := printf "%s-valkey.%s.svc:6379" (include "taskfleet.fullname" .) .Release.Namespace }}
{{- if not .Values.valkey.enabled -}}
- name: TASKFLEET_STORE_URL
  valueFrom:
    secretKeyRef:
      name: {{ .Values.store.existingSecret }}
      key: {{ .Values.store.existingSecretKey }}
- name: TASKFLEET_STORE_CA
  valueFrom:
    secretKeyRef:
      name: {{ .Values.store.existingSecret }}
      key: {{ .Values.store.existingSecretCAKey }}
      optional: true
{{- else if .Values.valkey.auth.enabled -}}
- name: VALKEY_PASSWORD
  valueFrom:
    secretKeyRef:
      {{- include "taskfleet.passwordRef" . | nindent 6 }}
# The whole name: workers use it too, from other namespaces.
- name: TASKFLEET_STORE_URL
  value: valkey://:$(VALKEY_PASSWORD)@{{ $valkey }}
{{- else -}}
# The whole name: workers use it too, from other namespaces.
- name: TASKFLEET_STORE_URL
  value: valkey://{{ $valkey }}
{{- end }}
{{- end }}

{{/* What the gateways speak, which is also the name of their port. */}}
{{- define "taskfleet.gatewayScheme" -}}
{{- .Values.gateway.tls.existingSecret | empty | ternary "http" "https" }}
{{- end }}

{{/* How many gateways there are at least. */}}
{{- define "taskfleet.gatewayReplicas" -}}
{{- .Values.gateway.autoscaling.enabled | ternary .Values.gateway.autoscaling.minReplicas .Values.gateway.replicas }}
{{- end }}

{{/* Where a pod may run, as all workloads have it. Takes the part of the values. */}}
{{- define "taskfleet.placement" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{- define "taskfleet.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* What of the gateway is reached from outside, as paths with a space between. */}}
{{- define "taskfleet.gatewayPaths" -}}
/v1{{ if and .Values.gateway.console.enabled .Values.gateway.console.exposed }} /console{{ end }}
{{- end }}
