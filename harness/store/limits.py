"""Time limits on calls of a user's functions.

On the main thread an interval timer raises inside the function, as Ctrl-C does, so a hung call really ends: a sleep,
a loop, a lock, a socket, a regular expression that backtracks for ever. Elsewhere (another thread, Windows) nothing
can end it: the call runs in a thread of its own, which is left behind. Coroutines run on an event loop of their own
thread and are cancelled; a loop that is blocked is left behind, and the next coroutine gets a new one.

Nothing in this process can end a call that holds the interpreter inside C code without looking for signals.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import signal
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_AGAIN_SECONDS = 0.5  # a function that swallows the first alarm gets another
_GRACE_SECONDS = 1.0  # a cancelled coroutine may clean up


class OutOfTimeError(TimeoutError):
    """The limit was reached; a ``TimeoutError`` of the function's own, as sockets raise, is another matter."""


class _OwnTimeoutError(Exception):
    """Carries a coroutine's ``TimeoutError``: asyncio would hand over a new one, without the lines it came through."""


class _Alarm(BaseException):
    """Not an ``Exception``: what a function catches of its own troubles must not catch this."""


def limited(call: Callable[[], T], seconds: float) -> T:
    """``call()``, or ``OutOfTimeError`` after so many seconds. What the call itself raises is raised."""
    if threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer"):
        return _by_alarm(call, seconds)
    return _by_thread(call, seconds)


def _by_alarm(call: Callable[[], T], seconds: float) -> T:
    armed = True

    def ring(number: int, frame: object) -> None:
        if armed:
            raise _Alarm

    started = time.monotonic()
    handler = signal.signal(signal.SIGALRM, ring)
    left, again = signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN_SECONDS)
    try:
        try:
            return call()
        finally:
            armed = False
    except _Alarm:
        raise OutOfTimeError from None
    finally:
        armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if left:  # someone else's timer, such as that of a test's own time limit, goes on
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - started), 0.001), again)


def _by_thread(call: Callable[[], T], seconds: float) -> T:
    outcome: concurrent.futures.Future[T] = concurrent.futures.Future()

    def run() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=run, name="reward", daemon=True).start()
    return _result(outcome, seconds)


class Loop:
    """An event loop on a daemon thread, started when first needed and kept, as clients that a user's module holds
    belong to the loop that they were first used on. A fork has none of its parent's threads, and starts its own."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        if hasattr(os, "register_at_fork"):  # where there are forks
            os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._loop = None

    def start(self, coroutine: Coroutine[Any, Any, T], seconds: float) -> Callable[[], T]:
        """Run a coroutine; what is returned waits for its value, or raises what it raised, or
        ``OutOfTimeError``."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(target=self._loop.run_forever, name="async rewards", daemon=True).start()
        future = asyncio.run_coroutine_threadsafe(_within(coroutine, seconds), self._loop)
        deadline = time.monotonic() + seconds + _GRACE_SECONDS

        def wait() -> T:
            try:
                return _result(future, max(0.0, deadline - time.monotonic()))
            finally:
                if not future.done():  # it holds the loop up
                    self._forget()

        return wait


LOOP = Loop()
"""That of this process."""


async def _within(coroutine: Coroutine[Any, Any, T], seconds: float) -> T:
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            return await coroutine
    except TimeoutError as error:
        if limit.expired():
            raise OutOfTimeError from None
        raise _OwnTimeoutError(error) from None
    except asyncio.CancelledError:  # of the user's own making: it is no end of ours
        raise RuntimeError("it was cancelled") from None


def _result(future: concurrent.futures.Future[T], seconds: float) -> T:
    try:
        return future.result(seconds)
    except concurrent.futures.CancelledError:
        raise RuntimeError("it was cancelled") from None
    except _OwnTimeoutError as error:
        raise error.args[0] from None
    except TimeoutError as error:
        if future.done() and future.exception() is error:
            raise
        raise OutOfTimeError from None
