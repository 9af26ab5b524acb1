// The modules that carry the schemas of compose.yaml and of the Kubernetes manifests; nothing is built from them.
module otel-oauth.invalid/build/schemas

go 1.25.0

require (
	github.com/compose-spec/compose-go/v2 v2.9.0
	github.com/open-telemetry/opentelemetry-operator v0.140.0
	github.com/prometheus-operator/prometheus-operator v0.85.0
)
