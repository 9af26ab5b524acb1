"""Log records of the logging module and of OpenTelemetry: every part of them, for every handler, console included."""

from __future__ import annotations

import copy
import inspect
import io
import logging
import sys
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor

from otel_oauth import redaction

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator

SECRET = "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dF3hJ5kL7nP9r"


class Console:
    """A logger of its own with a console, what that wrote, and the records that its handler got."""

    def __init__(self) -> None:
        self.written = io.StringIO()
        self.records: list[logging.LogRecord] = []
        self.logger = logging.Logger("shop")  # noqa: LOG001 nobody else shall listen to it
        handler = logging.StreamHandler(self.written)
        handler.addFilter(lambda record: self.records.append(record) or True)  # type: ignore[func-returns-value]
        self.logger.addHandler(handler)

    @property
    def text(self) -> str:
        return self.written.getvalue()


@pytest.fixture
def console() -> Console:
    return Console()


def test_message_and_arguments(install: Callable[..., None], console: Console) -> None:
    install()
    console.logger.info("Issue token %r to %s", {"access_token": SECRET, "token_type": "Bearer"}, "shop")
    console.logger.info("code=%s state=%s", SECRET, "CONNECTED")
    console.logger.info("%(client_secret)s of %(client_id)s", {"client_secret": SECRET, "client_id": "shop"})
    console.logger.info(f"saving {SECRET} for code={SECRET}")  # noqa: G004 as applications write it
    console.logger.info({"refresh_token": SECRET, "scope": "x"})
    assert SECRET not in console.text
    assert "'token_type': 'Bearer'} to shop" in console.text
    assert "state=CONNECTED" in console.text
    assert " of shop" in console.text


def test_the_arguments_of_an_access_log_stay_apart(install: Callable[..., None], console: Console) -> None:
    """The formatters of uvicorn and others take the arguments one by one."""
    install()
    args = ("127.0.0.1:5", "GET", f"/cb?code={SECRET}&state=x", "1.1", 302)
    console.logger.info('%s - "%s %s HTTP/%s" %d', *args)
    (record,) = console.records
    assert record.msg == '%s - "%s %s HTTP/%s" %d'
    assert isinstance(record.args, tuple)
    assert record.args[:2] + record.args[3:] == args[:2] + args[3:]
    assert str(record.args[2]).startswith("/cb?code=[redacted:code:")


def test_extra_fields(install: Callable[..., None], console: Console) -> None:
    install()
    held = {"tokens": [{"id_token": SECRET}], "n": 1}
    console.logger.info("hello", extra={"held": held, "refresh_token": SECRET, "request_id": "17"})
    (record,) = console.records
    assert SECRET not in repr(vars(record))
    assert vars(record)["request_id"] == "17"
    assert held == {"tokens": [{"id_token": SECRET}], "n": 1}


def test_exceptions_their_causes_and_the_stack(install: Callable[..., None], console: Console) -> None:
    install()
    redaction.seen("token", SECRET)
    try:
        try:
            raise KeyError(SECRET)  # noqa: TRY301 as applications do
        except KeyError as error:
            msg = f"no user for access_token={SECRET}"
            raise LookupError(msg) from error
    except LookupError:
        console.logger.exception("failed", stack_info=True)
    assert SECRET not in console.text
    assert "LookupError: no user for access_token=[redacted:access_token:" in console.text
    assert "The above exception was the direct cause" in console.text
    assert SECRET not in repr(vars(console.records[0]))


def test_variables_of_the_frames_are_out_of_reach_of_the_handlers(
    install: Callable[..., None], console: Console
) -> None:
    """Some handlers print the local variables of each frame: they get the text of the traceback, not its frames."""
    install()

    def fails() -> None:
        refresh_token = SECRET
        assert refresh_token
        raise KeyError("x")  # noqa: EM101 the name of a key

    try:
        fails()
    except KeyError:
        console.logger.exception("failed")
    (record,) = console.records
    assert record.exc_info is None
    assert record.exc_text is not None
    assert "in fails" in record.exc_text
    assert vars(record)["exception.type"] == "KeyError"


def test_an_exception_without_secrets_is_passed_on_as_it_is(install: Callable[..., None], console: Console) -> None:
    install()
    error = KeyError("x")
    try:
        raise error
    except KeyError:
        console.logger.exception("failed")
    assert console.records[0].exc_info is not None
    assert console.records[0].exc_info[1] is error


def test_the_record_of_the_application_is_not_changed(install: Callable[..., None], console: Console) -> None:
    install()
    held: list[logging.LogRecord] = []
    console.logger.addFilter(lambda record: held.append(record) or True)  # type: ignore[func-returns-value]
    console.logger.info("nothing of interest for %s", "shop")
    console.logger.info("code=%s&x=1", SECRET)
    assert console.records[0] is held[0]
    assert console.records[1] is not held[1]
    assert held[1].getMessage() == f"code={SECRET}&x=1"


def test_a_message_that_does_not_fit_its_arguments(
    install: Callable[..., None], console: Console, capsys: pytest.CaptureFixture[str]
) -> None:
    """The logging module prints message and arguments to stderr then."""
    install()
    console.logger.info("one %s two %s", f"code={SECRET}&x=1")  # noqa: PLE1206 the mistake of the application
    said = capsys.readouterr().err
    assert "not enough arguments" in said
    assert "[redacted:code:" in said
    assert SECRET not in said


def test_a_record_that_cannot_be_inspected_says_only_that(install: Callable[..., None], console: Console) -> None:
    class Broken:
        def __str__(self) -> str:
            msg = "no"
            raise RuntimeError(msg)

    install()
    assert redaction._sources is not None
    redaction._sources.guard.reraise = False
    console.logger.error("it is %s", Broken(), extra={"access_token": SECRET})
    (record,) = console.records
    assert record.getMessage() == "[redacted:uninspected]"
    assert record.levelname == "ERROR"
    assert SECRET not in repr(vars(record))


def test_handlers_of_child_and_root_loggers(install: Callable[..., None], caplog: pytest.LogCaptureFixture) -> None:
    install()
    caplog.set_level(logging.DEBUG)
    logging.getLogger("some.library.child").debug("client_secret=%s", SECRET)
    assert SECRET not in caplog.text
    assert "[redacted:client_secret:" in caplog.text


@pytest.fixture
def provider() -> Iterator[tuple[LoggerProvider, InMemoryLogRecordExporter]]:
    exporter = InMemoryLogRecordExporter()
    made = LoggerProvider()
    made.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    yield made, exporter
    made.shutdown()


def test_records_of_opentelemetry(
    install: Callable[..., None], counted: Counter[tuple[str, str]], provider: Any
) -> None:
    install()
    made, exporter = provider
    body = {"form": {"client_secret": SECRET, "x": [1, {"code": SECRET}], "raw": b"code=abc&x=1"}, "scope": "openid"}
    before = copy.deepcopy(body)
    record = LogRecord(timestamp=1, body=body, severity_number=SeverityNumber.INFO, severity_text=f"code={SECRET}")
    record.attributes = {"url.query": f"code={SECRET}&client_id=shop", "n": 3}
    made.get_logger("own").emit(record)
    (found,) = exporter.get_finished_logs()
    assert SECRET not in found.to_json() if isinstance(found.log_record.body, str) else repr(found.log_record)
    assert SECRET not in repr(vars(found.log_record)) + repr(dict(found.log_record.attributes))
    assert found.log_record.attributes["url.query"].endswith("&client_id=shop")
    assert found.log_record.body["scope"] == "openid"
    assert body == before
    assert counted["log", "client_secret"] == 1


def test_the_handler_of_the_sdk(install: Callable[..., None], provider: Any, console: Console) -> None:
    from opentelemetry.sdk._logs import LoggingHandler  # noqa: PLC0415 deprecated where the test imports it

    install()
    made, exporter = provider
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        console.logger.addHandler(LoggingHandler(logger_provider=made))
    try:
        raise KeyError(f"code={SECRET}&x=1")  # noqa: EM102, TRY301 as applications do
    except KeyError:
        console.logger.exception("failed with code=%s", SECRET, extra={"held": {"token": SECRET}})
    (found,) = exporter.get_finished_logs()
    attributes = dict(found.log_record.attributes)
    assert SECRET not in found.log_record.body + repr(attributes)
    assert attributes["exception.type"] == "KeyError"
    assert "Traceback" in attributes["exception.stacktrace"]


def _said(message: str) -> None:
    raise LookupError(message)


def _held(message: str) -> None:
    held = {"refresh_token": message}
    raise LookupError(len(held))


def _harmless(_message: str) -> None:
    raise LookupError


@pytest.mark.parametrize(("fail", "kept"), [(_said, False), (_held, False), (_harmless, True)])
def test_the_exception_of_a_record(
    install: Callable[..., None], provider: Any, fail: Callable[[str], None], *, kept: bool
) -> None:
    made, exporter = provider
    logger = made.get_logger("own")
    if "exception" not in inspect.signature(logger.emit).parameters:
        pytest.skip("this SDK takes no exception")
    install()
    redaction.seen("token", SECRET)
    try:
        fail("" if kept else SECRET)
    except LookupError as error:
        logger.emit(body="failed", exception=error)
    (found,) = exporter.get_finished_logs()
    attributes = dict(found.log_record.attributes)
    assert SECRET not in repr(attributes)
    assert attributes["exception.type"] == "LookupError"
    assert (found.log_record.exception is not None) is kept


def test_a_processor_in_the_place_of_the_sdks_own(install: Callable[..., None]) -> None:
    install()
    got: list[Any] = []

    class Own:
        def on_emit(self, record: Any) -> None:
            got.append(record.log_record.body)

        emit = on_emit

        def enabled(self, **_kwargs: Any) -> bool:
            return True

        def shutdown(self) -> None:
            """Nothing to shut down."""

    made = LoggerProvider(multi_log_record_processor=Own(), shutdown_on_exit=False)  # type: ignore[arg-type]
    made.get_logger("own").emit(LogRecord(timestamp=1, body=f"code={SECRET}&x=1"))
    assert got
    assert SECRET not in got[0]


def test_uninstall_gives_the_method_back(install: Callable[..., None], console: Console) -> None:
    before = logging.Logger.callHandlers
    install()
    assert logging.Logger.callHandlers is not before
    redaction.uninstall()
    assert logging.Logger.callHandlers is before
    console.logger.info("code=%s&x=1", SECRET)
    assert SECRET in console.text


# Values that are hard to look at --------------------------------------------------------------------------------------


def tree(children: int) -> dict[str, Any]:
    root: dict[str, Any] = {"name": "root", "children": []}
    root["children"] += [{"parent": root, "n": number} for number in range(children)]
    return root


def test_a_value_that_holds_itself_is_looked_at_once(install: Callable[..., None], console: Console) -> None:
    install()
    plain, holding = tree(50), tree(50)
    holding["children"][7]["refresh_token"] = SECRET
    console.logger.info("trees", extra={"plain": plain, "holding": holding})
    (record,) = console.records
    assert vars(record)["plain"] is plain
    assert SECRET not in repr(vars(record)["holding"])
    assert holding["children"][7]["refresh_token"] == SECRET


def test_a_variable_that_holds_itself_is_looked_at_once(install: Callable[..., None], console: Console) -> None:
    install()
    try:
        raise_with(tree(50))
    except RuntimeError:
        console.logger.exception("it failed")
    assert console.records[0].exc_info is not None


def raise_with(held: Any) -> None:
    kept = held
    msg = f"it failed with a {type(kept).__name__}"
    raise RuntimeError(msg)


class _ChangedMeanwhile(dict[str, Any]):
    def values(self) -> Any:
        msg = "dictionary changed size during iteration"
        raise RuntimeError(msg)

    items = values


@pytest.mark.parametrize(
    "held", [_ChangedMeanwhile(a=1), list(range(1_000_000)), b"x" * 10_000_000, [{"n": n} for n in range(100_000)]]
)
def test_a_variable_that_cannot_be_looked_at_takes_the_variables_and_nothing_else(
    install: Callable[..., None], console: Console, held: Any
) -> None:
    install()
    try:
        raise_with(held)
    except RuntimeError:
        console.logger.exception("order 17 could not be stored")
    (record,) = console.records
    assert record.exc_info is None, "a handler could print its variables"
    assert console.text.startswith("order 17 could not be stored\nTraceback")
    assert "RuntimeError: it failed with a" in console.text


@pytest.mark.skipif(sys.version_info < (3, 11), reason="there are no exception groups")
def test_the_variables_of_an_exception_group_are_looked_at(install: Callable[..., None], console: Console) -> None:
    install()
    for held in ({"refresh_token": SECRET}, {"n": 1}):
        with pytest.raises(RuntimeError) as raised:
            raise_with(held)
        error = raised.value.with_traceback(raised.tb.tb_next)  # without this function's own variables
        console.logger.error("failed", exc_info=BaseExceptionGroup("several", [error]))  # type: ignore[name-defined,unused-ignore]  # noqa: F821 of Python 3.11
    assert [record.exc_info is None for record in console.records] == [True, False]


def test_the_rest_of_a_value_with_too_many_elements_is_left_out(install: Callable[..., None], console: Console) -> None:
    install()
    console.logger.info("many", extra={"rows": [*range(20_000), f"code={SECRET}&x=1"]})
    (record,) = console.records
    assert SECRET not in repr(vars(record))
    assert vars(record)["rows"][:3] == [0, 1, 2]
    assert vars(record)["rows"][-1] == "[redacted:uninspected]"


# Names that stand for no secret, names as HTTP has them ---------------------------------------------------------------


@pytest.mark.parametrize("name", ["error", "app.error", "scope", "provider", "client_id", "http.status_code"])
def test_under_a_readable_name_text_is_looked_at(install: Callable[..., None], console: Console, name: str) -> None:
    install()
    url = f"GET https://shop.example/cb?code={SECRET}&client_secret={SECRET} failed"
    held = {name: url, "nested": {name: [url]}, "kept": {name: "invalid_grant"}, "said": f'{{"{name}": "{url}"}}'}
    console.logger.info("failed", extra=held)
    (record,) = console.records
    assert SECRET not in repr(vars(record))
    assert vars(record)["kept"] == {name: "invalid_grant"}


@pytest.mark.parametrize("held", [{"value": SECRET[:14]}, {b"value": SECRET[:14].encode()}, {"parts": [SECRET[:14]]}])
def test_what_is_below_the_name_of_a_secret_is_one(install: Callable[..., None], console: Console, held: Any) -> None:
    install()
    console.logger.info("stored", extra={"vault": {"access_token": held, "error": "none"}})
    (record,) = console.records
    assert SECRET[:14] not in repr(vars(record))
    assert vars(record)["vault"]["error"] == "none"


def test_names_and_values_in_pairs_and_in_bytes(install: Callable[..., None], console: Console) -> None:
    install()
    headers = [("accept", "text/html"), ("x-api-key", SECRET), (b"cookie", f"session={SECRET}".encode())]
    console.logger.info("sent", extra={"headers": headers, "form": {b"refresh_token": SECRET.encode(), b"n": b"1"}})
    (record,) = console.records
    assert SECRET not in repr(vars(record))
    assert vars(record)["headers"][0] == ("accept", "text/html")
    assert vars(record)["form"][b"n"] == b"1"


@pytest.mark.parametrize(
    "text",
    [
        *(f'{{"{name}": "{SECRET}"}}' for name in ("sid", "sig", "otp")),
        f"sid: {SECRET}",
        f"next=%2Fcb%3Fsid%3D{SECRET}",
        *(f"using {name} {SECRET} now" for name in ("api_key", "session_id", "credential", "ticket", "jwt", "otp")),
    ],
)
def test_every_name_is_seen_however_its_value_stands_beside_it(install: Callable[..., None], text: str) -> None:
    install()
    assert SECRET not in redaction.redact(text)
