"""The ledger in Redis: between hosts, without a secret, and what happens while Redis is away, slow, full or emptied."""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from pages import page
from redis_server import BINARY, MISSING, PASSWORD, RedisServer, free_port

from otel_oauth import judge
from otel_oauth.ledger import Kind, Ledger, Status, StoreAwayError, StoreError, store_at
from otel_oauth.ledger import _fallback as fallback_module
from otel_oauth.ledger._connections import Connections
from otel_oauth.ledger._redis import RedisStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

WAIT = 0.05


@pytest.fixture
def host(redis_server: RedisServer, tmp_path: Path) -> Iterator[Callable[..., Ledger]]:
    """Make the ledger of one host; all of a test are of one service."""
    made: list[Ledger] = []

    def make(size: int = 1000, wait: float = 5.0) -> Ledger:
        made.append(Ledger(RedisStore(redis_server.address, str(tmp_path), size=size, wait=wait)))
        made[-1].count(Kind.CLIENT)
        return made[-1]

    yield make
    for ledger in made:
        ledger.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of the test's own, to be stopped."""
    if BINARY is None:
        pytest.skip(MISSING)
    server = RedisServer(tmp_path)
    yield server
    server.resume()
    server.stop()


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a store that is away be asked again at once."""
    monkeypatch.setattr(fallback_module, "_FIRST_PAUSE_SECONDS", 0.0)


# Between hosts --------------------------------------------------------------------------------------------------------


def code_case(ledger: Ledger, code: str, client: str = "client") -> Any:
    case = judge.code(ledger, judge.CodePresented(ledger.sight_code(code), client, authenticated=True), 30)
    return case and case.name


def refresh_case(ledger: Ledger, token: str) -> str:
    sighting = ledger.sight_refresh(token)
    presented = judge.RefreshPresented(sighting, "client", found=False, status=400, error="invalid_grant")
    return judge.refresh(ledger, presented, 30).name


def test_a_replay_that_reaches_another_host_is_found_each_time(host: Callable[..., Ledger]) -> None:
    first, second = host(), host()
    verdicts = []
    for number in range(50):
        code, old, new = f"c{number}", f"r{number}", f"s{number}"
        first.issue_code(code, "client", method="S256")
        second.granted("client", f"a{number}", refresh_token=old, code=second.sight_code(code))
        first.granted("client", f"b{number}", refresh_token=new, parent=first.sight_refresh(old), rotated=True)
        second.presented(second.sight_refresh(new))
        verdicts.append((code_case(first, code), code_case(second, code, "thief"), refresh_case(second, old)))
    assert set(verdicts) == {("code_double_submit", "code_replayed_by_other_client", "refresh_reused")}
    assert code_case(second, "forged") == "code_unknown"
    for ledger in (first, second):
        assert ledger.shared == 2
        assert [ledger.count(kind) for kind in (Kind.PKCE, Kind.FLOW, Kind.ACCESS)] == [0, 0, 100]


def test_of_concurrent_changes_exactly_one_is_the_first(host: Callable[..., Ledger]) -> None:
    hosts = [host() for _ in range(4)]
    with ThreadPoolExecutor(8) as pool:

        def at_once(verb: Callable[[Ledger], Any]) -> list[Any]:
            start = threading.Barrier(8)

            def work(index: int) -> Any:
                start.wait()
                return verb(hosts[index % 4])

            return list(pool.map(work, range(8)))

        for number in range(10):
            value = f"v{number}"
            hosts[0].issue_state(value, verifier=True)
            hosts[1].granted("client", value)
            assert at_once(lambda ledger: ledger.consume_state(value, "code")).count(True) == 1  # noqa: B023 called here
            assert at_once(lambda ledger: ledger.first(value, 60)).count(True) == 1  # noqa: B023 as above
            assert at_once(lambda ledger: ledger.revoke(value)).count("access_token") == 1  # noqa: B023 as above


def test_concurrent_rotations_are_one_generation_and_no_write_is_lost(host: Callable[..., Ledger]) -> None:
    first, second = host(), host()
    first.granted("client", "a0", refresh_token="r0")
    parents = [ledger.sight_refresh("r0") for ledger in (first, second)]

    def rotate(index: int) -> None:
        ledger = (first, second)[index % 2]
        ledger.granted("client", f"b{index}", refresh_token=f"n{index}", parent=parents[index % 2], rotated=True)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(rotate, range(16)))
    found = [first.sight_refresh(f"n{index}").entry for index in range(16)]
    assert {entry.generation for entry in found if entry is not None} == {1}
    assert first.look_again(first.sight_refresh("r0")).entry.status == Status.ROTATED
    assert [first.count(kind) for kind in (Kind.LIVE_REFRESH, Kind.ACCESS, Kind.FAMILY_MEMORY)] == [16, 17, 1]


def test_of_two_hosts_one_counts_an_expired_state_and_one_tells_of_the_login(
    host: Callable[..., Ledger], clock: Any
) -> None:
    first, second = host(), host()
    for number in range(3):
        first.issue_state(f"state{number}", verifier=True, lifetime=10)
    clock.pass_(11)
    assert [second.purge(), first.purge()] == [3, 0]
    assert [len(second.abandoned()), len(first.abandoned())] == [3, 0]


def test_services_that_use_one_redis_do_not_meet(redis_server: RedisServer, tmp_path: Path) -> None:
    one, two = (Ledger(RedisStore(redis_server.address, f"{tmp_path}{name}", wait=5)) for name in ("one", "two"))
    for ledger in (one, two):
        ledger.count(Kind.CLIENT)
    one.issue_code("code", "client")
    assert two.sight_code("code").entry is None
    assert one.digest(b"code", "code") != two.digest(b"code", "code")
    one.close()
    two.close()


def test_a_process_that_knows_nothing_changes_what_others_wrote(host: Callable[..., Ledger]) -> None:
    """What a change reads is guessed first; a wrong guess must not be acted on."""
    first, second = host(), host()
    first.issue_code("code", "client", method="S256")
    assert second.discard_code("code") is True
    first.granted("client", "access", refresh_token="refresh")
    assert second.owner_differs("refresh", "thief") is True
    assert second.revoke("refresh") == "refresh_token"
    assert first.revoke("refresh") is None
    assert [first.count(kind) for kind in Kind if kind not in (Kind.CODE, Kind.REFRESH, Kind.FAMILY_MEMORY)] == [0] * 8


# What is kept ---------------------------------------------------------------------------------------------------------


def test_no_raw_value_is_in_redis_and_all_of_it_expires(server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    ledger = Ledger(RedisStore(server.address, "service", wait=5))
    ledger.count(Kind.CLIENT)
    s = {name: f"raw-{name}-value-4711" for name in ("code", "client", "access", "refresh", "state", "host", "new")}
    ledger.know_client(s["client"])
    ledger.issue_code(s["code"], s["client"], method="S256", redirect_host=s["host"])
    ledger.granted(s["client"], s["access"], refresh_token=s["refresh"], code=ledger.sight_code(s["code"]))
    ledger.granted(
        s["client"], s["new"], refresh_token=s["new"], parent=ledger.sight_refresh(s["refresh"]), rotated=True
    )
    ledger.issue_state(s["state"], verifier=True)
    ledger.first(s["client"] + s["state"], 60)
    content = server.dump()
    assert b"otel-oauth:2:{service}:code:" + ledger.digest(b"code", s["code"]).hex().encode() in content
    assert [name for name, secret in s.items() if secret.encode() in content or secret[:9].encode() in content] == []
    names = list(server.client.scan_iter())
    assert len(names) > 12
    assert [name for name in names if server.client.pttl(name) <= 0] == []
    ledger.close()
    shown = repr(ledger._store.current) + repr(vars(ledger._store.current)["_connections"])
    assert PASSWORD not in shown + caplog.text


def test_the_index_does_not_go_before_its_longest_record(host: Callable[..., Ledger], redis_server: Any) -> None:
    ledger = host()
    ledger.granted("client", "long", expires_in=90_000)
    ledger.granted("client", "short", expires_in=10)
    prefix = ledger._store.current._prefix
    assert redis_server.client.pttl(prefix + b"expiry:access") > 90_000_000


def test_many_that_expire_are_purged_in_parts(host: Callable[..., Ledger], clock: Any) -> None:
    ledger = host(size=2000)
    for number in range(600):
        ledger.first(f"a{number}", 10)
    ledger.issue_state("state", verifier=True, lifetime=10)
    clock.pass_(11)
    assert ledger.purge() == 1
    assert {partition: count for partition, count in ledger.entries().items() if count} == {"state": 1}


def test_the_user_of_the_documentation_may_do_what_is_needed(server: RedisServer, clock: Any) -> None:
    [line] = re.findall(r"^ACL SETUSER .*$", page("docs/deployment.md"), re.MULTILINE)
    server.client.execute_command(*line.split())
    ledger = Ledger(RedisStore(f"redis://otel-oauth:PASSWORD@127.0.0.1:{server.port}", "service", size=100, wait=5))
    for number in range(110):
        ledger.issue_state(f"state{number}", verifier=True, lifetime=10)
    assert ledger.consume_state("state109") is True
    clock.pass_(11)
    assert ledger.purge() == 99
    assert (ledger.shared, ledger.count(Kind.STATE)) == (2, 100)
    ledger.close()


# Away, and back -------------------------------------------------------------------------------------------------------


def away(ledger: Ledger, caplog: pytest.LogCaptureFixture, *reasons: str) -> None:
    assert ledger.shared == 0
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        f"otel-oauth: the ledger in Redis {reason}; until it is back this process remembers codes, tokens and states "
        "only for itself"
        for reason in reasons
    ]


@pytest.mark.usefixtures("soon")
def test_a_redis_that_hangs_costs_one_bounded_wait_and_what_happened_meanwhile_is_known_afterwards(
    server: RedisServer, record: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    recording = record(ledger=server.address, ledger_timeout=WAIT)
    ledger = recording.telemetry.ledger
    assert recording.values("otel_oauth_ledger_shared") == {(): 2}
    ledger.issue_code("before", "client")
    ledger.granted("client", "access0", refresh_token="refresh0")
    ledger.granted("client", "access1", refresh_token="refresh1", parent=ledger.sight_refresh("refresh0"), rotated=True)
    server.pause()
    begin = time.monotonic()
    ledger.granted("client", "access", code=ledger.sight_code("before"))
    ledger.granted("client", "access2", refresh_token="refresh2", parent=ledger.sight_refresh("refresh1"), rotated=True)
    ledger.issue_code("meanwhile", "client")
    waited = time.monotonic() - begin
    assert WAIT * 0.9 < waited < 20 * WAIT  # one wait, on a machine that does much else
    begin = time.monotonic()
    for number in range(100):
        ledger.issue_state(f"state{number}", verifier=True)
    assert time.monotonic() - begin < 20 * WAIT  # a hundred waits would be five seconds
    assert ledger.sight_code("meanwhile").entry is not None
    away(ledger, caplog, "cannot be used (TimeoutError)")
    errors = recording.values("otel_oauth_errors_total")
    assert {key: value for key, value in errors.items() if value} == {("ledger",): 1}
    server.resume()
    until_back(ledger)
    assert caplog.records[-1].getMessage().startswith("otel-oauth: the ledger is back, ")
    other = Ledger(RedisStore(server.address, ledger._store.current._prefix.decode()[14:-2], wait=5))
    assert other.count(Kind.STATE) == 100
    assert code_case(other, "meanwhile", "thief") == "code_of_other_client"
    assert other.sight_code("before").entry.status == Status.REDEEMED
    tokens = [other.sight_refresh(f"refresh{number}") for number in range(3)]
    assert [token.entry.status for token in tokens] == [Status.ROTATED, Status.ROTATED, Status.ISSUED]
    assert [token.entry.generation for token in tokens] == [0, 1, 2]
    assert {token.grant for token in tokens} == {tokens[0].digest}
    assert other.count(Kind.LIVE_REFRESH) == 1
    assert recording.values("otel_oauth_ledger_shared") == {(): 2}
    other.close()


def until_back(ledger: Ledger) -> None:
    deadline = time.monotonic() + 20
    while ledger.shared != 2:
        assert time.monotonic() < deadline, "it did not come back"
        ledger.recover()
        time.sleep(0.01)


@pytest.mark.usefixtures("soon")
def test_a_redis_that_is_not_there_at_the_start_is_found_when_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, record: Callable[..., Any]
) -> None:
    if BINARY is None:
        pytest.skip(MISSING)
    port = free_port()
    recording = record(ledger=f"redis://:{PASSWORD}@127.0.0.1:{port}", ledger_timeout=1.0)
    ledger = recording.telemetry.ledger
    away(ledger, caplog, "cannot be used (ConnectionError)")
    ledger.issue_code("early", "client")
    for _ in range(3):
        ledger.recover()
    away(ledger, caplog, "cannot be used (ConnectionError)")
    server = RedisServer(tmp_path, port)
    until_back(ledger)
    assert ledger.sight_code("early").entry is not None  # nobody else had made the ledger: the key is ours
    server.stop()


@pytest.mark.usefixtures("soon")
def test_a_redis_that_restarts_empty_goes_on_with_the_same_key(server: RedisServer) -> None:
    one, two = (Ledger(RedisStore(server.address, "service", wait=5)) for _ in range(2))
    for ledger in (one, two):
        ledger.issue_code("code", "client")
    server.stop()
    server.start()
    for ledger in (one, two):
        ledger.issue_state("state", verifier=True)
        assert ledger.shared == 2  # only its connections were gone
        assert ledger.sight_code("code").entry is None
    assert one.consume_state("state", "code") is True
    assert two.consume_state("state", "code") is False
    one.close()
    two.close()


@pytest.mark.usefixtures("soon")
def test_a_ledger_that_others_made_anew_is_taken_over(server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    old = Ledger(RedisStore(server.address, "service", wait=5))
    old.issue_code("code", "client")
    server.client.flushall()
    new = Ledger(RedisStore(server.address, "service", wait=5))
    new.count(Kind.CLIENT)
    new.issue_code("code of the new", "client")
    assert old.sight_code("code of the new").entry is None
    old.purge()
    away(old, caplog, "was emptied and made anew")
    until_back(old)
    assert old.sight_code("code of the new").entry is not None
    old.close()
    new.close()


def test_a_wrong_password_is_said_without_it(
    redis_server: RedisServer, record: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    recording = record(ledger=f"redis://:canary-wrong@127.0.0.1:{redis_server.port}", ledger_timeout=5)
    away(recording.telemetry.ledger, caplog, "cannot be used (AuthenticationError)")
    assert "canary" not in caplog.text


def test_a_redis_that_takes_no_more_is_away(server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    ledger = Ledger(RedisStore(server.address, "service", wait=5))
    ledger.issue_code("code", "client")
    server.client.config_set("maxmemory", 1)
    ledger.issue_code("another", "client")
    assert ledger.sight_code("another").entry is not None
    away(ledger, caplog, "cannot be used (OutOfMemoryError)")
    ledger.close()


def test_a_name_that_is_not_found_in_time_costs_one_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """The look-up of a name has no time-out; nobody may wait for it."""
    looking, go = threading.Event(), threading.Event()

    def slow(*_: object, **__: object) -> Any:
        looking.set()
        go.wait(20)
        raise OSError(-3, "Temporary failure in name resolution")

    monkeypatch.setattr("socket.getaddrinfo", slow)
    ledger = Ledger(RedisStore("redis://cache.example", "service", wait=WAIT))
    begin = time.monotonic()
    ledger.issue_code("code", "client")
    assert WAIT * 0.9 < time.monotonic() - begin < 20 * WAIT
    assert looking.is_set()
    assert ledger.shared == 0
    go.set()


def test_a_store_that_comes_and_goes_is_asked_less_and_less(monkeypatch: pytest.MonkeyPatch) -> None:
    now, asked = 1000.0, []
    monkeypatch.setattr("time.monotonic", lambda: now)
    store = RedisStore("redis://127.0.0.1:1", "service")

    def nothing(*_: object) -> Any:
        asked.append(now)
        msg = "away"
        raise StoreAwayError(msg)

    monkeypatch.setattr(store, "count", nothing)
    monkeypatch.setattr(store, "transact", nothing)
    ledger = Ledger(store)
    for _ in range(400):
        ledger.count(Kind.CLIENT)
        ledger.recover()
        now += 1
    assert [int(at - 1000) for at in asked] == [0, 1, 3, 7, 15, 31, 63, 123, 183, 243, 303, 363]


@pytest.mark.usefixtures("soon")
def test_what_happens_meanwhile_is_bounded(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(fallback_module, "_MOST_CHANGES", 10)
    ledger = Ledger(RedisStore(server.address, "service", wait=1))
    ledger.count(Kind.CLIENT)
    server.stop()
    for number in range(30):
        ledger.issue_code(f"c{number}", "client")
    away(ledger, caplog, "cannot be used (ConnectionError)")
    server.start()
    until_back(ledger)
    assert [number for number in range(30) if ledger.sight_code(f"c{number}").entry] == list(range(20, 30))
    ledger.close()


@pytest.mark.usefixtures("soon")
def test_no_change_is_lost_while_it_comes_back(server: RedisServer) -> None:
    ledger = Ledger(RedisStore(server.address, "service", size=100_000, wait=1))
    ledger.count(Kind.CLIENT)
    stop = threading.Event()
    made: list[str] = []

    def busy(name: str) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            ledger.first(f"{name}{number}", 600)
            made.append(f"{name}{number}")
            time.sleep(0.003)  # far fewer than the changes that are kept

    threads = [threading.Thread(target=busy, args=(name,)) for name in "abc"]
    server.stop()
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    server.start()
    until_back(ledger)
    time.sleep(0.05)
    stop.set()
    for thread in threads:
        thread.join()
    assert ledger.count(Kind.AUTHORIZATION) == len(made) > 100
    ledger.close()


# Processes and interruptions ------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_has_connections_of_its_own_and_leaves_the_parents_alone(
    host: Callable[..., Ledger], redis_server: RedisServer
) -> None:
    ledger = host()
    ledger.issue_code("parent", "client")
    before = len(redis_server.client.client_list())
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        ledger.after_fork()
        known = ledger.sight_code("parent").entry is not None
        ledger.issue_code("child", "client")
        os.write(write, bytes([known, ledger.shared]))
        os._exit(0)
    assert os.read(read, 2) == bytes([1, 2])
    os.waitpid(child, 0)
    assert ledger.sight_code("child").entry is not None
    assert ledger.shared == 2
    assert len(redis_server.client.client_list()) == before
    os.close(read)
    os.close(write)


def test_an_interrupted_access_does_not_leave_its_answer_to_the_next(redis_server: RedisServer) -> None:
    connections = Connections(redis_server.address, 5, lambda _: None)

    def interrupted(connection: Any) -> None:
        connection.send_command("ECHO", "of the first")
        raise KeyboardInterrupt

    def echo(connection: Any) -> Any:
        connection.send_command("ECHO", "mine")
        return connection.read_response()

    assert connections.run(echo) == b"mine"
    with pytest.raises(KeyboardInterrupt):
        connections.run(interrupted)
    assert connections.run(echo) == b"mine"
    connections.close()


def test_no_more_than_sixteen_connections_are_made_and_the_next_one_waits(redis_server: RedisServer) -> None:
    connections = Connections(redis_server.address, 2, lambda _: None)
    release, inside = threading.Event(), threading.Semaphore(0)

    def hold(connection: Any) -> None:
        inside.release()
        release.wait(20)
        connection.send_command("PING")
        assert connection.read_response() == b"PONG"

    with ThreadPoolExecutor(17) as pool:
        held = [pool.submit(connections.run, hold) for _ in range(17)]
        for _ in range(16):
            assert inside.acquire(timeout=20)
        assert not inside.acquire(timeout=0.05)
        release.set()
        assert [each.result() for each in held] == [None] * 17
    connections.close()


def test_a_connection_that_redis_closed_while_it_was_idle_is_made_again(
    host: Callable[..., Ledger], redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = host()
    ledger.issue_code("code", "client")
    redis_server.client.client_kill_filter(skipme=True, _type="normal")
    assert ledger.sight_code("code").entry is not None
    assert (ledger.shared, caplog.records) == (2, [])


def certificate(directory: Path) -> tuple[Path, Path]:
    """Make a key, and a certificate for 127.0.0.1 that it signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "redis")])
    now = datetime.now(timezone.utc)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    made = made.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
    paths = directory / "key.pem", directory / "certificate.pem"
    paths[0].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    paths[1].write_bytes(made.sign(key, SHA256()).public_bytes(Encoding.PEM))
    return paths


def test_over_tls_the_certificate_is_checked(
    server: RedisServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key, own = certificate(tmp_path)
    port = free_port()
    settings = {"tls-key-file": key, "tls-cert-file": own, "tls-auth-clients": "no", "tls-port": port}
    try:
        for name, value in settings.items():
            server.client.config_set(name, str(value))
    except redis.ResponseError:
        pytest.skip("this redis-server was built without TLS")
    address = f"rediss://:{PASSWORD}@127.0.0.1:{port}"
    trusting = Ledger(RedisStore(f"{address}?ssl_ca_certs={own}", "service", wait=5))
    trusting.issue_code("code", "client")
    assert trusting.sight_code("code").entry is not None
    assert trusting.shared == 2
    trusting.close()
    strict = Ledger(RedisStore(address, "service", wait=5))
    strict.count(Kind.CLIENT)
    away(strict, caplog, "cannot be used (ConnectionError)")


# What cannot be used --------------------------------------------------------------------------------------------------


def test_without_the_package_there_is_memory_and_a_line_that_names_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    for name in ("_redis", "_connections"):
        monkeypatch.delitem(sys.modules, f"otel_oauth.ledger.{name}")
    store = store_at("redis://:canary@cache.example", "service", size=100, wait=1)
    assert store.shared == 0
    [line] = [record.getMessage() for record in caplog.records]
    assert "needs the package redis (pip install 'otel-oauth[redis]'); this process remembers" in line
    assert "canary" not in line


def test_an_option_that_the_client_does_not_know_means_memory() -> None:
    with pytest.raises(StoreError, match=r"the ledger in Redis cannot be used \(TypeError\)"):
        RedisStore("rediss://127.0.0.1?ssl_of_no_kind=1", "service")
    assert redis.VERSION
