"""The words for an exception of a user's code: ``raised ValueError at my_rewards.py:12: no number in it``."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path

_OURS = Path(__file__).resolve().parents[1]
_INSTALLED = tuple(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib"))


def raised(error: BaseException) -> str:
    """What was raised, and the innermost line of the user's own files that it came through, if there is one: the lines
    of this package, of Python's and of installed packages are not theirs to mend. The file's name alone, so that the
    words are the same on every machine. A syntax error names its line itself."""
    place = ""
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        name = frame.f_code.co_filename
        file = Path(name).resolve()
        if not name.startswith("<") and not any(file.is_relative_to(each) for each in (_OURS, *_INSTALLED)):
            place = f" at {file.name}:{line}"
            break
    return f"raised {type(error).__name__}{place}: {error}"
