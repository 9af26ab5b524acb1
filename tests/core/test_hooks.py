"""Hooks into a library: the same results and exceptions, sync and async, taken back without a trace."""

from __future__ import annotations

import asyncio
import copy
import functools
import gc
import importlib
import inspect
import itertools
import pickle
import sys
import textwrap
import threading
import warnings
import weakref
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any

import pytest
import wrapt
from opentelemetry.instrumentation.utils import suppress_instrumentation

from otel_oauth import kinds
from otel_oauth.hooks import Hook, HookSet
from otel_oauth.operation import current_operation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LIBRARY = textwrap.dedent("""
    import functools

    RESULT, ERROR = object(), ValueError("secret-4711")

    class Base:
        def call(self, first=None, *, second=None):
            "Documented."
            return RESULT

        def fail(self):
            raise ERROR

        async def acall(self, first=None):
            return RESULT

        async def afail(self):
            raise ERROR

        def returns_coroutine(self):
            return self.acall()

        @classmethod
        def for_class(cls, first=None):
            return cls, RESULT

        @staticmethod
        def static(first=None):
            return RESULT

        def inherited(self):
            return RESULT

    class Child(Base):
        def call(self, first=None, *, second=None):
            return super().call(first, second=second)

    def function(first=None):
        return RESULT
""")
numbers = itertools.count()


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A library of its own for each test: its name; it is imported by whoever wants it."""
    name = f"library_of_hooks_{next(numbers)}"
    (tmp_path / f"{name}.py").write_text(LIBRARY)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield name
    sys.modules.pop(name, None)


@pytest.fixture
def attach(recording: Any, library: Any) -> Iterator[Any]:
    """Attach hooks to the library's paths; returns its module and the hook set."""
    made = []

    def attach(*paths: Any, hook: Any = None, load: bool = True) -> Any:
        hooks = HookSet(recording.telemetry, "authlib")
        made.append(hooks)
        hooks.attach({f"{library}:{path}": hook or Hook(begin) for path in paths})
        return (importlib.import_module(library) if load else None), hooks

    yield attach
    for hooks in made:
        hooks.detach()


def begin(call: Any) -> Any:
    return call.telemetry.operation(kinds.RATE_LIMITED, {"limiter": "ip"})


@pytest.fixture
def counted(recording: Any) -> Any:
    """How many operations were recorded."""
    return lambda: sum(recording.values("oauth_rate_limit_exceeded").values())


CALLABLES = {
    "Base.call": lambda m: m.Base().call("a", second="b"),
    "Base.for_class": lambda m: m.Base.for_class("a")[1],
    "Base.static": lambda m: m.Base.static("a"),
    "Base.acall": lambda m: asyncio.run(m.Base().acall("a")),
    "Base.returns_coroutine": lambda m: asyncio.run(m.Base().returns_coroutine()),
    "function": lambda m: m.function("a"),
}


@pytest.mark.parametrize(("path", "call"), CALLABLES.items(), ids=CALLABLES)
def test_the_result_is_the_identical_object_and_the_call_is_recorded_once(
    attach: Callable[..., Any], counted: Callable[[], float], path: Any, call: Any
) -> None:
    module, _ = attach(path)
    assert call(module) is module.RESULT
    assert counted() == 1
    assert current_operation() is None


@pytest.mark.parametrize("path", ["fail", "afail"])
def test_the_exception_is_the_identical_object_and_the_call_is_recorded_once(
    attach: Callable[..., Any], counted: Callable[[], float], recording: Any, path: Any
) -> None:
    seen = []
    module, _ = attach(f"Base.{path}", hook=Hook(begin, lambda _call, result, error: seen.append((result, error))))
    method = getattr(module.Base(), path)
    call = (lambda: asyncio.run(method())) if path == "afail" else method
    with pytest.raises(ValueError, match="secret") as raised:
        call()
    assert raised.value is module.ERROR
    assert (raised.value.__cause__, raised.value.__context__) == (None, None)
    assert seen == [(None, module.ERROR)]
    assert counted() == 1
    assert recording.values("otel_oauth_errors_total")["hook",] == 0


def test_a_hook_sees_the_call(attach: Callable[..., Any]) -> None:
    calls = []
    module, hooks = attach(
        "Base.call", "Base.for_class", "Base.static", "function", hook=Hook(after=lambda *seen: calls.append(seen))
    )
    base = module.Base()
    base.call("a", second="b")
    module.Base.call(base, "c")
    module.Child.for_class("d")
    module.Base.static("e")
    module.function(first="f")
    first, unbound, for_class, static, function = (call for call, _, _ in calls)
    assert (first.instance, first.args, first.kwargs, first.hooks) == (base, ("a",), {"second": "b"}, hooks)
    assert (first.argument(0, "first"), first.argument(1, "second"), first.argument(2, "third", 3)) == ("a", "b", 3)
    assert (unbound.instance, unbound.argument(0, "first")) == (base, "c")
    assert for_class.instance is module.Child
    assert (static.argument(0, "first"), function.argument(0, "first")) == ("e", "f")
    assert {call.operation for call, _, _ in calls} == {None}
    assert all(result is module.RESULT for _, result, _ in calls if not isinstance(result, tuple))


def test_without_an_operation_from_begin_the_call_passes_unobserved(
    attach: Callable[..., Any], counted: Callable[[], float]
) -> None:
    seen = []
    module, _ = attach("Base.call", "Base.acall", hook=Hook(lambda _call: None, lambda *args: seen.append(args)))
    assert module.Base().call() is module.RESULT
    assert asyncio.run(module.Base().acall()) is module.RESULT
    assert (seen, counted()) == ([], 0)


def test_the_operation_is_current_within_the_call_and_not_between_call_and_await(attach: Callable[..., Any]) -> None:
    inside = []
    module, _ = attach("Base.acall", hook=Hook(begin))
    original = module.Base.acall.__wrapped__

    class App(module.Base):
        async def acall(self, first: Any = None) -> Any:  # noqa: ARG002 the library's signature
            inside.append(current_operation())
            await asyncio.sleep(0)
            inside.append(current_operation())
            return await original(self)

    _, hooks = attach()
    hooks.adopt(App, {"acall": Hook(begin)})

    async def main() -> None:
        coroutine = App().acall()
        assert current_operation() is None
        other = asyncio.create_task(asyncio.sleep(0))
        assert await coroutine is module.RESULT
        assert current_operation() is None
        await other

    asyncio.run(main())
    assert inside[0] is inside[1] is not None


def test_a_coroutine_that_is_never_awaited_records_nothing_and_leaves_the_context_alone(
    attach: Callable[..., Any], counted: Callable[[], float]
) -> None:
    module, _ = attach("Base.acall")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        coroutine = module.Base().acall()
        assert inspect.iscoroutine(coroutine)
        assert current_operation() is None
        del coroutine
        gc.collect()
        messages = [str(warning.message) for warning in caught]
        caught.clear()  # each warning holds its coroutine
        gc.collect()
    assert any("was never awaited" in message for message in messages)
    assert counted() == 0


def test_a_coroutine_that_is_closed_or_cancelled_is_recorded_once(
    attach: Callable[..., Any], counted: Callable[[], float], recording: Any
) -> None:
    async def slow(_self: Any, *_args: Any) -> None:
        await asyncio.sleep(60)

    module, hooks = attach()
    app = type("App", (module.Base,), {"acall": slow})
    hooks.adopt(app, {"acall": Hook(begin)})

    async def main() -> None:
        task = asyncio.create_task(app().acall())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        coroutine = app().acall()
        asyncio.get_running_loop().call_soon(coroutine.close)
        waiting = coroutine.send(None)
        await asyncio.sleep(0)
        waiting.cancel()

    asyncio.run(main())
    assert counted() == 2
    assert recording.values("otel_oauth_errors_total")["hook",] == 0


def test_an_asynchronous_function_stays_one_for_who_asks(attach: Callable[..., Any]) -> None:
    module, _ = attach("Base.call", "Base.acall")
    assert inspect.iscoroutinefunction(module.Base.acall)
    assert inspect.iscoroutinefunction(module.Base().acall)
    assert (module.Base.call.__name__, module.Base.call.__doc__) == ("call", "Documented.")
    assert str(inspect.signature(module.Base().call)) == "(first=None, *, second=None)"
    assert functools.partial(module.Base().call, "a")() is module.RESULT


def test_in_the_place_of_a_function_stands_a_function(attach: Callable[..., Any]) -> None:
    module, _ = attach("Base.call", "Base.acall", "function")
    for hooked in (module.Base.__dict__["call"], module.Base.__dict__["acall"], module.function):
        assert type(hooked) is type(hooked.__wrapped__) is FunctionType
    assert type(module.Base().call) is MethodType


@pytest.mark.parametrize("path", ["call", "acall"])
def test_a_call_without_an_instance_fails_as_before(
    attach: Callable[..., Any], counted: Callable[[], float], path: str
) -> None:
    module, _ = attach(f"Base.{path}")
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'self'"):
        asyncio.run(module.Base.acall()) if path == "acall" else module.Base.call()
    assert counted() == 0


def test_what_somebody_else_has_wrapped_is_bound_as_before(
    attach: Callable[..., Any], library: Any, counted: Callable[[], float]
) -> None:
    base = importlib.import_module(library).Base
    seen = []

    def theirs(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        seen.append((instance, args))
        return wrapped(*args, **kwargs)

    base.call = before = wrapt.FunctionWrapper(base.__dict__["call"], theirs)
    module, hooks = attach("Base.call")
    first, second = base(), base()
    assert first.call("a") is base.call(second, "b") is module.RESULT
    assert (seen, counted()) == ([(first, ("a",)), (second, ("b",))], 2)
    hooks.detach()
    assert base.__dict__["call"] is before


# Errors of ours -------------------------------------------------------------------------------------------------------


def broken(*_args: Any) -> None:
    msg = "secret-0815"
    raise LookupError(msg)


@pytest.mark.parametrize(
    "hook", [Hook(broken), Hook(begin, broken), Hook(after=broken)], ids=["begin", "after", "watching"]
)
@pytest.mark.parametrize("path", ["call", "acall", "fail", "afail"])
def test_a_hook_that_fails_is_counted_and_the_application_does_not_see_it(  # noqa: PLR0913, PLR0917 pytest gives the fixtures by name
    attach: Callable[..., Any],
    recording: Any,
    counted: Callable[[], float],
    caplog: pytest.LogCaptureFixture,
    hook: Any,
    path: Any,
) -> None:
    recording.telemetry.guard.reraise = False
    module, _ = attach(f"Base.{path}", hook=hook)
    try:
        result = getattr(module.Base(), path)()
        result = asyncio.run(result) if path in {"acall", "afail"} else result
    except ValueError as error:
        result = error
    assert result is (module.ERROR if "fail" in path else module.RESULT)
    assert recording.values("otel_oauth_errors_total")["hook",] == 1
    assert counted() == (hook.begin is begin)
    assert current_operation() is None
    assert "secret" not in caplog.text
    assert len(caplog.records) == 1


# Attaching ------------------------------------------------------------------------------------------------------------


def state(recording: Any) -> Any:
    return {value: count for (_, value), count in recording.values("otel_oauth_hooks").items()}


def test_a_library_that_is_imported_later_is_hooked_then(
    attach: Callable[..., Any], library: Any, counted: Callable[[], float], recording: Any
) -> None:
    _, _hooks = attach("Base.call", load=False)
    assert library not in sys.modules
    assert state(recording) == {}
    module = importlib.import_module(library)
    module.Base().call()
    assert counted() == 1
    assert state(recording) == {"attached": 1, "missing": 0}


def test_a_library_that_is_imported_after_detach_is_left_alone(
    attach: Callable[..., Any], library: Any, counted: Callable[[], float]
) -> None:
    _, hooks = attach("Base.call", load=False)
    hooks.detach()
    module = importlib.import_module(library)
    module.Base().call()
    assert counted() == 0
    assert inspect.isfunction(module.Base.__dict__["call"])


def test_what_is_missing_is_said_once_and_counted_and_the_rest_is_hooked(
    attach: Callable[..., Any],
    recording: Any,
    counted: Callable[[], float],
    caplog: pytest.LogCaptureFixture,
    library: Any,
) -> None:
    module, _ = attach("Base.gone", "NoClass.call", "no_function", "Base.call", "function")
    assert module.Base().call() is module.RESULT
    assert counted() == 1
    assert state(recording) == {"attached": 2, "missing": 3}
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        f"otel-oauth: {library}.{path} is not in this version of authlib; it is left out"
        for path in ("Base.gone", "NoClass.call", "no_function")
    ]


def test_what_not_every_version_has_is_not_missed(
    attach: Callable[..., Any], recording: Any, caplog: pytest.LogCaptureFixture, library: Any
) -> None:
    module, hooks = attach("Base.call")
    paths = ("Base.gone", "NoClass.call", "function")
    hooks.attach({f"{library}:{path}": Hook(begin, optional=True) for path in paths})
    module.function()
    assert state(recording) == {"attached": 2, "missing": 0}
    assert caplog.records == []


def test_a_name_that_a_module_makes_up_on_demand_is_missing_and_harms_no_other(
    attach: Callable[..., Any], recording: Any, counted: Callable[[], float], tmp_path: Path, library: Any
) -> None:
    with (tmp_path / f"{library}.py").open("a") as file:
        file.write("\ndef __getattr__(name):\n    return print\n")
    module, _ = attach("made_up", "function")
    module.function()
    assert (counted(), state(recording)) == (1, {"attached": 1, "missing": 1})


def test_attaching_the_same_twice_records_once(
    attach: Callable[..., Any], counted: Callable[[], float], recording: Any, library: Any
) -> None:
    module, hooks = attach("Base.call")
    hooks.attach({f"{library}:Base.call": Hook(begin)})
    module.Base().call()
    assert counted() == 1
    assert state(recording) == {"attached": 1, "missing": 0}


def test_a_method_is_hooked_where_it_is_defined_and_once_for_all_its_heirs(
    attach: Callable[..., Any], counted: Callable[[], float], recording: Any
) -> None:
    module, _ = attach("Child.inherited", "Base.inherited")
    assert "inherited" not in module.Child.__dict__
    module.Base().inherited()
    module.Child().inherited()
    assert (counted(), state(recording)["attached"]) == (2, 1)


def test_an_instance_made_before_is_hooked_too(
    attach: Callable[..., Any], library: Any, counted: Callable[[], float]
) -> None:
    base = importlib.import_module(library).Base()
    attach("Base.call")
    base.call()
    assert counted() == 1


# Classes of the application -------------------------------------------------------------------------------------------


def test_an_override_is_seen_only_once_its_class_is_adopted(
    attach: Callable[..., Any], counted: Callable[[], float]
) -> None:
    module, hooks = attach("Base.call")

    class App(module.Base):
        def call(self, first: Any = None, *, second: Any = None) -> Any:  # noqa: ARG002 the library's signature
            return "own"

    assert App().call() == "own"
    assert counted() == 0
    for _ in range(3):
        hooks.adopt(App, {"call": Hook(begin), "no_such_method": Hook(begin)})
    assert App().call() == "own"
    assert counted() == 1
    hooks.detach()
    assert inspect.isfunction(App.__dict__["call"])


def test_what_the_library_defines_is_left_alone_until_it_is_asked_for(
    attach: Callable[..., Any], recording: Any
) -> None:
    module, hooks = attach("Base.call")
    attached = state(recording)["attached"]
    table = {"acall": Hook(begin)}
    hooks.adopt(module.Child, table, beyond=module.__name__)
    assert state(recording)["attached"] == attached
    hooks.adopt(module.Child, table)
    assert state(recording)["attached"] == attached + 1
    assert hooks.origin(module.Child, "acall") == module.__name__
    assert hooks.origin(module.Child, "no_such_method") == ""


def test_an_override_that_calls_its_base_makes_two_calls_one_within_the_other(
    attach: Callable[..., Any], recording: Any
) -> None:
    parents = []
    hook = Hook(begin, lambda call, *_: parents.append(call.operation.parent))
    module, hooks = attach("Base.call", hook=hook)
    hooks.adopt(module.Child, {"call": hook})
    assert module.Child().call() is module.RESULT
    inner, outer = parents
    assert inner is not None
    assert outer is None
    assert state(recording)["attached"] == 2


def test_an_adopted_class_is_free_to_go(attach: Callable[..., Any]) -> None:
    module, hooks = attach()

    def adopt() -> Any:
        class App(module.Child):
            def call(self, first: Any = None, *, second: Any = None) -> Any:
                return super().call(first, second=second)

        hooks.adopt(App, {"call": Hook(begin)})
        assert App().call() is module.RESULT
        return weakref.ref(App)

    reference = adopt()
    gc.collect()
    assert reference() is None
    hooks.detach()


def test_threads_that_adopt_a_class_together_hook_it_once(
    attach: Callable[..., Any], counted: Callable[[], float]
) -> None:
    module, hooks = attach()

    class App(module.Base):
        def call(self, first: Any = None, *, second: Any = None) -> Any:  # noqa: ARG002 the library's signature
            return "own"

    barrier = threading.Barrier(8)

    def work() -> None:
        barrier.wait(5)
        hooks.adopt(App, {"call": Hook(begin)})

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    App().call()
    assert counted() == 1


# Detaching ------------------------------------------------------------------------------------------------------------

ATTRIBUTES = ["call", "for_class", "static", "acall"]


def test_detach_restores_the_identical_attributes(
    attach: Callable[..., Any], library: Any, recording: Any, counted: Callable[[], float]
) -> None:
    before = importlib.import_module(library)
    originals = {name: before.Base.__dict__[name] for name in ATTRIBUTES}
    function = before.function
    undone = []
    module, hooks = attach(*(f"Base.{name}" for name in ATTRIBUTES), "function")
    hooks.on_detach(lambda: undone.append(True))
    assert all(module.Base.__dict__[name] is not original for name, original in originals.items())
    hooks.detach()
    hooks.detach()
    assert all(module.Base.__dict__[name] is original for name, original in originals.items())
    assert module.function is function
    assert undone == [True]
    assert state(recording) == {"attached": 0, "missing": 0}
    module.Base().call()
    hooks.adopt(module.Child, {"call": Hook(begin)})
    module.Child().call()
    assert counted() == 0


def test_copies_that_are_held_after_detach_pass_straight_through(
    attach: Callable[..., Any], counted: Callable[[], float]
) -> None:
    module, hooks = attach("Base.call", "Base.acall", "function")
    held, bound, coroutine, function = module.Base.call, module.Base().call, module.Base().acall, module.function
    hooks.detach()
    assert held(module.Base()) is bound() is function() is asyncio.run(coroutine()) is module.RESULT
    assert counted() == 0


def test_hooked_methods_and_functions_copy_and_pickle_as_they_did_before(
    attach: Callable[..., Any], counted: Callable[[], float]
) -> None:
    module, _ = attach("Base.call", "Base.for_class", "Base.static", "function")
    holder = {"base": (base := module.Base()), "method": base.call, "function": module.function}
    for made in (copy.copy(base.call), pickle.loads(pickle.dumps(base.call)), copy.deepcopy(holder)["method"]):  # noqa: S301 our own bytes
        made()
    copied = copy.deepcopy(holder)
    assert copied["method"].__self__ is copied["base"] is not base
    assert copied["function"] is copy.copy(module.function) is pickle.loads(pickle.dumps(module.function))  # noqa: S301 as above
    assert pickle.loads(pickle.dumps(module.Base.call))(base) is module.RESULT  # noqa: S301 as above
    assert pickle.loads(pickle.dumps(module.Child.for_class))()[0] is module.Child  # noqa: S301 as above
    assert pickle.loads(pickle.dumps(module.Base.static))() is module.RESULT  # noqa: S301 as above
    assert counted() == 6


def test_a_wrapper_of_somebody_else_on_top_of_ours_stays(
    attach: Callable[..., Any], counted: Callable[[], float]
) -> None:
    module, hooks = attach("Base.call")
    ours = module.Base.__dict__["call"]

    @functools.wraps(ours)
    def theirs(self: Any, *args: Any, **kwargs: Any) -> Any:
        return ours(self, *args, **kwargs)

    module.Base.call = theirs
    hooks.detach()
    assert module.Base.__dict__["call"] is theirs
    assert module.Base().call() is module.RESULT
    assert counted() == 0


def test_an_undo_that_fails_is_counted_and_the_others_run(attach: Callable[..., Any], recording: Any) -> None:
    recording.telemetry.guard.reraise = False
    undone = []
    _, hooks = attach("Base.call")
    hooks.on_detach(broken)
    hooks.on_detach(lambda: undone.append(True))
    hooks.detach()
    assert undone == [True]
    assert recording.values("otel_oauth_errors_total")["hook",] == 1


def test_attached_again_after_detach_it_records_once(attach: Callable[..., Any], counted: Callable[[], float]) -> None:
    module, hooks = attach("Base.call")
    hooks.detach()
    attach("Base.call")
    module.Base().call()
    assert counted() == 1


def test_a_call_that_was_under_way_at_detach_is_finished(
    attach: Callable[..., Any], counted: Callable[[], float]
) -> None:
    module, hooks = attach()

    async def slow(_self: Any, *_args: Any) -> Any:
        await asyncio.sleep(0)
        return module.RESULT

    app = type("App", (module.Base,), {"acall": slow})
    hooks.adopt(app, {"acall": Hook(begin)})

    async def main() -> Any:
        task = asyncio.create_task(app().acall())
        await asyncio.sleep(0)
        hooks.detach()
        return await task

    assert asyncio.run(main()) is module.RESULT
    assert counted() == 1


def test_nothing_is_recorded_while_instrumentation_is_suppressed(
    attach: Callable[..., Any], counted: Callable[[], float]
) -> None:
    module, _ = attach("Base.call", "Base.acall")
    with suppress_instrumentation():
        assert module.Base().call() is module.RESULT
        assert asyncio.run(module.Base().acall()) is module.RESULT
    assert counted() == 0
    module.Base().call()
    assert counted() == 1


# What goes before it is used ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hooked", [False, True])
def test_a_coroutine_that_nobody_awaits_warns_once_and_by_its_own_name(
    attach: Callable[..., Any], counted: Callable[[], float], *, hooked: bool
) -> None:
    module, _ = attach(*["Base.returns_coroutine"] * hooked)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        closed = module.Base().returns_coroutine()
        assert closed.__qualname__ == "Base.acall"
        closed.close()
        del closed
        gc.collect()
        assert said == []
        module.Base().returns_coroutine()
        gc.collect()
    assert [str(each.message) for each in said] == ["coroutine 'Base.acall' was never awaited"]
    assert counted() == 0


@pytest.mark.parametrize("hooked", [True, False])
def test_a_coroutine_that_its_object_leads_to_goes_with_it(attach: Callable[..., Any], *, hooked: bool) -> None:
    module, _ = attach(*["Base.returns_coroutine"] * hooked)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        application = module.Base()
        application.pending = application.returns_coroutine()
        gone = weakref.ref(application)
        del application
        gc.collect()
    assert gone() is None


def test_a_class_that_is_seen_while_hooks_are_taken_back_stays_as_it_is(attach: Callable[..., Any]) -> None:
    module, hooks = attach()
    application = type("App", (module.Base,), {"call": lambda _self: 1})
    before = vars(application)["call"]
    with hooks._lock:
        thread = threading.Thread(target=hooks.adopt, args=(application, {"call": Hook(begin)}))
        thread.start()
        hooks.active = False  # as detach() has it when it gives the lock back
    thread.join(20)
    assert vars(application)["call"] is before


class _WithProperty:
    """An application that gives its callback by a property."""

    def __init__(self) -> None:
        self.given: Any = lambda: "first"

    @property
    def settable(self) -> Any:
        return self.given

    @settable.setter
    def settable(self, value: Any) -> None:
        self.given = value

    @property
    def readable(self) -> Any:
        return self.given


def test_a_property_stays_one(attach: Callable[..., Any], counted: Callable[[], float]) -> None:
    _, hooks = attach()
    hooks.adopt(_WithProperty, {"settable": Hook(begin), "readable": Hook(begin)})
    application = _WithProperty()
    assert (application.settable(), application.readable(), counted()) == ("first", "first", 2)
    application.settable = lambda: "second"
    assert application.given() == "second"
    assert "settable" not in vars(application)
    with pytest.raises(AttributeError):
        application.readable = None  # type: ignore[misc]  # that is the test
    with pytest.raises(AttributeError):
        del application.readable
    hooks.detach()
    assert type(vars(_WithProperty)["settable"]) is property
