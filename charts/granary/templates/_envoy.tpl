{{/* Writes Envoy's configuration: from the settings, and for the public half of the signing key. Envoy itself never sees the other half. */}}
{{- define "granary.envoy.configuration" -}}
{{- $name := include "granary.fullname" . -}}
{{- $upstreams := list -}}
{{- range $role := splitList " " (include "granary.roles" .) -}}
{{- $upstreams = append $upstreams (printf "%s=http://%s-%s:7070" $role $name $role) -}}
{{- end -}}
- name: configuration
  {{- include "granary.container.image" . | nindent 2 }}
  args:
    - ingress
    - config
    - --to=/etc/envoy/granary
    - --listen=0.0.0.0:7443
    - --certificate=/etc/envoy/tls/tls.crt
    - --key=/etc/envoy/tls/tls.key
  env:
    - {name: GRANARY_CONFIG, value: /etc/granary/granary.toml}
    - {name: GRANARY_INGRESS_UPSTREAMS, value: {{ join "," $upstreams | quote }}}
    {{- with .Values.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  resources: {{- toYaml .Values.migration.resources | nindent 4 }}
  volumeMounts:
    {{- include "granary.mounts" . | nindent 4 }}
    - {name: configuration, mountPath: /etc/envoy/granary}
    - {name: tls, mountPath: /etc/envoy/tls, readOnly: true}
    - {name: tmp, mountPath: /tmp}
    {{- with .Values.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{/* Envoy. */}}
{{- define "granary.envoy.server" -}}
{{- with .Values.envoy -}}
- name: envoy
  image: {{ .image.repository }}:{{ .image.tag }}
  imagePullPolicy: {{ .image.pullPolicy }}
  {{- include "granary.container" $ | nindent 2 }}
  command: [envoy]
  args:
    # Envoy takes no `--name=value`.
    - --config-path
    - /etc/envoy/granary/envoy.yaml
    - --concurrency
    - {{ .concurrency | quote }}
    - --disable-hot-restart
    # While it drains, each answer tells its client to take another connection.
    - --drain-strategy
    - immediate
    - --drain-time-s
    - {{ .drainSeconds | quote }}
  ports:
    - {name: https, containerPort: 7443}
  # The first call finds somebody behind it.
  startupProbe:
    httpGet: {path: /readyz, port: https, scheme: HTTPS}
    periodSeconds: 1
    failureThreshold: 300
  # Not whether services answer: while none does, Envoy says so to callers, who wait and try again, and a closed port tells them nothing.
  readinessProbe:
    httpGet: {path: /healthz, port: https, scheme: HTTPS}
    periodSeconds: 5
    timeoutSeconds: 3
    failureThreshold: 2
  # Whether it listens: /healthz says no while it drains.
  livenessProbe:
    tcpSocket: {port: https}
    periodSeconds: 10
    timeoutSeconds: 3
    failureThreshold: 6
  lifecycle:
    # Envoy ends at once when it is told to: before that, it drains.
    preStop:
      sleep: {seconds: {{ .drainSeconds }}}
  resources: {{- toYaml .resources | nindent 4 }}
  volumeMounts:
    - {name: configuration, mountPath: /etc/envoy/granary, readOnly: true}
    - {name: tls, mountPath: /etc/envoy/tls, readOnly: true}
    - {name: tmp, mountPath: /tmp}
    {{- with $.Values.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}
{{- end -}}

{{/* Waits for the pod's end, and then has Envoy drain: its administration, which only this pod reaches, takes no hook of the cluster. */}}
{{- define "granary.envoy.drain" -}}
{{- if .Values.envoy.drain }}
- name: drain
  {{- include "granary.container.image" . | nindent 2 }}
  args: [ingress, drain, --admin=127.0.0.1:9901]
  resources:
    requests: {cpu: 5m, memory: 16Mi}
    limits: {memory: 64Mi}
{{- end }}
{{- end -}}
