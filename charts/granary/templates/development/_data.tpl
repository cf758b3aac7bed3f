{{/* Data of a bundled server: in the pod, or outliving it. */}}
{{- define "granary.development.data" -}}
{{- if not .persistence.enabled -}}
- name: data
  emptyDir: {}
{{- end -}}
{{- end -}}
{{- define "granary.development.claim" -}}
{{- with .persistence -}}
{{- if .enabled -}}
volumeClaimTemplates:
  - apiVersion: v1
    kind: PersistentVolumeClaim
    metadata:
      name: data
    spec:
      accessModes: [ReadWriteOnce]
      {{- with .storageClass }}
      storageClassName: {{ . }}
      {{- end }}
      resources:
        requests: {storage: {{ .size }}}
{{- end -}}
{{- end -}}
{{- end -}}
