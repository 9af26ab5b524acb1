"""A first login: a small authorization server and a client that logs in at it, both without a line of telemetry."""
