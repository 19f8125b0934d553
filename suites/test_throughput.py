"""How fast a recipe's work is on this machine, kept and compared by pytest-benchmark; see docs/performance.md.

pytest suites/test_throughput.py --benchmark-autosave
pytest suites/test_throughput.py --benchmark-compare --benchmark-compare-fail=median:25%

Left out of ``pytest suites/``. Every round does the whole of its work: nothing kept is used.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

pytestmark = [pytest.mark.rl_recipe("tiny-arithmetic"), pytest.mark.benchmark]

CHANGES = ("model", "endpoint", "data", "limit", "device", "nproc", "set")  # options that may change what is timed
STEPS = 2  # of a round of training; in GRPO, batches of completions that it learns from


@pytest.fixture
def clock(benchmark, rl_run, device, tell, pytestconfig):
    """``clock(work, counts)`` times ``work()``; ``counts`` of its result, ``{unit: number}``, become rates.

    What makes it another measurement is part of its name, so that pytest-benchmark never compares the two.
    """
    from harness.plugin.options import get_option

    changed = [f"--rl-{name}={value}" for name in CHANGES if (value := get_option(pytestconfig, name)) is not None]
    for each in ("name", "fullname"):
        setattr(benchmark, each, " ".join([getattr(benchmark, each), *changed]))
    benchmark.params = {"recipe": rl_run.recipe.name, "seed": rl_run.seed, "device": device}

    def timed(work, counts, setup=None):
        rounds = pytestconfig.getoption("benchmark_min_rounds")
        result = benchmark.pedantic(work, setup=setup, rounds=rounds, warmup_rounds=int(setup is None))
        if benchmark.stats is None:  # --benchmark-disable
            return result
        for unit, number in counts(result).items():
            rate = number / benchmark.stats.stats.median
            benchmark.extra_info |= {unit: number, f"{unit} per second": rate}
            tell("throughput (medians)", f"{benchmark.group:<11} {rate:>12,.1f} {unit}/s   {rl_run.id} on {device}")
        return result

    return timed


@pytest.fixture(scope="module")
def engine(rl_run, device):
    """What answers with the base policy, as the recipe says. Its memory is freed when this module ends."""
    return rl_run.engine()


@pytest.fixture(scope="module")
def answers(engine, questions, recipe):
    """The base policy's answers to the test questions."""
    return answered(engine, questions.test, recipe.evaluate)


@pytest.fixture(scope="module")
def small_run(rl_run, device, tmp_path_factory):
    """A finished run of this recipe with a training of few steps, in a folder of its own."""
    from harness.pipeline.run import Run
    from harness.recipe.trl_arguments import argument_defaults, steps_per_batch

    train, batch = rl_run.recipe.train, 1
    if train.method == "grpo":
        batch = steps_per_batch({**argument_defaults(train.method), **train.arguments})
    recipe = rl_run.recipe.override({"train.max_steps": STEPS * batch, "health.signal": False})
    settings = replace(rl_run.settings, runs_dir=tmp_path_factory.mktemp("runs"), baselines_dir=None)
    run = Run(recipe, rl_run.seed, settings)
    run.verdicts()
    run.release()
    return run


def answered(engine, questions, decoding):
    return [answer for batch in engine.answer(questions, decoding) for answer in batch]


@pytest.mark.benchmark(group="generation")
def test_generation(clock, engine, questions, recipe):
    """Answers to the test questions, decoded as the recipe says."""
    answers = clock(
        lambda: answered(engine, questions.test, recipe.evaluate),
        lambda found: {"tokens": sum(each.completion_tokens for each in found), "answers": len(found)},
    )
    assert {each.question_id for each in answers} == {each.id for each in questions.test}


@pytest.mark.benchmark(group="evaluation")
def test_evaluation(clock, engine, questions, recipe, tmp_path):
    """The same from question to summary: asked, graded, recorded."""
    from harness.pipeline.evaluate import Keys, evaluate

    stages = (tmp_path / str(number) for number in itertools.count())

    def ask():
        stage = next(stages)
        return evaluate(
            stage,
            questions.test,
            recipe.rewards,
            recipe.evaluate,
            Keys("benchmark", "benchmark"),
            open_engine=lambda: engine,
        )

    evaluation = clock(ask, lambda found: {"questions": found.summary.questions})
    assert len(evaluation.records) == len(questions.test) * recipe.evaluate.samples_per_question


@pytest.mark.benchmark(group="grading")
def test_grading(clock, answers, questions, recipe):
    """Completions graded by the recipe's rewards and by both graders of every evaluation."""
    from harness.rewards.grading import grade

    by_id = {question.id: question for question in questions.test}
    records = clock(lambda: grade(answers, by_id, recipe.rewards), lambda found: {"completions": len(found)})
    assert all(record.status != "unscored" for record in records)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of what the recipe asks the trainer for
@pytest.mark.benchmark(group="training")
def test_training_step(clock, small_run, tmp_path):
    """Steps of the recipe's training job, in this process; loading the model and building the trainer are not timed."""
    from harness.recipe.launching import require_this_process
    from harness.training.job import Job
    from harness.training.trainers import build

    require_this_process(small_run.recipe.launch, small_run.device)
    kept = Job.read(small_run.directory / "train")
    job = replace(kept, held_out=None, arguments={**kept.arguments, "save_strategy": "no"})
    folders = (tmp_path / str(number) for number in itertools.count())

    def build_trainer():
        policy = job.load()
        folder = next(folders)
        folder.mkdir()
        return (build(job, policy, folder),), {}

    def train(trainer):
        trainer.train()
        return trainer.state

    state = clock(train, lambda found: {"steps": found.global_step}, setup=build_trainer)
    assert state.global_step == state.max_steps > 0


@pytest.mark.benchmark(group="report")
def test_report(clock, small_run, tmp_path):
    """A session's pages drawn from a run directory; into a new folder, since unchanged pages are left as they are."""
    from harness.report.render import render_session

    folders = (tmp_path / str(number) for number in itertools.count())
    records = sum(
        len((small_run.directory / stage).read_text(encoding="utf-8").splitlines()) for stage in stages_of(small_run)
    )
    page = clock(lambda: render_session([small_run.directory], next(folders)), lambda _: {"records": records})
    assert small_run.id in page.read_text(encoding="utf-8")


def stages_of(run):
    return [f"{stage}/records.jsonl" for stage in ("before", "after")]


@pytest.mark.benchmark(group="collection")
def test_collection(clock, pytestconfig):
    """A process that collects these suites, from its start to its end."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", str(Path(__file__).parent)]

    def collect():
        return subprocess.run(command, cwd=pytestconfig.rootpath, capture_output=True, encoding="utf-8", check=True)

    done = clock(collect, lambda found: {"tests": sum("::" in line for line in found.stdout.splitlines())})
    assert "::test_" in done.stdout
