"""The comparison of methods, on run directories made up here: rows, ratios, pairs, and what cannot be compared."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from harness.pipeline.methods import _pair, compare_methods, read_finished, write_methods
from harness.store import run_files
from harness.store.errors import HarnessError
from harness.store.methods import METHODS
from harness.store.question import Question
from harness.store.records import RECORDS, SUMMARY
from harness.store.run_files import ENVIRONMENT, IDENTITY, NAME, TRAINED, Name
from tests.run_files import environment, identity, record, summary, trained

QUESTIONS = [f"q{n:03}" for n in range(100)]


def stage(folder, correct):
    """Answers to all questions, right for the first ``correct``."""
    statuses = ["correct" if index < correct else "wrong" for index in range(len(QUESTIONS))]
    RECORDS.write(folder, [record(question_id=each, status=was) for each, was in zip(QUESTIONS, statuses, strict=True)])
    SUMMARY.write(folder, summary())


def run(root, recipe, seed, after, *, before=10, tokens=20_000, completions=1000, seconds=50.0, sampling=0.0, **same):
    """A finished run directory, its training of 10 steps."""
    folder = root / f"{recipe}-{seed}-{'0' * 12}"
    ENVIRONMENT.write(folder, environment(recipe=recipe, seed=seed))
    IDENTITY.write(folder, identity(recipe, **same))
    run_files.QUESTIONS.write(folder, [Question(each, "", "2", "test") for each in QUESTIONS])
    stage(folder / "before", before)
    stage(folder / "after", after)
    spent = {"completions": completions, "sampled_tokens": tokens, "sampling_seconds": sampling}
    TRAINED.write(folder / "train", trained(steps=10, seconds_per_step=seconds / 10, **spent))
    return folder


def test_one_seed_speaks_of_questions(tmp_path):
    found = compare_methods([run(tmp_path, "grpo", 0, 60), run(tmp_path, "sft", 0, 90, sampling=50.0)])
    first, second = found.rows
    assert (first.unit, first.before, first.accuracy, first.gain) == ("questions", 0.10, 0.60, pytest.approx(0.50))
    assert first.accuracy_interval == pytest.approx((0.5020, 0.6906), abs=1e-4)  # Wilson
    # Student's t of 50 ones, 50 zeros, a one and a minus one: .4902 +- 1.9837 * .5217 / sqrt(102)
    assert first.gain_interval == pytest.approx((0.4902 - 0.1025, 0.4902 + 0.1025), abs=1e-4)
    assert first.per_thousand_tokens == pytest.approx(0.50 / 20)
    assert first.per_thousand_tokens_interval == pytest.approx([end / 20 for end in first.gain_interval])
    assert first.per_second == pytest.approx(0.50 / 50)
    assert second.seconds == 100.0, "sampling before training is not counted"
    (pair,) = found.pairs
    assert (pair.a, pair.b, pair.better, pair.alpha) == ("grpo", "sft", "sft", 0.05)
    assert pair.difference == pytest.approx(0.30)
    assert pair.interval[0] < 0.30 < pair.interval[1]
    assert "sft +30.0 points" in pair.sentence
    assert not found.differing


def test_alpha_is_shared_over_the_pairs(tmp_path):
    runs = [run(tmp_path, name, 0, after) for name, after in (("grpo", 60), ("sft", 62), ("dpo", 90))]
    found = compare_methods(runs, alpha=0.06)
    assert [(pair.a, pair.b, pair.better) for pair in found.pairs] == [
        ("grpo", "sft", None),
        ("grpo", "dpo", "dpo"),
        ("sft", "dpo", "dpo"),
    ]
    assert sum(pair.alpha for pair in found.pairs) == pytest.approx(0.06, rel=0.05)
    assert "the difference may be luck" in found.pairs[0].sentence
    alone = compare_methods(runs[:2], alpha=0.06).pairs[0]
    width = [end - start for start, end in (found.pairs[0].interval, alone.interval)]
    assert width[0] > width[1], "a share of alpha must widen the interval"


def test_equal_policies_are_seldom_called_better(tmp_path):
    """Either way: a pair has two sides, and one of them must not be named more often than alpha allows. 1,000 pairs of
    policies that differ on a quarter of 400 questions by luck; more than 75 would come of 5 % once in 4,000 times."""
    draw, order = random.Random(0), tuple(f"q{n}" for n in range(400))
    blank = read_finished(run(tmp_path, "grpo", 0, 60))
    called = 0
    for _ in range(1000):
        a = {question: float(draw.random() < 0.5) for question in order}
        b = {question: 1 - value if draw.random() < 0.25 else value for question, value in a.items()}
        first, second = (replace(blank, order=order, after=after) for after in (a, b))
        called += _pair([first], [second], 0.05, 0.05).better is not None
    assert called <= 75


def test_one_seed_is_one_observation(tmp_path):
    twice = [run(tmp_path / name, "grpo", 0, 60) for name in ("first", "second")]
    with pytest.raises(HarnessError, match=r"are both of recipe grpo with seed 0: a seed is one observation"):
        compare_methods([*twice, run(tmp_path, "sft", 0, 80)])
    same = run(tmp_path, "sft", 0, 80)
    assert len(compare_methods([twice[0], twice[0], same]).rows) == 2


def test_several_seeds_are_the_unit(tmp_path):
    runs = [run(tmp_path, "grpo", seed, after) for seed, after in enumerate((50, 55, 60))]
    runs += [run(tmp_path, "sft", seed, after) for seed, after in enumerate((80, 86, 89))]
    found = compare_methods(runs)
    row = found.rows[0]
    assert (row.seeds, row.unit) == ((0, 1, 2), "seeds")
    assert row.accuracy == pytest.approx(0.55)
    # Student's t of .50, .55, .60: .55 +- 4.3027 * .05 / sqrt(3)
    assert row.accuracy_interval == pytest.approx((0.55 - 0.12421, 0.55 + 0.12421), abs=1e-4)
    (pair,) = found.pairs
    assert (pair.unit, pair.better) == ("seeds", "sft")
    assert pair.difference == pytest.approx(0.30)


def test_seeds_that_do_not_differ_claim_no_certainty(tmp_path):
    """At 100 % with every seed: intervals over questions, Wilson's of 100 of 100 and of 0 of 100."""
    runs = [run(tmp_path, name, seed, 100, before=0) for name in ("grpo", "sft") for seed in range(3)]
    found = compare_methods(runs)
    assert found.rows[0].accuracy_interval == pytest.approx((0.9630, 1.0), abs=1e-4)
    assert found.rows[0].gain_interval == pytest.approx((2 * 0.9630 - 1, 1.0), abs=2e-4)
    (pair,) = found.pairs
    assert pair.interval == pytest.approx((-0.0370, 0.0370), abs=1e-4)
    assert pair.better is None
    assert pair.sentence.endswith("no difference was seen")


def test_two_seeds_are_too_few_for_a_claim_about_recipes(tmp_path):
    runs = [run(tmp_path, name, seed, after) for name, after in (("grpo", 50), ("sft", 80)) for seed in (0, 1)]
    (pair,) = compare_methods(runs).pairs
    assert pair.unit == "questions"
    assert "over questions, 2 seeds" in pair.sentence


def test_only_seeds_of_both_are_paired(tmp_path):
    runs = [run(tmp_path, "grpo", 0, 50), run(tmp_path, "grpo", 1, 0), run(tmp_path, "sft", 0, 80)]
    (pair,) = compare_methods(runs).pairs
    assert pair.difference == pytest.approx(0.30)


def test_another_budget_is_named(tmp_path):
    found = compare_methods([run(tmp_path, "grpo", 0, 60), run(tmp_path, "sft", 0, 60, completions=10)])
    assert found.differing == ("number of sampled completions",)
    assert found.lines()[-1] == "not the same in all runs: number of sampled completions"


def test_nothing_sampled_has_no_ratio(tmp_path):
    runs = [run(tmp_path, "grpo", 0, 60), run(tmp_path, "sft", 0, 60, tokens=0, completions=0)]
    row = compare_methods(runs).rows[1]
    assert row.per_thousand_tokens is None
    assert row.per_second is not None


UNLIKE = [
    ({"model": {"weights": "other"}}, "base model"),
    ({"questions": "other"}, "test questions"),
    ({"prompts": "other"}, "test questions"),
    ({"decoding": {"temperature": 1.0}}, "decoding"),
    ({"decoding": {}, "model": {}}, "base model and decoding"),
]


@pytest.mark.parametrize(("changed", "name"), UNLIKE)
def test_runs_that_cannot_be_compared(tmp_path, changed, name):
    runs = [run(tmp_path, "grpo", 0, 60), run(tmp_path, "sft", 0, 60, **changed)]
    with pytest.raises(HarnessError, match=rf"sft-0-0+ and grpo-0-0+ differ in {name}: methods are compared from one"):
        compare_methods(runs)


def overridden(folder, method, name="", more=""):
    """A run of the recipe ``units`` as it was overridden; its name says so unless ``name`` is another."""
    (folder / "recipe.toml").write_text(f'[train]\nmethod = "{method}"\n{more}')
    said = name or f"units method={method}"
    NAME.write(folder, Name(f"{said} seed {ENVIRONMENT.read(folder).seed}", said))
    return folder


def test_an_overridden_recipe_is_one_of_its_own(tmp_path):
    """GRPO and the DPO that ``--rl-set train.method="dpo"`` made of it, each with two seeds."""
    runs = []
    for method, name, after in (("grpo", "units", 50), ("dpo", "", 80)):
        for seed in (0, 1):
            runs.append(overridden(run(tmp_path / method, "units", seed, after), method, name))
    found = compare_methods(runs)
    assert [(row.recipe, row.seeds) for row in found.rows] == [("units", (0, 1)), ("units method=dpo", (0, 1))]
    (pair,) = found.pairs
    assert (pair.a, pair.b, pair.better) == ("units", "units method=dpo", "units method=dpo")


def test_an_edited_recipe_is_told_from_what_it_was(tmp_path):
    """Under one name; a threshold is no other recipe."""
    made = [run(tmp_path / str(place), "units", 0, after) for place, after in enumerate((50, 80))]
    runs = [overridden(each, method, "units") for each, method in zip(made, ("grpo", "dpo"), strict=True)]
    assert [row.recipe for row in compare_methods(runs).rows] == ["units method=grpo", "units method=dpo"]
    again = overridden(run(tmp_path / "more", "units", 1, 60), "grpo", "units", "[gate]\nmargin = 0.1\n")
    assert [row.seeds for row in compare_methods([*runs, again]).rows] == [(0, 1), (0,)]


def test_one_recipe_is_no_comparison(tmp_path):
    with pytest.raises(HarnessError, match="takes runs of two recipes or more, and these are of grpo"):
        compare_methods([run(tmp_path, "grpo", 0, 60), run(tmp_path, "grpo", 1, 60)])


@pytest.mark.parametrize("missing", ["train/summary.json", "after/summary.json", "identity.json"])
def test_an_unfinished_run_is_named(tmp_path, missing):
    folder = run(tmp_path, "grpo", 0, 60)
    (folder / missing).unlink()
    with pytest.raises(HarnessError, match=f"not a finished run, {missing} is missing"):
        read_finished(folder)


def test_it_is_kept_in_every_run_and_printed_from_there(tmp_path, capsys):
    from harness.cli import main

    runs = [run(tmp_path, "grpo", 0, 60), run(tmp_path, "sft", 0, 90)]
    found = compare_methods(runs)
    write_methods(found, runs)
    assert [METHODS.read(folder) for folder in runs] == [found, found]
    assert main(["methods", *map(str, runs)]) == 0
    assert capsys.readouterr().out.splitlines() == found.lines()
    assert main(["methods", str(runs[0])]) == 2
