{{/* What every object's name begins with. */}}
{{- define "granary.fullname" -}}
{{- default .Release.Name .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* The four services, in the order in which they are shown. */}}
{{- define "granary.roles" -}}
metadata storage pipeline job
{{- end -}}

{{/* What selects the pods of a component: (dict "root" $ "component" "job"). */}}
{{- define "granary.selector" -}}
app.kubernetes.io/name: granary
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Labels of the objects of a component. */}}
{{- define "granary.labels" -}}
{{ include "granary.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end -}}

{{/* Granary's image. */}}
{{- define "granary.image" -}}
{{- with .Values.image -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ default $.Chart.AppVersion .tag }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* The namespace of job pods. */}}
{{- define "granary.jobs.namespace" -}}
{{- default (printf "%s-jobs" .Release.Namespace) .Values.jobs.namespace -}}
{{- end -}}

{{/* Secrets: named by the values, or made by the chart. */}}
{{- define "granary.database.secret" -}}
{{- .Values.database.existingSecret | default (printf "%s-postgresql" (include "granary.fullname" .)) -}}
{{- end -}}
{{- define "granary.objectStore.secret" -}}
{{- .Values.objectStore.existingSecret | default (printf "%s-minio" (include "granary.fullname" .)) -}}
{{- end -}}
{{- define "granary.signingKey.secret" -}}
{{- .Values.signingKey.existingSecret | default (printf "%s-signing-key" (include "granary.fullname" .)) -}}
{{- end -}}
{{- define "granary.tls.secret" -}}
{{- .Values.envoy.tls.secretName | default (printf "%s-envoy-tls" (include "granary.fullname" .)) -}}
{{- end -}}
