"""Every field of a run directory is in its page."""

from __future__ import annotations

import gc
import json
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from jinja2 import UndefinedError
from made_up_runs import MadeUp, records_of, write_run
from report_pages import packed_in, page_of, pages_of, run_page_of, words_of

from harness.report import TEMPLATES
from harness.report.files import relative, stems
from harness.report.present import percent, seconds, within
from harness.report.read import read_run
from harness.report.render import environment, render_session
from harness.report.views import Run
from harness.store.records import Record
from harness.store.run_files import (
    ENVIRONMENT,
    HELD_AGAINST,
    PROGRESS,
    VERDICTS,
    HeldAgainst,
    Progress,
    Verdicts,
)
from tests import run_files


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
        assert verdict["gate"] + ": " + verdict["verdict"].replace("_", " ") in text
    assert "✓ Better than before, beyond luck" in text
    assert "! No baseline yet" in text


def test_the_numbers_behind_a_verdict_are_worded(tmp_path: Path) -> None:
    run = write_run(tmp_path, MadeUp())
    numbers = {"pairs": 1319, "gain": 0.325, "interval": [0.3, 0.35], "margin": 0.05, "alpha": 0.025, "exact": True}
    numbers |= {"smallest_seen": None, "certain_after": 74, "gates": 2, "made_up_key": "made up", "beta": "none"}
    VERDICTS.write(run, Verdicts("made-up", 0, {}, (run_files.verdict("improvement", "IMPROVED", numbers=numbers),)))
    words = words_of(page_of(run, output=tmp_path / "report"))
    assert (
        "gain in points +32.5 its 95 % interval +30, +35 questions compared 1,319 questions until it was clear 74 "
        "smallest change that matters 5 points chance that luck passes for a change (alpha) 2.5 % ✓ Training: sound"
    ) in words


def test_sampled_rewards_are_told_from_accuracy(rendered: tuple[Path, str]) -> None:
    assert (
        "mean over the sampled completions of a step; of answers sampled in training, while accuracy is asked"
        in words_of(rendered[1])
    )


def test_evaluations_stand_in_numbers(rendered: tuple[Path, str]) -> None:
    run, page = rendered
    text = words_of(page)
    for side in ("before", "after"):
        summary = json.loads((run / side / "summary.json").read_text())
        assert (
            f"{side} {percent(summary['accuracy'])} 95 % interval {within(summary['interval'])}".replace("\u00a0", " ")
            in text
        )
        for count in (summary["truncated"], summary["counts"]["no_answer"], summary["completion_tokens"]):
            assert f">{count:,}<" in page
    assert "7.2 s" in text
    assert "512 MiB" in text


def test_flips_are_counted_from_the_records(rendered: tuple[Path, str]) -> None:
    run, page = rendered
    right: dict[str, dict[str, int]] = {"before": {}, "after": {}}
    for side, counts in right.items():
        for record in records_of(run, side):
            counts[record["question_id"]] = counts.get(record["question_id"], 0) + (record["status"] == "correct")
    index = packed_in(page, "questions")
    flips = [index["flips"][flip][0] for flip in index["flip"]]
    both = [(right["before"][question], right["after"][question]) for question in right["before"]]
    expected = Counter(
        "lost" if was > now else "gained" if was < now else "right" if now > 1 else "wrong" for was, now in both
    )
    assert Counter(flips) == expected
    assert min(expected["lost"], expected["gained"]) > 0
    assert flips == sorted(flips, key=["lost", "gained", "unscored", "wrong", "right", "unasked"].index)
    assert f"{expected['lost']} lost" in words_of(page)


def test_every_record_is_packed(rendered: tuple[Path, str]) -> None:
    run, page = rendered
    index = packed_in(page, "questions")
    texts = [text for block in range(index["blocks"]) for text in packed_in(page, f"questions-{block}")]
    for place, side in ((3, "before"), (4, "after")):
        told = {
            (identity, sample): completion
            for identity, text in zip(index["id"], texts, strict=True)
            for sample, completion in enumerate(text[place])
        }
        assert told == {(r["question_id"], r["sample"]): r["completion"] for r in records_of(run, side)}
    rows = json.loads("[" + ",".join((run / "questions.jsonl").read_text().split("\n")[:-1]) + "]")
    assert sorted(index["id"]) == sorted(row["id"] for row in rows)


def test_what_ran_is_told(rendered: tuple[Path, str]) -> None:
    run, page = rendered
    text = words_of(page)
    assert " ".join((run / "recipe.toml").read_text().split()) in text
    environment_json = json.loads((run / "environment.json").read_text())
    for key in ("python", "platform", "processor", "device", "command"):
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
    for title in ("Reward", "Groups without signal", "Completion length", "Truncated", "Entropy", "Gradient norm"):
        assert f"<b>{title}</b>" in page
    assert len(re.findall(r' id="chart-\d+"', page)) == 8
    assert "The same at every step: Step time 0.5." in text
    assert "total reward" in text
    assert seconds(12 * 0.53) in text


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_same_runs_give_the_same_bytes(tmp_path: Path) -> None:
    run = write_run(tmp_path, MadeUp(questions=60))
    render_session([run], tmp_path / "first")
    render_session([run], tmp_path / "second")
    assert contents(tmp_path / "first") == contents(tmp_path / "second")


def test_nothing_else_is_left_in_the_folder(tmp_path: Path) -> None:
    run = write_run(tmp_path, MadeUp(questions=110))
    target = render_session([run], tmp_path / "new" / "folder")
    assert target == tmp_path / "new" / "folder" / "index.html"
    assert set(contents(target.parent)) == {".gitignore", "index.html", f"{run.name}.html"}


def test_runs_have_pages_linked_both_ways(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / folder, MadeUp()) for folder in ("a", "b")] + [write_run(tmp_path, MadeUp(seed=1))]
    index = render_session(runs, tmp_path / "report")
    page = index.read_text(encoding="utf-8")
    assert "<title>✓ 3 improved" in page
    names = [f"{runs[0].name}.html", f"{runs[0].name}-2.html", f"{runs[2].name}.html"]
    assert set(re.findall(r'href="([^"#]+\.html)"', page)) == set(names)
    for name in names:
        assert 'href="index.html"' in (index.parent / name).read_text(encoding="utf-8")


def test_every_id_stands_once_on_a_page(tmp_path: Path) -> None:
    runs = [write_run(tmp_path, MadeUp(seed=seed, questions=60)) for seed in (0, 1)]
    for page in pages_of(render_session(runs, tmp_path / "report")):
        identities = re.findall(r' id="([^"]+)"', page.read_text(encoding="utf-8"))
        assert len(identities) == len(set(identities)), page


def test_one_run_is_in_memory_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [write_run(tmp_path, MadeUp(seed=seed)) for seed in range(3)]
    alive = []

    def read(path: Path) -> Run:
        gc.collect()
        alive.append(sum(isinstance(each, Record) for each in gc.get_objects()))
        return read_run(path)

    gc.collect()
    held = sum(isinstance(each, Record) for each in gc.get_objects())
    monkeypatch.setattr("harness.report.render.read_run", read)
    render_session(runs, tmp_path / "report")
    assert alive == [held] * 3


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["tiny-0-ab"], ["tiny-0-ab"]),
        (["a", "A", "a"], ["a", "A-2", "a-3"]),
        (["index", "..", "", "CON"], ["index-2", "run", "run-2", "CON-2"]),
        (["<img src=x>/\u202e", "ü"], ["img-src-x", "run"]),
        (["x" * 300], ["x" * 120]),
    ],
)
def test_page_names_are_safe_and_distinct(names: list[str], expected: list[str]) -> None:
    assert stems(names) == expected


def test_runs_of_one_recipe_and_seed_are_told_apart(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / folder, MadeUp()) for folder in ("a", "b")]
    recipe = runs[1] / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("learning_rate = 1e-4", "learning_rate = 3e-4"))
    (other := write_run(tmp_path, MadeUp(recipe="other")))
    words = words_of(render_session([*runs, other], tmp_path / "report").read_text(encoding="utf-8"))
    assert words.count("train.learning_rate") == 2
    assert "train.learning_rate 0.0001" in words
    assert "train.learning_rate 0.0003" in words


def test_a_path_through_the_root_of_the_file_system_is_not_told() -> None:
    assert relative(Path("/a/runs/x y/records.jsonl"), Path("/a/report")) == "../runs/x%20y/records.jsonl"
    assert relative(Path("/a/runs/records.jsonl"), Path("/b/report")) is None


def test_an_unknown_name_in_a_template_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        environment().from_string("{{ not_there }}").render()
    assert environment().autoescape is True


def test_templates_take_nothing_for_safe() -> None:
    templates = list(TEMPLATES.glob("*.j2"))
    assert templates
    for template in templates:
        assert "|safe" not in template.read_text(encoding="utf-8").replace(" ", "").replace("{{shape|safe}}", "")


def test_importing_reports_is_light() -> None:
    code = (
        "import sys, reports; "
        "heavy = {'torch', 'transformers', 'trl', 'matplotlib', 'numpy', 'pandas'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=TEMPLATES.parent)
    assert done.returncode == 0, done.stderr


def test_rendering_brings_no_torch(tmp_path: Path) -> None:
    run = write_run(tmp_path, MadeUp(questions=2))
    code = (
        "import sys; from pathlib import Path; from harness.report.render import render_session; "
        "render_session([Path(sys.argv[1])], Path(sys.argv[2])); "
        "assert not {'torch', 'transformers', 'trl'} & set(sys.modules)"
    )
    arguments = [sys.executable, "-c", code, str(run), str(tmp_path / "out")]
    done = subprocess.run(arguments, capture_output=True, text=True, cwd=TEMPLATES.parent)
    assert done.returncode == 0, done.stderr


def test_a_reward_with_parameters_shows_its_weight(tmp_path: Path) -> None:
    run = write_run(tmp_path, MadeUp(functions={"boxed_numeric": 1.0, "length_penalty": 0.2}))
    recipe = (run / "recipe.toml").read_text(encoding="utf-8")
    table = (
        "[rewards]\ntimeout_seconds = 5.0\nboxed_numeric = 1.0\nlength_penalty = { weight = 0.25, max_tokens = 9 }\n"
    )
    (run / "recipe.toml").write_text(re.sub(r"\[rewards\]\n(\S+ = .*\n)+", table, recipe), encoding="utf-8")
    assert read_run(run).weights == {"boxed_numeric": 1.0, "length_penalty": 0.25}
    assert packed_in(page_of(run, output=tmp_path / "report"), "questions")["weights"]["length_penalty"] == "0.25"


def test_a_wrecked_run_is_headed_by_what_it_lost(tmp_path: Path) -> None:
    run = write_run(tmp_path, MadeUp(accuracies=(0.0, 0.0)))
    held = {"baseline": 1.0, "now": 0.0, "lost": 5, "gained": 0, "asked": 12, "certain_after": 5}
    verdicts = (
        run_files.verdict("improvement", "NOT_IMPROVED"),
        run_files.verdict("baseline", "REGRESSED", numbers=held),
    )
    VERDICTS.write(run, Verdicts("made-up", 0, {}, verdicts))
    right = {f"made-up/test/{n}": 1 for n in range(12)}
    HELD_AGAINST.write(run, HeldAgainst("b.toml", "made-up", 0, "c", "2001-01-01", "tiny", 1.0, right, 1, {}, ""))
    index = render_session([run], tmp_path / "report")
    page = run_page_of(index).read_text(encoding="utf-8")
    assert '<header class="head bad">' in page
    head = words_of(page[page.index("<header") : page.index("</header>")])
    assert "All runs ✗ made-up regressed 0 % → 0 % 0 points baseline 100 %" in head
    assert "12 lost to baseline" in head, "of all questions, however early the verdict was clear"
    assert "Worse than the baseline, beyond luck 100 % → 0 %, 12 lost" in words_of(page)
    assert page.count("""<span class="flip lost">lost to baseline</span>""") == 3
    assert "12 lost to baseline" in words_of(index.read_text(encoding="utf-8"))
    VERDICTS.write(run, Verdicts("made-up", 0, {}, (run_files.verdict("baseline", "INCOMPARABLE"),)))
    assert "lost to baseline" not in words_of(page_of(run, output=tmp_path / "report"))


def test_the_headline_counts_and_marks_only_what_is_bad(tmp_path: Path) -> None:
    runs = [write_run(tmp_path, MadeUp(seed=seed)) for seed in range(4)]
    for run, words in zip(runs[1:], (["NOT_IMPROVED", "REGRESSED"], ["INCONCLUSIVE"], ["TOO_LOW"]), strict=True):
        VERDICTS.write(run, Verdicts("made-up", 0, {}, tuple(run_files.verdict("improvement", word) for word in words)))
    index = render_session(runs, tmp_path / "report").read_text(encoding="utf-8")
    assert "<title>✗ 1 regressed, 1 too low, 1 undecided, 1 improved" in index
    headline = index[index.index("<h1") : index.index("</h1>")]
    assert re.findall(r'class="(?:seal )?bad"[^>]*>([^<]*)<', headline) == ["✗", "1 regressed", "1 too low"]
    assert "regressed · Worse than before, beyond luck · No gain of the size that is asked for" in words_of(index)


def test_sparklines_of_one_metric_share_a_scale(tmp_path: Path) -> None:
    runs = [write_run(tmp_path, MadeUp(seed=seed)) for seed in range(3)]
    told = ({"reward": (0.0, 0.5)}, {"reward": (0.5, 1.0)}, {"loss": (2.0, 1.0)})
    for run, ((key, values),) in zip(runs, (each.items() for each in told), strict=True):
        rows = [json.dumps({"step": step, key: values[step > 9]}) for step in range(1, 21)]
        (run / "train" / "metrics.jsonl").write_text("\n".join(rows) + "\n")
    index = render_session(runs, tmp_path / "report").read_text(encoding="utf-8")
    lines = re.findall(r'<svg class="spark".*?d="M([^"]*)"', index)
    heights = [[float(point.split(",")[1]) for point in line.split("L")] for line in lines]
    assert [(max(line), min(line)) for line in heights] == [(20, 12), (12, 4), (20, 4)]
    words = words_of(index)
    assert "reward 0 → 0.5" in words
    assert "loss 2 → 1" in words


def test_the_last_green_run_is_named(tmp_path: Path) -> None:
    green, later, red = (write_run(tmp_path / str(n), MadeUp()) for n in range(3))
    runs = []
    for place, run in enumerate((green, later, red)):
        runs.append(run.rename(tmp_path / f"made-up-0-{place:012x}"))
        recipe = runs[-1] / "recipe.toml"
        recipe.write_text(recipe.read_text().replace("learning_rate = 1e-4", f"learning_rate = {place + 1}e-4"))
        created = replace(ENVIRONMENT.read(runs[-1]), created=f"2001-01-0{place + 1}T00:00:00+00:00")
        ENVIRONMENT.write(runs[-1], created)
    VERDICTS.write(runs[1], Verdicts("made-up", 0, {}, (run_files.verdict("improvement", "REGRESSED"),)))
    (since,) = read_run(runs[2]).since
    assert (since.what, since.date[:10], since.path) == ("the last green run", "2001-01-01", runs[0])
    assert [(change.part, change.key) for change in since.changes] == [("recipe", "train.learning_rate")]
    assert read_run(runs[0]).since == ()
    page = (render_session([runs[2]], tmp_path / "report").parent / f"{runs[2].name}.html").read_text(encoding="utf-8")
    assert "What changed since the last green run 2001-01-01 00:00 UTC" in words_of(page)
    assert "train.learning_rate 0.0001 → 0.0003" in words_of(page)
    assert "the same model, data, graders, versions, machine, commit" in words_of(page)
    link = f'<a href="{runs[0].name}.html">the last green run</a>'
    assert link not in page, "that run has no page"
    for shown in ([runs[0], runs[2]], [runs[2]]):  # drawn with it, and left there by an earlier session
        index = render_session(shown, tmp_path / "report")
        assert link in (index.parent / f"{runs[2].name}.html").read_text(encoding="utf-8")


def test_a_session_under_way_says_so_and_loads_itself_again(tmp_path: Path) -> None:
    run = write_run(tmp_path, MadeUp(verdicts=False, after=False))
    (run / "train" / "summary.json").unlink()
    PROGRESS.write(run / "train", Progress(step=3, total=40))
    under_way = render_session([run], tmp_path / "report", live="training made-up").read_text(encoding="utf-8")
    assert '<meta http-equiv="refresh" content="5">' in under_way
    assert "training made-up" in words_of(under_way)
    assert "running · training, step 3 of 40" in words_of(under_way)
    done = render_session([run], tmp_path / "report").read_text(encoding="utf-8")
    assert 'http-equiv="refresh"' not in done
    assert "No run has answered yet." in render_session([], tmp_path / "empty", live="starting").read_text()
