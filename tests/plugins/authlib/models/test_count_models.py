"""Gauges from a real database, with the models of an application that uses Authlib's mixins."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from authlib.integrations.sqla_oauth2 import OAuth2AuthorizationCodeMixin, OAuth2ClientMixin, OAuth2TokenMixin
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import context
from sqlalchemy import Column, Index, Integer, create_engine, event, insert, text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Session, scoped_session, sessionmaker
from sqlalchemy.pool import AssertionPool, NullPool, StaticPool

from otel_oauth.testing import Capture
from otel_oauth_authlib.models import count_models

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy.engine import Engine

NOW = 1_800_000_000
REFRESH_LIFETIME = 30 * 86400


class Base(DeclarativeBase):
    """The application's models."""


class Client(Base, OAuth2ClientMixin):
    __tablename__ = "client"
    id = Column(Integer, primary_key=True)


class Code(Base, OAuth2AuthorizationCodeMixin):
    __tablename__ = "code"
    id = Column(Integer, primary_key=True)


class Token(Base, OAuth2TokenMixin):
    __tablename__ = "token"
    id = Column(Integer, primary_key=True)


MODELS = {"client": Client, "token": Token, "code": Code}
TOKEN_GAUGES = ("oauth_active_tokens", "storage_tokens_count", "storage_refresh_tokens_count", "storage_families_count")
GAUGES = (*TOKEN_GAUGES, "storage_clients_count", "storage_flows_count", "oauth_active_pkce_states")


def token(number: int, **values: Any) -> dict[str, Any]:
    return {
        "access_token": f"access-{number}",
        "refresh_token": f"refresh-{number}",
        "issued_at": NOW,
        "expires_in": 3600,
        **values,
    }


def counted(capture: Capture) -> tuple[float | None, ...]:
    found = capture.gauges()
    return tuple(found.get(name) for name in GAUGES)


def errors(capture: Capture) -> float:
    points = (point for point in capture.points() if point["name"] == "otel_oauth_errors_total")
    return sum(point["value"] for point in points if point["attributes"]["component"] == "gauge")


@pytest.fixture
def capture(monkeypatch: pytest.MonkeyPatch) -> Iterator[Capture]:
    monkeypatch.setattr("time.time", lambda: float(NOW))
    with Capture() as found:
        yield found


@pytest.fixture
def tolerant(capture: Capture) -> Capture:
    """As in production: an error of a count is stopped."""
    capture.telemetry.guard.reraise = False
    return capture


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "shop.db"


@pytest.fixture
def engine(path: Path) -> Iterator[Engine]:
    made = create_engine(f"sqlite:///{path}", pool_size=1, max_overflow=0, pool_timeout=0.1)
    Base.metadata.create_all(made)
    rows = [
        token(1),
        token(2, expires_in=0),
        token(3, issued_at=NOW - 4000),
        token(4, issued_at=NOW - 3600),
        token(5, access_token_revoked_at=NOW),
        token(6, access_token_revoked_at=NOW, refresh_token_revoked_at=NOW),
        token(7, refresh_token=None),
        token(8, issued_at=NOW - REFRESH_LIFETIME - 1, expires_in=2 * REFRESH_LIFETIME),
    ]
    codes = [
        {"code": "a", "auth_time": NOW, "code_challenge": "x"},
        {"code": "b", "auth_time": NOW - 300, "code_challenge": ""},
        {"code": "c", "auth_time": NOW - 301, "code_challenge": "x"},
    ]
    with made.begin() as connection:
        for row in rows:
            connection.execute(insert(Token).values(row))
        connection.execute(insert(Code), codes)
        connection.execute(insert(Client), [{"client_id": "web"}, {"client_id": "app"}])
    yield made
    made.dispose()


RIGHT = (5, 5, 5, 5, 2, 2, 1)
"""Active access tokens: 1, 2, 4, 7, 8; live refresh tokens: 1 to 5."""


@pytest.mark.parametrize("kind", ["engine", "sessionmaker", "scoped_session", "async engine", "async_sessionmaker"])
def test_the_gauges_are_what_the_database_holds(capture: Capture, engine: Engine, path: Path, kind: str) -> None:
    if "async" in kind:
        pytest.importorskip("aiosqlite", reason="no asynchronous driver of SQLite is installed")
        source: Any = create_async_engine(f"sqlite+aiosqlite:///{path}")
        source = source if kind == "async engine" else async_sessionmaker(source)
    elif kind == "engine":
        source = engine
    else:
        source = sessionmaker(engine) if kind == "sessionmaker" else scoped_session(sessionmaker(engine))
    counts = count_models(source, **MODELS, timeout=20, telemetry=capture.telemetry)
    assert sorted(counts.metrics) == sorted(GAUGES)
    assert counted(capture) == RIGHT
    assert counted(capture) == RIGHT
    counts.close()
    assert counted(capture) == (0,) * len(GAUGES)


def test_each_metric_has_at_most_one_query_a_collection_and_none_on_the_applications_connections(
    capture: Capture, engine: Engine
) -> None:
    asked: list[str] = []
    seen: list[str] = []
    suppressed: list[Any] = []

    @event.listens_for(engine, "connect")
    def _(connection: sqlite3.Connection, _record: Any) -> None:
        connection.set_trace_callback(asked.append)
        suppressed.append(context.get_value("suppress_instrumentation"))

    event.listen(engine, "before_cursor_execute", lambda _c, _cursor, statement, *_: seen.append(statement))
    count_models(engine, **MODELS, timeout=20, telemetry=capture.telemetry)
    with engine.connect() as only_one:
        only_one.execute(text("SELECT 1"))
        asked.clear()
        assert counted(capture) == RIGHT, "although the application's pool has no connection left"
        tables = [statement.split("FROM ")[1].split()[0] for statement in asked if statement.startswith("SELECT")]
        assert sorted(tables) == ["client", "code", "code", "token", "token"]
        assert [statement for statement in asked if not statement.startswith("SELECT")] in ([], ["ROLLBACK"])
    assert seen == ["SELECT 1"]
    assert suppressed[-1] is True, "an instrumentation of SQLAlchemy makes no spans of it"
    assert engine.pool.checkedout() == 0


def test_a_database_that_hangs_costs_the_timeout_and_gives_the_last_values(
    tolerant: Capture, engine: Engine, path: Path
) -> None:
    count_models(engine, **MODELS, timeout=0.3, telemetry=tolerant.telemetry)
    deadline = time.monotonic() + 10  # the first connection is slow where other tests run beside this one
    while counted(tolerant) != RIGHT:
        assert time.monotonic() < deadline
    before = errors(tolerant)
    with locked(path):
        began = time.monotonic()
        assert counted(tolerant) == RIGHT
        assert time.monotonic() - began < 2
        assert errors(tolerant) > before
    deadline = time.monotonic() + 10
    while "otel-oauth-counts" in {thread.name for thread in threading.enumerate()}:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with engine.begin() as connection:
        connection.execute(insert(Client), [{"client_id": "new"}])
    assert tolerant.gauges()["storage_clients_count"] == 3


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the database, so that whoever reads it waits (five seconds, then fails)."""
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    yield
    holder.execute("ROLLBACK")
    holder.close()


def test_an_error_costs_its_own_gauges_is_counted_and_told_without_its_text(
    tolerant: Capture, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    count_models(engine, **MODELS, timeout=20, telemetry=tolerant.telemetry)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE client"))
    assert counted(tolerant) == (*RIGHT[:4], None, *RIGHT[5:])
    assert errors(tolerant) >= 1
    assert caplog.text.count("OperationalError") == 1
    assert "client" not in caplog.text.replace("otel_oauth", "")
    with engine.begin() as connection:
        Base.metadata.create_all(connection)
    assert counted(tolerant) == (*RIGHT[:4], 0, *RIGHT[5:])


def test_a_database_that_is_away_leaves_the_gauges_out_until_it_is_back(
    tolerant: Capture, engine: Engine, path: Path
) -> None:
    away = path.with_suffix(".away")
    count_models(engine, **MODELS, timeout=20, telemetry=tolerant.telemetry)
    engine.dispose()
    path.rename(away)
    path.mkdir()
    assert counted(tolerant) == (None,) * len(GAUGES)
    path.rmdir()
    away.rename(path)
    assert counted(tolerant) == RIGHT


def test_models_that_are_not_given_stay_with_the_ledger(capture: Capture, engine: Engine) -> None:
    capture.telemetry.ledger.know_client("web")
    count_models(engine, token=Token, timeout=20, telemetry=capture.telemetry)
    assert counted(capture) == (*RIGHT[:4], 1, 0, 0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: create_engine("sqlite://"), "one connection for all"),
        (lambda: create_engine("sqlite://", poolclass=StaticPool), "one connection for all"),
        (lambda: create_engine("sqlite://", poolclass=AssertionPool), "one connection for all"),
        (lambda: lambda: Session(create_engine("sqlite:///:memory:", poolclass=NullPool).connect()), "to an engine"),
    ],
)
def test_an_engine_that_shares_its_connection_is_refused(
    capture: Capture, make: Callable[[], Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        count_models(make(), client=Client, telemetry=capture.telemetry)


def test_what_is_no_model_is_refused(capture: Capture, engine: Engine) -> None:
    with pytest.raises(ValueError, match=r"token must be a model made with Authlib's mixin; it lacks issued_at, "):
        count_models(engine, token=Client, telemetry=capture.telemetry)
    with pytest.raises(ValueError, match="give one of client, token and code"):
        count_models(engine, telemetry=capture.telemetry)
    with pytest.raises(ValueError, match="timeout must be above 0"):
        count_models(engine, client=Client, timeout=0, telemetry=capture.telemetry)
    assert counted(capture) == (0,) * len(GAUGES)


INDEXES = (
    Index("token_ends", Token.issued_at + Token.expires_in),
    Index("token_unending", Token.expires_in),
    Index("token_issued", Token.issued_at),
    Index("code_issued", Code.auth_time),
)


@pytest.mark.parametrize(
    ("indexes", "longest"), [(INDEXES, None), (INDEXES[2:], 86400)], ids=["expression", "longest_token"]
)
def test_the_documented_indexes_are_used(
    capture: Capture, engine: Engine, indexes: tuple[Index, ...], longest: int | None
) -> None:
    asked: list[str] = []
    Base.metadata.drop_all(engine)  # with the indexes, which were made with the tables
    for table in Base.metadata.sorted_tables:
        for index in [each for each in table.indexes if each in INDEXES and each not in indexes]:
            table.indexes.discard(index)
    Base.metadata.create_all(engine)
    for index in INDEXES:
        index.table.indexes.add(index)

    @event.listens_for(engine, "connect")
    def _(connection: sqlite3.Connection, _record: Any) -> None:
        connection.set_trace_callback(asked.append)

    count_models(engine, **MODELS, timeout=20, longest_token=longest, telemetry=capture.telemetry)
    assert counted(capture) == (0,) * len(GAUGES)
    queries = [statement for statement in asked if statement.startswith("SELECT") and "FROM client" not in statement]
    assert len(queries) == 4
    plans = []
    with engine.connect() as connection:
        for query in queries:
            plan = connection.execute(text(f"EXPLAIN QUERY PLAN {query}".replace(":", r"\:")))
            plans.append(" ".join(str(row[-1]) for row in plan))
    assert [plan for plan in plans if "SCAN" in plan or "USING" not in plan] == []


@settings(max_examples=6, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(NOW - 100, NOW + 10),
            st.sampled_from([0, 1, 50, 99, 100, 101]),
            st.sampled_from([0, NOW - 5]),
            st.sampled_from([0, NOW - 5]),
            st.sampled_from([None, "", "refresh"]),
        ),
        max_size=8,
    )
)
def test_a_count_is_what_the_mixins_say_of_each_row(shared: tuple[Capture, Engine], rows: list[Any]) -> None:
    capture, engine = shared
    with Session(engine) as session:
        session.query(Token).delete()
        for number, (issued, lasts, revoked, refresh_revoked, refresh) in enumerate(rows):
            values = {"issued_at": issued, "expires_in": lasts, "refresh_token": refresh and f"{refresh}-{number}"}
            revocations = {"access_token_revoked_at": revoked, "refresh_token_revoked_at": refresh_revoked}
            session.add(Token(**token(number, **values, **revocations)))
        session.commit()
        tokens = session.query(Token).all()
        active = sum(not each.is_expired() and not each.is_revoked() for each in tokens)
        live = sum(bool(each.refresh_token) and not each.refresh_token_revoked_at for each in tokens)
    assert counted(capture)[:4] == (active, active, live, live)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Capture, Engine]]:
    engine = create_engine(f"sqlite:///{tmp_path_factory.mktemp('shared')}/shop.db")
    Base.metadata.create_all(engine)
    with pytest.MonkeyPatch.context() as patch, Capture() as capture:
        patch.setattr("time.time", lambda: float(NOW))
        count_models(engine, token=Token, timeout=20, telemetry=capture.telemetry)
        yield capture, engine
    engine.dispose()


@pytest.mark.slow
def test_a_hundred_thousand_tokens(capture: Capture, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM token"))
        columns = (
            "access_token, refresh_token, issued_at, expires_in, access_token_revoked_at, refresh_token_revoked_at"
        )
        numbers = "WITH RECURSIVE series(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM series WHERE n < 99999)"
        values = f"SELECT 'a' || n, 'r' || n, {NOW} - n % 7200, 3600, 0, 0 FROM series"  # noqa: S608 made here
        connection.execute(text(f"INSERT INTO token ({columns}) {numbers} {values}"))
    count_models(engine, token=Token, timeout=20, telemetry=capture.telemetry)
    alive = sum(number % 7200 <= 3600 for number in range(100_000))
    assert counted(capture)[:4] == (alive, alive, 100_000, 100_000)


def test_parent_and_child_of_a_fork_both_count(capture: Capture, engine: Engine) -> None:
    count_models(engine, **MODELS, timeout=20, telemetry=capture.telemetry)
    assert counted(capture) == RIGHT
    child = os.fork()
    if child == 0:
        os._exit(0 if counted(capture) == RIGHT else 1)
    assert counted(capture) == RIGHT
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
