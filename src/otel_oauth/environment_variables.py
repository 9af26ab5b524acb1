"""The environment variables of the product, in the form in which ``opentelemetry-instrument`` lists them as options."""

OTEL_OAUTH_LEDGER = "OTEL_OAUTH_LEDGER"
"""Where the ledger lives: ``auto`` (the host's, memory if that cannot be used), ``memory``, ``host``,
``host:DIRECTORY``, ``redis://…`` or ``rediss://…``."""

OTEL_OAUTH_LEDGER_SIZE = "OTEL_OAUTH_LEDGER_SIZE"
"""The highest number of records of each kind in the ledger."""

OTEL_OAUTH_LEDGER_TIMEOUT = "OTEL_OAUTH_LEDGER_TIMEOUT"
"""Seconds that an access to a ledger in Redis may wait for a connection and for an answer, 0.001 to 5."""

OTEL_OAUTH_RACE_WINDOW = "OTEL_OAUTH_RACE_WINDOW"
"""Seconds after a rotation or redemption in which a second presentation by the same client is a race, 0 to 60."""

OTEL_OAUTH_REFRESH_TOKEN_LIFETIME = "OTEL_OAUTH_REFRESH_TOKEN_LIFETIME"  # noqa: S105 a variable's name, not a password
"""Seconds that a refresh token is taken to live."""

OTEL_OAUTH_CLIENT_ID_CAP = "OTEL_OAUTH_CLIENT_ID_CAP"
"""The highest number of values of the label client_id; 0 switches the label off (every client is ``other``)."""

OTEL_OAUTH_PROVIDER_CAP = "OTEL_OAUTH_PROVIDER_CAP"
"""The highest number of values of the label provider."""

OTEL_OAUTH_PROVIDERS = "OTEL_OAUTH_PROVIDERS"
"""Names for provider hosts: ``HOST=NAME,HOST=NAME``."""

OTEL_OAUTH_BUCKETS = "OTEL_OAUTH_BUCKETS"
"""Bucket boundaries: ``METRIC=0.1/0.5/1,METRIC=...``."""

OTEL_OAUTH_STORAGE_SPANS = "OTEL_OAUTH_STORAGE_SPANS"
"""``true`` gives each storage operation a span of its own."""

OTEL_OAUTH_LOG_LEVEL = "OTEL_OAUTH_LOG_LEVEL"
"""The least severity of an event that is emitted: ``debug``, ``info``, ``warn``, ``error`` or ``off``."""

OTEL_OAUTH_EVENTS = "OTEL_OAUTH_EVENTS"
"""Events one by one: ``NAME=on`` or ``off`` whatever its severity, or another severity for it, ``NAME=warn``;
separated by commas."""

OTEL_OAUTH_EVENT_SAMPLING = "OTEL_OAUTH_EVENT_SAMPLING"
"""The share of operation and compliance events that is emitted, 0 to 1; security events are never sampled."""

OTEL_OAUTH_EVENT_RATE = "OTEL_OAUTH_EVENT_RATE"
"""The highest number of events of one name a minute and process; 0 is no limit. What is held back is counted."""

OTEL_OAUTH_SOURCE_ADDRESS = "OTEL_OAUTH_SOURCE_ADDRESS"
"""How the source address of a security event is told: ``truncated`` (to /24 or /48), ``whole`` or ``none``."""

OTEL_OAUTH_USER_AGENT = "OTEL_OAUTH_USER_AGENT"
"""``true`` tells the user agent of a security event."""

OTEL_OAUTH_FULL_CLIENT_ID = "OTEL_OAUTH_FULL_CLIENT_ID"
"""``true`` tells the whole client id in events where the label has ``other``; only of clients that are known."""

OTEL_OAUTH_RUNBOOK = "OTEL_OAUTH_RUNBOOK"
"""Where your runbook is: events link to it with their name as anchor."""

OTEL_OAUTH_OCSF = "OTEL_OAUTH_OCSF"
"""``true`` adds the fields of the Open Cybersecurity Schema Framework to each event."""

OTEL_OAUTH_LOG_JSON = "OTEL_OAUTH_LOG_JSON"
"""Where events go as JSON lines: ``stdout``, ``stderr`` or the absolute path of a file, in which ``{pid}`` is the id
of the process; needs the extra ``json``."""

OTEL_OAUTH_LOG_JSON_SIZE = "OTEL_OAUTH_LOG_JSON_SIZE"
"""The number of bytes at which such a file is rotated; five old files are kept."""

OTEL_OAUTH_REDACTION = "OTEL_OAUTH_REDACTION"
"""Whether secrets are taken out of spans, logs, metrics and baggage: ``on``, ``off``, ``strict`` (also what only looks
like a secret) or ``dry-run`` (only counted)."""

OTEL_OAUTH_REDACTION_KEYS = "OTEL_OAUTH_REDACTION_KEYS"
"""Further names whose values are secrets: ``NAME,NAME``."""

OTEL_OAUTH_REDACTION_PATTERNS = "OTEL_OAUTH_REDACTION_PATTERNS"
"""Beginnings of secrets, each with a ``*`` at its end: ``ghp_*,xoxb-*``."""

OTEL_OAUTH_DISABLED = "OTEL_OAUTH_DISABLED"
"""``true`` attaches nothing."""
