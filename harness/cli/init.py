"""``rl-harness init``: what a repository needs for a first recipe of its own, beside all that it has already.

What is written lies in the folder ``starter/`` as it will lie there. Nothing that exists is overwritten: settings and a
``.gitignore`` gain lines at their end, and where any other file is there already nothing is written at all.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.cli.project import near, settings_in
from harness.store.errors import HarnessError

STARTER = Path(__file__).with_name("starter")
RECIPES, WORKFLOW, IGNORED = "suites/recipes", ".github/workflows/rl-harness.yml", ".gitignore"
SETTINGS = "pytest.ini"
TABLE = "[tool.pytest.ini_options]"


@dataclass(frozen=True)
class Text:
    """A file that is to be written, or lines for the end of one that is there; ``added`` names them for a reader."""

    path: Path
    text: str
    added: str = ""


def init(options: argparse.Namespace) -> int:
    """Write the starter into a folder, list what was written, and say the next command."""
    folder: Path = options.folder
    if folder.exists() and not folder.is_dir():
        raise HarnessError(f"{folder}: is a file; give the folder of a repository")
    texts, left = _texts(folder)
    if there := [str(near(each.path)) for each in texts if each.path.exists() and not each.added]:
        raise HarnessError(
            f"{', '.join(there)}: there already, so nothing was written; move {'it' if len(there) == 1 else 'them'} "
            "away, or give another folder"
        )
    try:
        for each in texts:
            each.path.parent.mkdir(parents=True, exist_ok=True)
            with each.path.open("a", encoding="utf-8") as file:
                file.write(each.text)
    except OSError as error:
        raise HarnessError(f"{error.filename or folder}: cannot be written: {error.strerror}") from None
    for each in texts:
        print(f"added to {near(each.path)}: {each.added}" if each.added else f"wrote {near(each.path)}")
    for line in left:
        print(line)
    for name in _hidden(folder, [each.path for each in texts]):
        print(f"! git ignores {name}, and CI would miss it: git add --force {name}")
    here = folder.resolve() == Path.cwd()
    print(f"next: {'' if here else f'cd {shlex.quote(str(folder))} && '}pytest suites")
    print("then: the lines marked CHANGE in the recipe make it yours")
    return 0


def _texts(folder: Path) -> tuple[list[Text], list[str]]:
    """What is to be written, and a line for each thing that is left as it is."""
    texts, left = [], []
    project, root = settings_in(folder), _repository_above(folder)
    recipes = project.folder("rl_recipes_dir", RECIPES) if project else folder / RECIPES
    for file in sorted(path for path in STARTER.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
        name, text = file.relative_to(STARTER).as_posix(), file.read_text(encoding="utf-8")
        path = recipes / file.name if name.startswith(f"{RECIPES}/") else folder / name
        if name == IGNORED and path.exists():
            kept = _read(path)
            if missing := [line for line in text.splitlines() if line not in kept.splitlines()]:
                texts.append(Text(path, _behind(kept, "\n".join(missing)), ", ".join(missing)))
        elif name == SETTINGS and project:
            tests = "; pytest alone goes on to run its testpaths" if "testpaths" in project.settings else ""
            left.append(f"left {near(project.file or path)} as it is: the starter needs no settings{tests}")
        elif name == SETTINGS and (toml := folder / "pyproject.toml").exists():
            kept, table = _read(toml), _as_toml(text)
            added = Text(toml, _behind(kept, f"\n{table}"), TABLE)
            texts.append(added if _reads(kept + added.text) else Text(path, text))
        elif name == WORKFLOW and root:
            where = folder.resolve().relative_to(root)
            left.append(
                f"wrote no workflow: GitHub reads those in {near(root / WORKFLOW).parent} alone; copy {file} there, "
                f"with working-directory: {where} and its paths below that"
            )
        else:
            texts.append(Text(path, text))
    return texts, left


def _behind(text: str, lines: str) -> str:
    """Lines for the end of a text, whose last line may have no end."""
    return f"{'' if text.endswith(chr(10)) or not text else chr(10)}{lines.rstrip()}\n"


def _as_toml(ini: str) -> str:
    lines = []
    for line in ini.splitlines()[1:]:
        key, equals, value = line.partition(" = ")
        lines.append(f'{key} = "{value}"' if equals else line)
    return "\n".join([TABLE, *lines])


def _reads(text: str) -> bool:
    """Whether a ``pyproject.toml`` takes the table: one with ``tool = {...}`` does not."""
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return True


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise HarnessError(f"{path}: cannot be read: {error}") from None


def _hidden(folder: Path, paths: Sequence[Path]) -> list[str]:
    """Those that a ``.gitignore`` keeps out of the repository, as one that holds ``*.jsonl`` does."""
    command = ["git", "check-ignore", *(str(path.absolute()) for path in paths)]
    try:
        found = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    except OSError:  # there is no git
        return []
    return [str(near(Path(line))) for line in found.stdout.splitlines()]


def _repository_above(folder: Path) -> Path | None:
    """The root of the repository that a folder lies in, unless it is that folder."""
    roots = (each for each in (folder.resolve(), *folder.resolve().parents) if (each / ".git").exists())
    root = next(roots, None)
    return None if root == folder.resolve() else root
