"""Makes the pictures of README.md and docs/report.md; needs the dev extra and Chromium.

python docs/make_pictures.py                 # trains tiny-arithmetic twice, once wrecked, and photographs the report
python docs/make_pictures.py --all screens/  # every tab, wide and narrow, light and dark, to be looked at
python docs/make_pictures.py --runs rl-runs  # of tiny-arithmetic's runs that are there
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from playwright.sync_api import sync_playwright

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS.parent / "tests" / "report"), str(DOCS.parent)]

from made_up_runs import MadeUp, records_of, write_run  # noqa: E402

from harness.report.render import render_session  # noqa: E402

if TYPE_CHECKING:
    from playwright.sync_api import Page

PICTURES = DOCS / "pictures"
CHROMIUM = os.environ.get("RL_HARNESS_CHROMIUM", "/usr/bin/chromium")
WINDOWS = {"": (1400, 900, 1.15), "-phone": (390, 844, 1.6)}  # ending: width, height, pixels a unit
WRECKED = ["--rl-set", "train.learning_rate=1.0", "--rl-set", "train.max_steps=3"]
# name: which page, which part of it, and what is there when it has been drawn
SCREENS = {
    "session": ("index", "", "article.run-row"),
    "run": ("good", "#overview", ".few"),
    "questions": ("good", "#q3", ".card .answer"),
    "training": ("good", "#training", "#training .plot"),
    "groups": ("good", "#step=3", ".samples li"),
    "rewards": ("good", "#rewards", "#rewards table"),
    "setup": ("good", "#setup", "#setup table"),
    "wrecked": ("wrecked", "#overview", ".few"),
    "baseline": ("wrecked", "#flip=baseline", ".list li"),
    "one-lost": ("lost", "#overview", ".few"),
    "question": ("lost", "#q31", ".card .answer"),
}
SHOWN = ("session", "run", "wrecked", "question", "training", "groups", "session-phone", "run-phone", "question-phone")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", type=Path, help="write every screen into this folder instead")
    parser.add_argument("--runs", type=Path, help="a folder with a good and a wrecked run that are there already")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs = asked.runs or train(folder / "runs")
        found = sorted(runs.glob("tiny-arithmetic*"), key=lambda run: (run / "environment.json").stat().st_mtime)
        good, wrecked = found[0], found[-1]
        lost = write_one_lost(folder / "made-up")
        index = render_session([good, wrecked, lost], folder / "report")
        pages = {"index": index}
        pages |= {
            key: index.parent / f"{run.name}.html"
            for key, run in (("good", good), ("wrecked", wrecked), ("lost", lost))
        }
        photograph(pages, asked.all or PICTURES, tuple(SHOWN) if asked.all is None else None)


def train(runs: Path) -> Path:
    """A good and a wrecked training of the embedded model."""
    command = [sys.executable, "-m", "pytest", "suites/", "--rl-recipe=tiny-arithmetic", "-p", "no:cacheprovider"]
    command += [f"--rl-runs-dir={runs}", f"--rl-report-dir={runs}-report"]
    for more in ([], WRECKED):
        subprocess.run([*command, *more], cwd=DOCS.parent, check=False)
    return runs


def write_one_lost(root: Path) -> Path:
    """Sixty questions of which one is lost, answered in Markdown and LaTeX."""

    def said(side: str, index: int, sample: int) -> str:
        first, second = index + 2, 2 * index
        total = first + second if (side, index) != ("after", 30) else first + index
        return (
            f"Let us take it step by step.\n\n1. There are **{first}** at first.\n"
            f"2. Then ${index} \\times 2 = {second}$ more are found.\n\n"
            f"\\[ {first} + \\frac{{{2 * second}}}{{2}} = {total} \\]\n\nSo the answer is \\boxed{{{total}}}."
        )

    def asks(index: int) -> str:
        return f"A box holds {index + 2} pens. {index} children put 2 pens each into it. How many pens does it hold?"

    made_up = MadeUp("sixty-questions", questions=60, accuracies=(1.0, 1.0), speech=said, question_text=asks)
    run = write_run(root, made_up)
    for file in (run / "questions.jsonl", *run.glob("*/records.jsonl")):
        rows = [json.loads(line) for line in file.read_text().split("\n") if line]
        for row in rows:
            index = int(row.get("question_id", row.get("id")).rpartition("/")[2])
            row["ground_truth"] = str(3 * index + 2)
            if "grades" in row:
                wrong = (file.parent.name, index) == ("after", 30)
                taken = str(2 * index + 2 if wrong else 3 * index + 2)
                row |= {"extracted": taken, "status": "wrong" if wrong else "correct", "reward": float(not wrong)}
                row["rewards"] = {"boxed_numeric": row["reward"]}
                row["grades"] = {grader: {"extracted": taken, "correct": not wrong} for grader in row["grades"]}
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert sum(record["status"] == "wrong" for record in records_of(run, "after")) == 1
    summary = json.loads((run / "after" / "summary.json").read_text())
    (run / "after" / "summary.json").write_text(json.dumps(summary | {"accuracy": 59 / 60, "interval": [0.911, 0.997]}))
    numbers = {"before": 1.0, "after": 59 / 60, "gained": 0, "lost": 1}
    sentence = (
        "100.0 % -> 98.3 %, 0 gained and 1 lost of 60 questions; this may be luck (alpha .05); "
        "60 questions: a gain of less than about 15 points could go unseen, 5 were asked for (that needs about 530)"
    )
    verdict = {"gate": "improvement", "verdict": "INCONCLUSIVE", "code": "undecided", "sentence": sentence}
    told = json.loads((run / "verdicts.json").read_text()) | {"verdicts": [verdict | {"numbers": numbers}]}
    (run / "verdicts.json").write_text(json.dumps(told))
    return run


def photograph(pages: dict[str, Path], folder: Path, only: tuple[str, ...] | None) -> None:
    """Each screen, or ``only`` some, in every window and scheme."""
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        for scheme in ("light", "dark"):
            for window, (width, height, scale) in WINDOWS.items():
                viewport = {"width": width, "height": height}
                for name, (page, fragment, there) in SCREENS.items():
                    if only is None or name + window in only:
                        tab = browser.new_page(viewport=viewport, color_scheme=scheme, device_scale_factor=scale)
                        tab.goto(pages[page].as_uri() + fragment)
                        tab.locator(there).first.wait_for()
                        shoot(tab, folder / f"{name}{window}-{scheme}.png")
                        tab.close()
        browser.close()


def shoot(tab: Page, path: Path) -> None:
    """What the window shows, in few colours: a page of text needs no more."""
    tab.wait_for_timeout(300)
    bottom = tab.locator("main").evaluate("(main) => main.getBoundingClientRect().bottom")
    size = tab.viewport_size or {}
    clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], bottom)}
    image = Image.open(io.BytesIO(tab.screenshot(clip=clip))).convert("RGB")
    image.quantize(128, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main()
