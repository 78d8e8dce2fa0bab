{{- define "taskfleet.testQueue" -}}
{{ include "taskfleet.fullname" . }}-test
{{- end }}

{{/* A namespace that the controller serves. */}}
{{- define "taskfleet.testNamespace" -}}
{{ first (append .Values.watchNamespaces .Release.Namespace) }}
{{- end }}
