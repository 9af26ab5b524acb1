"""Hooked callables that return a context manager: the operation lasts until that is entered, or entering it fails.

What ``contextlib`` makes holds a generator; it runs within one of ours, so that the application gets the same context
manager, the same value and the same exceptions.
"""

from __future__ import annotations

from contextlib import (  # what contextlib makes has no public name
    _AsyncGeneratorContextManager,  # noqa: PLC2701 as above
    _GeneratorContextManager,  # noqa: PLC2701 as above
)
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    Leave = Callable[[Any, BaseException | None], None]


MANAGERS = frozenset((_GeneratorContextManager, _AsyncGeneratorContextManager))
"""The types of what is made by functions decorated with ``contextmanager`` and ``asynccontextmanager``."""


def observe_entry(manager: Any, resume: Callable[[], None], leave: Leave) -> None:  # noqa: ANN401 one of MANAGERS
    """Call ``resume`` before and ``leave(value, error)`` after a context manager is entered."""
    entered = _entered if type(manager) is _GeneratorContextManager else _entered_async
    manager.gen = entered(manager.gen, resume, leave)


def _entered(inner: Generator[Any, Any, Any], resume: Callable[[], None], leave: Leave) -> Generator[Any, Any, None]:
    resume()
    try:
        value = next(inner)
    except StopIteration:
        leave(None, None)
        return
    except BaseException as error:
        leave(None, error)
        raise
    leave(value, None)
    try:
        yield value
    except GeneratorExit:
        inner.close()
        raise
    except BaseException as error:  # noqa: BLE001 it is the wrapped one's to handle
        try:
            yield inner.throw(error)
        except StopIteration:
            return
    else:
        yield from inner


async def _entered_async(
    inner: AsyncGenerator[Any, Any], resume: Callable[[], None], leave: Leave
) -> AsyncGenerator[Any, None]:
    resume()
    try:
        value = await inner.__anext__()
    except StopAsyncIteration:
        leave(None, None)
        return
    except BaseException as error:
        leave(None, error)
        raise
    leave(value, None)
    try:
        yield value
    except GeneratorExit:
        await inner.aclose()
        raise
    except BaseException as error:  # noqa: BLE001 it is the wrapped one's to handle
        try:
            yield await inner.athrow(error)
        except StopAsyncIteration:
            return
    else:
        async for again in inner:
            yield again
