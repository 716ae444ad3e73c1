"""Makes a context manager usable around functions of every sort: plain, async, generators."""

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])


class Span(Protocol):
    """What is opened at a call's start and closed at its end."""

    def open(self) -> None:
        """Begin."""
        ...

    def close(self, error: BaseException | None) -> None:
        """End; `error` is what left the block."""
        ...

    def active(self) -> AbstractContextManager[None]:
        """While the code of the block runs. A generator is active only between its yields."""
        ...


def around(function: F, make: Callable[[], Span]) -> F:
    """`function` with a new span around each call; for generators, around the whole iteration."""
    if inspect.isasyncgenfunction(function):
        wrapper = _async_generator(function, make)
    elif inspect.iscoroutinefunction(function):
        wrapper = _coroutine(function, make)
    elif inspect.isgeneratorfunction(function):
        wrapper = _generator(function, make)
    else:
        wrapper = _plain(function, make)
    return cast(F, functools.wraps(function)(wrapper))


def _plain(function: Callable[..., Any], make: Callable[[], Span]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        with _Spanned(make()):
            return function(*args, **kwargs)

    return call


def _coroutine(function: Callable[..., Any], make: Callable[[], Span]) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        with _Spanned(make()):
            return await function(*args, **kwargs)

    return call


def _generator(function: Callable[..., Any], make: Callable[[], Span]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        span = make()
        inner = function(*args, **kwargs)
        with _Outer(span):
            resume = functools.partial(next, inner)
            while True:
                try:
                    with span.active():
                        value = resume()
                except StopIteration as stop:
                    return stop.value
                try:
                    resume = functools.partial(inner.send, (yield value))
                except GeneratorExit:
                    with span.active():
                        inner.close()
                    raise
                except BaseException as error:  # noqa: BLE001 - handed on to the generator
                    resume = functools.partial(inner.throw, error)

    return call


def _async_generator(function: Callable[..., Any], make: Callable[[], Span]) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        span = make()
        inner = function(*args, **kwargs)
        with _Outer(span):
            resume = inner.__anext__
            while True:
                try:
                    with span.active():
                        value = await resume()
                except StopAsyncIteration:
                    return
                try:
                    resume = functools.partial(inner.asend, (yield value))
                except GeneratorExit:
                    with span.active():
                        await inner.aclose()
                    raise
                except BaseException as error:  # noqa: BLE001 - handed on to the generator
                    resume = functools.partial(inner.athrow, error)

    return call


class _Outer:
    """Opens and closes a span without making it active."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def __enter__(self) -> None:
        self._span.open()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._span.close(None if isinstance(error, GeneratorExit) else error)


class _Spanned(_Outer):
    """Opens a span, active for the whole block."""

    def __enter__(self) -> None:
        super().__enter__()
        self._active = self._span.active()
        self._active.__enter__()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._active.__exit__(None, None, None)
        super().__exit__(kind, error, trace)
