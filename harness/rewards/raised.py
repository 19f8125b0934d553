"""The words for an exception of a user's code: ``raised ValueError at my_rewards.py:12: no number in it``."""

from __future__ import annotations

import traceback
from pathlib import Path

_OURS = Path(__file__).parents[1]
_PYTHONS = Path(traceback.__file__).parent
_INSTALLED = {"site-packages", "dist-packages"}


def raised(error: BaseException) -> str:
    """What was raised, and the innermost line of the user's own files that it came through, if there is one: the lines
    of this package, of Python's and of installed packages are not theirs to mend. The file's name alone, so that the
    words are the same on every machine. A syntax error names its line itself."""
    place = ""
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        file = Path(frame.f_code.co_filename)
        if _is_theirs(file):
            name = "/".join(file.parts[-2:]) if file.name == "__init__.py" else file.name
            place = f" at {name}:{line}"
            break
    return f"raised {type(error).__name__}{place}: {error}"


def _is_theirs(file: Path) -> bool:
    """By the name alone: it may be gone, or have been reached by a link."""
    if file.name.startswith("<") or _INSTALLED.intersection(file.parts):
        return False
    return not (file.is_relative_to(_OURS) or file.is_relative_to(_PYTHONS))
