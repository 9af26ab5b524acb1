"""What a person reads when the stack cannot be had: one clear sentence, and an exit code."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from stack import StackError, binaries, processes
from stack.__main__ import main
from stack.pipeline import port

if TYPE_CHECKING:
    from pathlib import Path


def test_a_taken_port_is_said_and_a_usual_one_that_is_taken_is_replaced() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        with pytest.raises(StackError, match=f"port {number} of 127.0.0.1 cannot be had for loki .*give another one"):
            port("loki", number)
    assert port("loki") > 0


@pytest.mark.parametrize(("tool", "words"), [("go", "Go"), ("mvn", "Maven"), ("java", "Java")])
def test_a_missing_tool_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch, tool: str, words: str) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    with pytest.raises(StackError, match=rf"^{words}.* is not installed here.*install"):
        binaries.require(tool, "Loki")


def test_the_command_ends_with_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    monkeypatch.setattr(binaries.ensure, "__defaults__", (binaries.PARTS, tmp_path))
    assert main(["--build-only"]) == 1
    told = capsys.readouterr()
    assert told.err.startswith("the stack stops: Go (1.26 or newer) is not installed here")
    assert "Traceback" not in told.err


def test_a_build_that_fails_shows_the_end_of_its_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "BUILD", tmp_path)

    def broken(_part: binaries.Part, place: Path) -> object:
        yield (sys.executable, "-c", "print('no such module'); raise SystemExit(3)"), place, {}

    part = binaries.Part("x", "the part", ("x",), ("builder-config.yaml",), "sh", "a moment", broken)
    with pytest.raises(StackError, match=r"the part could not be built .* ended with 3\); (?s:.*)no such module"):
        binaries.ensure(print, [part], tmp_path / "bin")
    assert not part.is_there(tmp_path / "bin")


def test_a_part_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "BUILD", tmp_path)
    said: list[str] = []

    def build(_part: binaries.Part, place: Path) -> object:
        yield (sys.executable, "-c", f"open({str(place / 'x')!r}, 'w')"), place, {}

    part = binaries.Part("x", "the part", ("x",), ("builder-config.yaml",), "sh", "a moment", build)
    binaries.ensure(said.append, [part], tmp_path)
    binaries.ensure(said.append, [part], tmp_path)
    assert [text.split()[0] for text in said] == ["building", "built"]


def test_a_crashed_process_is_said_with_the_end_of_its_log(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('disk is full')"]
    child = processes.Child("loki", command, "http://127.0.0.1:9/", tmp_path)
    child.start()
    with pytest.raises(StackError, match=r"loki ended with status 1; (?s:.*)disk is full"):
        child.wait_until_ready()
    missing = processes.Child("loki", [str(tmp_path / "none")], "http://127.0.0.1:9/", tmp_path)
    with pytest.raises(StackError, match="loki cannot be started: No such file"):
        missing.start()


def test_what_a_killed_stack_left_is_stopped(tmp_path: Path) -> None:
    left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    (tmp_path / "loki.pid").write_text(str(left.pid))
    child = processes.Child(
        "loki", [sys.executable, "-c", "import time; time.sleep(60)"], "http://127.0.0.1:9/", tmp_path
    )
    child.start()
    try:
        assert left.wait(30) != 0
    finally:
        child.kill()
        left.kill()
    assert not (tmp_path / "loki.pid").exists()


def test_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert {"--otlp-http-port", "--page-port", "--once", "--build-only"} <= set(capsys.readouterr().out.split())
