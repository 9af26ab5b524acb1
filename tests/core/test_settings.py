"""Settings: a bad variable gives one clear line and the default, a bad argument raises, an unknown name is reported."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_oauth import environment_variables as env
from otel_oauth.settings import Settings, service_key

DEFAULTS = {
    "ledger": "auto",
    "ledger_size": 100_000,
    "ledger_timeout": 0.05,
    "race_window": 30.0,
    "refresh_token_lifetime": 30 * 86400.0,
    "client_id_cap": 100,
    "provider_cap": 50,
    "providers": {},
    "buckets": {},
    "storage_spans": False,
    "log_level": "info",
    "events": {},
    "event_sampling": 1.0,
    "event_rate": 600,
    "source_address": "truncated",
    "user_agent": False,
    "full_client_id": False,
    "runbook": "docs/runbook.md",
    "ocsf": False,
    "log_json": "",
    "log_json_size": 50_000_000,
    "redaction": "on",
    "redaction_keys": (),
    "redaction_patterns": (),
    "disabled": False,
}
HISTOGRAM = "oauth_flow_duration_seconds"
GOOD = [
    ("ledger", "memory", "memory"),
    ("ledger", " host ", "host"),
    ("ledger", "host:/var/lib/app/ledger", "host:/var/lib/app/ledger"),
    ("ledger", "redis://cache.example", "redis://cache.example"),
    ("ledger", "rediss://me:p%40ss@[::1]:6380/3?ssl_ca_certs=/ca", "rediss://me:p%40ss@[::1]:6380/3?ssl_ca_certs=/ca"),
    ("ledger_size", "100", 100),
    ("ledger_timeout", "0.2", 0.2),
    ("race_window", "0", 0.0),
    ("race_window", "60", 60.0),
    ("race_window", "2.5", 2.5),
    ("refresh_token_lifetime", "86400", 86400.0),
    ("client_id_cap", "0", 0),
    ("provider_cap", "1", 1),
    (
        "providers",
        "IdP.example=mine, other.example:8443=theirs,",
        {"idp.example": "mine", "other.example:8443": "theirs"},
    ),
    ("buckets", f"{HISTOGRAM}=1/2.5/10", {HISTOGRAM: (1.0, 2.5, 10.0)}),
    ("storage_spans", "TRUE", True),
    ("storage_spans", "0", False),
    ("log_level", " WARN ", "warn"),
    ("log_level", "off", "off"),
    (
        "events",
        "oauth_http_request=on, oauth_refresh_race=WARN",
        {"oauth_http_request": "on", "oauth_refresh_race": "warn"},
    ),
    ("event_sampling", "0.25", 0.25),
    ("event_rate", "0", 0),
    ("source_address", "none", "none"),
    ("user_agent", "true", True),
    ("full_client_id", "true", True),
    ("runbook", "https://wiki.example/oauth", "https://wiki.example/oauth"),
    ("ocsf", "true", True),
    ("log_json", "stderr", "stderr"),
    ("log_json", "/var/log/app/oauth-{pid}.jsonl", "/var/log/app/oauth-{pid}.jsonl"),
    ("log_json_size", "10000", 10_000),
    ("redaction", "Dry-Run", "dry-run"),
    ("redaction_keys", "x_vault_id, ticketNumber,", ("x_vault_id", "ticketNumber")),
    ("redaction_patterns", "ghp_*,xoxb-*", ("ghp_*", "xoxb-*")),
    ("disabled", "1", True),
]
BAD = [
    ("ledger", "redis", "must be auto, memory, host, host: followed by an absolute directory, or a redis:// or"),
    ("ledger", "redis://", "must be auto"),
    ("ledger", "redis://h:port", "must be auto"),
    ("ledger", "redis://h/name", "must be auto"),
    ("ledger", "redis://h?socket_timeout=60", "must be auto"),
    ("ledger", "redis://h?ssl_ca_certs=/ca&decode_responses=1", "must be auto"),
    ("ledger", "http://h", "must be auto"),
    ("ledger_timeout", "0", "must be a number from 0.001 to 5"),
    ("ledger", "host:relative", "must be auto"),
    ("ledger", "host:", "must be auto"),
    ("ledger_size", "99", "must be a whole number from 100 to 10000000"),
    ("ledger_size", "1e3", "must be a whole number"),
    ("ledger_size", "-100", "must be a whole number"),
    ("race_window", "61", "must be a number from 0 to 60"),
    ("race_window", "-1", "must be a number from 0 to 60"),
    ("race_window", "nan", "must be a number from 0 to 60"),
    ("race_window", "soon", "must be a number from 0 to 60"),
    ("refresh_token_lifetime", "inf", "must be a number from 1 to"),
    ("client_id_cap", "10001", "must be a whole number from 0 to 10000"),
    ("provider_cap", "0", "must be a whole number from 1 to 1000"),
    ("providers", "idp.example", "must be a list of NAME=VALUE separated by commas"),
    ("providers", "=mine", "must be a list of NAME=VALUE separated by commas"),
    ("providers", "https://idp.example=mine", "must be a list of HOST=NAME"),
    ("providers", "idp.example=a b", "must be a list of HOST=NAME"),
    ("buckets", "oauth_flows_total=1/2", "'oauth_flows_total' is not one of the documented histograms"),
    ("buckets", "no_such_metric=1/2", "is not one of the documented histograms"),
    ("buckets", f"{HISTOGRAM}=2/1", f"the boundaries of {HISTOGRAM} must be increasing numbers"),
    ("buckets", f"{HISTOGRAM}=1/1", "must be increasing numbers"),
    ("buckets", f"{HISTOGRAM}=1/inf", "must be increasing numbers"),
    ("buckets", f"{HISTOGRAM}=nan", "must be increasing numbers"),
    ("buckets", f"{HISTOGRAM}=a/b", "must be increasing numbers"),
    ("storage_spans", "yes", "must be true or false"),
    ("log_level", "warning", "must be one of debug, info, warn, error, off"),
    ("events", "oauth_flow_initiated", "must be a list of NAME=VALUE"),
    ("events", "oauth_unheard_of=on", "'oauth_unheard_of' is not one of the documented events"),
    ("events", "oauth_refresh_race=never", "must be on, off, debug, info, warn, error"),
    ("event_sampling", "1.1", "must be a number from 0 to 1"),
    ("event_rate", "-1", "must be a whole number"),
    ("source_address", "hashed", "must be one of truncated, whole, none"),
    ("runbook", "https://wiki.example/o auth", "must be a link without spaces"),
    ("log_json", "events.jsonl", "must be stdout, stderr or the absolute path of a file"),
    ("log_json_size", "100", "must be a whole number from 10000"),
    ("redaction", "maybe", "must be one of on, off, strict, dry-run"),
    ("redaction_keys", "a b", "must be a list of names separated by commas"),
    ("redaction_patterns", "ghp_", "must be a list of beginnings of secrets"),
    ("redaction_patterns", "(a+)+*", "must be a list of beginnings of secrets"),
    ("disabled", "2", "must be true or false"),
]


def variable(name: str) -> Any:
    return getattr(env, f"OTEL_OAUTH_{name.upper()}")


def ids(case: str) -> Any:
    return f"{case[0]}={case[1]}"


def test_the_defaults_and_the_variables_are_all_of_them(caplog: pytest.LogCaptureFixture) -> None:
    assert vars(Settings.from_environment({})) == DEFAULTS
    assert {value for name, value in vars(env).items() if name.startswith("OTEL_")} == {
        variable(name) for name in DEFAULTS
    }
    assert caplog.records == []


@pytest.mark.parametrize("case", GOOD, ids=ids)
def test_a_good_value_is_taken_from_the_variable_and_from_the_argument(
    case: str, caplog: pytest.LogCaptureFixture
) -> None:
    name, text, value = case
    from_variable = Settings.from_environment({variable(name): text})
    assert vars(from_variable) == {**DEFAULTS, name: value}
    assert vars(Settings.from_environment({}, **{name: text})) == vars(from_variable)
    assert vars(Settings.from_environment({}, **{name: value})) == vars(from_variable)
    assert caplog.records == []


@pytest.mark.parametrize("case", BAD, ids=ids)
def test_a_bad_variable_gives_one_clear_line_and_the_default(case: str, caplog: pytest.LogCaptureFixture) -> None:
    name, text, message = case
    for _ in range(2):
        assert vars(Settings.from_environment({variable(name): text})) == DEFAULTS
    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"otel-oauth: {variable(name)} ")
    assert message in line
    assert line.endswith("; the default is used")
    assert "\n" not in line


@pytest.mark.parametrize("case", BAD, ids=ids)
def test_a_bad_argument_raises(case: str, caplog: pytest.LogCaptureFixture) -> None:
    name, text, message = case
    with pytest.raises(ValueError, match="^" + name) as raised:
        Settings.from_environment({}, **{name: text})
    assert message in str(raised.value)
    assert caplog.records == []


@pytest.mark.parametrize("address", ["redis://somebody:canary@h:1/2?ssl_password=canary", "rediss://:canary/a@r:1"])
def test_the_password_of_a_ledgers_address_is_never_shown(address: str, caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings.from_environment({env.OTEL_OAUTH_LEDGER: address})
    shown = [repr(settings), str(settings.ledger), f"{settings.ledger:>40}", "%s" % settings.ledger, caplog.text]  # noqa: UP031 a way to show it
    assert [text for text in shown if "canary" in text or "somebody" in text] == []
    if not caplog.records:
        assert shown[1] == "redis://h:1/2"
        assert settings.ledger == address
        assert Settings.from_environment({}, ledger=settings.ledger) == settings


def test_an_unknown_argument_raises_and_names_what_there_is() -> None:
    with pytest.raises(
        ValueError, match=r"there is no setting 'race_windw'; there are buckets, client_id_cap, .*race_window"
    ):
        Settings.from_environment({}, race_windw=3)


def test_an_unknown_variable_is_reported_once_and_ignored(caplog: pytest.LogCaptureFixture) -> None:
    environ = {"OTEL_OAUTH_RACE_WINDW": "3", "OTEL_SERVICE_NAME": "x", "OTEL_OAUTH_RAISE_INTERNAL_ERRORS": "1"}
    for _ in range(2):
        assert vars(Settings.from_environment(environ)) == DEFAULTS
    assert [record.getMessage() for record in caplog.records] == [
        "otel-oauth: OTEL_OAUTH_RACE_WINDW is not a variable of this version, it is ignored"
    ]


def test_an_argument_goes_before_its_variable_even_if_that_is_bad(caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings.from_environment({"OTEL_OAUTH_RACE_WINDOW": "bad"}, race_window=5)
    assert settings.race_window == 5.0
    assert caplog.records == []


def test_an_empty_variable_is_no_value(caplog: pytest.LogCaptureFixture) -> None:
    assert vars(Settings.from_environment({variable(name): " " for name in DEFAULTS})) == DEFAULTS
    assert caplog.records == []


def test_the_environment_of_the_process_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_OAUTH_RACE_WINDOW", "7")
    assert Settings.from_environment().race_window == 7.0


@given(
    st.dictionaries(st.sampled_from(sorted(DEFAULTS)), st.text(st.characters(exclude_categories=["Cs"])), max_size=4)
)
def test_whatever_the_variables_hold_there_are_settings(texts: Any) -> None:
    settings = Settings.from_environment({variable(name): text for name, text in texts.items()})
    for name, value in vars(settings).items():
        assert type(value) is type(DEFAULTS[name])
        if name not in texts:
            assert value == DEFAULTS[name]
    assert 0 <= settings.race_window <= 60
    assert 0 <= settings.client_id_cap <= 10_000


def test_a_service_is_known_by_its_name_in_either_variable_else_by_its_program(monkeypatch: pytest.MonkeyPatch) -> None:
    named = service_key({"OTEL_SERVICE_NAME": "shop"})
    assert named == service_key({"OTEL_RESOURCE_ATTRIBUTES": "host.name=a, service.name=shop,x=y"})
    assert named == service_key({"OTEL_SERVICE_NAME": "shop", "OTEL_RESOURCE_ATTRIBUTES": "service.name=other"})
    assert named != service_key({"OTEL_SERVICE_NAME": "../../etc"})
    assert service_key({"OTEL_SERVICE_NAME": "../../etc"}).isalnum()
    monkeypatch.setattr("sys.argv", ["/srv/app.py"])
    program = service_key({})
    monkeypatch.setattr("sys.argv", ["/srv/other.py"])
    assert program != service_key({})
    monkeypatch.setattr("sys.argv", [])
    assert service_key({})


def test_settings_are_compared_and_shown_by_their_values_and_never_changed() -> None:
    settings = Settings(race_window=2.0)
    assert settings == Settings(race_window=2.0)
    assert settings != Settings()
    assert settings != DEFAULTS
    assert repr(settings).startswith("Settings(ledger='auto', ")
    assert "race_window=2.0" in repr(settings)
    with pytest.raises(AttributeError, match="race_window cannot be set"):
        settings.race_window = 3.0
    assert settings.race_window == 2.0
    with pytest.raises(TypeError, match="unexpected keyword argument 'race_windw'"):
        Settings(race_windw=2.0)
    assert Settings().providers is not Settings().providers
