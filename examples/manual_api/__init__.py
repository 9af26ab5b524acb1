"""An authorization server and a client without any OAuth library, instrumented with otel-oauth's manual API alone."""
