"""axe-core finds nothing serious on any kind of page, in light and in dark."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from made_up_runs import MadeUp, write_run
from report_pages import run_page_of

from harness.report.history import render_history
from harness.report.render import render_comparison, render_session
from harness.store.run_files import HELD_AGAINST, HeldAgainst
from tests.run_files import verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

FINDINGS = [
    {"check": "entropy", "key": "entropy", "step": 4, "level": "warning", "sentence": "Entropy fell to 0.1."},
    {"check": "loss", "key": "loss", "step": 7, "level": "fatal", "sentence": "The loss was not finite."},
]
EVALUATIONS = [
    {"step": step, "accuracy": step / 12, "interval": [step / 12 - 0.1, step / 12 + 0.1], "questions": 64}
    for step in (3, 6, 9)
]
LONG = "The words of this completion do not fit into its box. " * 9
LOST = verdict("baseline", "REGRESSED", "90 % to 30 %.", numbers={"lost": 7})


@pytest.fixture(scope="module")
def axe() -> str:
    """axe-core's source, or a skip with the reason."""
    path = os.environ.get("RL_HARNESS_AXE")
    if not path:
        pytest.skip("RL_HARNESS_AXE names no axe.min.js: `npm pack axe-core` has one")
    return Path(path).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Each kind of page by name, of runs that went well, badly and nowhere."""
    root = tmp_path_factory.mktemp("axe")
    good = write_run(
        root / "runs",
        MadeUp(questions=52, samples=2, health=FINDINGS, evaluations=EVALUATIONS, sampled=lambda *_: LONG),
    )
    bad = write_run(root / "runs", MadeUp(seed=1, accuracies=(0.9, 0.3), error="Traceback: it went wrong", health=[]))
    right = {f"made-up/test/{n}": 1 for n in range(12)}
    HELD_AGAINST.write(bad, HeldAgainst("b.toml", "made-up", 1, "c", "2001-01-01", "tiny", 1.0, right, 1, {}, ""))
    bare = write_run(root / "runs", MadeUp(recipe="bare", train=False, after=False))
    index = render_session([good, bad, bare], root / "report")
    return {
        "session": index,
        "run": run_page_of(index, 1),
        "failed": run_page_of(index, 2),
        "bare": run_page_of(index, 0),
        "history": render_history(root / "runs", root / "report"),
        "compare": render_comparison(good, bad, LOST, root / "report"),
    }


@pytest.mark.parametrize(
    ("page", "fragment", "waits_for", "width"),
    [
        ("session", "", "main", 1280),
        ("session", "", "main", 390),
        ("run", "", ".verdicts", 1280),
        ("run", "", ".verdicts", 390),
        ("run", "#q1", ".card .answer", 1280),
        ("run", "#q1", ".card .answer", 390),
        ("run", "#training", "#training .plot", 1280),
        ("run", "#step=3", ".samples li", 1280),
        ("run", "#rewards", "#rewards .plot", 1280),
        ("run", "#setup", "#setup table", 390),
        ("failed", "", "#error", 1280),
        ("bare", "", ".few", 1280),
        ("history", "", "table", 1280),
        ("compare", "", ".few", 1280),
    ],
)
def test_axe_finds_nothing_serious(
    chromium: Any,
    axe: str,
    pages: Mapping[str, Path],
    page: str,
    fragment: str,
    waits_for: str,
    width: int,
) -> None:
    viewport = {"width": width, "height": 900}
    opened = chromium.open(pages[page], fragment, viewport=viewport, bypass_csp=True)
    opened.page.locator(waits_for).first.wait_for()
    # What waits below the window is looked at too, and what opens is open.
    opened.page.add_style_tag(content="* { content-visibility: visible !important }")
    opened.page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    opened.page.evaluate(axe)
    assert serious(opened.page) == []
    opened.page.emulate_media(color_scheme="dark")  # which changes colours alone
    assert serious(opened.page, "color-contrast") == []


def test_axe_is_at_work(chromium: Any, axe: str, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<!doctype html><html lang=en><title>x</title><main><button></button></main>")
    opened = chromium.open(page)
    opened.page.evaluate(axe)
    assert [fault.split(":")[0] for fault in serious(opened.page)] == ["button-name"]


def serious(page: Any, *rules: str) -> list[str]:
    """``rule: element: what is wrong`` for everything that axe-core calls serious or critical; all rules, or these."""
    asked = {"resultTypes": ["violations"], **({"runOnly": rules} if rules else {})}
    found = page.evaluate("(asked) => axe.run(asked)", asked)
    return [
        f"{fault['id']}: {' '.join(map(str, node['target']))}: {node['failureSummary']}"
        for fault in found["violations"]
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"]
    ]
