{{/* Name of all objects: the release's name. Nothing is appended, so that the name in a runbook is the name in the cluster. */}}
{{- define "vllm.fullname" -}}
{{- .Values.fullnameOverride | default .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "vllm.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Name under which the model is asked for. */}}
{{- define "vllm.modelName" -}}
{{- .Values.model.name | default (base .Values.model.path) -}}
{{- end -}}

{{/* The model's name as a label value. */}}
{{- define "vllm.modelLabel" -}}
{{- include "vllm.modelName" . | regexFind "[A-Za-z0-9].*" | replace "/" "-" | replace ":" "-" | trunc 63 | trimAll "-_." -}}
{{- end -}}

{{- define "vllm.selectorLabels" -}}
app.kubernetes.io/name: {{ include "vllm.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "vllm.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "vllm.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/environment: {{ .Values.environment }}
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "vllm.podLabels" -}}
{{ include "vllm.selectorLabels" . }}
app.kubernetes.io/environment: {{ .Values.environment }}
environment: {{ .Values.environment }}
model: {{ include "vllm.modelLabel" . | quote }}
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "vllm.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "vllm.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "vllm.args" -}}
{{- if .Values.vllm.args -}}
{{ toYaml .Values.vllm.args }}
{{- else -}}
- {{ printf "--model=%s" (required "model.path is required: a Hugging Face name or a folder in the container" .Values.model.path) | quote }}
- {{ printf "--served-model-name=%s" (include "vllm.modelName" .) | quote }}
- {{ printf "--host=%s" .Values.vllm.host | quote }}
- {{ printf "--port=%v" .Values.vllm.port | quote }}
{{- if gt (int .Values.vllm.shutdownTimeoutSeconds) 0 }}
- {{ printf "--shutdown-timeout=%v" .Values.vllm.shutdownTimeoutSeconds | quote }}
{{- end }}
{{- with .Values.vllm.extraArgs }}
{{ toYaml . }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* Values that contradict each other end the rendering, before they end a rollout. */}}
{{- define "vllm.validate" -}}
{{- $preStop := int (dig "preStop" "sleep" "seconds" 0 .Values.lifecycle) -}}
{{- $drain := add $preStop (int .Values.vllm.shutdownTimeoutSeconds) -}}
{{- if le (int .Values.terminationGracePeriodSeconds) (int $drain) -}}
{{- fail (printf "terminationGracePeriodSeconds (%v) must be greater than the preStop sleep plus vllm.shutdownTimeoutSeconds (%v): requests would be killed" .Values.terminationGracePeriodSeconds $drain) -}}
{{- end -}}
{{- with .Values.startupProbe -}}
{{- $budget := add (int .initialDelaySeconds) (mul (int (.periodSeconds | default 10)) (int (.failureThreshold | default 3))) -}}
{{- if le (int $.Values.progressDeadlineSeconds) (int $budget) -}}
{{- fail (printf "progressDeadlineSeconds (%v) must be greater than the startup probe's budget (%v): a slow load would count as a failed rollout" $.Values.progressDeadlineSeconds $budget) -}}
{{- end -}}
{{- end -}}
{{- if .Values.preInstallChecks.enabled -}}
{{- fail "preInstallChecks.enabled: this chart has no pre-install check; a missing GPU shows as a Pending pod with its reason (README.md)" -}}
{{- end -}}
{{- end -}}
