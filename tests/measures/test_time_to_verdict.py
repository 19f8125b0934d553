"""How soon the baseline gate knows: real evaluations of the embedded model, stopped at the first verdict.

pytest tests/measures/test_time_to_verdict.py -m slow -s        prints the table; half an hour on four cores

Each seed draws other questions. The accepted model answers all of them for the baseline. Then it is asked again as a
candidate, and so is a model that is 5 points worse: the accepted weights mixed with those before training, in a share
that was looked for on questions of yet another seed.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from harness.catalog import find_recipe
from harness.pipeline import Run
from harness.policy.source import resolve_model
from harness.settings import Settings

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]
SEEDS = range(1, 21)
LOST = 0.05  # accuracy that the worse model lacks
LOOKED_FOR_ON = 2000  # questions, of seed 0
SHARE = 1 / 3  # of a full evaluation's seconds, in which half of the verdicts must be there
SECONDS = 10.0  # in which a run with a kept baseline and an unchanged policy is judged


class Candidate(Run):
    """A run whose trained policy is a given folder: the gate is asked about it as about any other."""

    policy_folder: Path

    def final(self):
        return resolve_model(str(self.policy_folder))


def candidate(folder: Path, recipe, settings: Settings) -> Candidate:
    run = Candidate(recipe, 0, settings)
    run.policy_folder = folder
    return run


@dataclass(frozen=True)
class Asked:
    """One candidate's verdict, and what it took against what asking every question takes."""

    word: str
    asked: int
    seconds: float
    full_seconds: float
    accuracy: float

    @property
    def share(self) -> float:
        return self.seconds / self.full_seconds


@pytest.fixture(scope="module")
def recipe():
    return find_recipe("tiny-arithmetic")


@pytest.fixture(scope="module")
def accepted(recipe, tmp_path_factory) -> Path:
    """The embedded model, trained by its recipe."""
    run = Run(recipe, 0, Settings(runs_dir=tmp_path_factory.mktemp("accepted")))
    return run.final().path


@pytest.fixture(scope="module")
def worse(recipe, accepted, tmp_path_factory) -> Path:
    """The accepted model, :data:`LOST` of its accuracy taken away by weights from before training."""
    folder = tmp_path_factory.mktemp("worse")
    calibration = recipe.override({"task.seed": 0, "task.test_questions": LOOKED_FOR_ON})

    def accuracy(model: Path) -> float:
        run = candidate(model, calibration, Settings(runs_dir=folder / "runs"))
        try:
            return run.after().accuracy
        finally:
            run.release()

    target = accuracy(accepted) - LOST
    low, high = 0.0, 1.0  # shares of the accepted weights: too bad, and too good
    for number in range(7):
        share = (low + high) / 2
        model = mix(accepted, share, folder / f"mix-{number}")
        found = accuracy(model)
        if abs(found - target) <= 0.1 * LOST:
            break
        low, high = (share, high) if found < target else (low, share)
    return model


def mix(accepted: Path, share: float, folder: Path) -> Path:
    import torch

    from harness.policy import load_policy

    mixed, trained = load_policy("tiny", device="cpu"), load_policy(str(accepted), device="cpu")
    with torch.no_grad():
        for before, after in zip(mixed.model.parameters(), trained.model.parameters(), strict=True):
            before.lerp_(after, share)
    mixed.save(folder)
    return folder


def ask(model: Path, recipe, settings: Settings) -> tuple[str, int, float, float]:
    """``(verdict, questions asked, seconds, accuracy)``; loading the model is in the seconds."""
    run = candidate(model, recipe, settings)
    started = time.perf_counter()
    verdict = run.verdict("baseline")
    seconds = time.perf_counter() - started
    after = run.after()
    run.release()
    return verdict.verdict, int(after.summary["questions"]), seconds, after.accuracy


def judged(model: Path, recipe, baselines: Path, base: Path, folder: Path) -> Asked:
    """Ask a model until the gate knows, and then, as another run, to the end."""
    found = {}
    for early in (True, False):
        runs = shutil.copytree(base, folder / ("early" if early else "full"))
        # Two gates, as in a session of the suites: improvement and baseline share alpha.
        settings = Settings(runs_dir=runs, baselines_dir=baselines, stop_early=early, gates=2, report_only=True)
        found[early] = ask(model, recipe, settings)
    word, asked, seconds, _ = found[True]
    return Asked(word, asked, seconds, full_seconds=found[False][2], accuracy=found[False][3])


@pytest.mark.parametrize("questions", [400, 1319])
def test_half_of_the_verdicts_come_in_a_third_of_the_time(questions, recipe, accepted, worse, tmp_path, capsys):
    """For an unchanged model and for one that is 5 points worse, over the seeds."""
    found: dict[str, list[Asked]] = {"unchanged": [], "5 points worse": []}
    for seed in SEEDS:
        asked = recipe.override({"task.seed": seed, "task.test_questions": questions})
        folder, baselines = tmp_path / str(seed), tmp_path / str(seed) / "baselines"
        base = folder / "base"
        recording = Settings(runs_dir=base, baselines_dir=baselines, update="new", allow_dirty=True, gates=2)
        first = candidate(accepted, asked, recording)
        first.before()  # what the base model answers is kept: it is the same for every candidate
        first.release()
        recorder = candidate(accepted, asked, replace(recording, runs_dir=folder / "recorded"))
        assert recorder.verdict("baseline").verdict == "NO_BASELINE"
        recorder.release()
        for name, model in (("unchanged", accepted), ("5 points worse", worse)):
            found[name].append(judged(model, asked, baselines, base, folder / name))
        shutil.rmtree(folder)
    with capsys.disabled():
        print(f"\n\n{len(SEEDS)} seeds, {questions} questions each; medians, and least to most\n")
        print("| model | accuracy, mean | verdicts | questions asked | seconds | of a full evaluation's |")
        print("|" + "---|" * 6)
        for name, every in found.items():
            print(f"| {' | '.join(row(name, every))} |")
    for name, every in found.items():
        assert statistics.median(each.share for each in every) <= SHARE, name


def row(name: str, every: list[Asked]) -> list[str]:
    words = [each.word for each in every]
    columns = ([each.asked for each in every], [each.seconds for each in every], [each.share for each in every])
    return [
        name,
        f"{100 * statistics.mean(each.accuracy for each in every):.1f} %",
        ", ".join(f"{words.count(word)} {word}" for word in sorted(set(words))),
        *(f"{statistics.median(each):.3g} ({min(each):.3g} to {max(each):.3g})" for each in columns),
    ]


def test_an_unchanged_policy_with_a_kept_baseline_is_judged_at_once(tmp_path, capsys):
    """The whole process of a second session, from its start to its exit code."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "suites/test_gate.py",
        "--rl-recipe=tiny-arithmetic",
        "-p",
        "no:cacheprovider",
    ]
    places = [f"--rl-{name}-dir={tmp_path / name}" for name in ("runs", "report", "baselines")]
    record = ["--rl-update-baselines=new", "--rl-allow-dirty"]
    seconds = []
    for options in (record, [], []):
        started = time.perf_counter()
        done = subprocess.run([*command, *places, *options], cwd=REPOSITORY, capture_output=True, text=True)
        seconds.append(time.perf_counter() - started)
        assert done.returncode == 0, done.stdout
    assert "baseline" in done.stdout
    assert " OK" in done.stdout
    with capsys.disabled():
        print(
            f"\n\nrecorded in {seconds[0]:.1f} s, asked anew in {seconds[1]:.1f} s, unchanged in {seconds[2]:.1f} s\n"
        )
    assert seconds[-1] <= SECONDS
