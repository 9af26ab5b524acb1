"""The catalogue is exactly the documented one: names, kinds, labels, label values, buckets, zero series."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from otel_oauth import catalogue as c
from otel_oauth.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_oauth.catalogue import Metric

CAPPED = ()
FLOW = {"provider": CAPPED, "status": ("initiated", "success", "failure")}
OUTCOME = ("success", "failure")
REASONS = ("normal", "no_refresh_token", "no_record", "ownership_failed", "reuse_detected", "exception")
ENDPOINTS = [
    "authorization",
    "callback",
    "token",
    "revocation",
    "introspection",
    "registration",
    "device_authorization",
    "userinfo",
    "metadata",
    "end_session",
]
OPERATIONS = ["token", "refresh", "revoke", "introspect", "userinfo", "discovery", "jwks", "registration", "api"]
PKCE_METHODS = ("S256", "plain", "none")

# The documents, spelled out: name -> (kind, {label: values}); an empty tuple is a label without a closed set of values.
DOCUMENTED: dict[str, tuple[str, dict[str, tuple[str, ...]]]] = {
    "oauth_flows_total": ("counter", FLOW),
    "oauth_flow_duration_seconds": ("histogram", {"provider": CAPPED, "status": OUTCOME}),
    "oauth_token_refresh_total": ("counter", {"status": (*OUTCOME, "reuse_detected"), "reason": REASONS}),
    "oauth_token_refresh_duration_seconds": ("histogram", {"status": (*OUTCOME, "reuse_detected")}),
    "oauth_token_revocations_total": ("counter", {"reason": ("reuse_detected", "manual", "expired", "security")}),
    "oauth_active_tokens": ("gauge", {}),
    "oauth_pkce_validations_total": (
        "counter",
        {"status": OUTCOME, "reason": ("valid", "expired", "invalid_hash", "not_found")},
    ),
    "oauth_pkce_states_created_total": ("counter", {}),
    "oauth_pkce_states_cleaned_total": ("counter", {"reason": ("expired", "manual", "server_deleted")}),
    "oauth_active_pkce_states": ("gauge", {}),
    "oauth_security_events_total": (
        "counter",
        {
            "event_type": ("token_reuse", "integrity_violation", "code_injection"),
            "severity": ("low", "medium", "high", "critical"),
        },
    ),
    "oauth_integrity_violations_total": (
        "counter",
        {"violation_type": ("hash_mismatch", "state_reuse", "user_mismatch")},
    ),
    "oauth_code_injection_attempts_total": ("counter", {}),
    "oauth_discovery_attempts_total": (
        "counter",
        {"method": ("rfc9728", "www-authenticate", "manual"), "status": OUTCOME},
    ),
    "oauth_discovery_duration_seconds": (
        "histogram",
        {"method": ("rfc9728", "www-authenticate", "manual"), "status": OUTCOME},
    ),
    "oauth_client_registrations_total": ("counter", {"status": OUTCOME}),
    "oauth_client_registration_duration_seconds": ("histogram", {"status": OUTCOME}),
    "oauth_http_requests_total": ("counter", {"method": None, "endpoint": tuple(ENDPOINTS), "status": None}),
    "oauth_http_request_duration_milliseconds": ("histogram", {"endpoint": tuple(ENDPOINTS)}),
    "oauth_authorization_started": ("counter", {"client_id": CAPPED}),
    "oauth_callback_processed": ("counter", {"client_id": CAPPED, "success": ("true", "false")}),
    "oauth_code_exchanged": ("counter", {"client_id": CAPPED, "pkce_method": PKCE_METHODS}),
    "oauth_token_refreshed": ("counter", {"client_id": CAPPED, "rotated": ("true", "false")}),
    "oauth_token_revoked": ("counter", {"client_id": CAPPED}),
    "oauth_client_registered": ("counter", {"client_type": ("public", "confidential")}),
    "oauth_rate_limit_exceeded": (
        "counter",
        {"limiter_type": ("ip", "user", "client_registration", "endpoint", "device")},
    ),
    "oauth_pkce_validation_failed": ("counter", {"method": PKCE_METHODS}),
    "oauth_code_reuse_detected": ("counter", {}),
    "oauth_token_reuse_detected": ("counter", {}),
    "storage_operation_total": ("counter", {"operation": None, "result": ("success", "error")}),
    "storage_operation_duration_milliseconds": ("histogram", {"operation": None}),
    "storage_tokens_count": ("gauge", {}),
    "storage_clients_count": ("gauge", {}),
    "storage_flows_count": ("gauge", {}),
    "storage_families_count": ("gauge", {}),
    "storage_refresh_tokens_count": ("gauge", {}),
    "provider_api_calls_total": ("counter", {"provider": CAPPED, "operation": tuple(OPERATIONS), "status": None}),
    "provider_api_duration_milliseconds": ("histogram", {"provider": CAPPED, "operation": tuple(OPERATIONS)}),
    "provider_api_errors_total": (
        "counter",
        {
            "provider": CAPPED,
            "operation": tuple(OPERATIONS),
            "error_type": ("client_error", "server_error", "timeout", "network", "invalid_response"),
        },
    ),
}
BUCKETS = {
    "oauth_flow_duration_seconds": (0.5, 1, 2, 5, 10, 30, 60),
    "oauth_token_refresh_duration_seconds": (0.1, 0.5, 1, 2, 5, 10),
    "oauth_discovery_duration_seconds": (0.5, 1, 2, 5, 10),
    "oauth_client_registration_duration_seconds": (0.5, 1, 2, 5, 10),
}
OWN = {
    "otel_oauth_errors_total",
    "otel_oauth_label_overflow_total",
    "otel_oauth_ledger_entries",
    "otel_oauth_ledger_evictions_total",
    "otel_oauth_ledger_shared",
    "otel_oauth_events_dropped_total",
    "otel_oauth_redactions_total",
    "otel_oauth_hooks",
}
CAPS = {"provider": 2, "client_id": 3}


def test_there_are_39_documented_metrics_and_no_other_one_beside_our_own() -> None:
    assert len(c.DOCUMENTED) == 39
    assert {metric.name for metric in c.DOCUMENTED} == set(DOCUMENTED)
    assert {metric.name for metric in c.OWN} == OWN
    assert set(c.BY_NAME) == set(DOCUMENTED) | OWN


@pytest.mark.parametrize("name", DOCUMENTED)
def test_an_entry_is_as_documented(name: str) -> None:
    kind, labels = DOCUMENTED[name]
    metric = c.BY_NAME[name]
    assert metric.kind == kind
    assert list(metric.label_names) == list(labels)
    for label in metric.labels:
        expected = labels[label.name]
        if expected == CAPPED:
            assert (label.cap, label.values) == (label.name, ())
        else:
            assert label.cap is None
            assert expected is None or label.values == expected
    assert metric.unit != "1"
    assert metric.unit == ("s" if "_seconds" in name else "ms" if "_milliseconds" in name else metric.unit)
    assert (metric.unit[0], metric.unit[-1]) == ("{", "}") or kind == "histogram"


def test_labels_without_a_documented_list_hold_what_occurs() -> None:
    http = dict(zip(c.HTTP_REQUESTS.label_names, c.HTTP_REQUESTS.labels, strict=True))
    assert {"GET", "POST"} <= http["method"].closed
    assert {"200", "302", "400", "401", "429", "500"} <= http["status"].closed
    calls = dict(zip(c.PROVIDER_CALLS.label_names, c.PROVIDER_CALLS.labels, strict=True))
    assert calls["status"].closed == http["status"].closed | {"0"}
    assert {"query_code", "save_code", "delete_code", "save_token", "revoke_token"} <= set(c.STORAGE_OPERATIONS)


def test_buckets_are_as_documented_and_floats() -> None:
    for metric in c.DOCUMENTED:
        assert bool(metric.buckets) is (metric.kind == "histogram")
        assert all(type(bound) is float for bound in metric.buckets)
        assert list(metric.buckets) == sorted(set(metric.buckets))
        if metric.name in BUCKETS:
            assert metric.buckets == BUCKETS[metric.name]
    assert (c.HTTP_DURATION.buckets[0], c.HTTP_DURATION.buckets[-1]) == (1.0, 10_000.0)


def test_zero_series_are_those_that_can_occur() -> None:
    assert set(c.TOKEN_REFRESH.zero_series()) == {
        ("success", "normal"),
        *(("failure", reason) for reason in REASONS),
        ("reuse_detected", "reuse_detected"),
    }
    assert set(c.SECURITY_EVENTS.zero_series()) == {
        *(("token_reuse", severity) for severity in ("low", "high", "critical")),
        *(("integrity_violation", severity) for severity in ("low", "medium", "high")),
        ("code_injection", "critical"),
    }
    assert set(c.PKCE_VALIDATIONS.zero_series()) == {
        ("success", "valid"),
        *(("failure", reason) for reason in ("expired", "invalid_hash", "not_found")),
    }
    assert {status for _, _, status in c.HTTP_REQUESTS.zero_series()} == {"200", "302", "400", "401", "429", "500"}
    assert {endpoint for _, endpoint, _ in c.HTTP_REQUESTS.zero_series()} == set(ENDPOINTS)
    assert set(c.FLOWS.zero_series()) == {(None, status) for status in FLOW["status"]}


@pytest.mark.parametrize("metric", c.BY_NAME.values(), ids=lambda metric: metric.name)
def test_every_zero_series_is_within_the_labels(metric: Metric) -> None:
    for key in metric.zero_series():
        assert len(key) == len(metric.labels)
        for label, value in zip(metric.labels, key, strict=True):
            assert value is None if label.cap else value in label.closed


def test_what_is_exported_is_the_catalogue_and_nothing_else(recording: Any) -> None:
    telemetry = recording.telemetry
    for metric in c.BY_NAME.values():
        if metric.kind == "histogram":
            telemetry.table.durations(metric, tuple("x" for _ in metric.labels)).take([1.0], [None])
    telemetry.hooks("authlib", attached=1, missing=0)
    telemetry.provider("google")
    telemetry.client("abc")
    exported = recording.metrics()
    assert set(exported) == set(c.BY_NAME)
    for name, found in exported.items():
        entry = c.BY_NAME[name]
        assert (found.unit, found.description) == (entry.unit, entry.description)
        points = list(found.data.data_points)
        shape = {"counter": "Sum", "gauge": "Gauge", "histogram": "Histogram"}[entry.kind]
        assert type(found.data).__name__ == shape
        if entry.kind == "counter":
            assert found.data.is_monotonic
        for point in points:
            assert set(point.attributes) == set(entry.label_names)
            if entry.kind == "histogram":
                assert tuple(point.explicit_bounds) == entry.buckets


def test_zeros_are_exported_before_anything_happened_and_for_a_provider_or_client_when_it_becomes_known(
    recording: Any,
) -> None:
    def zeros(name: str) -> Any:
        return {key for key, value in recording.values(name).items() if value == 0}

    for metric in c.BY_NAME.values():
        if metric.kind == "counter" and not any(label.cap for label in metric.labels):
            assert zeros(metric.name) == set(metric.zero_series())
    assert not zeros("oauth_flows_total")
    assert not zeros("oauth_token_revoked")
    recording.telemetry.provider("google")
    recording.telemetry.client("abc")
    assert zeros("oauth_flows_total") == {("google", status) for status in FLOW["status"]}
    assert zeros("provider_api_calls_total") == {
        ("google", operation, status) for operation in OPERATIONS for status in ("0", "200", "400", "401", "500")
    }
    assert len(zeros("provider_api_errors_total")) == len(OPERATIONS) * 5
    assert zeros("oauth_token_revoked") == {("abc",)}
    assert zeros("oauth_code_exchanged") == {("abc", method) for method in PKCE_METHODS}
    assert recording.moved() == {}


def test_max_series_counts_other_and_unknown() -> None:
    assert c.CODE_REUSE.max_series(CAPS) == 1
    assert c.CLIENT_REGISTERED.max_series(CAPS) == 3
    assert c.FLOWS.max_series(CAPS) == (2 + 2) * 4
    assert c.CODE_EXCHANGED.max_series(CAPS) == (3 + 2) * 4


def test_the_buckets_of_a_setting_are_those_exported(record: Callable[..., Any]) -> None:
    recording = record(buckets={"oauth_token_refresh_duration_seconds": (0.25, 2.0)})
    recording.telemetry.table.durations(c.TOKEN_REFRESH_DURATION, ("success",)).take([0.3], [None])
    point = recording.series("oauth_token_refresh_duration_seconds")["success",]
    assert tuple(point.explicit_bounds) == (0.25, 2.0)
    assert point.bucket_counts == (0, 1, 0)


def test_the_caps_are_the_settings() -> None:
    assert Settings().caps == {"provider": 50, "client_id": 100}
