{{/* A quantity of Kubernetes (1Gi, 512M) or a size of Valkey (768mb) in bytes; "" when it is neither. */}}
{{- define "taskfleet.bytes" -}}
{{- $units := dict "" 1 "k" 1000 "m" 1000000 "g" 1000000000 "ki" 1024 "mi" 1048576 "gi" 1073741824 "kb" 1024 "mb" 1048576 "gb" 1073741824 }}
{{- $text := lower (toString .) }}
{{- $unit := regexFind "[a-z]*$" $text }}
{{- $number := trimSuffix $unit $text }}
{{- if and (regexMatch "^[0-9]+$" $number) (hasKey $units $unit) }}
{{- mul (int64 $number) (get $units $unit) }}
{{- end }}
{{- end }}
