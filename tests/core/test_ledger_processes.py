"""The host's ledger between processes, and what happens when its directory cannot be used or fails."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lmdb
import pytest

from otel_oauth.ledger import Kind, Ledger, StoreError, private_directory, sweep
from otel_oauth.ledger import _fallback as fallback_module
from otel_oauth.ledger import _host as host_module
from otel_oauth.ledger._host import HostStore
from otel_oauth.settings import Settings
from otel_oauth.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WORKER = textwrap.dedent("""
    import json, os, signal, sys
    from pathlib import Path
    from otel_oauth import judge
    from otel_oauth.ledger import Ledger
    from otel_oauth.ledger._host import HostStore

    ledger = Ledger(HostStore(Path(sys.argv[1])))

    def code(value, client="client"):
        case = judge.code(ledger, judge.CodePresented(ledger.sight_code(value), client, authenticated=True), 30)
        return case and case.name

    def refresh(value, client="client"):
        sighting = ledger.sight_refresh(value)
        presented = judge.RefreshPresented(sighting, client, found=False, status=400, error="invalid_grant")
        return judge.refresh(ledger, presented, 30).name

    def state(value, code, empty=False):
        presented = judge.StatePresented(ledger.sight_state(value), ledger.digest(b"code", code), session_empty=empty)
        return judge.state(presented).name

    def fill(prefix, count):
        for number in range(count):
            ledger.issue_state(f"{prefix}{number}", verifier=True)

    def stop(_change):
        ledger._store.current.transact(lambda _, stop: os.kill(os.getpid(), stop), signal.SIGSTOP)

    verbs = {"code": code, "refresh": refresh, "state": state, "fill": fill, "stop": stop}
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        verb, *args = json.loads(line)
        print(json.dumps(verbs[verb](*args) if verb in verbs else getattr(ledger, verb)(*args)), flush=True)
""")


class Worker:
    """Another process on the same ledger."""

    def __init__(self, path: Any) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def read(self) -> Any:
        line = self._process.stdout.readline()
        assert line, "the worker ended"
        return json.loads(line)

    def __call__(self, *call: Any) -> Any:
        self.tell(*call)
        return self.read()

    def tell(self, *call: Any) -> None:
        self._process.stdin.write(json.dumps(call) + "\n")
        self._process.stdin.flush()

    def stop_in_the_middle_of_a_change(self) -> None:
        self.tell("stop", None)
        while "\nState:\tT" not in Path(f"/proc/{self._process.pid}/status").read_text():
            time.sleep(0.005)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)
        assert self.read() is None

    def close(self) -> None:
        self._process.stdin.close()
        assert self._process.wait(20) == 0
        self._process.stdout.close()


@pytest.fixture
def path(tmp_path: Path) -> Any:
    return tmp_path / "ledger"


@pytest.fixture
def start(path: Any) -> Iterator[Any]:
    """Start other processes on the same directory."""
    workers = []

    def start() -> Any:
        workers.append(Worker(path))
        return workers[-1]

    yield start
    for worker in workers:
        worker.close()


@pytest.fixture
def shared(path: Any) -> Iterator[Any]:
    """This process's ledger in the directory."""
    ledger = Ledger(HostStore(path, 1000))
    yield ledger
    ledger.close()


def test_a_replay_that_reaches_another_process_is_found_each_time(shared: Ledger, start: Callable[[], Worker]) -> None:
    worker = start()
    assert worker.read() == "ready"
    verdicts = []
    for number in range(200):
        shared.issue_code(f"c{number}", "client")
        shared.granted("client", f"a{number}", refresh_token=f"r{number}", code=shared.sight_code(f"c{number}"))
        shared.granted(
            "client", f"b{number}", refresh_token=f"s{number}", parent=shared.sight_refresh(f"r{number}"), rotated=True
        )
        shared.presented(shared.sight_refresh(f"s{number}"))
        verdicts.append(
            (worker("code", f"c{number}"), worker("code", f"c{number}", "thief"), worker("refresh", f"r{number}"))
        )
    assert set(verdicts) == {("code_double_submit", "code_replayed_by_other_client", "refresh_reused")}
    assert worker("code", "forged") == "code_unknown"
    assert worker("refresh", "forged") == "refresh_unknown"


def test_a_login_that_is_finished_in_another_process_is_not_pending_in_the_first(
    shared: Ledger, start: Callable[[], Worker]
) -> None:
    worker = start()
    worker.read()
    shared.issue_state("state", verifier=True)
    assert worker("state", "state", "code", 1) == "state_session_lost"
    assert worker("state", "state", "code", 0) == "state_of_other_session"
    assert shared.count(Kind.PKCE) == 1
    assert worker("consume_state", "state", "code") is True
    assert shared.count(Kind.PKCE) == shared.count(Kind.FLOW) == 0
    assert worker("state", "state", "code") == "state_reloaded"
    assert worker("state", "state", "other code") == "state_replayed"


def test_tokens_that_another_process_revokes_are_gone_here(shared: Ledger, start: Callable[[], Worker]) -> None:
    worker = start()
    worker.read()
    shared.granted("client", "access", refresh_token="refresh")
    assert worker("revoke", "refresh") == "refresh_token"
    assert [shared.count(kind) for kind in (Kind.ACCESS, Kind.LIVE_REFRESH, Kind.LIVE_FAMILY)] == [0, 0, 0]
    assert worker("owner_differs", "refresh", "thief") is True


def test_processes_that_start_together_agree_on_the_key_and_lose_no_write(
    path: Any, start: Callable[[], Worker]
) -> None:
    workers = [start() for _ in range(3)]
    assert [worker.read() for worker in workers] == ["ready"] * 3
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda index: workers[index]("fill", f"w{index}-", 150), range(3)))
    ledger = Ledger(HostStore(path))
    assert ledger.count(Kind.STATE) == ledger.count(Kind.PKCE) == 450
    assert all(ledger.sight_state(f"w{index}-{number}").entry for index in range(3) for number in range(150))
    assert sum(1 for file in path.iterdir() if file.name.startswith("key")) == 1
    ledger.close()


def test_of_two_processes_one_counts_an_expired_state(shared: Ledger, start: Callable[[], Worker], clock: Any) -> None:
    worker = start()
    worker.read()
    clock.now = time.monotonic()  # long ago, so that the other process finds it expired
    shared.issue_state("state", verifier=True, lifetime=10)
    assert worker("purge") == 1
    clock.pass_(20)
    assert shared.purge() == 0


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the state of a process is read from /proc")
def test_a_worker_that_is_stopped_in_the_middle_of_a_change_stops_nobody_else(
    path: Any, start: Callable[[], Worker], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fallback_module, "_FIRST_PAUSE_SECONDS", 0.0)
    worker, other = start(), start()
    assert [worker.read(), other.read()] == ["ready", "ready"]
    ledger = Ledger(HostStore(path, 1000))
    ledger.issue_code("before", "client")
    worker.stop_in_the_middle_of_a_change()
    begin = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: ledger.issue_code(f"code{number}", "client"), range(4)))
    assert 0.4 < time.monotonic() - begin < 2  # half a second, at once for all threads
    begin = time.monotonic()
    ledger.granted("client", "access", code=ledger.sight_code("code0"))
    assert time.monotonic() - begin < 0.4
    assert ledger.shared == 0
    [line] = [record.getMessage() for record in caplog.records]
    assert line == (
        "otel-oauth: the host ledger is locked by a process that does not go on; until it is back this process "
        "remembers codes, tokens and states only for itself"
    )
    worker.go_on()
    ledger.recover()
    assert ledger.shared == 1
    assert [other("code", f"code{number}") for number in range(2)] == ["code_double_submit", "code_expired"]
    ledger.close()


def test_the_ledger_survives_a_restart(path: Any) -> None:
    first = Ledger(HostStore(path))
    first.issue_code("code", "client")
    first.granted("client", "access", code=first.sight_code("code"))
    first.close()
    second = Ledger(HostStore(path))
    assert second.sight_code("code").entry.status == 2
    second.close()


def test_records_of_another_layout_are_forgotten_without_a_word(path: Any, caplog: pytest.LogCaptureFixture) -> None:
    path.mkdir(mode=0o700)
    with lmdb.open(str(path), max_dbs=100) as first:
        for layout in (b"", b" 0", b" 1"):
            for kind in Kind:
                other = first.open_db(kind.name.encode() + layout)
                with first.begin(write=True) as txn:
                    txn.put(b"d" * 16, b"of another layout", db=other)
                    txn.put(kind.name.encode() + b" count" + layout, b"8 bytes!")
    ledger = Ledger(HostStore(path))
    ledger.issue_code("code", "client")
    assert (ledger.shared, ledger.count(Kind.CODE)) == (1, 1)
    store = ledger._store.current
    with store._env.begin() as txn:
        assert txn.stat(store._env.open_db(b"CODE", txn=txn, create=False))["entries"] == 0
    ledger.close()
    again = Ledger(HostStore(path))
    assert again.sight_code("code").entry is not None
    again.close()
    assert caplog.records == []


def test_a_place_in_the_order_of_expiry_without_a_record_goes_at_its_time(path: Any, clock: Any) -> None:
    ledger = Ledger(HostStore(path))
    ledger.issue_code("code", "client", lifetime=10)
    store = ledger._store.current
    with store._env.begin(write=True) as txn:
        txn.delete(ledger.digest(b"code", "code"), db=store._tables[Kind.FLOW])
    clock.pass_(11)
    ledger.purge()
    with store._env.begin() as txn:
        assert txn.stat(store._expiry)["entries"] == 1  # the code's
    ledger.close()


def test_this_process_opens_a_directory_once(path: Any) -> None:
    store = HostStore.at(path)
    assert HostStore.at(path) is store
    store.close()
    again = HostStore.at(path)
    assert again is not store
    again.close()


def test_the_directory_and_its_files_are_private(path: Any) -> None:
    before = os.umask(0)
    try:
        HostStore(path).close()
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.iterdir()} == {
        "key": 0o600,
        "data.mdb": 0o600,
        "lock.mdb": 0o600,
    }
    assert len((path / "key").read_bytes()) == 32


# What cannot be used --------------------------------------------------------------------------------------------------


def open_to_others(path: Any) -> None:
    path.mkdir()
    path.chmod(0o750)


def link(path: Any) -> None:
    target = path.with_name("elsewhere")
    target.mkdir(mode=0o700)
    path.symlink_to(target)


def a_file(path: Any) -> None:
    path.write_text("not a directory")


def below_a_file(path: Any) -> None:
    path.parent.chmod(0o700)
    path.parent.joinpath("x").write_text("")
    path.symlink_to(path.parent / "x" / "ledger")


def damaged_data(path: Any) -> None:
    path.mkdir(mode=0o700)
    (path / "data.mdb").write_bytes(b"\xde\xad\xbe\xef" * 16384)


def damaged_key(path: Any) -> None:
    path.mkdir(mode=0o700)
    (path / "key").write_bytes(b"short")


@pytest.mark.parametrize("spoil", [open_to_others, link, a_file, below_a_file, damaged_data, damaged_key])
def test_a_directory_that_cannot_be_used_means_memory_said_once_and_exported(
    record: Callable[..., Any], path: Any, caplog: pytest.LogCaptureFixture, spoil: Any
) -> None:
    spoil(path)
    before = {file: file.read_bytes() for file in path.parent.rglob("*") if file.is_file() and file.name != "lock.mdb"}
    with pytest.raises(StoreError):
        HostStore(path)
    recording = record(ledger=f"host:{path}")
    lines = [r.getMessage() for r in caplog.records]
    assert len(lines) == 1
    assert "this process remembers codes, tokens and states only for itself" in lines[0]
    assert str(path) not in lines[0]
    recording.telemetry.ledger.issue_code("code", "client")
    assert recording.telemetry.ledger.sight_code("code").entry is not None
    assert recording.values("otel_oauth_ledger_shared") == {(): 0}
    for file, content in before.items():
        assert file.read_bytes() == content


def test_a_directory_of_somebody_else_is_not_used(path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path.mkdir(mode=0o700)
    mine = os.getuid()
    monkeypatch.setattr("os.getuid", lambda: mine + 1)
    with pytest.raises(StoreError, match="not private to this user"):
        private_directory(path)


READ_ONLY = textwrap.dedent("""
    import logging, os, sys, tempfile
    from pathlib import Path
    from otel_oauth.settings import Settings
    from otel_oauth.telemetry import Telemetry

    logging.basicConfig(format="%(message)s", stream=sys.stdout)
    if os.getuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    root = Path(tempfile.mkdtemp())
    path = root / "ledger"
    path.mkdir(mode=0o500)
    telemetry = Telemetry(settings=Settings(ledger=f"host:{path}"))
    telemetry.ledger.know_client("client")
    print(telemetry.ledger.shared)
    path.rmdir()
    root.rmdir()
""")


def test_a_directory_that_is_read_only_means_memory() -> None:
    done = subprocess.run([sys.executable, "-c", READ_ONLY], capture_output=True, text=True, check=True, timeout=50)
    line, level = done.stdout.splitlines()
    assert line.startswith("otel-oauth: the host ledger cannot be opened (PermissionError); this process remembers")
    assert level == "0"


def test_no_directory_for_temporary_files_means_memory(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none() -> None:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr("tempfile.gettempdir", none)
    assert Telemetry(settings=Settings(ledger="auto")).ledger.shared == 0
    assert len(caplog.records) == 1


def test_by_default_the_ledger_is_in_a_private_directory_of_user_and_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("OTEL_SERVICE_NAME", "../shop")
    ledger = Telemetry(settings=Settings()).ledger
    [root] = tmp_path.iterdir()
    [directory] = root.iterdir()
    assert root.name == f"otel-oauth-{os.getuid()}"
    assert [stat.S_IMODE(p.stat().st_mode) for p in (root, directory)] == [0o700, 0o700]
    assert ledger.shared == 1
    ledger.close()


# What fails later -----------------------------------------------------------------------------------------------------


def lost(recording: Any, caplog: pytest.LogCaptureFixture, reason: Any) -> None:
    """The ledger went on in memory, said so once, exports it, and works."""
    ledger = recording.telemetry.ledger
    assert ledger.shared == 0
    for number in range(3):
        ledger.issue_code(f"after{number}", "client")
        assert ledger.sight_code(f"after{number}").entry is not None
        ledger.purge()
    [line] = [r.getMessage() for r in caplog.records]
    assert reason in line
    assert "from now on this process remembers codes, tokens and states only for itself" in line
    assert recording.values("otel_oauth_ledger_shared") == {(): 0}
    errors = recording.values("otel_oauth_errors_total")
    assert {key: value for key, value in errors.items() if value} == {("ledger",): 1}


def test_a_full_ledger_goes_on_in_memory_with_its_own_bound(
    record: Callable[..., Any], path: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_module, "_MAP_SIZE", 256 * 1024)
    recording = record(ledger=f"host:{path}", ledger_size=300)
    ledger = recording.telemetry.ledger
    ledger.know_client("client")
    for number in range(5000):
        ledger.issue_state(f"state{number}", verifier=True)
        if not ledger.shared:
            break
    assert ledger.sight_state(f"state{number}").entry is not None
    lost(recording, caplog, "the host ledger failed (MapFullError)")
    ledger.know_client("client")
    assert ledger.count(Kind.CLIENT) == 1
    for number in range(400):
        ledger.issue_state(f"more{number}", verifier=True)
    assert ledger.count(Kind.STATE) == 300


DISK_FULL = textwrap.dedent("""
    import logging, resource, sys
    from pathlib import Path
    from otel_oauth.ledger import Kind, Ledger
    from otel_oauth.ledger._host import HostStore

    logging.basicConfig(format="%(message)s", stream=sys.stdout)
    ledger = Ledger(HostStore(Path(sys.argv[1])))
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
    for number in range(800):
        ledger.issue_state(f"state{number}", verifier=True)
    print(ledger.shared, ledger.sight_state("state799").entry is not None)
""")


def test_a_disk_that_is_full_means_memory(path: Any) -> None:
    command = [sys.executable, "-c", DISK_FULL, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=50)
    line, found = done.stdout.splitlines()
    assert line.startswith("otel-oauth: the host ledger failed (Error); from now on this process remembers")
    assert found == "0 True"


@pytest.mark.parametrize("replaced", [False, True])
def test_a_directory_that_is_removed_is_noticed_at_the_next_collection(
    record: Callable[..., Any], path: Any, caplog: pytest.LogCaptureFixture, replaced: Any
) -> None:
    recording = record(ledger=f"host:{path}")
    recording.telemetry.ledger.issue_code("code", "client")
    shutil.rmtree(path)
    if replaced:
        other = Worker(path)
        other.read()
    assert recording.values("storage_flows_count") == {(): 0}
    lost(recording, caplog, "the ledger's directory was removed")
    if replaced:
        other.close()


def test_a_damaged_record_means_memory_not_an_error_at_each_request(
    record: Callable[..., Any], path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    recording = record(ledger=f"host:{path}")
    ledger = recording.telemetry.ledger
    digest = ledger.digest(b"code", "code")
    store = ledger._store.current
    with store._env.begin(write=True) as txn:
        txn.put(digest, b"of another version", db=store._tables[Kind.CODE])
    assert ledger.sight_code("code").entry is None
    lost(recording, caplog, "a record of the ledger is damaged or of another version")


def test_a_collection_keeps_cleaners_of_temporary_files_away(shared: Ledger, path: Any) -> None:
    for file in path.iterdir():
        os.utime(file, (1, 1))
    shared.purge()
    assert all(file.stat().st_mtime > time.time() - 60 for file in path.iterdir())


# Sweeping -------------------------------------------------------------------------------------------------------------


def old_ledger(path: Any, days: Any) -> Any:
    HostStore(path).close()
    for file in path.iterdir():
        os.utime(file, (time.time() - days * 86400,) * 2)
    return path


def test_ledgers_that_nobody_used_for_a_month_are_swept_and_nothing_else(tmp_path: Path) -> None:
    stale = old_ledger(tmp_path / ("a" * 16), 31)
    fresh = old_ledger(tmp_path / ("b" * 16), 29)
    kept = old_ledger(tmp_path / ("c" * 16), 31)
    foreign = old_ledger(tmp_path / "openldap", 400)
    (foreign / "key").unlink()
    named = old_ledger(tmp_path / "my-own-name", 400)
    sweep(tmp_path, kept)
    assert not stale.exists()
    assert all(path.joinpath("data.mdb").exists() for path in (fresh, kept, foreign, named))


def test_a_directory_of_the_users_choice_is_never_swept(tmp_path: Path) -> None:
    neighbour = old_ledger(tmp_path / ("d" * 16), 400)
    Telemetry(settings=Settings(ledger=f"host:{tmp_path / 'mine'}")).ledger.close()
    assert neighbour.joinpath("data.mdb").exists()


def test_the_default_place_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    root = tmp_path / f"otel-oauth-{os.getuid()}"
    root.mkdir(mode=0o700)
    stale = old_ledger(root / ("e" * 16), 31)
    Telemetry(settings=Settings()).ledger.close()
    assert not stale.exists()
    assert len(list(root.iterdir())) == 1


def test_a_root_that_cannot_be_read_does_not_stop_anything(tmp_path: Path) -> None:
    sweep(tmp_path / "missing", tmp_path)
