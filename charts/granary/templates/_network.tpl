{{/* Parts of NetworkPolicies. */}}

{{/* Pods of the release by their components: (dict "root" $ "components" (list "envoy")). */}}
{{- define "granary.network.pods" -}}
podSelector:
  matchLabels:
    app.kubernetes.io/name: granary
    app.kubernetes.io/instance: {{ .root.Release.Name }}
  matchExpressions:
    - {key: app.kubernetes.io/component, operator: In, values: [{{ join ", " .components }}]}
{{- end -}}

{{/* A list of ports, TCP. */}}
{{- define "granary.network.ports" -}}
ports:
  {{- range . }}
  - {protocol: TCP, port: {{ . }}}
  {{- end }}
{{- end -}}

{{/* Names: wherever the cluster's DNS is, node-local caches too. */}}
{{- define "granary.network.dns" -}}
- ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
{{- end -}}

{{/* The collector of traces, wherever it is, by its port. */}}
{{- define "granary.network.telemetry" -}}
{{- with .Values.telemetry.otlpEndpoint -}}
- {{ include "granary.network.ports" (list (regexFind "[0-9]+$" .)) | nindent 2 | trim }}
{{- end -}}
{{- end -}}

{{- define "granary.network.database" -}}
{{- if .Values.postgresql.enabled -}}
- to:
    - {{ include "granary.network.pods" (dict "root" . "components" (list "postgresql")) | nindent 6 | trim }}
  {{- include "granary.network.ports" (list 5432) | nindent 2 }}
{{- else -}}
- {{ include "granary.network.ports" .Values.networkPolicy.databasePorts | nindent 2 | trim }}
{{- end -}}
{{- end -}}

{{/* From the jobs' namespace too: so with the namespace. */}}
{{- define "granary.network.objectStore" -}}
{{- if .Values.minio.enabled -}}
- to:
    - namespaceSelector:
        matchLabels: {kubernetes.io/metadata.name: {{ .Release.Namespace }}}
      {{- include "granary.network.pods" (dict "root" . "components" (list "minio")) | nindent 6 }}
  {{- include "granary.network.ports" (list 9000) | nindent 2 }}
{{- else -}}
- {{ include "granary.network.ports" .Values.networkPolicy.objectStorePorts | nindent 2 | trim }}
{{- end -}}
{{- end -}}
