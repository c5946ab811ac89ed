{{- define "errata.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains "errata" .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-errata" .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels that select the pods of one service. Takes (dict "root" $ "component" name). */}}
{{- define "errata.selector" -}}
app.kubernetes.io/name: errata
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "errata.labels" -}}
{{ include "errata.selector" . }}
app.kubernetes.io/part-of: errata
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "errata.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}{{ .repository }}@{{ .digest }}{{- else -}}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{- end -}}
{{- end -}}
{{- end -}}

{{- define "errata.podMetadata" -}}
labels:
  {{- include "errata.labels" . | nindent 2 }}
  {{- with .root.Values.podLabels }}{{ toYaml . | nindent 2 }}{{- end }}
{{- with .root.Values.podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* What every pod has. Takes (dict "root" $ "component" name "settings" values of the service). */}}
{{- define "errata.podSpec" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 1000
  runAsGroup: 1000
  fsGroup: 1000
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- with .settings }}
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
{{- end }}
{{- end -}}

{{/* What every container has but its command, environment, ports, probes and resources. */}}
{{- define "errata.container" -}}
image: {{ include "errata.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end -}}

{{- define "errata.databaseEnv" -}}
- name: DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ .Values.database.existingSecret | quote }}
      key: {{ .Values.database.key | quote }}
{{- end -}}

{{/* What every service reads. */}}
{{- define "errata.commonEnv" -}}
{{ include "errata.databaseEnv" . }}
- name: LOG_LEVEL
  value: {{ .Values.logLevel | quote }}
{{- with .Values.tracing.endpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ . | quote }}
{{- end }}
{{- with .Values.snapshots.s3 }}
{{- if .bucket }}
- name: SNAPSHOT_S3_BUCKET
  value: {{ .bucket | quote }}
- name: SNAPSHOT_S3_PREFIX
  value: {{ .prefix | quote }}
- name: SNAPSHOT_S3_ENDPOINT
  value: {{ .endpoint | quote }}
- name: SNAPSHOT_S3_REGION
  value: {{ .region | quote }}
- name: SNAPSHOT_S3_ACCESS_KEY_ID
  valueFrom:
    secretKeyRef: { name: {{ required "snapshots.s3.existingSecret" .existingSecret | quote }}, key: accessKeyId }
- name: SNAPSHOT_S3_SECRET_ACCESS_KEY
  valueFrom:
    secretKeyRef: { name: {{ .existingSecret | quote }}, key: secretAccessKey }
{{- end }}
{{- end }}
{{- end -}}

{{/* What takes part in exports has: environment and volume. Nothing where there are none. */}}
{{- define "errata.exportsEnv" -}}
{{- if .Values.exports.volume -}}
- name: EXPORT_DIR
  value: /exports
{{- end -}}
{{- end -}}

{{- define "errata.exportsVolume" -}}
{{- with .Values.exports.volume -}}
- name: exports
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{/* Where gateway and orchestrator find the others: the pods of the headless services, by DNS, as they come and go. */}}
{{- define "errata.peersEnv" -}}
{{- $name := include "errata.fullname" . -}}
{{- $domain := printf "%s.svc.%s" .Release.Namespace .Values.clusterDomain -}}
- name: TEMPORAL_ADDRESS
  value: {{ .Values.temporal.address | quote }}
- name: TEMPORAL_NAMESPACE
  value: {{ .Values.temporal.namespace | quote }}
- name: MODEL_RUNTIME
  value: {{ printf "dnssrv+_grpc._tcp.%s-model-runtime.%s" $name $domain | quote }}
- name: SHARD_WORKERS
  value: {{ printf "dnssrv+_grpc._tcp.%s-shard-worker.%s" $name $domain | quote }}
{{- end -}}

{{/* Resources with graphics cards, which are limits. */}}
{{- define "errata.resources" -}}
{{- $resources := deepCopy .resources -}}
{{- if gt (int .gpus) 0 -}}
{{- $limits := merge (dict .gpuResource (toString .gpus)) ($resources.limits | default dict) -}}
{{- $_ := set $resources "limits" $limits -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}
