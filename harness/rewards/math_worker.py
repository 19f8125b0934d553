r"""The process behind ``math_equivalent``: reads questions for Math-Verify from stdin, writes verdicts to stdout.

One JSON line each way. First a greeting, ``{"ready": true}`` or ``{"error": "..."}``; then for every
``[answer, ground truth]`` one of ``true``, ``false``, ``null`` (the ground truth cannot be read). It is run by path and
imports nothing from this package. A question that uses more processor time than the limit (``argv[1]``, seconds) ends
the process by signal, even inside one long operation of C code; end of file on stdin ends it in peace.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from typing import Any

_MEMORY_LIMIT_BYTES = 4 << 30


def main() -> None:
    """Answers until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that owns this one
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints must not be read as a verdict

    def reply(value: object) -> None:
        replies.write(json.dumps(value) + "\n")
        replies.flush()

    try:
        import math_verify
    except ImportError as error:
        reply({"error": str(error)})
        return
    logging.disable(logging.CRITICAL)  # Math-Verify warns of every parse that fails
    _limit_memory()
    equivalent(math_verify, r"\frac{x}{2} + 1", r"1 + x/2")  # the first question builds the parser's tables
    reply({"ready": True})

    limit = float(sys.argv[1])
    for line in sys.stdin:
        answer, ground_truth = json.loads(line)
        _arm(limit)
        verdict = equivalent(math_verify, answer, ground_truth)
        _arm(0)
        reply(verdict)


def equivalent(math_verify: Any, answer: str, ground_truth: str) -> bool | None:
    """Math-Verify's verdict, with its own time limits off: the signal they use works in a main thread only."""
    truth = math_verify.parse(_as_maths(ground_truth), parsing_timeout=None)
    if not truth:
        return None
    given = math_verify.parse(_as_maths(answer), parsing_timeout=None)
    return bool(math_verify.verify(truth, given, timeout_seconds=None))


def _as_maths(text: str) -> str:
    # Dollars inside would split the answer in several formulas, of which any one might match.
    return "$" + text.replace("$", "") + "$"


def _arm(seconds: float) -> None:
    """Ends this process after that much processor time, 0 to disarm. Processor time, so that a busy machine does not
    turn correct answers into undecided ones; the owner has a longer limit by the clock."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)


def _limit_memory() -> None:
    try:
        import resource

        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        limit = _MEMORY_LIMIT_BYTES if hard == resource.RLIM_INFINITY else min(_MEMORY_LIMIT_BYTES, hard)
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    except (ImportError, ValueError, OSError):  # a platform without it: the time limit still holds
        pass


if __name__ == "__main__":
    main()
