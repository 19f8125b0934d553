"""Every field of a run directory is in its page."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from jinja2 import UndefinedError
from made_up_runs import MadeUp, records_of, write_run
from report_pages import page_of, words_of

from reports import render_session
from reports.render import TEMPLATES, environment

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    root = tmp_path_factory.mktemp("content")
    functions = {"boxed_numeric": 1.0, "format_boxed": 0.25}
    run = write_run(root, MadeUp(questions=30, samples=2, steps=12, functions=functions))
    return run, page_of(run, output=root / "report")


def test_verdicts_stand_in_words_and_marks(rendered: tuple[Path, str]) -> None:
    run, page = rendered
    text = words_of(page)
    for verdict in json.loads((run / "verdicts.json").read_text())["verdicts"]:
        assert verdict["sentence"] in text
        assert verdict["gate"] + " " + verdict["verdict"].replace("_", " ") in text
    assert "✓" in text
    assert "(passed)" in text
    assert "(undecided)" in text


def test_evaluations_stand_in_numbers(rendered: tuple[Path, str]) -> None:
    run, page = rendered
    text = words_of(page)
    for side in ("before", "after"):
        summary = json.loads((run / side / "summary.json").read_text())
        low, high = (f"{100 * end:.1f}" for end in summary["interval"])
        assert f"{100 * summary['accuracy']:.1f} %" in text
        assert f"95 % interval {low} to {high} %" in text
        for count in (summary["truncated"], summary["counts"]["no_answer"], summary["completion_tokens"]):
            assert f"{count:,}".replace(",", "\u202f") in page
    assert "7.2 s" in text
    assert "512 MiB" in text


def test_flips_are_counted_from_the_records(rendered: tuple[Path, str]) -> None:
    run, page = rendered
    right: dict[str, dict[str, int]] = {"before": {}, "after": {}}
    for side, counts in right.items():
        for record in records_of(run, side):
            counts[record["question_id"]] = counts.get(record["question_id"], 0) + (record["status"] == "correct")
    both = [(right["before"][question] > 1, right["after"][question] > 1) for question in right["before"]]
    for flip, pair in (("lost", (True, False)), ("gained", (False, True)), ("wrong", (False, False))):
        assert page.count(f'data-flip="{flip}"') == both.count(pair)
    order = re.findall(r'data-flip="(\w+)"', page)
    assert order == sorted(order, key=["lost", "gained", "unscored", "wrong", "right", "unasked"].index)


def test_every_record_is_there(rendered: tuple[Path, str]) -> None:
    run, page = rendered
    text = words_of(page)
    rows = json.loads("[" + ",".join((run / "questions.jsonl").read_text().split("\n")[:-1]) + "]")
    for row in rows:
        assert row["id"] in text
        assert row["text"] in text
        assert f"ground truth {row['ground_truth']}" in text
    records = records_of(run, "before") + records_of(run, "after")
    assert page.count('<section class="answer">') == len(records)
    for record in records:
        assert " ".join(record["completion"].split()) in text
        reward = " + ".join(
            f"{name} {record['rewards'][name]:.4g} \N{MULTIPLICATION SIGN} weight {weight}"
            for name, weight in (("boxed_numeric", 1), ("format_boxed", 0.25))
        )
        assert f"reward {record['reward']:.4g} = {reward}" in text
        assert f"tokens {record['completion_tokens']} after a prompt of {record['prompt_tokens']}" in text
    for words in ("strict grader", "flexible grader", "ended by itself", "cut off at the token limit", "no answer"):
        assert words in text
    assert "sample 1" in text


def test_what_ran_is_told(rendered: tuple[Path, str]) -> None:
    run, page = rendered
    text = words_of(page)
    assert " ".join((run / "recipe.toml").read_text().split()) in text
    environment_json = json.loads((run / "environment.json").read_text())
    for key in ("python", "platform", "processor", "device", "command", "created"):
        assert environment_json[key] in text
    assert environment_json["git"]["commit"] + " with uncommitted changes" in text
    assert "torch 0.0.1" in text
    assert "weights " + "a" * 16 in text
    assert "2001-02-03 04:05 UTC" in text


def test_training_is_drawn_and_tabled(rendered: tuple[Path, str]) -> None:
    run, page = rendered
    text = words_of(page)
    for line in (run / "train" / "metrics.jsonl").read_text().split("\n")[:-1]:
        for key, value in json.loads(line).items():
            assert key == "time" or f"{value:.4g}" in text
    for title in ("Reward", "Zero-std groups", "Completion length", "Truncated", "Entropy", "Gradient norm"):
        assert f"<b>{title}</b>" in page
    assert len(re.findall(r'<figure id="run1-chart-\d+"', page)) == 9
    assert "total reward" in text
    assert "6.4 s" in text  # 12 steps of 0.53 s


def test_same_runs_give_the_same_bytes(rendered: tuple[Path, str], tmp_path: Path) -> None:
    run, page = rendered
    assert page_of(run, output=tmp_path) == page


def test_nothing_else_is_left_in_the_folder(rendered: tuple[Path, str], tmp_path: Path) -> None:
    target = render_session([rendered[0]], tmp_path / "new" / "folder")
    assert target == tmp_path / "new" / "folder" / "index.html"
    assert [path.name for path in target.parent.iterdir()] == ["index.html"]


def test_runs_stand_together(tmp_path: Path) -> None:
    runs = [write_run(tmp_path, MadeUp(seed=seed)) for seed in (0, 1, 2)]
    page = page_of(*runs, output=tmp_path)
    assert [f"made-up · seed {seed}" in page for seed in (0, 1, 2)] == [True] * 3
    assert "3 runs: " in page
    identities = re.findall(r' id="([^"]+)"', page)
    assert len(identities) == len(set(identities))


def test_an_unknown_name_in_a_template_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        environment().from_string("{{ not_there }}").render()
    assert environment().autoescape is True


def test_templates_take_nothing_for_safe() -> None:
    for template in TEMPLATES.glob("*.j2"):
        assert "|safe" not in template.read_text(encoding="utf-8").replace(" ", "")


def test_importing_reports_is_light() -> None:
    code = (
        "import sys, reports; "
        "heavy = {'torch', 'transformers', 'trl', 'matplotlib', 'numpy', 'pandas'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=TEMPLATES.parents[1])
    assert done.returncode == 0, done.stderr


def test_rendering_brings_no_torch(tmp_path: Path) -> None:
    run = write_run(tmp_path, MadeUp(questions=2))
    code = (
        "import sys; from pathlib import Path; from reports import render_session; "
        "render_session([Path(sys.argv[1])], Path(sys.argv[2])); "
        "assert not {'torch', 'transformers', 'trl', 'harness'} & set(sys.modules)"
    )
    arguments = [sys.executable, "-c", code, str(run), str(tmp_path / "out")]
    done = subprocess.run(arguments, capture_output=True, text=True, cwd=TEMPLATES.parents[1])
    assert done.returncode == 0, done.stderr
