"""The first login's server with its telemetry set up here: ``PYTHONPATH=examples python -m in_code --port 8003``.

Three lines attach, and ``/metrics`` is served at the application's own address. Log in with
``python examples/first_login/login.py http://127.0.0.1:8003`` and look at ``http://127.0.0.1:8003/metrics``.
"""

from __future__ import annotations

import argparse
import logging

from opentelemetry.metrics import set_meter_provider
from opentelemetry.sdk.metrics import MeterProvider
from werkzeug.middleware.dispatcher import DispatcherMiddleware

import otel_oauth
from first_login.server import TOKENS, create_app
from otel_oauth.prometheus import OAuthPrometheusReader, metrics_wsgi_app
from otel_oauth_authlib import AuthlibInstrumentor


def main() -> None:
    """Serve on loopback."""
    parser = argparse.ArgumentParser(description="A small authorization server with /metrics.")
    parser.add_argument("--port", type=int, default=8003)
    port = parser.parse_args().port
    set_meter_provider(MeterProvider([OAuthPrometheusReader(serve=False)]))
    AuthlibInstrumentor().instrument(ledger="memory", race_window=10)
    # The store knows better than the ledger how many tokens there are.
    otel_oauth.count_with("storage_tokens_count", lambda: sum(not token.is_expired() for token in TOKENS))
    app = create_app()
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/metrics": metrics_wsgi_app()})
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    print(f"The authorization server listens on http://127.0.0.1:{port}", flush=True)
    app.run(port=port)


if __name__ == "__main__":
    main()
