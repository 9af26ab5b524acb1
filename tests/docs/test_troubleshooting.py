"""Every message of the README's table for trouble is provoked, and is what the table says, word by word."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from pages import ROOT, environment, rows

if TYPE_CHECKING:
    from pathlib import Path

INSTRUMENT = "from otel_oauth_authlib import AuthlibInstrumentor; AuthlibInstrumentor().instrument({})\n"
ASK_METRICS = """
from otel_oauth.prometheus import OAuthPrometheusReader, metrics_wsgi_app
app = metrics_wsgi_app()
def ask():
    print(b"".join(app({"PATH_INFO": "/metrics", "REQUEST_METHOD": "GET"}, lambda *_: None)).decode(), flush=True)
"""
FORK = """
import os, sys
reader = OAuthPrometheusReader(serve=False)
child = os.fork()
if not child:
    ask()
    sys.stderr.flush()
    os._exit(0)
os.waitpid(child, 0)
"""
REMOVED = """
import os, shutil
from otel_oauth.telemetry import get_telemetry
telemetry = get_telemetry()
shutil.rmtree(os.environ["OTEL_OAUTH_LEDGER"].removeprefix("host:"))
telemetry.ledger.purge()
"""
TAKEN = """
import os, socket
taken = socket.create_server(("localhost", 0))
os.environ["OTEL_EXPORTER_PROMETHEUS_PORT"] = port = str(taken.getsockname()[1])
import io, contextlib, logging
text = io.StringIO()
logging.basicConfig(stream=text)
from otel_oauth.prometheus import OAuthPrometheusReader
OAuthPrometheusReader()
print(text.getvalue().replace(port, "9464"))
"""
OLD_AUTHLIB = """
from authlib.oauth2.client import OAuth2Client
del OAuth2Client.introspect_token
"""
OUR_ERROR = """
import authlib.integrations.requests_client as client
import otel_oauth_authlib.client as plugin
plugin.metadata = {}.__getitem__
try:
    client.OAuth2Session("shop").fetch_token("http://127.0.0.1:9/", code="made-up")
except OSError:
    print("the application saw its own error")
"""
NO_ENSUREPIP = """
import sys
sys.modules["ensurepip"] = None
sys.path.insert(0, "tools")
import make_venv
sys.exit(not make_venv.main(["build/never-made"]))
"""
NO_EXPORTER = "import sys; sys.modules['opentelemetry.exporter.prometheus'] = None; import otel_oauth.prometheus"

PROVOKED = {
    "ledger in Redis cannot": (INSTRUMENT.format(""), {"OTEL_OAUTH_LEDGER": "redis://127.0.0.1:1/0"}),
    "OTEL_OAUTH_RACE_WINDOW must": (INSTRUMENT.format(""), {"OTEL_OAUTH_RACE_WINDOW": "soon"}),
    "OTEL_OAUTH_RACEWINDOW is": (INSTRUMENT.format(""), {"OTEL_OAUTH_RACEWINDOW": "10"}),
    "there is no setting": (INSTRUMENT.format("window=10"), {}),
    "is not private": (INSTRUMENT.format(""), {"OTEL_OAUTH_LEDGER": "host:{open}"}),
    "was removed": (REMOVED, {"OTEL_OAUTH_LEDGER": "host:{new}"}),
    "no /metrics at": (TAKEN, {}),
    "/metrics answers 503": (ASK_METRICS + FORK, {}),
    "no metrics reader": (ASK_METRICS + "ask()", {}),
    "needs more packages": (NO_EXPORTER, {}),
    "is not in this version": (OLD_AUTHLIB + INSTRUMENT.format(""), {}),
    "KeyError at": (INSTRUMENT.format("") + OUR_ERROR, {}),
    "has no ensurepip": (NO_ENSUREPIP, {}),
}
MESSAGES = [
    cells[0].strip("`") for cells in rows("README.md") if re.match(r"`(otel-oauth:|\w+Error:|There is|No )", cells[0])
]


@pytest.mark.slow
@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: re.sub(r"\W+", " ", message)[:40])
def test_message_is_what_the_readme_says(message: str, tmp_path: Path) -> None:
    (key,) = [key for key in PROVOKED if key in message]
    program, variables = PROVOKED[key]
    (tmp_path / "open").mkdir(mode=0o755)
    filled = {name: value.format(open=tmp_path / "open", new=tmp_path / "new") for name, value in variables.items()}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=environment(tmp_path, **filled),
        capture_output=True,
        text=True,
        check=False,
        timeout=40,
    )
    said = re.sub(r":\d+ in", ":0 in", done.stdout + done.stderr)
    parts = re.sub(r":\d+ in", ":0 in", message).split("…")
    assert re.search(".*?".join(map(re.escape, parts)), said), said
    assert done.returncode == ("Error: " in message.partition(" ")[0] + " "), said
    assert "made-up" not in said


def test_every_message_has_its_provocation_and_no_other() -> None:
    assert len(MESSAGES) >= 8
    assert [key for key in PROVOKED if sum(key in message for message in MESSAGES) != 1] == []
