{{/* One of the four services, all of it: (dict "root" $ "component" "metadata" "values" SERVICE). */}}
{{- define "granary.service" -}}
{{- $root := .root -}}
{{- $name := printf "%s-%s" (include "granary.fullname" .root) .component -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ $name }}
  labels: {{- include "granary.labels" . | nindent 4 }}
automountServiceAccountToken: false
---
apiVersion: v1
kind: Service
metadata:
  name: {{ $name }}
  labels: {{- include "granary.labels" . | nindent 4 }}
spec:
  # The addresses of the pods themselves: who calls spreads its calls over them.
  clusterIP: None
  publishNotReadyAddresses: false
  selector: {{- include "granary.selector" . | nindent 4 }}
  ports:
    - {name: grpc, port: 7070, targetPort: grpc, appProtocol: kubernetes.io/h2c}
    - {name: internal, port: 7072, targetPort: internal, appProtocol: kubernetes.io/h2c}
    {{- if $root.Values.metrics.enabled }}
    - {name: metrics, port: {{ $root.Values.metrics.port }}, targetPort: metrics}
    {{- end }}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $name }}
  labels: {{- include "granary.labels" . | nindent 4 }}
spec:
  {{- if not .values.autoscaling.enabled }}
  replicas: {{ .values.replicas }}
  {{- end }}
  revisionHistoryLimit: 3
  # Never fewer than there should be: a new pod is ready before an old one ends.
  strategy:
    rollingUpdate: {maxUnavailable: 0, maxSurge: 1}
  selector:
    matchLabels: {{- include "granary.selector" . | nindent 6 }}
  template:
    metadata:
      labels: {{- include "granary.labels" . | nindent 8 }}
      annotations:
        checksum/settings: {{ include "granary.settings" $root | sha256sum }}
        {{- with .values.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      {{- include "granary.pod" (dict "root" $root "user" 65532) | nindent 6 }}
      {{- include "granary.scheduling" . | nindent 6 }}
      serviceAccountName: {{ $name }}
      # Only role job speaks with the cluster.
      automountServiceAccountToken: {{ eq .component "job" }}
      # Time to be out of sight (drain_delay), 25 s for what runs, and 15 s to store what calls came to.
      terminationGracePeriodSeconds: 60
      containers:
        - name: granary
          {{- include "granary.container.image" $root | nindent 10 }}
          args: [serve]
          env: {{- include "granary.service.env" . | nindent 12 }}
          ports:
            - {name: grpc, containerPort: 7070}
            - {name: internal, containerPort: 7072}
            {{- if $root.Values.metrics.enabled }}
            - {name: metrics, containerPort: {{ $root.Values.metrics.port }}}
            {{- end }}
          # A start may wait for the database, or bring its schema up to date.
          startupProbe:
            grpc: {port: 7070}
            periodSeconds: 1
            failureThreshold: 300
          readinessProbe:
            grpc: {port: 7070}
            periodSeconds: 5
            timeoutSeconds: 3
            failureThreshold: 2
          # Whether it listens, and no more: a database that is away is no reason to start anew.
          livenessProbe:
            tcpSocket: {port: grpc}
            periodSeconds: 10
            timeoutSeconds: 3
            failureThreshold: 6
          resources: {{- toYaml .values.resources | nindent 12 }}
          volumeMounts:
            {{- include "granary.mounts" $root | nindent 12 }}
            - {name: tmp, mountPath: /tmp}
            {{- with $root.Values.extraVolumeMounts }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
      volumes:
        {{- include "granary.volumes" $root | nindent 8 }}
        - name: tmp
          emptyDir: {}
        {{- with $root.Values.extraVolumes }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
{{ include "granary.scaling" . }}
{{- end -}}

{{/* What a service finds in its environment: who it is, and secrets; the rest is in the settings. */}}
{{- define "granary.service.env" -}}
- {name: GRANARY_CONFIG, value: /etc/granary/granary.toml}
- {name: GRANARY_ROLES, value: {{ .component }}}
{{- if .root.Values.metrics.enabled }}
- {name: GRANARY_METRICS_LISTEN, value: "0.0.0.0:{{ .root.Values.metrics.port }}"}
{{- end }}
{{- range $name, $value := include "granary.telemetry" .root | fromJson }}
- {name: {{ $name }}, value: {{ quote $value }}}
{{- end }}
{{ include "granary.database.env" .root }}
{{ include "granary.objectStore.env" .root }}
{{- with concat .root.Values.extraEnv .values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}
