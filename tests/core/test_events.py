"""The catalogue of events, and each event as it happens: told by hand, exactly where its metric is counted."""

from __future__ import annotations

import asyncio
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from agreement import Agreement

import otel_oauth
from otel_oauth import kinds
from otel_oauth import vocabulary as v
from otel_oauth.cases import CASES
from otel_oauth.event_mapping import CLASSES, MAPPING, ocsf_attributes
from otel_oauth.events import ATTRIBUTES, COMMON, EVENTS, FORBIDDEN, SEVERITIES
from otel_oauth.testing import Capture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTED = {
    "oauth_refresh_token_reuse_detected": "P0",
    "oauth_code_injection_attempt": "P0",
    "oauth_integrity_violation": "P1",
    "oauth_ownership_violation": "P1",
    "pkce_replay_detected": "P1",
    "oauth_code_reuse_detected": "P1",
}
REDIRECT = "https://shop.example/callback"


@pytest.fixture
def capture() -> Iterator[Capture]:
    with Capture(log_level="debug", event_rate=0) as found:
        yield found
        assert Agreement().disagreements(found) == {}


def names(capture: Capture) -> list[str]:
    return [event["event_name"] for event in capture.events()]


# The catalogue --------------------------------------------------------------------------------------------------------


def test_the_security_events_have_their_documented_names_and_priorities() -> None:
    security = {event.name: event for event in EVENTS.values() if event.group == "security"}
    assert {name: event.priority for name, event in security.items()} == DOCUMENTED
    levels = {"P0": "error", "P1": "warn"}
    assert all(event.level == levels[event.priority] and not event.sampled for event in security.values())


def test_a_twin_has_a_name_of_its_own_so_that_an_alert_on_a_name_is_an_alert_on_attacks() -> None:
    for case in CASES.values():
        if case.security is not None:
            assert case.event is not None
            assert case.event.group == ("benign" if case.security[1] == "low" else "security")
    told = {case.event for case in CASES.values() if case.event is not None}
    assert told == {event for event in EVENTS.values() if event.group in ("security", "benign")}


def test_every_event_is_whole() -> None:
    for event in EVENTS.values():
        assert re.fullmatch(r"(oauth|pkce)_[a-z_]+", event.name)
        assert event.when.endswith(".")
        assert {fact for fact, _ in event.named} == {*COMMON, *event.facts}
        if event.counted is not None and event.label:
            label = event.counted.labels[event.counted.label_names.index(event.label)]
            assert set(event.values) <= label.closed
    assert len(set(ATTRIBUTES.values())) == len(ATTRIBUTES)


def test_every_event_has_its_entry_in_the_runbook_and_nothing_else_has() -> None:
    text = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    entries = dict(re.findall(r"^### (\w+)\n\n(.+?)(?=\n\n(?:#|\Z)|\Z)", text, re.MULTILINE | re.DOTALL))
    assert entries.keys() == EVENTS.keys()
    for event in EVENTS.values():
        if event.group == "security":
            assert entries[event.name].startswith(f"**{event.priority}.**")
        assert event.level == "debug" or "**Do:**" in entries[event.name]


# Names elsewhere ------------------------------------------------------------------------------------------------------


def test_every_event_is_mapped() -> None:
    assert MAPPING.keys() == EVENTS.keys()
    for name, mapped in MAPPING.items():
        class_uid, activity = mapped.ocsf
        assert activity in CLASSES[class_uid][1]
        group = EVENTS[name].group
        assert (class_uid == 2004) is (group == "security")
        assert (class_uid == 2003) is (group == "compliance")
        assert re.fullmatch(r"[a-z_]*", mapped.auth0)
        assert re.fullmatch(r"([a-z0-9_]+\.)*[a-z0-9_]*", mapped.okta)
    reuse = MAPPING["oauth_refresh_token_reuse_detected"]
    assert (reuse.auth0, reuse.okta) == ("ferrt", "app.oauth2.as.token.detect_reuse")
    assert MAPPING["oauth_code_exchanged"].auth0 == "seacft"
    assert MAPPING["oauth_token_refreshed"].auth0 == "sertft"


def test_ocsf_fields_are_added_when_they_are_asked_for() -> None:
    with Capture(ocsf=True) as capture:
        with otel_oauth.endpoint("token", telemetry=capture.telemetry) as request:
            request.came_from("203.0.113.9")
            request.user("4711")
            otel_oauth.verdict("pkce_mismatch")
        (found,) = [event for event in capture.events() if event["event_name"] == "oauth_integrity_violation"]
    fields = {name: value for name, value in found["attributes"].items() if name.startswith("ocsf.")}
    expected = {"ocsf.category_uid": 2, "ocsf.class_uid": 2004, "ocsf.activity_id": 1, "ocsf.type_uid": 200401}
    assert expected.items() <= fields.items()
    assert (fields["ocsf.severity_id"], fields["ocsf.status_id"]) == (4, 2)
    assert fields["ocsf.time"] == found["time"] // 1_000_000
    assert fields["ocsf.src_endpoint.ip"] == "203.0.113.0/24"
    assert fields["ocsf.user.uid"] == found["attributes"]["user.hash"]
    assert "ocsf.src_endpoint.ip" not in ocsf_attributes(EVENTS["oauth_flow_failed"], {}, 0)


# Each event -----------------------------------------------------------------------------------------------------------


class Told:
    """Requests and logins told by hand."""

    def __init__(self, capture: Capture) -> None:
        self.telemetry = capture.telemetry

    def endpoint(self, name: str = "token", client: str = "shop", **arguments: str) -> Any:
        request = otel_oauth.endpoint(name, telemetry=self.telemetry, **arguments)
        request.client(client, authenticated=True)
        return request

    def authorize(self, method: str = "S256", redirect_uri: str = REDIRECT) -> None:
        with self.endpoint("authorization", method="GET") as request:
            request.authorization_started(state="s", code_challenge="c")
            request.code_issued("code", challenge_method=method, redirect_uri=redirect_uri)
            request.answered(302)

    def redeem(self, client: str = "shop", **told: Any) -> None:
        with self.endpoint(client=client, grant_type="authorization_code") as request:
            request.code_presented("code", **{"found": True, "verifier": True, "pkce": "matched", **told})
            if told.get("found", True) and told.get("pkce", "matched") == "matched":
                request.tokens_issued("access", refresh_token="refresh 0")
            else:
                request.answered(400, "invalid_grant")

    def refresh(self, token: str, new: str = "", client: str = "shop", status: int = 400) -> None:
        with self.endpoint(client=client, grant_type="refresh_token") as request:
            request.refresh_presented(token, found=bool(new))
            if new:
                request.tokens_issued(f"access {new}", refresh_token=new)
            else:
                request.answered(status, "invalid_grant")

    def start(self, *, verifier: bool = True) -> None:
        with otel_oauth.flow_started("example", telemetry=self.telemetry) as flow:
            flow.state_stored("state", verifier=verifier)

    def callback(self, error: BaseException | None = None) -> None:
        with otel_oauth.callback("example", client_id="shop", telemetry=self.telemetry) as callback:
            callback.state_accepted("state", code="code")
            if error is not None:
                raise error

    def refused_callback(self, code: str = "code", *, session_empty: bool = False) -> None:
        with otel_oauth.callback("example", client_id="shop", telemetry=self.telemetry) as callback:
            callback.state_refused("state", code=code, session_empty=session_empty)

    def call(self, operation: str, status: int) -> None:
        with otel_oauth.provider_call("example", operation, telemetry=self.telemetry) as call:
            call.answered(status)


def token_reuse(told: Told) -> None:
    told.authorize()
    told.redeem()
    told.refresh("refresh 0", "refresh 1")
    told.refresh("refresh 0", client="thief")


def refresh_race(told: Told) -> None:
    told.authorize()
    told.redeem()
    told.refresh("refresh 0", "refresh 1")
    told.refresh("refresh 0")


def replay(told: Told, code: str) -> None:
    told.start()
    told.callback()
    told.refused_callback(code)


def twice(told: Told, *, client: str) -> None:
    told.authorize()
    told.redeem()
    told.redeem(client, found=False)


def abandoned(told: Told) -> None:
    with otel_oauth.flow_started("example", telemetry=told.telemetry) as flow:
        flow.state_stored("state", verifier=True, lifetime=-1)


def storage_error(told: Told) -> None:
    with pytest.raises(KeyError), told.endpoint(), otel_oauth.storage("query_token", telemetry=told.telemetry):
        raise KeyError


def failed_discovery(told: Told, status: int) -> None:
    with otel_oauth.discovery("rfc9728", "example", telemetry=told.telemetry) as call:
        call.answered(status)


def registered(told: Told, status: int) -> None:
    with otel_oauth.registration(telemetry=told.telemetry) as call:
        call.answered(status)


def implicit(told: Told) -> None:
    with told.endpoint("authorization", method="GET") as request:
        request.tokens_issued("access")
        request.answered(302)


def password(told: Told) -> None:
    with told.endpoint(grant_type="password") as request:
        request.tokens_issued("access")


def failing_callback(told: Told) -> None:
    told.start()
    with pytest.raises(ValueError, match="why"):
        told.callback(ValueError("why"))


def good_login(told: Told) -> None:
    told.start()
    told.callback()


def lost_session(told: Told) -> None:
    told.start()
    told.refused_callback(session_empty=True)


def server(told: Told) -> None:
    told.authorize()
    told.redeem()
    told.refresh("refresh 0", "refresh 1")
    told.refresh("never issued")


def verdict(case: str) -> Callable[[Told], None]:
    return lambda told: otel_oauth.verdict(case, telemetry=told.telemetry)


def cleaned(told: Told) -> None:
    told.start()
    otel_oauth.pkce_state_cleaned("manual", state="state", telemetry=told.telemetry)


SCENARIOS: dict[str, Callable[[Told], None]] = {
    "oauth_refresh_token_reuse_detected": token_reuse,
    "oauth_code_injection_attempt": partial(twice, client="thief"),
    "oauth_integrity_violation": lambda told: (told.authorize(), told.redeem(pkce="mismatch"))[0],
    "oauth_ownership_violation": verdict("token_of_other_client"),
    "pkce_replay_detected": partial(replay, code="another code"),
    "oauth_code_reuse_detected": partial(twice, client="shop"),
    "oauth_refresh_race": refresh_race,
    "oauth_code_double_submit": partial(twice, client="shop"),
    "oauth_state_reloaded": partial(replay, code="code"),
    "oauth_state_session_lost": lost_session,
    "oauth_nonce_replayed": verdict("nonce_replayed"),
    "oauth_flow_initiated": good_login,
    "oauth_flow_completed": good_login,
    "oauth_flow_failed": failing_callback,
    "oauth_flow_abandoned": abandoned,
    "oauth_authorization_started": server,
    "oauth_code_exchanged": server,
    "oauth_token_refreshed": server,
    "oauth_token_refresh_failed": server,
    "oauth_token_revoked": lambda told: otel_oauth.token_revoked("reuse_detected", telemetry=told.telemetry),
    "oauth_discovery_completed": partial(failed_discovery, status=200),
    "oauth_discovery_failed": partial(failed_discovery, status=500),
    "oauth_client_registration_completed": partial(registered, status=201),
    "oauth_client_registration_failed": partial(registered, status=400),
    "oauth_rate_limit_exceeded": lambda told: otel_oauth.rate_limit_exceeded("ip", telemetry=told.telemetry),
    "oauth_storage_error": storage_error,
    "oauth_provider_error": lambda told: told.call("userinfo", 500),
    "oauth_pkce_validation_refused": lost_session,
    "oauth_pkce_validated": good_login,
    "oauth_pkce_state_created": good_login,
    "oauth_pkce_state_cleaned": cleaned,
    "oauth_http_request": server,
    "oauth_provider_call": lambda told: told.call("userinfo", 200),
    "oauth_pkce_not_used": lambda told: told.authorize("none"),
    "oauth_pkce_plain_used": lambda told: told.authorize("plain"),
    "oauth_implicit_grant_used": implicit,
    "oauth_password_grant_used": password,
    "oauth_redirect_uri_insecure": lambda told: told.authorize(redirect_uri="http://shop.example/callback"),
    "oauth_bearer_token_in_query": lambda told: otel_oauth.forbidden_practice(
        "bearer_token_in_query", client_id="shop", telemetry=told.telemetry
    ),
}
NO_RACE = {"oauth_code_reuse_detected"}


@pytest.mark.parametrize("name", EVENTS)
def test_each_event_happens_once(name: str) -> None:
    event = EVENTS[name]
    window = {"race_window": 0} if name in NO_RACE else {}
    with Capture(log_level="debug", event_rate=0, **window) as capture:
        SCENARIOS[name](Told(capture))
        capture.points()
        assert Agreement().disagreements(capture) == {}
        found = [one for one in capture.events() if one["event_name"] == name]
        own = {ATTRIBUTES[fact] for fact in (*COMMON, *event.facts)}
        general = {"event.name", v.EVENT_PRIORITY, v.EVENT_RUNBOOK, v.EVENT_DURATION, v.HTTP_STATUS_CODE}
        general |= {v.EVENT_TYPE, v.SEVERITY} if event.group in ("security", "benign") else set()
        general |= {v.EXCEPTION_TYPE, v.EXCEPTION_STACKTRACE}
        for one in found:
            assert one["attributes"].keys() <= own | general
            assert one["body"] == event.when
            assert (one["severity"], one["severity_number"]) == (event.level.upper(), SEVERITIES[event.level])
            assert one["attributes"][v.EVENT_PRIORITY] == event.priority
            assert one["attributes"][v.EVENT_RUNBOOK] == f"docs/runbook.md#{name}"
        assert len(found) == {"oauth_http_request": 4}.get(name, 1)


@pytest.mark.parametrize("kind", [kinds.ENDPOINT, kinds.CALLBACK, kinds.VERDICT], ids=lambda kind: kind.name)
def test_events_and_counters_agree_for_each_case(capture: Capture, kind: Any) -> None:
    facts = {"provider": "other", "verifier": True, "pending": True, "challenge_method": "S256", "http_status": "400"}
    for case in CASES.values():
        with capture.telemetry.operation(kind, {"method": "POST", "endpoint": "token", **facts}) as operation:
            operation.judge(case)
    verdicts = [event for event in capture.events() if EVENTS[event["event_name"]].group in ("security", "benign")]
    expected = [(case.event.name, case.name) for case in CASES.values() if case.event is not None]
    assert [(event["event_name"], event["attributes"]["oauth.case"]) for event in verdicts] == expected


def test_the_comparison_of_events_and_counters_can_fail() -> None:
    with Capture(events="oauth_flow_initiated=off,oauth_refresh_race=off") as capture:
        Told(capture).start()
        refresh_race(Told(capture))
        disagreements = Agreement().disagreements(capture)
    assert disagreements["oauth_flow_initiated"] == (1, 0)
    assert disagreements["token_reuse low"] == (1, 0)


def test_the_events_of_one_attack_can_be_joined(capture: Capture) -> None:
    token_reuse(Told(capture))
    family = {event["attributes"].get("oauth.token_family.digest") for event in capture.events("oauth_token_refreshed")}
    (code,) = {event["attributes"]["oauth.code.digest"] for event in capture.events("oauth_code_exchanged")}
    (attack,) = capture.events("oauth_refresh_token_reuse_detected")
    assert family == {code} == {attack["attributes"]["oauth.token_family.digest"]}
    assert re.fullmatch("[0-9a-f]{12}", code)


def test_a_clean_up_of_many_states_is_one_event_that_says_of_how_many(capture: Capture) -> None:
    for state in "abc":
        with otel_oauth.flow_started("example", telemetry=capture.telemetry) as flow:
            flow.state_stored(state, verifier=True, lifetime=-1)
    capture.points()
    (cleaned_up,) = capture.events("oauth_pkce_state_cleaned")
    assert cleaned_up["attributes"]["oauth.count"] == 3
    assert cleaned_up["attributes"]["oauth.pkce.cleaned.reason"] == "expired"
    (lost,) = capture.events("oauth_flow_abandoned")
    assert lost["attributes"]["oauth.flow.abandoned"] == 3


@pytest.mark.parametrize("name", FORBIDDEN)
def test_a_forbidden_practice_is_told_by_hand(capture: Capture, name: str) -> None:
    otel_oauth.forbidden_practice(name, client_id="shop", telemetry=capture.telemetry)
    (event,) = capture.events()
    assert (event["event_name"], event["attributes"]["oauth.client_id"]) == (f"oauth_{name}", "shop")
    assert capture.moved() == {}


def test_a_practice_that_is_not_forbidden_is_a_wrong_name(capture: Capture) -> None:
    with pytest.raises(ValueError, match="there are pkce_not_used, "):
        otel_oauth.forbidden_practice("client_credentials", telemetry=capture.telemetry)


@pytest.mark.parametrize(
    ("uri", "insecure"),
    [
        ("http://shop.example/cb", True),
        ("HTTP://shop.example:8080/cb", True),
        ("http://127.0.0.1.evil.example/cb", True),
        ("http://localhost@evil.example/cb", True),
        ("https://shop.example/cb", False),
        ("http://127.0.0.1:50000/cb", False),
        ("http://[::1]/cb", False),
        ("http://localhost/cb", False),
        ("com.example.app:/cb", False),
        ("", False),
    ],
)
def test_which_redirect_uri_is_insecure(capture: Capture, uri: str, *, insecure: bool) -> None:
    Told(capture).authorize(redirect_uri=uri)
    assert ("oauth_redirect_uri_insecure" in names(capture)) is insecure


def test_a_refused_password_grant_is_not_used(capture: Capture) -> None:
    with Told(capture).endpoint(grant_type="password") as request:
        request.answered(400, "unsupported_grant_type")
    assert names(capture) == ["oauth_http_request"]


def test_a_cancelled_login_is_no_event_of_a_flow(capture: Capture) -> None:
    Told(capture).start()
    with pytest.raises(asyncio.CancelledError):
        Told(capture).callback(asyncio.CancelledError())
    assert [name for name in names(capture) if "flow" in name] == ["oauth_flow_initiated"]
