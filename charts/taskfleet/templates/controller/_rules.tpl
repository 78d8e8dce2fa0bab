{{/* What the controller does, and nothing else. A test runs it with exactly this role and sees every verb used. */}}
{{- define "taskfleet.rules" -}}
# Read our objects, show their status.
- apiGroups: [taskfleet.dev]
  resources: [taskqueues, workerpools, parallelqueues]
  verbs: [list, watch]
- apiGroups: [taskfleet.dev]
  resources: [taskqueues/status, workerpools/status, parallelqueues/status]
  verbs: [patch]
# The finalizer that keeps a queue until its tasks are done and a parallel queue until its run has ended, and
# spec.replicas of a pool: its way from and to zero, where an HPA does the rest.
- apiGroups: [taskfleet.dev]
  resources: [taskqueues, workerpools, parallelqueues]
  verbs: [patch]
# The ConfigMaps that a ParallelQueue names in inputsFrom, each asked for by its name.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get]
# The workers. Server-side apply of an object that is not there needs create beside patch.
- apiGroups: [apps]
  resources: [deployments]
  verbs: [list, watch, create, patch, delete]
# The HPA of a pool in mode HPA; those of others are read, to tell of two that scale the same workers.
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [list, watch, create, patch, delete]
# Services that a pool's spec.discovery selects as its endpoints.
- apiGroups: [""]
  resources: [services]
  verbs: [list, watch]
# The Secret beside a pool with the store's URL: written, never read.
- apiGroups: [""]
  resources: [secrets]
  verbs: [create, patch]
# Why a worker does not come up, asked for only while workers are missing; and the note on busy ones that they go last.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end }}
