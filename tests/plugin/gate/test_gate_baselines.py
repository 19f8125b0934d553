"""Recording baselines, and what a commit has to do with verdicts."""

from __future__ import annotations

import json
import re

import pytest

from harness.gate.baseline import read_baseline

NEW, ALL = "--rl-update-baselines=new", "--rl-update-baselines=all"
BASELINE = ("-k", "baseline")


def test_records_from_fresh_answers(made_up):
    """The trained policy is asked once more for it, though its answers to the same questions are there."""
    made_up.recipe("small", asked=100)
    made_up.policies["small"] = "n % 4"
    made_up.pytest("-k", "improvement")
    made_up.forget()
    session = made_up.pytest(NEW, *BASELINE)
    assert session.ret == 0
    word, sentence = session.words("small")["baseline"]
    assert word == "NO_BASELINE"
    assert re.fullmatch(
        r"recorded 75.0 % of 100 questions in .*/small-0.toml; commit it to gate on it; "
        r"100 questions at discordance .10 see a drop of 10 points with power .9\d; .80 was asked for",
        sentence,
    )
    assert len(made_up.lines("answers.txt")) == 100, "the policy's own answers, anew"
    assert made_up.lines("trainings.txt") == []
    kept = read_baseline(made_up.baseline("small-0"), "small")
    assert (kept.samples, kept.accuracy, len(kept.correct)) == (1, 0.75, 100)
    assert kept.recipe_toml == (made_up.run("small") / "recipe.toml").read_text()
    assert not (made_up.run("small") / "baseline.json").exists(), "it was held against none"


def test_a_run_keeps_word_of_what_it_was_held_against(made_up):
    """Comparable or not; the report reads nothing but the run directory."""
    made_up.recipe("small", asked=100)
    made_up.pytest(NEW, *BASELINE)
    made_up.pytest(*BASELINE)
    kept = json.loads((made_up.run("small") / "baseline.json").read_text())
    assert (kept["path"], kept["accuracy"], len(kept["correct"])) == ("suites/baselines/small-0.toml", 1.0, 100)
    assert kept["recipe_toml"] == (made_up.run("small") / "recipe.toml").read_text()
    made_up.recipe("small", asked=100, max_new_tokens=12)
    made_up.pytest(*BASELINE, "--rl-runs-dir=rl-other")
    (other,) = made_up.path.glob("rl-other/small")
    assert json.loads((other / "baseline.json").read_text()) == kept
    made_up.baseline("small-0").unlink()
    made_up.pytest(*BASELINE, "--rl-runs-dir=rl-other")
    assert not (other / "baseline.json").exists()


def test_sampled_answers_are_recorded_eight_a_question(made_up):
    made_up.recipe("small", asked=100, temperature=1.0)
    made_up.policies["small"] = "(n + sample) % 4"
    made_up.pytest(NEW, *BASELINE)
    kept = read_baseline(made_up.baseline("small-0"), "small")
    assert kept.samples == 8
    assert set(kept.correct.values()) == {6}


def test_new_leaves_what_there_is_and_all_does_not(made_up):
    for name in ("one", "two"):
        made_up.recipe(name)
    made_up.pytest(NEW, *BASELINE, "--rl-recipe=one")
    first = made_up.baseline("one-0").read_bytes()
    assert not made_up.baseline("two-0").exists()

    made_up.policies |= {"one": "n % 4", "two": "n % 4"}
    session = made_up.pytest(NEW, *BASELINE, "--rl-runs-dir=rl-second")
    assert made_up.baseline("one-0").read_bytes() == first
    assert session.ret == 1
    assert session.words("one")["baseline"][0] == "REGRESSED", "what is there is still held against"
    assert read_baseline(made_up.baseline("two-0"), "two").accuracy == 0.75

    second = made_up.baseline("two-0").read_bytes()
    assert made_up.pytest(ALL, *BASELINE, "--rl-runs-dir=rl-second", "-k", "one").ret == 0
    assert read_baseline(made_up.baseline("one-0"), "one").accuracy == 0.75
    assert made_up.baseline("two-0").read_bytes() == second, "a partial run leaves the others"


def test_new_records_each_seed(made_up):
    """A seed without a file is held against another one's: that one does not keep it from having its own."""
    made_up.recipe("small", seeds=[0, 1])
    made_up.pytest(NEW, *BASELINE)
    assert [path.name for path in sorted((made_up.path / "suites/baselines").iterdir())] == [
        "small-0.toml",
        "small-1.toml",
    ]
    made_up.baseline("small-1").unlink()
    session = made_up.pytest(*BASELINE)
    assert session.words("small", seed=1)["baseline"][1].endswith("(held against seed 0's checkpoint)")


def test_a_recorded_run_is_not_held_against_itself(made_up):
    """The verdict over seeds asks for each seed's a second time, when the files are there."""
    made_up.recipe("small", seeds=[0, 1, 2])
    made_up.policies |= {"small-0": "n % 8", "small-1": "n % 9", "small-2": "n % 10"}
    session = made_up.pytest(NEW, "-k", "baseline or recipe")
    for seed in (0, 1, 2):
        assert session.words("small", seed=seed)["baseline"][0] == "NO_BASELINE"
    word, said = session.words("small", seed=2)["recipe"]
    assert word == "IMPROVED"
    assert "the base model" in said


def test_a_weak_baseline_can_be_recorded_again(made_up):
    """What it cannot show is said when it is recorded, and whenever it is planned with."""
    made_up.recipe("small", asked=5)
    recorded = made_up.pytest(NEW, *BASELINE)
    assert recorded.ret == 0
    weak = "5 questions: any drop could go unseen, even if every answer turned wrong; 10 points were asked for"
    assert weak in recorded.words("small")["baseline"][1]
    assert f"rl-harness: small, baseline gate: {weak}" in made_up.pytest(NEW, *BASELINE).text
    assert made_up.baseline("small-0").exists()
    made_up.recipe("small", asked=200)
    made_up.pytest(ALL, *BASELINE)
    assert len(read_baseline(made_up.baseline("small-0"), "small").correct) == 200


def test_torn_one_is_recorded_again_by_all_alone(made_up):
    made_up.recipe("small")
    made_up.write("suites/baselines/small-0.toml", "recipe = ")
    session = made_up.pytest(NEW, *BASELINE)
    assert session.ret == 1
    assert session.words("small")["baseline"][0] == "INCOMPARABLE"
    assert made_up.pytest(ALL, *BASELINE).ret == 0
    assert read_baseline(made_up.baseline("small-0"), "small").accuracy == 1.0


def test_says_which_nothing_uses(made_up):
    """Those of no recipe and of no seed, whatever this session ran; a shipped recipe's is not among them."""
    made_up.recipe("one")
    made_up.recipe("two", seeds=[1, 2])
    for name in ("one-0", "one-7", "two-0", "two-1", "gone-0", "tiny-arithmetic-0"):
        made_up.write(f"suites/baselines/{name}.toml", "not read")
    session = made_up.pytest(NEW, *BASELINE, "--rl-recipe=two")
    used = "suites/baselines/{}.toml"
    expected = ", ".join(used.format(name) for name in ("gone-0", "one-7", "two-0"))
    assert f"nothing uses {expected}; delete what is no longer wanted" in session.section
    assert len(list((made_up.path / "suites/baselines").iterdir())) == 7, "two-2 is new, and nothing was deleted"
    assert "nothing uses" not in made_up.pytest(*BASELINE, "--rl-recipe=two").text


REFUSAL = "the working tree differs from its commit"


@pytest.mark.parametrize("where", ["folder", "elsewhere"])
def test_refuses_a_dirty_tree(made_up, tmp_path_factory, where):
    """Wherever pytest is called and baselines are kept."""
    made_up.recipe("small", asked=20)
    made_up.write("folder/test_suite.py", (made_up.path / "test_suite.py").read_text())
    made_up.write("code.py", "")
    made_up.commit()
    options = [NEW, *BASELINE, "--rootdir=..", "-c../pytest.ini"] if where == "folder" else [NEW, *BASELINE]
    folder = made_up.path / "suites/baselines"
    if where == "elsewhere":
        folder = tmp_path_factory.mktemp("elsewhere")
        options.append(f"--rl-baselines-dir={folder}")
    made_up.write("code.py", "changed = True")
    called = "folder" if where == "folder" else "."
    models = ["--rl-model=../base", "--rl-set=task.name=../questions"] if where == "folder" else []

    refused = made_up.pytest(*options, *models, "test_suite.py", folder=called)
    assert refused.ret == 1
    assert REFUSAL in refused.text
    assert not list(folder.glob("*.toml"))

    allowed = made_up.pytest(*options, *models, "test_suite.py", "--rl-allow-dirty", folder=called)
    assert allowed.ret == 0, allowed.text
    assert [path.name for path in folder.glob("*.toml")] == ["small-0.toml"]


def test_a_session_that_recorded_none_says_why(made_up):
    """Not what an earlier session said: that there is none, and how one is recorded."""
    made_up.recipe("small", asked=20)
    made_up.commit()
    made_up.write("code.py", "changed = True")
    first = made_up.pytest(*BASELINE)
    assert first.words("small")["baseline"][1].endswith("--rl-update-baselines new records one")
    made_up.git("add", "-A")
    refused = made_up.pytest(NEW, "test_suite.py::test_baseline", "test_suite.py::test_training")
    assert refused.ret == 1
    word, said = refused.words("small")["baseline"]
    assert (word, said.split(",")[0]) == ("NO_BASELINE", f"none was recorded: {REFUSAL}")
    made_up.pytest(*BASELINE)
    none = ("NO_BASELINE", "none was recorded: no test of this session asks for the baseline gate")
    assert made_up.pytest(NEW, "-k", "improvement").words("small")["baseline"] == none
    first = made_up.pytest(NEW, "-k", "improvement", "--rl-runs-dir=rl-first")
    assert first.words("small")["baseline"] == none, "nothing was said of it before"
    made_up.write("suites/baselines/small-0.toml", "of another day")
    there = made_up.pytest(NEW, "-k", "improvement", "--rl-runs-dir=rl-first")
    assert "baseline" not in there.words("small"), "there is one, and none was to be recorded"


def test_recording_does_not_make_the_tree_dirty(made_up):
    for name in ("one", "two"):
        made_up.recipe(name, asked=20)
        made_up.write(f"suites/baselines/{name}-0.toml", "old")
    made_up.commit()
    assert made_up.pytest(ALL, *BASELINE).ret == 0
    head = made_up.git("rev-parse", "HEAD")
    assert {read_baseline(made_up.baseline(f"{name}-0"), name).commit for name in ("one", "two")} == {head}


def test_the_same_commit_twice(made_up):
    """The same pairs and the same verdict, and nothing is generated; another commit may draw others."""
    made_up.recipe("small", asked=100, temperature=1.0)
    made_up.policies["small"] = "(n + sample) % 8"
    made_up.commit()
    made_up.pytest(NEW, *BASELINE)
    made_up.commit()
    made_up.pytest(*BASELINE)
    first = made_up.verdicts("small")["baseline"]
    assert first["numbers"]["run_commit"] == made_up.git("rev-parse", "HEAD")
    made_up.forget()

    made_up.pytest(*BASELINE)
    assert made_up.verdicts("small")["baseline"] == first
    assert made_up.lines("answers.txt") == made_up.lines("trainings.txt") == []

    drawn = set()
    for _ in range(2):
        made_up.commit()
        made_up.pytest(*BASELINE)
        numbers = made_up.verdicts("small")["baseline"]["numbers"]
        drawn.add((numbers["lost"], numbers["gained"]))
    assert made_up.lines("answers.txt") == [], "the answers are the same, whatever the commit"
    assert len(drawn | {(first["numbers"]["lost"], first["numbers"]["gained"])}) > 1
