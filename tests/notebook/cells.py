"""Runs the code cells of a notebook in this process's ``__main__``, and shows what each one ends with, as IPython does:
``python -m tests.notebook.cells course.ipynb``. Sources are where ``inspect`` finds them, as those of cells are."""

from __future__ import annotations

import ast
import json
import linecache
import sys
from pathlib import Path


def run(notebook: Path, names: dict[str, object]) -> None:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    for number, cell in enumerate(cells):
        if cell["cell_type"] != "code":
            continue
        source, file = "".join(cell["source"]), f"<cell {number}>"
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
        body = ast.parse(source, file).body
        last = body.pop() if isinstance(body[-1], ast.Expr) else None
        exec(compile(ast.Module(body, []), file, "exec"), names)
        if last is not None and (value := eval(compile(ast.Expression(last.value), file, "eval"), names)) is not None:
            html = getattr(value, "_repr_html_", lambda: None)()
            print(value if html is None else html)


if __name__ == "__main__":
    run(Path(sys.argv[1]), vars(sys.modules["__main__"]))
