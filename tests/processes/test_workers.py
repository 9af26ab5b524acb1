"""Servers with several worker processes: telemetry of each worker, as one instance each, and right in sum."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import pytest
from pages import BLOCKS
from services import by_instance, login, moved, total

if TYPE_CHECKING:
    from collections.abc import Callable

    from authlib_provider import Provider
    from services import Service

    from otel_oauth.testing import OtlpReceiver

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

OURS = {
    "gunicorn": ("--bind", "{address}", "--log-level", "warning"),
    "uvicorn": ("--port", "{port}", "--log-level", "warning"),
}
QUICKLY = {"OTEL_METRIC_EXPORT_INTERVAL": "500", "OTEL_BSP_SCHEDULE_DELAY": "500"}


def servers() -> dict[str, tuple[list[str], dict[str, str]]]:
    """The commands of the documentation and their variables, with two workers and on an address of ours."""
    found: dict[str, tuple[list[str], dict[str, str]]] = {}
    for line in "".join(block.text for block in BLOCKS if block.page == "docs/deployment.md").splitlines():
        before, wrapper, command = line.partition("opentelemetry-instrument ")
        if wrapper:
            program, *arguments = shlex.split(command.replace("--workers 4", "--workers 2"))
            application = "shop_async:app" if program == "uvicorn" else arguments[-1]
            variables = dict(part.split("=") for part in before.split())
            found[" ".join([program, *arguments[2:-1]])] = (
                [program, *OURS[program], *arguments[:-1], application],
                variables,
            )
    return found


SERVERS = servers()
PAUSE = 0.2


def moved_by(logins: int) -> dict[str, float]:
    """What so many logins move at the client, all in all."""
    counters = {
        "oauth_flows_total{provider=demo,status=initiated}",
        "oauth_flows_total{provider=demo,status=success}",
        "oauth_pkce_states_created_total",
        "oauth_pkce_validations_total{status=success,reason=valid}",
        "oauth_callback_processed{client_id=web,success=true}",
        "oauth_http_requests_total{method=GET,endpoint=callback,status=200}",
        "provider_api_calls_total{provider=demo,operation=token,status=200}",
        *(f"storage_operation_total{{operation={name}_state,result=success}}" for name in ("set", "get", "clear")),
    }
    histograms = {
        "oauth_flow_duration_seconds{provider=demo,status=success}",
        "oauth_http_request_duration_milliseconds{endpoint=callback}",
        "provider_api_duration_milliseconds{provider=demo,operation=token}",
        *(f"storage_operation_duration_milliseconds{{operation={name}_state}}" for name in ("set", "get", "clear")),
    }
    return dict.fromkeys(counters | histograms, logins)


def test_the_documentation_names_five_servers() -> None:
    assert len(SERVERS) == 5


@pytest.mark.parametrize("name", SERVERS)
def test_every_worker_is_an_instance_and_their_sum_is_what_happened(
    name: str, provider: Provider, receiver: OtlpReceiver, serve: Callable[..., Service]
) -> None:
    command, variables = SERVERS[name]
    ends_by_signal = command[0] == "uvicorn"
    service = serve(*command, **variables, **(QUICKLY if ends_by_signal else {}))
    ways = [login(provider, service, PAUSE) for _ in range(8)]
    while len({worker for way in ways for worker in way}) < 2 or not any(begin != end for begin, end in ways):
        ways.append(login(provider, service, PAUSE))
        assert len(ways) < 60, "the server gives all requests to one worker"
    if ends_by_signal:  # the SDK has no occasion for a last export
        receiver.wait_for(lambda _: total(receiver) == moved_by(len(ways)), timeout=30)
        receiver.wait_for(lambda _: len(spans_of(receiver, "oauth.callback demo")) == len(ways), timeout=30)
    service.stop()
    assert_quiet(service)
    assert receiver.rejected() == []
    assert total(receiver) == moved_by(len(ways))
    check_instances(receiver, {worker for way in ways for worker in way})
    check_durations(receiver, len(ways))
    check_spans(receiver, len(ways))


def assert_quiet(service: Service) -> None:
    # Under gevent the parent's threads are greenlets, which a forked child has too; the SDK's end with this.
    lines = [line for line in service.stderr.splitlines() if "failed with KeyError" not in line]
    errors = [line for line in lines if not line.startswith((" ", "Traceback", "KeyError")) and line]
    assert errors == []
    assert "otel_oauth" not in service.stderr


def check_instances(receiver: OtlpReceiver, workers: set[str]) -> None:
    """Each worker is one instance in its metrics and its spans, and no two are the same."""
    active = {instance for instance, points in by_instance(receiver).items() if moved(points)}
    assert len(active) == len(workers)
    spans = [span for span in receiver.spans() if span["scope"]["name"] == "otel_oauth"]
    assert {span["resource"].get("service.instance.id") for span in spans} == active
    assert None not in active


def check_durations(receiver: OtlpReceiver, logins: int) -> None:
    """A login lasts from its start to the callback, in whichever worker that is."""
    points = [
        point
        for instance in by_instance(receiver).values()
        for point in instance.values()
        if point["name"] == "oauth_flow_duration_seconds"
    ]
    assert sum(point["count"] for point in points) == logins
    assert PAUSE * logins < sum(point["sum"] for point in points) < (PAUSE + 5) * logins
    assert sum(sum(point["buckets"][:1]) for point in points) > 0  # of the first bucket, at most half a second


def spans_of(receiver: OtlpReceiver, name: str) -> list[Any]:
    return [span for span in receiver.spans() if span["name"] == name]


def check_spans(receiver: OtlpReceiver, logins: int) -> None:
    """Each callback is there once, with a link to where its login began, maybe in another process."""
    begun = {span["span_id"] for span in spans_of(receiver, "oauth.authorize demo")}
    callbacks = spans_of(receiver, "oauth.callback demo")
    assert (len(begun), len(callbacks)) == (logins, logins)
    assert {link["span_id"] for span in callbacks for link in span["links"]} == begun
