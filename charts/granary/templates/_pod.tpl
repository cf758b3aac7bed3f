{{/* What all pods have in common, so that they pass the restricted Pod Security level: (dict "root" $ "user" 65532). */}}
{{- define "granary.pod" -}}
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .user }}
  runAsGroup: {{ .user }}
  fsGroup: {{ .user }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* The same of all containers. */}}
{{- define "granary.container" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end -}}

{{/* Granary's image in a container. */}}
{{- define "granary.container.image" -}}
image: {{ include "granary.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{ include "granary.container" . }}
{{- end -}}

{{/* Where pods run: (dict "root" $ "component" "job" "values" SERVICE). */}}
{{- define "granary.scheduling" -}}
topologySpreadConstraints:
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - topologyKey: {{ . }}
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "granary.selector" $ | nindent 8 }}
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- with .values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{/* The settings and the signing key, for containers of Granary. */}}
{{- define "granary.mounts" -}}
- {name: settings, mountPath: /etc/granary/granary.toml, subPath: granary.toml, readOnly: true}
- {name: signing-key, mountPath: /etc/granary/keys, readOnly: true}
{{- end -}}
{{- define "granary.volumes" -}}
- name: settings
  configMap:
    name: {{ include "granary.fullname" . }}
- name: signing-key
  secret:
    secretName: {{ include "granary.signingKey.secret" . }}
    items: [{key: {{ .Values.signingKey.key }}, path: signing.pem}]
    defaultMode: 0440
{{- end -}}

{{/* The database's URL, as a variable. */}}
{{- define "granary.database.env" -}}
- name: GRANARY_DATABASE_URL
  valueFrom:
    secretKeyRef: {name: {{ include "granary.database.secret" . }}, key: {{ .Values.database.key }}}
{{- end -}}

{{/* The credentials of the object store, as variables. */}}
{{- define "granary.objectStore.env" -}}
{{- $secret := include "granary.objectStore.secret" . -}}
- name: AWS_ACCESS_KEY_ID
  valueFrom:
    secretKeyRef: {name: {{ $secret }}, key: {{ .Values.objectStore.accessKeyKey }}}
- name: AWS_SECRET_ACCESS_KEY
  valueFrom:
    secretKeyRef: {name: {{ $secret }}, key: {{ .Values.objectStore.secretKeyKey }}}
{{- end -}}
