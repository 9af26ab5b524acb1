"""The binaries of the pipeline: built from pinned sources the first time, found the next.

A part is built anew when its sources here change (module files with checksums, the list of the Collector's components).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stack import BINARIES, BUILD, COLLECTOR, StackError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

SOURCES = COLLECTOR / "build"
GO_OPTIONS = ("-trimpath", "-ldflags=-s -w")
ZIPKIN_DIGEST = "7ac633a6832647e71e50012a5e3e91fbc7054414955261724526030faf271d8d"
LINES = 20
EVERY_SECONDS = 30.0
"""How often a build says that it goes on, without a terminal."""


@dataclass(frozen=True)
class Part:
    """One part of the pipeline: what it is called, what it makes, what it needs, and from what it is built.

    :param files: what it puts into the folder of the binaries.
    :param sources: below ``collector/``; their content decides whether it is built anew.
    :param tool: the command without which it cannot be built.
    :param about: how long that takes on two cores, from nothing.
    """

    name: str
    title: str
    files: tuple[str, ...]
    sources: tuple[str, ...]
    tool: str
    about: str
    build: Callable[[Part, Path], Iterator[tuple[Sequence[str], Path, Mapping[str, str]]]]

    def stamp(self) -> str:
        """Return the digest of what it is built from."""
        found = hashlib.sha256()
        for source in self.sources:
            found.update((COLLECTOR / source).read_bytes())
        return found.hexdigest()

    def is_there(self, place: Path) -> bool:
        """Tell whether ``place`` has it, built from these sources."""
        stamp = place / f"{self.name}.stamp"
        return (
            stamp.is_file()
            and stamp.read_text() == self.stamp()
            and all((place / name).is_file() for name in self.files)
        )


def _go_tools(part: Part, place: Path) -> Iterator[tuple[Sequence[str], Path, Mapping[str, str]]]:
    tags = ("-tags", "remove_all_sd") if part.name == "prometheus" else ()
    yield ("go", "build", *GO_OPTIONS, *tags, "-o", f"{place}/", "tool"), SOURCES / part.name, {"CGO_ENABLED": "0"}


def _collector(_part: Part, place: Path) -> Iterator[tuple[Sequence[str], Path, Mapping[str, str]]]:
    """Let ocb write the program, then build it with the committed versions and checksums."""
    written = BUILD / "otelcol"
    written.mkdir(parents=True, exist_ok=True)
    yield ("go", "build", "-o", str(BUILD / "ocb"), "tool"), SOURCES / "ocb", {"CGO_ENABLED": "0"}
    settings = (COLLECTOR / "builder-config.yaml").read_text(encoding="utf-8")
    configuration = written / "builder-config.yaml"
    configuration.write_text(settings.replace("dist:\n", f"dist:\n  output_path: {written}\n", 1), encoding="utf-8")
    skipped = ("--skip-compilation", "--skip-get-modules", "--skip-strict-versioning")
    yield (str(BUILD / "ocb"), "--config", str(configuration), *skipped), written, {}
    for name in ("go.mod", "go.sum"):
        shutil.copy(SOURCES / "otelcol" / name, written / name)
    yield ("go", "build", *GO_OPTIONS, "-o", str(place / "otelcol"), "."), written, {"CGO_ENABLED": "0"}


def _zipkin(_part: Part, place: Path) -> Iterator[tuple[Sequence[str], Path, Mapping[str, str]]]:
    yield ("mvn", "--batch-mode", "--quiet", "-f", "pom.xml", f"-Doutput={place}", "package"), SOURCES / "zipkin", {}
    jar = place / "zipkin.jar"
    if hashlib.sha256(jar.read_bytes()).hexdigest() != ZIPKIN_DIGEST:
        jar.unlink()
        message = "Zipkin's jar is not the one that was tested: its checksum differs, it was removed"
        raise StackError(message)


def _sources(name: str) -> tuple[str, ...]:
    return f"build/{name}/go.mod", f"build/{name}/go.sum"


PARTS: tuple[Part, ...] = (
    Part(
        "otelcol",
        "the Collector",
        ("otelcol",),
        ("builder-config.yaml", *_sources("ocb"), *_sources("otelcol")),
        "go",
        "4 minutes",
        _collector,
    ),
    Part("prometheus", "Prometheus", ("prometheus", "promtool"), _sources("prometheus"), "go", "3 minutes", _go_tools),
    Part("loki", "Loki", ("loki",), _sources("loki"), "go", "5 minutes", _go_tools),
    Part("zipkin", "Zipkin", ("zipkin.jar",), ("build/zipkin/pom.xml",), "mvn", "1 minute", _zipkin),
)
"""All parts, in the order in which they are built."""

_MISSING = {
    "go": "Go (1.26 or newer) is not installed here, and {title} has to be built once: install it from the "
    "system's packages or Go's own site, so that `go version` answers",
    "mvn": "Maven is not installed here, and it fetches {title} once: install the package maven",
    "java": "Java (17 or newer) is not installed here, and Zipkin runs on it: install the package "
    "default-jre-headless or openjdk-17-jre-headless",
}


def require(tool: str, title: str) -> None:
    """Check that a command is there.

    :raises StackError: if it is not; it says what to install.
    """
    if shutil.which(tool) is None:
        raise StackError(_MISSING[tool].format(title=title))


def ensure(say: Callable[[str], None], parts: Sequence[Part] = PARTS, place: Path = BINARIES) -> None:
    """Build what is missing, and say what is done and how long it takes.

    :raises StackError: if a tool is missing or a build fails, with the end of its output.
    """
    missing = [part for part in parts if not part.is_there(place)]
    for part in missing:
        require(part.tool, part.title)
    place.mkdir(parents=True, exist_ok=True)
    for number, part in enumerate(missing, 1):
        say(f"building {part.title} ({number} of {len(missing)}, once; about {part.about} on two cores)")
        began = time.monotonic()
        for command, directory, environment in part.build(part, place):
            _run(part, command, directory, environment, say)
        (place / f"{part.name}.stamp").write_text(part.stamp())
        say(f"built {part.title} in {time.monotonic() - began:.0f} s")


def _run(
    part: Part, command: Sequence[str], directory: Path, environment: Mapping[str, str], say: Callable[[str], None]
) -> None:
    log = BUILD / "logs" / f"build-{part.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    told = began
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=directory,
            env={**os.environ, "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local", **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            while process.poll() is None:
                time.sleep(0.5)
                if time.monotonic() - told >= EVERY_SECONDS:
                    told = time.monotonic()
                    say(f"  still building {part.title}: {told - began:.0f} s, {_last_line(log)}")
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    if process.returncode:
        last = "\n".join(f"  | {line}" for line in log.read_text(errors="replace").splitlines()[-LINES:])
        message = (
            f"{part.title} could not be built ({Path(command[0]).name} ended with {process.returncode}); {log}:\n{last}"
        )
        raise StackError(message)


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    return lines[-1][:80] if lines else "compiling"
