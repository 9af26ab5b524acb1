"""Instrumentation in the program, without ``opentelemetry-instrument``."""
