"""Mistakes that show only when a stage runs: one sentence each, and no traceback from inside the harness."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import harness.models.tiny

TINY = Path(harness.models.tiny.__file__).parent
ASKS = "def test_asks(before):\n    pass\n"
INSIDE = ("Traceback", "/harness/", "INTERNALERROR", "site-packages", "raise ")


def sentence_of(result: pytest.RunResult, test: str) -> list[str]:
    """What stands under a test's heading among failures and errors."""
    lines = result.outlines
    start = next(i for i, line in enumerate(lines) if line.startswith("_") and f" {test} " in line) + 1
    length = next(i for i, line in enumerate(lines[start:]) if line.startswith(("_____", "=====")))
    return lines[start : start + length]


def with_rows(path: Path, count: int, wrong: int, row: dict) -> str:
    good = {"question": "What is 1 + 2?", "answer": "3"}
    path.write_text("".join(json.dumps(row if n == wrong else {**good, "id": n}) + "\n" for n in range(1, count + 1)))
    return str(path)


def test_each_is_one_sentence(project):
    recipe = project.small
    (project.path / "suites/recipes/small.toml").unlink()
    plain = project.path / "no-template"
    shutil.copytree(TINY, plain, ignore=shutil.ignore_patterns("*.py", "chat_template*", "__pycache__"))
    settings = json.loads((plain / "tokenizer_config.json").read_text())
    settings.pop("chat_template", None)
    (plain / "tokenizer_config.json").write_text(json.dumps(settings))
    rows = with_rows(project.path / "rows.jsonl", 40, 7, {"question": "What is 1 + 2?"})

    changes = {
        "no-template": ('name = "tiny"', f'name = "{plain}"'),
        "bad-row": ('name = "arithmetic"', f'name = "{rows}"'),
    }
    for name, (old, new) in changes.items():
        project.write(**{f"suites/recipes/{name}.toml": recipe.replace(old, new, 1)})
    project.write(test_asks=ASKS)
    result = project.pytest()
    assert result.ret == 1
    said = {
        "no-template": ["chat template"],
        "bad-row": ["rows.jsonl:7: ", "no field 'answer'", "[task] fields"],
    }
    for name, parts in said.items():
        lines = sentence_of(result, f"ERROR at setup of test_asks[{name}-seed0]")
        assert len(lines) == 1, lines
        assert all(part in lines[0] for part in parts), lines
    for trace in INSIDE:
        assert trace not in result.stdout.str()


CALLS = """
import pytest

@pytest.fixture(scope="module")
def engine(rl_run):
    return rl_run.engine()

def test_first(engine):
    pass

def test_second(engine):
    pass

def test_calls(rl_run):
    rl_run.before()

def test_verdict(rl_run):
    rl_run.verdict("improvment")
"""


def test_a_users_own_calls_say_it_in_one_sentence_too(project):
    recipe = project.small.replace('name = "tiny"', 'name = "./no-such-model"')
    project.write(**{"suites/recipes/small.toml": recipe, "test_calls": CALLS})
    result = project.pytest()
    result.assert_outcomes(failed=2, errors=2)
    for heading in ("ERROR at setup of test_first", "ERROR at setup of test_second", "test_calls"):
        (line,) = sentence_of(result, f"{heading}[small-seed0]")
        assert line.startswith("./no-such-model: ")
    (line,) = sentence_of(result, "test_verdict[small-seed0]")
    assert "there is no gate named 'improvment'; did you mean 'improvement'?" in line
    for trace in INSIDE:
        assert trace not in result.stdout.str()


def test_other_tests_keep_their_tracebacks(project):
    """An error of the harness may be what a test of something else is about."""
    project.write(test_plain="import harness\n\ndef test_plain():\n    harness.load_recipe('nowhere.toml')\n")
    result = project.pytest()
    result.assert_outcomes(failed=1)
    assert "> " in result.stdout.str()
    assert "harness.load_recipe('nowhere.toml')" in result.stdout.str()


def test_methods_are_not_compared_with_a_reward_that_is_not_there(project):
    recipe = f'{project.small}\n[rewards]\n"no_such_module:reward" = 1.0\n'
    other = recipe.replace('method = "grpo"', 'method = "sft"').replace("num_generations = 4\n", "")
    other = other.replace("max_completion_length = 24\n", "")
    project.write(**{"suites/recipes/small.toml": recipe, "suites/recipes/other.toml": f"{other}\n[data]\n"})
    project.write(test_methods="def test_methods(methods):\n    pass\n")
    result = project.pytest()
    assert result.ret != 0
    text = result.stdout.str() + result.stderr.str()
    assert text.count("there is no module") == 1, text
    for trace in INSIDE:
        assert trace not in text


def test_what_this_machine_cannot_run_is_not_looked_into(project):
    recipe = f'requires = ["gpu"]\n{project.small}\n[rewards]\n"no_such_module:reward" = 1.0\n'
    project.write(**{"suites/recipes/small.toml": recipe, "test_asks": ASKS})
    project.pytest("--rl-device=cpu").assert_outcomes(skipped=1)


def test_gsm8k_without_a_parsable_answer(project):
    recipe = project.small
    project.write(**{"suites/recipes/small.toml": recipe.replace('"arithmetic"', '"gsm8k"'), "test_asks.py": ASKS})
    good = "1 + 2 = <<1+2=3>>3\n#### 3"
    for split, answer in (("train", good), ("test", "It is three.")):
        rows = [{"question": "What is 1 + 2?", "answer": answer if n == 2 else good} for n in range(40)]
        project.write(**{f"data/{split}.jsonl": "".join(json.dumps(row) + "\n" for row in rows)})
    result = project.pytest("--rl-data=data")
    assert result.ret == 1
    (line,) = sentence_of(result, "ERROR at setup of test_asks[small-seed0]")
    assert "data/test.jsonl:3: " in line
    assert 'no final answer behind "####"' in line
    for trace in INSIDE:
        assert trace not in result.stdout.str()


@pytest.mark.parametrize(
    ("task", "data", "said"),
    [
        ("gsm8k", "nowhere", "nowhere: no such file or folder; give a folder with train.jsonl and test.jsonl"),
        ("arithmetic", "data", "data: recipe small makes its own questions and would not read it"),
    ],
)
@pytest.mark.parametrize("plan", [False, True])
def test_data_that_would_not_be_read(project, task, data, said, plan):
    recipe = project.small.replace('"arithmetic"', f'"{task}"')
    project.write(**{"suites/recipes/small.toml": recipe, "test_asks.py": ASKS, "data/train.jsonl": ""})
    result = project.pytest("--rl-recipe=small", f"--rl-data={data}", *(["--rl-plan"] if plan else []))
    # A plan of what is sound still follows.
    assert result.ret == (pytest.ExitCode.TESTS_FAILED if plan else pytest.ExitCode.INTERRUPTED)
    text = result.stdout.str()
    assert "--rl-data " in text
    assert text.count(said) == 1
    assert not list(project.path.glob("rl-runs/*"))
    for trace in INSIDE:
        assert trace not in text


def test_data_beside_recipes_that_read_it_leaves_the_others_out(project):
    reads = project.small.replace('"arithmetic"', '"gsm8k"').replace('"tiny"', '"no/such-model"')
    project.write(**{"suites/recipes/reads.toml": reads, "data/train.jsonl": "", "data/test.jsonl": ""})
    project.write(test_asks=ASKS)
    result = project.pytest("--rl-recipe=small", "--rl-recipe=reads", "--rl-data=data", "-rs")
    result.assert_outcomes(skipped=1, errors=1)
    assert "recipe small makes its own questions; --rl-data is not for it" in result.stdout.str()


CRASHING = """
import os, pathlib

def reward(prompts, completions, **columns):
    with (pathlib.Path(__file__).parent / "trainers.txt").open("a") as file:
        file.write(f"{os.getpid()}\\n")
    print("last words of the reward", flush=True)
    os.abort()
"""
TRAINS = """
def test_training(verdicts):
    verdicts.require("training")

def test_again(verdicts):
    verdicts.require("training")

def test_completions(trained):
    pass

def test_bystander():
    pass
"""


def test_a_crashing_job_fails_its_tests_and_is_tried_once(project):
    """Two workers ask for the same training; it crashes once, both say so, and pytest goes on to its end."""
    recipe = project.small
    rewards = '\n[rewards]\n"crashing:reward" = 1.0\n[health]\nsignal = false\n'
    project.write(**{"suites/recipes/small.toml": recipe + rewards, "crashing.py": CRASHING, "test_crash.py": TRAINS})
    result = project.pytest("-n2", "--junitxml=junit.xml")
    assert result.ret == 1
    result.assert_outcomes(failed=2, errors=1, passed=1)
    assert len(set((project.path / "trainers.txt").read_text().split())) == 1
    text = result.stdout.str()
    assert "the training job was killed by SIGABRT" in text
    assert "last words of the reward" in text
    assert "small, seed 0: not evaluated" in text
    assert (
        "  the training job was killed by SIGABRT after step 0; run again to go on from its last checkpoint.\n" in text
    )
    assert "report: rl-report/index.html" in text
    for trace in ("INTERNALERROR", "/harness/plugin/", "/harness/pipeline"):
        assert trace not in text


LONG = """
import pytest
from harness.store.errors import TrainingError
from harness.plugin.session import session_of

@pytest.mark.parametrize("number", (1, 2))
def test_long(number, pytestconfig):
    with session_of(pytestconfig).plainly():
        raise TrainingError("the job crashed. Last lines:", "    one", "    two")
"""


def test_a_long_message_is_shown_once(project):
    project.write(test_long=LONG)
    result = project.pytest()
    result.assert_outcomes(failed=2)
    assert sentence_of(result, "test_long[1]") == ["the job crashed. Last lines:", "    one", "    two"]
    assert sentence_of(result, "test_long[2]") == ["the job crashed. Last lines: (shown above)"]
