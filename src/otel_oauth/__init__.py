"""OpenTelemetry metrics, spans and events of OAuth operations."""
