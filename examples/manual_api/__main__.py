"""Run some logins and some attacks, and print every metric that moved: ``python -m manual_api``.

Metrics go to a reader in memory; an application would leave the providers to ``opentelemetry-instrument``.
"""

from __future__ import annotations

import threading
from contextlib import suppress

from opentelemetry.metrics import set_meter_provider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader

import otel_oauth
from manual_api.client import OAuthClient, RefusedError, send
from manual_api.server import AuthorizationServer, serve


class Peaks:
    """The highest value that each series had when it was read."""

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        set_meter_provider(MeterProvider([self._reader]))
        self.values: dict[str, float] = {}

    def read(self) -> None:
        """Collect now; of a histogram, take the count."""
        data = self._reader.get_metrics_data()
        for resource in data.resource_metrics if data is not None else ():
            for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
                for point in metric.data.data_points:
                    labels = ",".join(f"{name}={value}" for name, value in (point.attributes or {}).items())
                    value = point.count if isinstance(point, HistogramDataPoint) else point.value
                    series = f"{metric.name}{{{labels}}}"
                    self.values[series] = max(value, self.values.get(series, 0))


def everyday(shop: OAuthClient) -> list[str]:
    """A login, refreshes, an abandoned login; return a redeemed code and a rotated refresh token."""
    shop.discover()
    shop.register()
    login, url = shop.start()
    code = shop.finish(login, send(url)[1]["location"])
    rotated = shop.tokens["refresh_token"]
    shop.refresh()
    shop.refresh()
    abandoned, _ = shop.start()
    otel_oauth.pkce_state_cleaned("manual", state=abandoned.state)
    return [code, rotated]


def attacks(shop: OAuthClient, thief: OAuthClient, used: list[str]) -> None:
    """A replayed code, a stolen refresh token, an injected code, a wrong verifier, too many registrations."""
    with suppress(RefusedError):
        shop.redeem(used[0], "")
    with suppress(RefusedError):
        thief.refresh(used[1])
    otel_oauth.token_revoked("reuse_detected")
    login, url = shop.start()
    code = send(url)[1]["location"].partition("code=")[2].partition("&")[0]
    with suppress(RefusedError):
        thief.redeem(code, login.verifier)
    with suppress(RefusedError):
        shop.redeem(code, "x" * 43)
    for _ in range(2):
        with suppress(RefusedError):
            thief.register(public=True)


def main() -> None:
    """Run everything and print the metrics."""
    peaks = Peaks()
    server = serve(AuthorizationServer())
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}"
    shop, thief = OAuthClient(base), OAuthClient(base)
    used = everyday(shop)
    pending, _ = shop.start()
    peaks.read()
    thief.register(public=True)
    attacks(shop, thief, used)
    shop.revoke()
    otel_oauth.pkce_state_cleaned("server_deleted", state=pending.state)
    peaks.read()
    server.shutdown()
    server.server_close()
    for series, value in sorted(peaks.values.items()):
        if value:
            print(f"{series} {value:g}")


if __name__ == "__main__":
    main()
