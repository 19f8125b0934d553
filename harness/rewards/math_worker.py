r"""The process behind ``math_equivalent``: reads pairs of formulas from stdin, writes verdicts to stdout.

One JSON line each way. First a greeting, ``{"ready": true}`` or ``{"error": "..."}``; then for every
``[answer, ground truth]``, trees of :mod:`harness.rewards.formula`, one of ``true``, ``false``, ``null`` (the ground
truth has no value). A question that uses more processor time than the limit (``argv[1]``, seconds) ends
the process by signal, even inside one long operation of C code; end of file on stdin ends it in peace.
"""

from __future__ import annotations

import json
import os
import signal
import sys

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
        from harness.rewards.equality import equivalent
    except ImportError as error:
        reply({"error": str(error)})
        return
    _limit_memory()
    reply({"ready": True})

    limit = float(sys.argv[1])
    for line in sys.stdin:
        answer, ground_truth = json.loads(line)
        _arm(limit)
        verdict = equivalent(answer, ground_truth)
        _arm(0)
        reply(verdict)


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
