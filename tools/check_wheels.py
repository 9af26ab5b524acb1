"""Prove that the wheels work outside of this checkout: `python tools/check_wheels.py build/wheels`.

Builds the wheels, looks into them, installs them into a clean environment with their dependencies at the
locked versions, starts a program there under `opentelemetry-instrument`, and asks it what is attached. The
directory is emptied first; the exit status is 1 if something is not as it should be, with a line on each.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

from make_wheels import build
from workspace import LOCK

EXTRAS = {
    "otel_oauth": "sdk,prometheus,otlp,testing",
    "otel_oauth_authlib": "instruments",
    "otel_oauth_httpx": "instruments-any",
}
BESIDES = ("opentelemetry-distro", "flask", "requests")
PROGRAM = """
import sys, urllib.request
import httpx, httpx2
from importlib.metadata import version
from authlib.integrations.requests_client import OAuth2Session
from otel_oauth.catalogue import DOCUMENTED
from otel_oauth_authlib import AuthlibInstrumentor
from otel_oauth_httpx import HttpxOAuthInstrumentor

assert "site-packages" in sys.modules["otel_oauth"].__file__, sys.modules["otel_oauth"].__file__
assert AuthlibInstrumentor().is_instrumented_by_opentelemetry, "the Authlib instrumentor is not attached"
assert HttpxOAuthInstrumentor().is_instrumented_by_opentelemetry, "the httpx instrumentor is not attached"
for library in (httpx, httpx2):
    answer = library.MockTransport(lambda request, library=library: library.Response(200, json={"access_token": "a"}))
    with library.Client(transport=answer) as client:
        client.post("https://as.example/token", data={"grant_type": "client_credentials", "client_id": "app"})
session = OAuth2Session("app", redirect_uri="http://127.0.0.1/callback")
session.create_authorization_url("http://127.0.0.1/authorize")
with urllib.request.urlopen(sys.argv[1], timeout=10) as answer:
    lines = answer.read().decode().splitlines()

def total(name, *labels):
    found = [line for line in lines if line.startswith(name + "{") and all(label in line for label in labels)]
    return sum(float(line.rsplit(" ", 1)[1]) for line in found)

types = {line.split()[2] for line in lines if line.startswith("# TYPE ")}
missing = [metric.name for metric in DOCUMENTED if metric.kind == "counter" and metric.name not in types]
assert not missing, f"not exposed: {missing}"
assert total("otel_oauth_hooks", 'library="authlib"', 'state="attached"') > 0, "no hook is attached"
assert total("provider_api_calls_total", 'provider="as.example"', 'status="200"') == 2, "httpx was not seen"
assert total("oauth_flows_total", 'status="initiated"') == 1, "the initiated login was not counted"
names = ("otel-oauth", "otel-oauth-authlib", "otel-oauth-httpx", "authlib", "httpx", "httpx2")
print("attached:", ", ".join(f"{name} {version(name)}" for name in names))
"""


def package_of(wheel: Path) -> str:
    """Return the name of the package that `wheel` holds."""
    return wheel.name.split("-", maxsplit=1)[0]


def problems_in(wheel: Path) -> list[str]:
    """Return what is wrong with the contents of `wheel`: a missing file or a foreign one."""
    package = package_of(wheel)
    names = zipfile.ZipFile(wheel).namelist()
    wanted = (f"{package}/py.typed", f"{package}/__init__.py")
    problems = [f"{wheel.name} has no {name}" for name in wanted if name not in names]
    if not any(re.fullmatch(r"[^/]+\.dist-info/licenses/LICENSE", name) for name in names):
        problems.append(f"{wheel.name} has no licence")
    strangers = [name for name in names if not name.startswith((f"{package}/", f"{package}-"))]
    return problems + [f"{wheel.name} holds {name}" for name in strangers]


def constraints(directory: Path) -> Path:
    """Write the lock's versions without hashes (pip would ask one of our wheels too); return the file."""
    lines = LOCK.read_text(encoding="utf-8").splitlines()
    pins = [line.removesuffix(" \\") for line in lines if "==" in line]
    path = directory / "constraints.txt"
    path.write_text("\n".join(pins) + "\n", encoding="utf-8")
    return path


def install(wheels: list[Path], directory: Path) -> Path:
    """Install the wheels with all their extras into a clean environment; return its directory of programs."""
    environment = directory / "venv"
    venv.create(environment, with_pip=True, symlinks=sys.platform != "win32")
    programs = environment / ("Scripts" if sys.platform == "win32" else "bin")
    wanted = [f"{wheel}[{EXTRAS[package_of(wheel)]}]" for wheel in wheels]
    pip = [str(programs / "python"), "-m", "pip", "--disable-pip-version-check"]
    pins = ("--constraint", str(constraints(directory)))
    for command in (["install", "--quiet", *pins, *wanted, *BESIDES], ["check"]):
        subprocess.run([*pip, *command], check=True, stdin=subprocess.DEVNULL)
    return programs


def attach(programs: Path, directory: Path) -> int:
    """Run a program under `opentelemetry-instrument` that says what is attached; return its exit status."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    inherited = os.environ.items()
    environment = {name: value for name, value in inherited if not name.startswith(("OTEL_", "PYTHON"))}
    environment |= {
        "OTEL_SERVICE_NAME": "wheels",
        "OTEL_TRACES_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_METRICS_EXPORTER": "oauth_prometheus",
        "OTEL_EXPORTER_PROMETHEUS_HOST": "127.0.0.1",
        "OTEL_EXPORTER_PROMETHEUS_PORT": str(port),
        "OTEL_OAUTH_LEDGER": f"host:{directory / 'ledger'}",
    }
    program = directory / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    url = f"http://127.0.0.1:{port}/metrics"
    command = [str(part) for part in (programs / "opentelemetry-instrument", programs / "python", program, url)]
    done = subprocess.run(command, check=False, cwd=directory, env=environment, stdin=subprocess.DEVNULL, timeout=120)
    return done.returncode


def main(arguments: list[str]) -> int:
    """Do all of it in the directory named in `arguments`; return the exit status."""
    directory = Path(arguments[0] if arguments else "build/wheels").absolute()
    shutil.rmtree(directory, ignore_errors=True)
    wheels = build(directory / "dist")
    problems = [problem for wheel in wheels for problem in problems_in(wheel)]
    if {package_of(wheel) for wheel in wheels} != set(EXTRAS):
        problems.append(f"the wheels are {[wheel.name for wheel in wheels]}, expected {sorted(EXTRAS)}")
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        return 1
    print("built:", ", ".join(wheel.name for wheel in wheels), flush=True)
    return attach(install(wheels, directory), directory)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
