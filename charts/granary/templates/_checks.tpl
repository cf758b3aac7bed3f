{{/* What the schema cannot say: values that do not go together. Says all of it at once. */}}
{{- define "granary.checks" -}}
{{- $wrong := list -}}
{{- with .Values -}}
{{- if and .postgresql.enabled .database.existingSecret -}}
{{- $wrong = append $wrong "database.existingSecret: leave it empty, or set postgresql.enabled to false" -}}
{{- else if not (or .postgresql.enabled .database.existingSecret) -}}
{{- $wrong = append $wrong "database.existingSecret: name the Secret with the database's URL, or set postgresql.enabled for development" -}}
{{- end -}}
{{- if and .minio.enabled (or .objectStore.url .objectStore.existingSecret) -}}
{{- $wrong = append $wrong "objectStore: leave it empty, or set minio.enabled to false" -}}
{{- else if not (or .minio.enabled (and .objectStore.url .objectStore.existingSecret)) -}}
{{- $wrong = append $wrong "objectStore: give url and existingSecret, or set minio.enabled for development" -}}
{{- end -}}
{{- if eq (include "granary.jobs.namespace" $) $.Release.Namespace -}}
{{- $wrong = append $wrong "jobs.namespace: jobs need a namespace of their own, where nothing else is within reach" -}}
{{- end -}}
{{- range $part := list "serviceMonitor" "alerts" "dashboards" -}}
{{- if and (index $.Values.metrics $part).enabled (not $.Values.metrics.enabled) -}}
{{- $wrong = append $wrong (printf "metrics.%s.enabled: set metrics.enabled too" $part) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if $wrong }}{{ fail (printf "\n  %s" (join "\n  " $wrong)) }}{{ end -}}
{{- end -}}
