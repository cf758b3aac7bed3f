{{/* A value of TOML: text, number, boolean, list, or a table within one line. JSON's texts are TOML's too. */}}
{{- define "granary.toml.value" -}}
{{- if kindIs "map" . -}}
{ {{- range $i, $key := keys . | sortAlpha }}{{ if $i }},{{ end }} {{ toRawJson $key }} = {{ include "granary.toml.value" (get $ $key) }}{{ end }} }
{{- else if kindIs "slice" . -}}
[{{ range $i, $item := . }}{{ if $i }}, {{ end }}{{ include "granary.toml.value" $item }}{{ end }}]
{{- else -}}
{{ toRawJson . }}
{{- end -}}
{{- end -}}

{{/* The lines of a table of TOML, sorted, without what is not set. */}}
{{- define "granary.toml.lines" -}}
{{- range $key := keys . | sortAlpha -}}
{{- $value := get $ $key -}}
{{- if not (kindIs "invalid" $value) }}
{{ $key }} = {{ include "granary.toml.value" $value }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Where the object store is. */}}
{{- define "granary.objectStore.url" -}}
{{- if .Values.minio.enabled -}}
{{- $endpoint := printf "http://%s-minio.%s.svc:9000" (include "granary.fullname" .) .Release.Namespace -}}
s3://{{ .Values.minio.bucketPrefix }}?endpoint={{ $endpoint }}&public_endpoint={{ default $endpoint .Values.minio.publicEndpoint }}
{{- else -}}
{{- .Values.objectStore.url -}}
{{- end -}}
{{- end -}}

{{/* The variables by which traces are exported, as a JSON object; it is empty if they are not. */}}
{{- define "granary.telemetry" -}}
{{- $variables := dict -}}
{{- with .Values.telemetry.otlpEndpoint -}}
{{- $variables = dict
  "OTEL_EXPORTER_OTLP_ENDPOINT" .
  "OTEL_TRACES_SAMPLER" "parentbased_traceidratio"
  "OTEL_TRACES_SAMPLER_ARG" (toString $.Values.telemetry.samplerRatio)
  "OTEL_RESOURCE_ATTRIBUTES" (printf "k8s.namespace.name=%s" $.Release.Namespace) -}}
{{- end -}}
{{ toJson $variables }}
{{- end -}}

{{/* granary.toml, the same for all services and for the ingress. */}}
{{- define "granary.settings" -}}
{{- $name := include "granary.fullname" . -}}
{{- $services := printf "http://%s-%%s.%s.svc:7070" $name .Release.Namespace -}}
{{- $kubernetes := dict
  "metadata_endpoint" (printf $services "metadata")
  "storage_endpoint" (printf $services "storage")
  "job_endpoint" (printf $services "job")
  "namespace" (include "granary.jobs.namespace" .)
  "image" (include "granary.image" .)
  "image_pull_policy" .Values.image.pullPolicy
  "service_account" .Values.jobs.serviceAccount
  "ttl" .Values.jobs.ttl -}}
{{- with include "granary.telemetry" . | fromJson }}{{ $kubernetes = set $kubernetes "environment" . }}{{ end -}}
{{- $settings := dict
  "listen" "0.0.0.0:7070"
  "internal_listen" "0.0.0.0:7072"
  "metadata_endpoint" (printf "http://%s-metadata:7072" $name)
  "storage_endpoint" (printf "http://%s-storage:7072" $name)
  "object_store" (include "granary.objectStore.url" .)
  "signing_key_file" "/etc/granary/keys/signing.pem"
  "job_slots" 0
  "trusted_hops" (.Values.ingress.trusted_hops | default 0 | int | add1) -}}
{{- include "granary.toml.lines" (merge $settings .Values.settings) | trim }}
{{ range .Values.oidc }}
[[oidc]]
{{- include "granary.toml.lines" . }}
{{ end }}
{{- with .Values.ingress }}
[ingress]
{{- include "granary.toml.lines" . }}
{{ end }}
[kubernetes]
{{- include "granary.toml.lines" (merge $kubernetes .Values.jobs.settings) }}
{{- range $profile, $nodes := .Values.jobs.profiles }}

[kubernetes.profiles.{{ $profile }}]
{{- include "granary.toml.lines" $nodes }}
{{- end }}
{{ end -}}
