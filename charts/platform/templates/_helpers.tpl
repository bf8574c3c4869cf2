{{/* Labels of an object; call with (dict "root" $ "name" "redis" "component" "cache"). */}}
{{- define "platform.labels" -}}
{{ include "platform.selector" . }}
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/part-of: platform
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "platform.selector" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{- define "platform.podLabels" -}}
{{ include "platform.selector" . }}
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/part-of: platform
{{- end }}

{{- define "platform.image" -}}
{{- with .root.Values.imageRegistry }}{{ trimSuffix "/" . }}/{{ end }}{{ .image.repository }}:{{ .image.tag }}
{{- end }}

{{/* Everything a pod of the platform has in common. */}}
{{- define "platform.podSpec" -}}
serviceAccountName: {{ .name }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile:
    type: RuntimeDefault
{{- end }}

{{- define "platform.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* A generated secret stays what it is for as long as the release lives. */}}
{{- define "platform.secretData" -}}
{{- $found := lookup "v1" "Secret" .root.Release.Namespace .name -}}
{{- if .given -}}
{{- .given | b64enc -}}
{{- else if and $found (hasKey ($found.data | default dict) .key) -}}
{{- index $found.data .key -}}
{{- else -}}
{{- randAlphaNum 40 | b64enc -}}
{{- end -}}
{{- end }}

{{- define "platform.routerSettings" -}}
HOST: 0.0.0.0
HTTP_PORT: "8080"
ENVIRONMENT: {{ .Values.environment | quote }}
MODEL_REGISTRY_URL: http://model-registry:8081
REDIS_URL: redis://redis:6379/0
API_ROUTER_CONNECT_TIMEOUT_SECONDS: {{ .Values.apiRouter.timeouts.connectSeconds | quote }}
API_ROUTER_FIRST_BYTE_TIMEOUT_SECONDS: {{ .Values.apiRouter.timeouts.firstByteSeconds | quote }}
API_ROUTER_IDLE_TIMEOUT_SECONDS: {{ .Values.apiRouter.timeouts.idleSeconds | quote }}
API_ROUTER_LAME_DUCK_SECONDS: {{ .Values.apiRouter.drain.lameDuckSeconds | quote }}
API_ROUTER_DRAIN_SECONDS: {{ .Values.apiRouter.drain.requestSeconds | quote }}
{{- end }}
