"""The environment variables of the product, in the form in which ``opentelemetry-instrument`` lists them as options."""

OTEL_OAUTH_LEDGER = "OTEL_OAUTH_LEDGER"
"""Where the ledger lives: ``auto`` (the host's, memory if that cannot be used), ``memory``, ``host`` or
``host:DIRECTORY``."""

OTEL_OAUTH_LEDGER_SIZE = "OTEL_OAUTH_LEDGER_SIZE"
"""The highest number of records of each kind in the ledger."""

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

OTEL_OAUTH_DISABLED = "OTEL_OAUTH_DISABLED"
"""``true`` attaches nothing."""
