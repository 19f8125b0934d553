"""Projects whose policies are made up: everything runs but the model, so a whole session takes a second.

A model is a folder whose "weights" are a Python expression that says which answers are right: of ``n``, the question's
place in the fixed order, ``sample``, and ``seed``, the decoding's. Training copies the expression that
``policies.json`` has for the recipe. Stages, keys, looks, grades, files and verdicts are the harness's own.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.inner_pytest import PYTEST, run

MADE_UP = '''
"""Replaces the model and the training job of a process; answers.txt and trainings.txt say what was done."""

import functools
import json
import pathlib
from types import SimpleNamespace

import harness.models
import harness.models.engines
import harness.report.render
import harness.training.launcher
from harness.store.records import Generation

HERE = pathlib.Path(__file__).parent


def note(file, text):
    with (HERE / file).open("a") as lines:
        lines.write(f"{text}\\n")


def load_policy(source, *, device, dtype, chat_template_kwargs):
    weights = json.loads((source.path / "model.safetensors").read_text())
    return SimpleNamespace(name=source.name, device="cpu", right=weights["right"], unused_kwargs=[])


def generate(policy, questions, decoding, skip=()):
    for n, question in enumerate(questions):
        batch = []
        for sample in range(decoding.samples_per_question):
            if (question.id, sample) in skip:
                continue
            note("answers.txt", f"{policy.name} {question.id} {sample}")
            right = eval(policy.right, {"n": n, "sample": sample, "seed": decoding.seed})
            said = rf"\\boxed{{{question.ground_truth if right else -1}}}"
            batch.append(Generation(question.id, sample, decoding.seed, question.prompt, said, "stop", 5, 10))
        if batch:
            yield batch


def run_job(job, directory, *, in_process=False, progress=None, finding=None):
    from harness.store.run_directory import write_json, write_lines
    from harness.store.run_files import TRAINED, TrainingSummary

    run = json.loads((directory.parent / "environment.json").read_text())
    recipe, seed = run["recipe"], run["seed"]
    note("trainings.txt", f"{recipe}-{seed}")
    policies = json.loads((HERE / "policies.json").read_text())
    final = directory / "final"
    final.mkdir(parents=True, exist_ok=True)
    (final / "config.json").write_text("{}")
    write_json(final / "model.safetensors", {"right": policies.get(f"{recipe}-{seed}", policies.get(recipe, "True"))})
    loss = None if recipe == "unsound" else 0.1
    equal = 0.9375 if recipe == "vain" else 0.5
    rows = [{"step": step, "loss": loss, "reward": step / 4, "frac_reward_zero_std": equal} for step in (1, 2)]
    write_lines(directory / "metrics.jsonl", rows)
    summary = TrainingSummary(
        steps=2, seconds=1.0, seconds_per_step=0.5, completions=0, sampled_tokens=0, training_key=""
    )
    TRAINED.write(directory, summary)
    return summary


def render_session(directories, folder, live=None):
    """The report draws pictures, which takes as long as all the rest; it has tests of its own."""
    return folder / "index.html"


def open_engine(engine, arguments, policy, source, **settings):
    loaded = policy()
    answer = functools.partial(generate, loaded)
    return SimpleNamespace(name="made-up", model=loaded.name, device="cpu", answer=answer, close=lambda: None)


harness.models.load_policy = load_policy
harness.models.engines.open_engine = open_engine
harness.report.render.render_session = render_session
harness.training.launcher.run_job = run_job

if __name__ == "__main__":
    import sys

    from harness import cli

    sys.exit(cli.main())
'''
RECIPE = """\
description = "A made-up policy."
seeds = {seeds}

[model]
name = "{model}"

[task]
name = "{questions}"
train_questions = 8
test_questions = {asked}
system_prompt = "{prompt}"

[rewards]
{reward} = 1.0

[train]
method = "grpo"
per_device_train_batch_size = 16
num_generations = 4
max_steps = 2

[evaluate]
max_new_tokens = {max_new_tokens}
temperature = {temperature}

[health]
signal = false

[gate]
margin = 0.10
{gate}
"""
SUITE = """
def test_training(verdicts):
    verdicts.require("training")

def test_accuracy(verdicts):
    verdicts.require("accuracy")

def test_improvement(verdicts):
    verdicts.require("improvement")

def test_baseline(verdicts):
    verdicts.require("baseline")

def test_recipe(verdicts):
    verdicts.require("recipe")
"""
GIT = {f"GIT_{who}_{what}": "made@up" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


@dataclass
class MadeUp:
    """A folder with recipes, questions, policies and a suite."""

    path: Path
    policies: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.write("made_up.py", MADE_UP)
        self.write("conftest.py", "import made_up\n")
        self.write("pytest.ini", "[pytest]\n")
        self.write("test_suite.py", SUITE)
        self.model("base", "n % 2 == 0")
        self.questions()

    def write(self, name: str, text: str) -> Path:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    def model(self, name: str, right: str) -> None:
        self.write(f"{name}/config.json", "{}")
        self.write(f"{name}/model.safetensors", json.dumps({"right": right}))

    def questions(self, name: str = "questions", count: int = 400, **changed: dict[int, str]) -> None:
        """``changed`` is ``question={index: text}`` or ``answer={index: text}``."""
        for split in ("train", "test"):
            rows = [
                {
                    key: changed.get(key, {}).get(n, text)
                    for key, text in (("question", f"{split} {n}?"), ("answer", str(n)))
                }
                for n in range(count)
            ]
            self.write(f"{name}/{split}.jsonl", "".join(json.dumps(row) + "\n" for row in rows))

    def recipe(self, name: str, **changes: Any) -> None:
        defaults: dict[str, Any] = {
            "seeds": [0],
            "model": "base",
            "questions": "questions",
            "asked": 200,
            "prompt": "Answer in a box.",
            "reward": "boxed_numeric",
            "max_new_tokens": 24,
            "temperature": 0.0,
            "gate": "",
        }
        assert changes.keys() <= defaults.keys()
        self.write(f"suites/recipes/{name}.toml", RECIPE.format(**defaults | changes))

    def pytest(self, *arguments: str, folder: str = ".", verbose: bool = True, **environment: str) -> Session:
        told = ["-v"] if verbose else []
        return Session(self._run([*PYTEST, *told, "--junitxml=junit.xml", *arguments], folder, environment))

    def cli(self, *arguments: str) -> pytest.RunResult:
        return self._run(["made_up", *arguments], ".", {})

    def git(self, *arguments: str) -> str:
        command = ["git", "-c", "commit.gpgsign=false", *arguments]
        done = subprocess.run(command, cwd=self.path, env={**os.environ, **GIT}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def commit(self) -> None:
        """Everything but what sessions write."""
        if not (self.path / ".git").exists():
            self.write(".gitignore", "rl-*\n*.txt\n*.xml\n__pycache__\npolicies.json\n")
            self.git("init", "-q")
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "made up")

    def lines(self, name: str) -> list[str]:
        """``answers.txt`` or ``trainings.txt``: what was done by all sessions so far."""
        file = self.path / name
        return file.read_text().splitlines() if file.exists() else []

    def forget(self) -> None:
        for name in ("answers.txt", "trainings.txt"):
            (self.path / name).unlink(missing_ok=True)

    def run(self, name: str, runs_dir: str = "rl-runs") -> Path:
        """The one run directory of a name (``"small seed 1"``)."""
        return self.path / runs_dir / name.replace(" ", "-")

    def verdicts(self, name: str, runs_dir: str = "rl-runs") -> dict[str, dict[str, Any]]:
        """``verdicts.json`` by gate, whatever session came to it."""
        found = json.loads((self.run(name, runs_dir) / "verdicts.json").read_text())["verdicts"]
        assert all(verdict.pop("session") for verdict in found)
        return {verdict["gate"]: verdict for verdict in found}

    def baseline(self, name: str) -> Path:
        return self.path / "suites/baselines" / f"{name}.toml"

    def _run(self, module: list[str], folder: str, more: dict[str, str]) -> pytest.RunResult:
        self.write("policies.json", json.dumps(self.policies))
        return run(module, self.path / folder, {"PYTHONPATH": str(self.path), **more}, torch=False)


class Session:
    """What an inner pytest said."""

    def __init__(self, done: pytest.RunResult) -> None:
        self.ret, self.text, errors = int(done.ret), done.stdout.str() + "\n", done.stderr.str()
        assert "INTERNALERROR" not in self.text + errors, self.text + errors
        assert "Traceback" not in self.text, self.text

    @property
    def section(self) -> str:
        """The terminal's section of verdicts."""
        return self.text.partition("= rl-harness =")[2]

    def words(self, name: str, seed: int | None = None) -> dict[str, tuple[str, str]]:
        """Word and sentence by gate, as the terminal has them with ``-v``; ``seed`` where a recipe has several."""
        called = name if seed is None else f"{name} seed {seed}"
        line = rf"^[✓✗!] {re.escape(called)} .*\n((?:  .*\n)*)"
        block = re.search(line, self.section, re.MULTILINE)
        assert block, self.text
        found = re.findall(r"^  ([A-Z_]+) +([\w ()/.:]+?): (.*)$", block[1], re.MULTILINE)
        return {gate: (word, sentence) for word, gate, sentence in found}


@pytest.fixture
def made_up(tmp_path: Path) -> MadeUp:
    """A project without recipes yet."""
    return MadeUp(tmp_path)


@pytest.fixture(scope="module")
def shared_made_up(tmp_path_factory: pytest.TempPathFactory) -> MadeUp:
    """The same for the sessions of one module."""
    return MadeUp(tmp_path_factory.mktemp("made-up"))
