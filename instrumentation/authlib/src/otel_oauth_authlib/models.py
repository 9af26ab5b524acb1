"""The gauges from the database: counts of SQLAlchemy models that are made with Authlib's mixins.

It needs the extra ``sqlalchemy`` and is imported by nothing else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from opentelemetry.instrumentation.utils import suppress_instrumentation
from sqlalchemy import and_, func, or_, select
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import AssertionPool, SingletonThreadPool, StaticPool

from otel_oauth import catalogue as c
from otel_oauth.telemetry import Telemetry, get_telemetry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection, Select

    from otel_oauth.catalogue import Metric

__all__ = ["ModelCounts", "count_models"]

_CODE_LIFETIME = 300.0
"""What ``OAuth2AuthorizationCodeMixin.is_expired`` says."""
_ONE_CONNECTION = (AssertionPool, SingletonThreadPool, StaticPool)
_NEEDS = {
    "client": ("client_id",),
    "token": ("issued_at", "expires_in", "refresh_token", "access_token_revoked_at", "refresh_token_revoked_at"),
    "code": ("auth_time", "code_challenge"),
}

Query = Callable[[int], "Select[Any]"]


class ModelCounts:
    """The gauges that are counted in a database now.

    :ivar metrics: their names.
    """

    def __init__(self, telemetry: Telemetry, metrics: Iterable[Metric]) -> None:
        self._telemetry = telemetry
        self._metrics = tuple(metrics)
        self.metrics = tuple(metric.name for metric in self._metrics)

    def close(self) -> None:
        """Give the gauges back to the ledger."""
        for metric in self._metrics:
            self._telemetry.count_with(metric, None)


def count_models(  # noqa: PLR0913 three models, and how each is to be counted
    source: Any,  # noqa: ANN401 engines and session factories, sync and async, have no type in common
    *,
    client: type[Any] | None = None,
    token: type[Any] | None = None,
    code: type[Any] | None = None,
    timeout: float = 1.0,
    longest_token: float | None = None,
    code_lifetime: float = _CODE_LIFETIME,
    telemetry: Telemetry | None = None,
) -> ModelCounts:
    """Take the gauges from the application's database, at each collection, in a thread of their own.

    ``client`` feeds ``storage_clients_count``; ``token`` ``oauth_active_tokens``, ``storage_tokens_count``,
    ``storage_refresh_tokens_count`` and ``storage_families_count``; ``code`` ``storage_flows_count`` and
    ``oauth_active_pkce_states``. At most one query runs for each of them, one after the other, on a connection that is
    opened for it with the engine's own arguments and is not one of the application's pool. Gauges of models that are
    not given stay with the ledger.

    An error of the database is never raised: its gauge is absent and ``otel_oauth_errors_total`` counts it.

    :param source: an ``Engine`` or ``AsyncEngine``, or a session factory (``sessionmaker`` or like it).
    :param client: the model made with ``OAuth2ClientMixin``; ``token`` with ``OAuth2TokenMixin``, ``code`` with
        ``OAuth2AuthorizationCodeMixin``.
    :param timeout: seconds that a collection waits; beyond it the last values stand for five minutes.
    :param longest_token: the longest that an access token lives, in seconds: then an index of ``issued_at`` serves.
    :param code_lifetime: seconds that a code lives.
    :param telemetry: by default that of the global providers.
    :raises ValueError: if no model is given, one lacks a column of its mixin, the engine has one connection for all
        (an SQLite database in memory), or ``timeout`` is not above 0 and at most 60.
    """
    models = {name: model for name, model in (("client", client), ("token", token), ("code", code)) if model}
    if not models:
        msg = "there is nothing to count: give one of client, token and code"
        raise ValueError(msg)
    telemetry = get_telemetry() if telemetry is None else telemetry
    queries: dict[Engine, dict[Query, tuple[Metric, ...]]] = {}
    for name, model in models.items():
        _check_model(name, model)
        found = queries.setdefault(_engine(source, model), {})
        if name == "client":
            found[_clients(model)] = (c.STORAGE_CLIENTS,)
        elif name == "code":
            found[_codes(model, code_lifetime)] = (c.STORAGE_FLOWS,)
            found[_challenges(model, code_lifetime)] = (c.ACTIVE_PKCE_STATES,)
        else:
            found[_access_tokens(model, longest_token)] = (c.ACTIVE_TOKENS, c.STORAGE_TOKENS)
            lifetime = telemetry.settings.refresh_token_lifetime
            found[_refresh_tokens(model, lifetime)] = (c.STORAGE_REFRESH_TOKENS, c.STORAGE_FAMILIES)

    def take() -> Iterator[tuple[Metric, int]]:
        for engine, each in queries.items():
            yield from _counted(engine, each)

    counted = [metric for each in queries.values() for metrics in each.values() for metric in metrics]
    telemetry.count_together(counted, take, timeout=timeout)
    return ModelCounts(telemetry, counted)


def _check_model(name: str, model: type[Any]) -> None:
    missing = [column for column in _NEEDS[name] if not hasattr(model, column)]
    if missing:
        msg = f"{name} must be a model made with Authlib's mixin; it lacks {', '.join(missing)}"
        raise ValueError(msg)


def _engine(source: Any, model: type[Any]) -> Engine:  # noqa: ANN401 see count_models
    engine = source
    if not isinstance(source, (Engine, AsyncEngine)):
        engine = source().get_bind(model)
    if isinstance(engine, AsyncEngine):
        engine = engine.sync_engine
    if not isinstance(engine, Engine):
        msg = "the sessions must be bound to an engine, not to one connection"
        raise ValueError(msg)  # noqa: TRY004 the factory has the right type, its sessions are not bound as needed
    if isinstance(engine.pool, _ONE_CONNECTION):
        msg = "this engine has one connection for all, as for an SQLite database in memory: nobody else may use it"
        raise ValueError(msg)  # noqa: TRY004 as above
    return engine


# What is counted. Times are whole seconds, as the mixins keep them, and `is_expired` of the mixins decides. -----------


def _clients(model: type[Any]) -> Query:
    return lambda _now: select(func.count()).select_from(model)


def _codes(model: type[Any], lifetime: float) -> Query:
    return lambda now: select(func.count()).select_from(model).where(model.auth_time >= now - int(lifetime))


def _challenges(model: type[Any], lifetime: float) -> Query:
    codes = _codes(model, lifetime)
    return lambda now: codes(now).where(func.coalesce(model.code_challenge, "") != "")


def _access_tokens(model: type[Any], longest: float | None) -> Query:
    # The sum stands by itself on one side, so that an index of the expression serves.
    unrevoked = and_(model.access_token_revoked_at == 0, model.refresh_token_revoked_at == 0)
    unending = model.expires_in == 0

    def query(now: int) -> Select[Any]:
        alive = select(func.count()).select_from(model).where(unrevoked)
        if longest is not None:
            alive = alive.where(model.issued_at >= now - int(longest))
        return alive.where(or_(unending, model.issued_at + model.expires_in >= now))

    return query


def _refresh_tokens(model: type[Any], lifetime: float) -> Query:
    # The mixin does not know how long a refresh token lives.
    held = and_(func.coalesce(model.refresh_token, "") != "", model.refresh_token_revoked_at == 0)
    return lambda now: select(func.count()).select_from(model).where(held, model.issued_at >= now - int(lifetime))


# How it is counted ----------------------------------------------------------------------------------------------------


def _counted(engine: Engine, queries: Mapping[Query, tuple[Metric, ...]]) -> Iterator[tuple[Metric, int]]:
    """Yield the counts of one database.

    The connection is not taken from the application's pool, which may need its last one, and which a fork may have
    copied. Statement listeners of the application's engine do not see it; those of its pool do, they may be what makes
    a connection usable (a search path).
    """
    own = Engine(
        engine.pool.recreate(),
        engine.dialect,
        engine.url,
        execution_options=engine.get_execution_options(),
        hide_parameters=True,
    )
    found: list[tuple[Metric, int]] = []
    failed: list[DBAPIError] = []

    def run(connection: Connection) -> None:
        now = int(time.time())
        for query, metrics in queries.items():
            answer = _asked(connection, query(now))
            if isinstance(answer, DBAPIError):
                failed.append(answer)
            else:
                found.extend((metric, answer) for metric in metrics)

    with suppress_instrumentation():
        _connected(own, run)
    yield from found
    if failed:
        raise failed[0]


def _asked(connection: Connection, query: Select[Any]) -> int | DBAPIError:
    try:
        return int(connection.scalar(query) or 0)
    except DBAPIError as error:
        connection.rollback()
        return error


def _connected(own: Engine, run: Callable[[Connection], None]) -> None:
    if own.dialect.is_async:
        asyncio.run(_connected_async(AsyncEngine(own), run))
        return
    try:
        with own.connect() as connection:
            run(connection)
    finally:
        own.dispose()


async def _connected_async(own: AsyncEngine, run: Callable[[Connection], None]) -> None:
    try:
        async with own.connect() as connection:
            await connection.run_sync(run)
    finally:
        await own.dispose()
