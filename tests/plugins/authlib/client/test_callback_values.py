"""Label values of a callback that ordinary ones do not have: every status, and a store of states that fails."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import Any

import pytest
from authlib.integrations.base_client import OAuthError
from client_rows import STATE, callback_endpoint, callback_moved, flow, validated
from registries import MemoryCache

from otel_oauth.catalogue import HTTP_STATUSES

LOOKED_UP = {**STATE["get_state"], **STATE["clear_state"]}


def test_every_status_of_a_callback(party: Any, capture: Any) -> None:
    def page(code: int) -> Any:
        with contextlib.suppress(OAuthError):
            party.client.authorize_access_token()
        return "", code

    party.app.add_url_rule("/page/<int:code>", "page", page)
    expected: Counter[str] = Counter()
    for code in (*HTTP_STATUSES, "418"):
        assert party.get(f"/page/{code}", state="forged", code="c").status_code == int(code)
        status = code if code in HTTP_STATUSES else "other"
        expected.update({**validated("failure", "not_found"), **callback_moved("false"), **LOOKED_UP})
        expected.update(callback_endpoint(status))
    assert capture.moved() == expected


class FailingCache(MemoryCache):
    """A cache that is away for one of its operations."""

    failing = ""

    def _called(self, operation: str) -> None:
        if operation == self.failing:
            msg = "the cache is away"
            raise ConnectionError(msg)

    def get(self, key: str) -> Any:
        self._called("get_state")
        return super().get(key)

    def set(self, key: str, value: Any, expires: float | None = None) -> None:
        self._called("set_state")
        super().set(key, value, expires)

    def delete(self, key: str) -> None:
        self._called("clear_state")
        super().delete(key)


def _failed(operation: str) -> dict[str, float]:
    return {
        f"storage_operation_total{{operation={operation},result=error}}": 1,
        f"storage_operation_duration_milliseconds{{operation={operation}}}": 1,
    }


MOVED = {
    "set_state": {
        **_failed("set_state"),
        "oauth_flows_total{provider=idp,status=initiated}": 1,
        "oauth_pkce_states_created_total": 1,
    },
    "get_state": {**_failed("get_state"), **callback_moved("false"), **callback_endpoint("500")},
    "clear_state": {
        **STATE["get_state"],
        **_failed("clear_state"),
        **validated("success", "valid"),
        **flow("failure"),
        **callback_moved("false"),
        **callback_endpoint("500"),
    },
}


@pytest.mark.parametrize("operation", MOVED)
def test_a_store_that_fails(make_party: Any, capture: Any, operation: str) -> None:
    cache = FailingCache()
    party = make_party(cache=cache)
    party.client.load_server_metadata()
    back = {} if operation == "set_state" else party.consent()
    capture.mark()
    cache.failing = operation
    answer = party.get("/login") if operation == "set_state" else party.get("/callback", **back)
    assert answer.status_code == 500
    assert capture.moved() == MOVED[operation]
