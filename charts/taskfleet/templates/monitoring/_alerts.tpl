{{/* One alert. Takes name, expr, summary, description and the root; whether, how long and how bad stand in the values. */}}
{{- define "taskfleet.alert" -}}
{{- $rule := get .root.Values.prometheusRule.alerts .name }}
{{- if $rule.enabled }}
- alert: {{ .name }}
  expr: |-
    {{- .expr | nindent 4 }}
  for: {{ $rule.for }}
  labels:
    severity: {{ $rule.severity }}
  annotations:
    summary: {{ .summary | quote }}
    description: {{ .description | quote }}
    runbook_url: {{ printf "%s/%s.md" .root.Values.prometheusRule.runbookBaseUrl .name | quote }}
{{- end }}
{{- end }}

{{- define "taskfleet.alerts" -}}
{{- $alerts := .Values.prometheusRule.alerts }}
{{- $of := "{{ $labels.namespace }}/{{ $labels.queue }}" }}
{{- $pool := "{{ $labels.namespace }}/{{ $labels.pool }}" }}
{{- include "taskfleet.alert" (dict "root" . "name" "TaskfleetQueueStandsStill"
  "expr" (print
    "sum by (namespace, queue) (taskfleet_queue_depth) > 0\n"
    "and on (namespace, queue) taskfleet_queue_paused == 0\n"
    "and on (namespace, queue) taskfleet_queue_tasks{state=\"running\"} == 0\n"
    "and on (namespace, queue) sum by (namespace, queue) (increase(taskfleet_tasks_finished_total[10m])) == 0")
  "summary" (printf "Queue %s stands still" $of)
  "description" "{{ $value }} tasks wait, none runs and none has ended for 10 minutes; nobody paused the queue.") }}
{{- include "taskfleet.alert" (dict "root" . "name" "TaskfleetOldestTaskTooOld"
  "expr" (printf "taskfleet_queue_oldest_pending_seconds > %v" $alerts.TaskfleetOldestTaskTooOld.threshold)
  "summary" (printf "A task of queue %s waits too long" $of)
  "description" "The oldest task waits for {{ $value | humanizeDuration }}.") }}
{{- include "taskfleet.alert" (dict "root" . "name" "TaskfleetDeadLettersGrow"
  "expr" (printf "increase(taskfleet_tasks_finished_total{outcome=\"failed\"}[15m]) > %v" $alerts.TaskfleetDeadLettersGrow.threshold)
  "summary" (printf "Tasks of queue %s fail for good" $of)
  "description" "{{ $value | humanize }} tasks became dead letters in 15 minutes.") }}
{{- include "taskfleet.alert" (dict "root" . "name" "TaskfleetEndpointDown"
  "expr" "taskfleet_endpoint_healthy == 0"
  "summary" (printf "Endpoint {{ $labels.endpoint }} of pool %s is down" $pool)
  "description" "It does not answer its health check; its tasks wait or go to other endpoints.") }}
{{- include "taskfleet.alert" (dict "root" . "name" "TaskfleetLimiterStarved"
  "expr" (print
    "min by (namespace, queue, pool, endpoint, kind) (quantile_over_time(0.5, taskfleet_endpoint_limiter_available[15m])) < 1\n"
    (printf "and on (namespace, queue) taskfleet_queue_oldest_pending_seconds > %v" $alerts.TaskfleetLimiterStarved.threshold))
  "summary" (printf "The rate limit of endpoint {{ $labels.endpoint }} of pool %s holds tasks back" $pool)
  "description" "Most of the time no {{ $labels.kind }} are left of its limit, and tasks wait.") }}
{{- include "taskfleet.alert" (dict "root" . "name" "TaskfleetScalingLimited"
  "expr" "taskfleet_pool_scaling_limited == 1"
  "summary" (printf "Pool %s could use more workers than it may have" $pool)
  "description" "A maximum of the pool or of an endpoint holds workers back while tasks wait.") }}
{{- include "taskfleet.alert" (dict "root" . "name" "TaskfleetStoreDown"
  "expr" "taskfleet_store_up == 0"
  "summary" "{{ $labels.pod }} does not reach the store"
  "description" "No task can be submitted, claimed or finished; the number of workers stays as it is.") }}
{{- include "taskfleet.alert" (dict "root" . "name" "TaskfleetControllerDown"
  "expr" "absent(taskfleet_controller_leader)"
  "summary" "Nothing is heard of the controller"
  "description" "Workers go on with what there is, but nothing scales and no status is true.") }}
{{- include "taskfleet.alert" (dict "root" . "name" "TaskfleetNoLeader"
  "expr" "max by (job) (taskfleet_controller_leader) == 0"
  "summary" "No controller of {{ $labels.job }} leads"
  "description" "All stand by. Workers go on with what there is, but nothing scales and no status is true.") }}
{{- include "taskfleet.alert" (dict "root" . "name" "TaskfleetReconcileErrors"
  "expr" (print
    "sum by (kind) (rate(taskfleet_reconcile_total{outcome=\"error\"}[10m]))\n"
    (printf "/ sum by (kind) (rate(taskfleet_reconcile_total[10m])) > %v" $alerts.TaskfleetReconcileErrors.threshold))
  "summary" "Reconciling {{ $labels.kind }} objects fails"
  "description" "{{ $value | humanizePercentage }} of the attempts failed in the last 10 minutes.") }}
{{- if .Values.gateway.enabled }}
{{- include "taskfleet.alert" (dict "root" . "name" "TaskfleetGatewayDown"
  "expr" "absent(taskfleet_gateway_requests_total)"
  "summary" "Nothing is heard of any gateway"
  "description" "Nobody can call it; tasks that are in the queues go on.") }}
{{- include "taskfleet.alert" (dict "root" . "name" "TaskfleetGatewayErrors"
  "expr" (print
    "sum by (job) (rate(taskfleet_gateway_requests_total{status=~\"5..\"}[5m]))\n"
    (printf "/ sum by (job) (rate(taskfleet_gateway_requests_total[5m])) > %v" $alerts.TaskfleetGatewayErrors.threshold))
  "summary" "Requests to the gateway are answered with errors"
  "description" "{{ $value | humanizePercentage }} of its answers in the last 5 minutes were 5xx.") }}
{{- include "taskfleet.alert" (dict "root" . "name" "TaskfleetGatewayTurnsAway"
  "expr" (print
    "sum by (job) (rate(taskfleet_gateway_requests_total{status=\"429\"}[5m]))\n"
    (printf "/ sum by (job) (rate(taskfleet_gateway_requests_total[5m])) > %v" $alerts.TaskfleetGatewayTurnsAway.threshold))
  "summary" "The gateway turns callers away"
  "description" "{{ $value | humanizePercentage }} of its answers in the last 5 minutes were 429: a queue is full, or a limit is reached.") }}
{{- end }}
{{- end }}
