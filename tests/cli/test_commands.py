"""The command line: a run as in the suites, exit code 1 for a failing verdict, and 2 with one line for a mistake."""

from __future__ import annotations

import importlib.metadata
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

import harness
from harness import cli
from harness.cli import commands
from harness.cli.terminal import Progress
from harness.notebook.result import Result
from harness.recipe.catalog import find_recipe
from harness.store.audit import AUDIT
from harness.store.errors import HarnessError
from harness.store.run_directory import own_folder
from tests.inner_pytest import REPOSITORY, run
from tests.small_recipes import small_recipe

SMALL = small_recipe() + "\n[gate]\nmin_accuracy = 0.0\n"


def run_cli(folder: Path, *arguments: str, torch: bool = False) -> pytest.RunResult:
    """The command in a process of its own, as a user calls it from ``folder``."""
    return run(["harness.cli", *arguments], folder, {}, torch=torch)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli")
    (path / "small.toml").write_text(SMALL)
    return path


@pytest.fixture(scope="module")
def finished(folder):
    """One real run, shared by the tests that only read."""
    return run_cli(folder, "run", "small.toml", torch=True)


def test_run_trains_judges_and_reports(finished, folder):
    assert finished.ret == 0, finished.stderr.str()
    said = finished.stdout.str()
    assert re.search(r"^small: INCONCLUSIVE  improvement: ", said, re.MULTILINE)
    assert re.search(r"^small: OK            accuracy: ", said, re.MULTILINE)
    assert re.search(r"^small: OK            training: 4 steps", said, re.MULTILINE)
    assert finished.outlines[-1] == "report: rl-report/index.html"
    assert (folder / "rl-report/index.html").is_file()
    (run,) = (folder / "rl-runs").glob("small")
    assert AUDIT.read(run).findings == []
    assert (run / "after/summary.json").is_file()


def test_progress_in_a_log_is_a_line_now_and_then(finished):
    said = finished.stderr.str()
    for stage in ("before", "GRPO", "after"):
        assert re.search(rf"^{stage} small: ", said, re.MULTILINE), said
    assert "\x1b" not in said
    assert "\r" not in said


def test_a_failing_verdict_is_exit_code_1(finished, folder):
    """The threshold alone is new, so nothing is trained again. A report that cannot be written hides no verdict."""
    command = ("run", "small.toml", "--set", "gate.min_accuracy=0.99")
    again = run_cli(folder, *command)
    assert again.ret == 1, again.stderr.str()
    assert "small: TOO_LOW       accuracy: " in again.stdout.str()
    assert "report: rl-report/index.html" in again.stdout.str()
    assert again.errlines == [], "nothing was done, so there was no progress"
    (folder / "taken").write_text("a file")
    again = run_cli(folder, *command, "--report-dir", "taken")
    assert again.ret == 2
    assert "small: OK            training" in again.stdout.str()
    (line,) = again.errlines
    assert "taken" in line
    assert "--report-dir" in line


@pytest.mark.parametrize(("seeds", "gates"), [([], 1), ([2], 1), ([1, 2], 2), ([1, 2, 3], 4)])
def test_the_gates_of_the_seeds_that_run_share_alpha(folder, monkeypatch, seeds, gates):
    """Improvement with each seed, and with three of them the recipe's own."""
    shared = []

    def made(recipe, seed, settings):
        shared.append(settings.gates)
        raise HarnessError("seen")

    monkeypatch.chdir(folder)
    monkeypatch.setattr(commands, "Run", made)
    assert cli.main(["run", "small.toml", *(f"--seed={seed}" for seed in seeds)]) == 2
    assert shared == [gates]


def test_python_shares_alpha_as_pytest_does(folder, monkeypatch):
    """All seeds of the recipe are in a session of pytest, whichever one is run here."""
    monkeypatch.setattr(Result, "finish", lambda run: None)
    recipe = find_recipe(folder / "small.toml").override({"seeds": [1, 2, 3]})
    assert harness.run(recipe, seed=2, baselines_dir=str(folder)).settings.gates == 4
    assert harness.run(recipe, gates=1, baselines_dir=None).settings.gates == 1


def test_the_live_line_is_erased_before_an_error_is_told(monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", terminal)

    def fails():
        with Progress() as progress:
            progress("after", "3/8 answers")
            raise HarnessError("seen")

    with pytest.raises(HarnessError):
        fails()
    assert "3/8 answers" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_a_reader_that_has_seen_enough_is_no_error(folder):
    """``rl-harness recipes | head -0``, with a buffer that is written line by line."""
    command = [sys.executable, "-u", "-m", "harness.cli", "recipes"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        errors = process.stderr.read()
    assert (process.returncode, errors) == (1, "")


def test_report_of_kept_runs(finished, folder):
    (run,) = (folder / "rl-runs").glob("small")
    done = run_cli(folder, "report", str(run), "--report-dir", "again")
    assert done.ret == 0
    assert done.outlines == ["report: again/index.html"]
    assert "small" in (folder / "again/index.html").read_text()


def test_what_is_kept_is_found_by_name_and_cleaned(finished, folder):
    """Nothing goes without --yes, and then what was said."""
    runs = folder / "rl-runs"
    assert (runs / ".gitignore").read_text() == (folder / "rl-report/.gitignore").read_text() == "*\n"
    assert run_cli(folder, "report", "small", "--report-dir", "by-name").outlines == ["report: by-name/index.html"]
    checkpoints = set((runs / "small/train").glob("checkpoint-*"))
    said = run_cli(folder, "clean").outlines
    assert re.match(rf"  {len(checkpoints)} checkpoints  small  used \d{{4}}-\d\d-\d\d  \d+\.\d MB$", said[0])
    assert re.fullmatch(r"\d+\.\d MB of \d+\.\d MB in rl-runs can be freed; --yes frees it", said[1])
    assert set((runs / "small/train").glob("checkpoint-*")) == checkpoints
    done = run_cli(folder, "clean", "--yes").outlines
    assert done == [said[0], "freed " + said[1].partition(" can be")[0]]
    assert not list((runs / "small/train").glob("checkpoint-*"))
    assert run_cli(folder, "clean").outlines[-1].startswith("0.0 kB of ")
    assert (runs / "small/train/final").is_dir()


def test_a_gitignore_that_is_there_stays(tmp_path):
    own_folder(tmp_path / "new/runs")
    assert (tmp_path / "new/runs/.gitignore").read_text() == "*\n"
    (tmp_path / "mine").mkdir()
    own_folder(tmp_path / "mine")
    assert not list((tmp_path / "mine").iterdir())
    (tmp_path / "new/runs/.gitignore").write_text("checkpoint-*\n")
    own_folder(tmp_path / "new/runs")
    assert (tmp_path / "new/runs/.gitignore").read_text() == "checkpoint-*\n"


def test_the_version(capsys):
    with pytest.raises(SystemExit) as done:
        cli.main(["--version"])
    assert done.value.code == 0
    assert capsys.readouterr().out == f"rl-harness {importlib.metadata.version('rl-harness')}\n"


def test_recipes_lists_the_shipped_and_the_users_own(folder, capsys):
    assert cli.main(["recipes", "--recipes-dir", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "small: A recipe of four steps." in lines
    assert any(line.startswith("tiny-arithmetic: ") for line in lines)
    assert any(line.startswith("gsm8k-smollm2-135m (runs when asked for by name): ") for line in lines)
    assert any(line.startswith("gsm8k-qwen2.5-0.5b (requires a GPU): ") for line in lines)


MISTAKES = {
    "no such recipe": (["run", "tiny-aritmetic"], "no recipe named 'tiny-aritmetic'; did you mean 'tiny-arithmetic'?"),
    "no such file": (["run", "nowhere.toml"], "nowhere.toml: no such recipe file"),
    "limit 0": (["run", "small.toml", "--limit", "0"], "a limit of 0 questions leaves nothing to ask"),
    "unknown key": (
        ["run", "small.toml", "--set", "train.max_step=2"],
        "did you mean 'max_steps'? (under --set train.max_step=2)",
    ),
    "unknown table": (
        ["run", "small.toml", "--set", "eval.max_new_tokens=2"],
        "did you mean 'evaluate.max_new_tokens'?",
    ),
    "a plan of a reward that is not there": (
        ["plan", "small.toml", "--set", "rewards.no_such:reward=1.0"],
        "there is no module",
    ),
    "unknown key of an audit": (
        ["audit", "small.toml", "--set", "train.max_step=2"],
        "did you mean 'max_steps'? (under --set train.max_step=2)",
    ),
    "no key": (["run", "small.toml", "--set", "2"], "an override is written key=value"),
    "no such model": (["run", "small.toml", "--model", "./nowhere"], "nowhere: no such file or folder"),
    "no such file of a recipe": (["run", "lost.toml"], "lost.toml:7: [task] name: nowhere.jsonl: no such file"),
    "too few questions": (
        ["run", "few.toml"],
        "few.csv' has 1 test question left, the recipe asks for 8; lower [task]",
    ),
    "too few with a limit": (["run", "few.toml", "--limit", "1"], "few.csv' has 0 train questions left"),
    "no such data": (["run", "gsm8k-smollm2-135m", "--data", "nowhere"], "--data nowhere: no such file or folder"),
    "data for no one": (["audit", "small.toml", "--data", "."], "recipe small makes its own questions"),
    "no such device": (["run", "small.toml", "--device", "abacus"], "device 'abacus' is not known"),
    "not a run directory": (["report", "."], "not a run directory"),
    "no such run directory": (["report", "nowhere"], "nowhere: no such run directory"),
    "a run of no name": (
        ["compare", "smal", "small"],
        "smal: no such run directory, and no run in rl-runs has that name",
    ),
    "an empty name": (["compare", "", "small"], "'' names no run; write a run's name, the beginning of one"),
    "a list without an end": (
        ["plan", "small.toml", "--set", "train.learning_rate=[1e-4,"],
        "train.learning_rate: the value [1e-4, is not valid TOML: Invalid value",
    ),
    "no size": (["clean", "--runs"], "--runs would take every run; say which by --older-than DAYS or --max-size SIZE"),
    "nothing to clean": (["clean"], "rl-runs: no such folder; give --runs-dir"),
    "a sweep of one policy": (
        ["gate-check", "small.toml", "--set", "train.beta=[0.0, 0.1]"],
        "train.beta: one policy is asked again and again; give one value",
    ),
    "a sweep of what decides nothing": (
        ["run", "small.toml", "--set", "gate.margin=[0.1, 0.2]"],
        "gate.margin decides no result, so all its values are of one run; give it one value",
    ),
    "no such folder of runs": (["history", "nowhere"], "nowhere: no such folder"),
    "a folder without runs": (["history", "."], "no run directories; give the folder that holds them"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_exit_code_2(mistake, tmp_path, monkeypatch, capsys):
    arguments, sentence = MISTAKES[mistake]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.toml").write_text(SMALL)
    (tmp_path / "lost.toml").write_text(SMALL.replace('"arithmetic"', '"nowhere.jsonl"'))
    (tmp_path / "few.toml").write_text(SMALL.replace('"arithmetic"', '"few.csv"'))
    (tmp_path / "few.csv").write_text("question,answer\nx,1\n")
    assert cli.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith("rl-harness: ")
    assert sentence in line


def test_an_interrupt_says_how_to_go_on(monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("harness.cli.commands.recipes", interrupted)
    assert cli.main(["recipes"]) == 130
    assert capsys.readouterr().err == "interrupted; the same command goes on where it stopped\n"


WRONG = [
    [],
    ["runn"],
    ["run"],
    ["run", "small.toml", "--limit", "few"],
    ["clean", "--max-size", "20"],
    ["clean", "--older-than", "-1"],
]


@pytest.mark.parametrize("arguments", WRONG)
def test_wrong_usage_is_exit_code_2(arguments):
    with pytest.raises(SystemExit) as usage:
        cli.main(arguments)
    assert usage.value.code == 2


def test_help_and_the_list_of_recipes_import_nothing_heavy():
    script = (
        "import sys; from harness import cli; cli.main(['recipes'])\n"
        "print(sorted({'torch', 'transformers', 'trl', 'datasets', 'pandas', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr
