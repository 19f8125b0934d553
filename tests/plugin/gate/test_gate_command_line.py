"""``rl-harness compare``, ``plan``, ``runs``, ``regrade`` and ``gate-check``, on what sessions left."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace

import pytest

from harness.store.records import RECORDS, SUMMARY, read_records
from tests.inner_pytest import run

# A grader of the project's own: the right number in a box, and later on two too many as well.
GRADER = """
from harness.rewards import Grade, boxed_numeric, reward_function

def mine(completion, ground_truth):
    return boxed_numeric.grade(completion, ground_truth)

reward = reward_function(mine)
"""
KINDER = GRADER.replace(
    "    return boxed", '    if completion.endswith("{-1}"):\n        return Grade("-1", True)\n    return boxed'
)


@pytest.fixture(scope="module")
def left(shared_made_up):
    """Run directories of four recipes, and the baseline of one."""
    project = shared_made_up
    project.recipe("good")
    project.recipe("bad")
    project.recipe("brief", max_new_tokens=12)
    project.write("suites/recipes/grader.py", GRADER)  # beside the recipe
    project.recipe("own", reward='"grader:reward"')
    project.policies |= {"good": "n % 10", "bad": "n % 2", "own": "n % 4"}
    session = project.pytest("-k", "improvement")
    assert session.ret == 0, session.text
    project.pytest("--rl-update-baselines=new", "-k", "baseline", "--rl-recipe=good")
    return project


def place(project, name):
    return str(project.baseline("good-0") if name == "baseline" else project.run(name))


# Two runs, or the baseline; the exit code; how the line begins, and what it holds.
COMPARISONS = [
    ("good", "good", 0, "OK", r"90.0 % → 90.0 %, .* \d+ of 200 questions; a drop of 10 points or more is ruled out"),
    ("good", "bad", 1, "REGRESSED", r"good → bad: 90.0 % → 50.0 %, \d+ lost and 0 gained"),
    ("bad", "good", 0, "IMPROVED", r"50.0 % → 90.0 %, .*\(alpha .05\)$"),
    ("baseline", "good", 0, "OK", r"good-0.toml → good: baseline 90.0 % → now 90.0 %"),
    ("bad", "baseline", 0, "IMPROVED", r"bad → good-0.toml"),
    ("baseline", "baseline", 0, "OK", ""),
    (
        "good",
        "brief",
        1,
        "INCOMPARABLE",
        r"brief differs from good in the decoding \(max_new_tokens 24 → 12\)$",
    ),
    ("baseline", "own", 1, "INCOMPARABLE", r"own differs from good-0.toml in the grader "),
]


@pytest.mark.parametrize(("a", "b", "code", "word", "says"), COMPARISONS)
def test_compare(left, a, b, code, word, says):
    done = left.cli("compare", place(left, a), place(left, b))
    assert done.ret == code, done.stdout.str() + done.stderr.str()
    (line,) = done.outlines
    assert line.startswith(f"{word}  ")
    assert re.search(says, line), line
    assert done.stderr.str() == ""


def test_compare_takes_the_margin_from_bs_recipe(left):
    run = place(left, "good")
    assert "a drop of 10 points" in left.cli("compare", run, place(left, "baseline")).stdout.str()
    assert "a drop of 20 points" in left.cli("compare", run, run, "--margin=0.2").stdout.str()


def test_compare_draws_a_page(left):
    """Incomparable or not; the exit code is the verdict's."""
    for other, code, word in (("bad", 1, "REGRESSED"), ("brief", 1, "INCOMPARABLE")):
        done = left.cli("compare", place(left, "good"), place(left, other), "--html", "--report-dir=rl-compared")
        assert done.ret == code, done.stdout.str() + done.stderr.str()
        said, page = done.outlines
        assert said.startswith(f"{word}  ")
        path = left.path / page.removeprefix("page: ")
        assert path.name == f"compare-{left.run('good').name}-{left.run(other).name}.html"
        assert f"B against A: {word}" in path.read_text()


def test_compare_draws_no_page_of_a_baseline_file(left):
    done = left.cli("compare", place(left, "baseline"), place(left, "bad"), "--html")
    assert done.ret == 1, "the verdict's, as without a page"
    verdict, why = done.outlines
    assert verdict.startswith("REGRESSED  ")
    assert re.fullmatch(
        r"no page: .*good-0.toml is a baseline file and keeps no texts; --html needs two run directories", why
    )


def test_history_of_what_sessions_left(left):
    done = left.cli("history")
    assert (done.ret, done.stdout.str()) == (0, "history: rl-report/history.html"), done.stderr.str()
    page = (left.path / "rl-report/history.html").read_text()
    assert "4 runs of 4 recipes" in page
    for name in ("good", "bad", "brief", "own"):
        run = left.run(name).name
        assert f'href="{run}.html"' in page
        assert (left.path / f"rl-report/{run}.html").is_file()
    again = left.cli("history", "--report-dir=rl-elsewhere", "--no-run-pages")
    made = {path.name for path in (left.path / "rl-elsewhere").iterdir()}
    assert made == {".gitignore", "history.html"}, again.stderr.str()


def test_compare_takes_no_unscored_answer_for_a_wrong_one(left, tmp_path):
    """Half of B's answers could not be graded: they make no pairs."""
    a, b = left.run("good"), tmp_path / "unscored"
    (b / "after").mkdir(parents=True)
    for name in ("environment.json", "identity.json", "questions.jsonl", "after/summary.json"):
        (b / name).write_bytes((a / name).read_bytes())
    records = read_records(a / "after")
    RECORDS.write(b / "after", (replace(each, status="unscored") if n % 2 else each for n, each in enumerate(records)))
    summary = replace(SUMMARY.read(a / "after"), records="")
    SUMMARY.write(b / "after", summary)
    done = left.cli("compare", place(left, "good"), str(b))
    assert done.ret == 0, done.stdout.str()
    assert not done.stdout.str().startswith("REGRESSED")

    counts = {"correct": 90, "wrong": 10, "no_answer": 0, "unscored": 100}
    SUMMARY.write(b / "after", replace(summary, counts=counts))
    done = left.cli("compare", place(left, "good"), str(b))
    assert (done.ret, done.stdout.str().split()[0]) == (0, "INCONCLUSIVE")
    assert "100 of 200 answers of unscored could not be graded; of the others: " in done.stdout.str()


@pytest.mark.parametrize("file", ["after/records.jsonl", "after/summary.json"])
def test_compare_believes_nothing_that_was_changed(left, tmp_path, file):
    b = shutil.copytree(left.run("good"), tmp_path / "b")
    path = b / file
    path.write_text(path.read_text().replace('"status": "wrong"', '"status": "correct"').replace("0.9,", "0.8,", 1))
    done = left.cli("compare", place(left, "good"), str(b))
    assert (done.ret, done.stdout.str()) == (2, "")
    assert re.search(rf"{re.escape(str(path))}.*: was changed after it was written", done.stderr.str())


@pytest.mark.parametrize("command", ["compare", "methods", "regrade"])
def test_what_is_whole_and_of_another_stage_is_not_believed(left, tmp_path, command):
    b = shutil.copytree(left.run("good"), tmp_path / "b")
    shutil.copyfile(b / "before/records.jsonl", b / "after/records.jsonl")
    done = left.cli(command, *([place(left, "good")] if command != "regrade" else []), str(b))
    assert done.ret == 2, done.stdout.str()
    assert f"{b / 'after/records.jsonl'}: holds other answers than summary.json is of" in done.stderr.str()


MISTAKES = {
    "no such run": (["compare", "nowhere", "nowhere"], "nowhere: no such run directory"),
    "not a baseline": (["compare", "made_up.py", "made_up.py"], "made_up.py: neither a run directory nor a baseline"),
    "regrade nothing": (["regrade", "nowhere"], "nowhere: no such run directory"),
    "no runs": (["runs", "--runs-dir", "nowhere"], "nowhere: no run directories"),
    "no checks": (["gate-check", "good", "--runs", "0"], "--runs 0 asks nothing; give 1 or more"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_a_line_and_exit_code_2(left, name):
    arguments, says = MISTAKES[name]
    done = left.cli(*arguments)
    assert (done.ret, done.stdout.str()) == (2, "")
    (line,) = done.errlines
    assert says in line


def test_compare_names_what_an_edited_identity_lacks(left, tmp_path):
    b = tmp_path / "edited"
    shutil.copytree(left.run("good"), b)
    identity = json.loads((b / "identity.json").read_text())
    identity["grading"]["graders"] = {}
    (b / "identity.json").write_text(json.dumps(identity))
    done = left.cli("compare", place(left, "good"), str(b))
    assert done.ret == 2
    (line,) = done.errlines
    assert re.search(r"identity\.json: grading\.graders: 'boxed_numeric' is missing", line), line


@pytest.mark.parametrize("wreck", ["after", "records"])
def test_compare_takes_no_missing_answer_for_a_wrong_one(left, tmp_path, wreck):
    """Nor those of the base model for the trained policy's."""
    b = shutil.copytree(left.run("good"), tmp_path / "b")
    if wreck == "after":
        (b / "train").mkdir(exist_ok=True)
        shutil.rmtree(b / "after")
        said = f"{b}: its trained policy was not asked to the end"
    else:
        lines = (b / "after/records.jsonl").read_text().splitlines(keepends=True)
        (b / "after/records.jsonl").write_text("".join(lines[:40]))
        said = f"records.jsonl: 40 of {len(lines)} answers are there"
    done = left.cli("compare", place(left, "good"), str(b))
    assert done.ret == 2
    assert said in done.stderr.str()


def test_compare_refuses_an_edited_baseline(left, tmp_path):
    edited = tmp_path / "good-0.toml"
    edited.write_text(left.baseline("good-0").read_text().replace("correct = 0", "correct = 1", 1))
    done = left.cli("compare", str(edited), place(left, "good"))
    assert done.ret == 2
    assert "was edited by hand" in done.stderr.str()


def test_plan_says_what_the_gates_can_see(left):
    """Two gates, for there is a baseline; with five questions neither can tell."""
    done = left.cli("plan", "good", "--set", "gate.min_improvement=0.3")
    assert done.ret == 0, done.stderr.str()
    assert re.search(r"improvement.*a gain of 30 points with power 1.00; .80 was asked for", done.stdout.str())
    assert re.search(r"baseline.*a drop of 10 points with power .*; .80 was asked for", done.stdout.str())
    few = left.cli("plan", "good", "--set", "gate.min_improvement=0.3", "--limit", "5").stdout.str()
    assert re.search(r"improvement gate: 5 questions: any gain could go unseen, .*; 30 points were asked for", few)
    assert re.search(r"baseline gate: 5 questions: any drop could go unseen, .*; 10 points were asked for", few)


def test_runs_is_a_table(left):
    done = left.cli("runs")
    header, *lines = (re.split(" {2,}", line) for line in done.outlines)
    assert header == ["run", "date", "commit", "differs in", "before", "after", "verdict"]
    rows = {line[0]: dict(zip(header, line, strict=True)) for line in lines}
    assert rows.keys() == {"good", "bad", "brief", "own"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d", rows["good"].pop("date"))
    others = {"run": "good", "commit": "-", "differs in": "-"}
    assert rows["good"] == others | {"before": "50.0 %", "after": "90.0 %", "verdict": "IMPROVED"}
    assert (rows["bad"]["after"], rows["bad"]["verdict"]) == ("50.0 %", "INCONCLUSIVE improvement")


def test_runs_says_what_two_of_them_differ_in(left):
    rows = {" ".join(line.split()) for line in left.cli("runs", "--diff", "good", "brief").outlines}
    assert rows == {"good brief", "recipe recipe good brief", "evaluate.max_new_tokens 24 12"}
    assert left.cli("runs", "--diff", "good", str(left.run("good"))).outlines == [
        "good and good: nothing differs that is known of them"
    ]


def test_regrade(left):
    """Nothing changes until the grader does, and nothing is kept without --write."""
    run, own = left.run("own"), str(left.run("own"))
    kept = (run / "after/records.jsonl").read_bytes()
    assert "after: 0 of 200 grades change, 75.0 % → 75.0 %" in left.cli("regrade", own).stdout.str()

    left.write("suites/recipes/grader.py", KINDER)
    left.forget()
    done = left.cli("regrade", own)
    assert done.ret == 0, done.stderr.str()
    assert "before: 100 of 200 grades change, 50.0 % → 100.0 %" in done.stdout.str()
    assert "after: 50 of 200 grades change, 75.0 % → 100.0 %" in done.stdout.str()
    assert done.stdout.str().count(": wrong → correct, reads '-1'") == 40
    assert done.stdout.str().count("  and 30 more") == 1
    assert (run / "after/records.jsonl").read_bytes() == kept

    faults = run / "after/rewards.json"
    faults.write_text(json.dumps({"functions": {"grader:reward": {"sentence": "gave no value for 50 of 400"}}}))
    left.cli("regrade", own, "--write")
    assert not faults.exists(), "what failed in grades that are no more"
    assert not left.verdicts("own").keys() - {"training"}, "what was said of grades that are no more"
    left.write("suites/recipes/grader.py", GRADER)
    assert json.loads((run / "after/summary.json").read_text())["accuracy"] == 1.0
    assert "after: 50 of 200 grades change, 100.0 % → 75.0 %" in left.cli("regrade", own).stdout.str()
    assert left.lines("answers.txt") == []

    parent = '[model]\nfrom_recipe = "elsewhere"\n'
    recipe = (run / "recipe.toml").read_text()
    (run / "recipe.toml").write_text(re.sub(r"(?m)^\[model\]\nname = .*\n", parent, recipe))
    assert parent in (run / "recipe.toml").read_text()
    assert left.cli("regrade", own).ret == 0, "the parent's recipe is not asked for"
    (run / "recipe.toml").write_text(recipe)


def test_gate_check_counts_alarms(left):
    """An honest policy raises none; one that gets worse with every seed does."""
    options = ["--runs", "3", "--set", "task.test_questions=100", "--set", "gate.margin=0.2"]
    left.model("steady", "(n + sample) % 8")
    left.model("sinking", "(n + sample) % 8 and not seed")
    steady = left.cli("gate-check", "good", *options, "--model", "steady")
    assert steady.ret == 0, steady.stderr.str()
    assert "good: the base policy, 87.5 % right at temperature 1, asked 3 times with new seeds" in steady.stdout.str()
    assert "false alarms: 0 of 3 (at most 5.0 % are expected)" in steady.stdout.str()
    sinking = left.cli("gate-check", "good", *options, "--model", "sinking")
    assert re.search(r"^  REGRESSED +3  100.0 %$", sinking.stdout.str(), re.MULTILINE)
    assert "false alarms: 3 of 3" in sinking.stdout.str()


def test_gate_check_of_the_trained_policy_trains_nothing_again(left):
    left.forget()
    done = left.cli("gate-check", "bad", "--runs", "1", "--trained")
    assert done.stdout.str().startswith("bad: the trained policy, 50.0 % right")
    assert left.lines("trainings.txt") == []
    assert len(left.cli("runs").outlines) == 1 + 4, "nor does another run come of it"


def test_gate_check_of_a_real_policy(tmp_path):
    """The embedded model, sampled: other seeds give other answers."""
    recipe = '[model]\nname = "tiny"\n[task]\nname = "arithmetic"\ntrain_questions = 8\ntest_questions = 12\n'
    (tmp_path / "small.toml").write_text(f"{recipe}[evaluate]\nmax_new_tokens = 32\n")
    done = run(["harness.cli", "gate-check", "small.toml", "--runs", "2"], tmp_path, {}, torch=True)
    assert done.ret == 0, done.stderr.str()
    assert re.search(r"^small: the base policy, [\d.]+ % right at temperature 1, asked 2 times", done.stdout.str())
    assert re.search(r"^false alarms: \d of 2 ", done.stdout.str(), re.MULTILINE)
    answers = {path.read_text() for path in tmp_path.rglob("gate-check/[12]/records.jsonl")}
    assert len(answers) == 2
