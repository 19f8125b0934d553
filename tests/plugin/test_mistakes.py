"""Mistakes that show when tests are collected or a stage runs: one sentence each, and no traceback from inside the
harness."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import harness.models.tiny
from tests.inner_pytest import HEAVY

TINY = Path(harness.models.tiny.__file__).parent
ASKS = "def test_asks(before):\n    pass\n"
INSIDE = ("Traceback", "/harness/", "INTERNALERROR", "site-packages", "raise ")


def plain(result: pytest.RunResult) -> str:
    """All that it said, without a word from inside."""
    text = result.stdout.str() + result.stderr.str()
    for trace in INSIDE:
        assert trace not in text
    return text


def sentence_of(result: pytest.RunResult, test: str) -> list[str]:
    """What stands under a test's heading among failures and errors."""
    lines = result.outlines
    start = next(i for i, line in enumerate(lines) if line.startswith("_") and f" {test} " in line) + 1
    length = next(i for i, line in enumerate(lines[start:]) if line.startswith(("_____", "=====")))
    return lines[start : start + length]


NOWHERE = "small.toml:4: [model] name: ./nowhere: no such file or folder"


@pytest.mark.parametrize("options", [(), ("--rl-plan",), ("-n2",)])
def test_what_is_not_there_is_told_once_before_anything_is_made(project, options):
    """Whatever asks for it; tests/recipe/test_needs.py has what is looked for."""
    recipe = project.small.replace('name = "tiny"', 'name = "./nowhere"')
    project.write(**{"suites/recipes/small.toml": recipe, "test_a": ASKS, "test_b": ASKS.replace("before", "trained")})
    result = project.pytest(*options, torch=None if not options else False)
    assert result.ret != 0
    plain(result)
    (said,) = [line for line in result.outlines if "nowhere" in line and not line.startswith("ERROR ")]
    assert NOWHERE in said
    assert not list((project.path / "rl-runs").glob("small*"))
    if not options:
        assert not HEAVY & set(project.imported("finished"))


def test_a_test_needs_what_its_fixtures_take_alone(project):
    recipe = project.small.replace('name = "tiny"', 'name = "./nowhere"')
    project.write(**{"suites/recipes/small.toml": recipe.replace("logging_steps = 1", 'report_to = "no-tracker"')})
    project.write(test_it="def test_it(recipe, audit, questions):\n    assert audit.rewards\n", test_asks=ASKS)
    project.write(test_trains=ASKS.replace("before", "trained"))
    project.pytest("test_it.py").assert_outcomes(passed=1)
    options = ("--collect-only", "--rl-model=tiny")
    assert project.pytest("test_asks.py", *options).ret == 0
    said = plain(project.pytest("test_trains.py", *options))
    assert said.count("small.toml:17: [train] report_to: no such tracker 'no-tracker'") == 1
    recipe = f'requires = ["gpu"]\n{recipe}'
    project.write(**{"suites/recipes/small.toml": recipe})
    project.pytest("test_asks.py", "--rl-device=cpu").assert_outcomes(deselected=1)  # it is not looked into


def test_methods_are_not_compared_with_a_reward_that_is_not_there(project):
    recipe = f'{project.small}\n[rewards]\n"no_such_module:reward" = 1.0\n'
    other = recipe.replace('method = "grpo"', 'method = "sft"').replace("num_generations = 4\n", "")
    other = other.replace("max_completion_length = 24\n", "")
    project.write(**{"suites/recipes/small.toml": recipe, "suites/recipes/other.toml": f"{other}\n[data]\n"})
    project.write(test_methods="def test_methods(methods):\n    pass\n")
    result = project.pytest()
    assert result.ret != 0
    assert plain(result).count("there is no module") == 1


CALLS = """
import pytest

@pytest.fixture(scope="module")
def engine(rl_run):
    return rl_run.engine()

@pytest.mark.rl_recipe("nowhere")
def test_first(engine):
    pass

@pytest.mark.rl_recipe("nowhere")
def test_second(engine):
    pass

@pytest.mark.rl_recipe("nowhere")
def test_calls(rl_run):
    rl_run.before()

@pytest.mark.rl_recipe("nowhere")
def test_verdict(rl_run):
    rl_run.verdict("improvment")

@pytest.mark.parametrize("number", (1, 2))
def test_long(number, pytestconfig):
    from harness.store.errors import TrainingError
    from harness.plugin.session import session_of

    with session_of(pytestconfig).plainly():
        raise TrainingError("the job crashed. Last lines:", "    one", "    two")

def test_plain():
    import harness

    harness.run("nowhere.toml")

@pytest.mark.rl_recipe("no-template")
def test_asks(before):
    pass
"""


def test_each_is_one_sentence(project):
    """Of a recipe's model and questions, and of a user's own calls; other tests keep their tracebacks."""
    recipe, folder = project.small, project.path / "no-template"
    shutil.copytree(TINY, folder, ignore=shutil.ignore_patterns("*.py", "chat_template*", "__pycache__"))
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings.pop("chat_template", None)
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    for name, old, new in (
        ("nowhere", 'name = "tiny"', 'name = "./no-such-model"'),
        ("no-template", 'name = "tiny"', f'name = "{folder}"'),
    ):
        project.write(**{f"suites/recipes/{name}.toml": recipe.replace(old, new, 1)})
    project.write(test_calls=CALLS)
    result = project.pytest(torch=True)
    result.assert_outcomes(failed=5, errors=3)
    setup = "ERROR at setup of test_"
    for heading, *parts in (
        (f"{setup}first[nowhere-seed0]", "./no-such-model: "),
        (f"{setup}second[nowhere-seed0]", "./no-such-model: "),
        ("test_calls[nowhere-seed0]", "./no-such-model: "),
        ("test_verdict[nowhere-seed0]", "no gate named 'improvment'; did you mean 'improvement'?"),
        (f"{setup}asks[no-template-seed0]", "chat template"),
        ("test_long[2]", "the job crashed. Last lines: (shown above)"),
    ):
        (line,) = sentence_of(result, heading)
        assert all(part in line for part in parts), line
    assert sentence_of(result, "test_long[1]") == ["the job crashed. Last lines:", "    one", "    two"]
    text = result.stdout.str()
    assert "    harness.run(" in text
    assert text.count("Traceback") == 0
    assert text.count("harness/recipe/") == text[text.index(" test_plain ") :].count("harness/recipe/") > 0


GOOD = '{"question": "What is 1 + 2?", "answer": "3"}\n'


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([GOOD] * 6 + ['{"question": "?"}\n'] + [GOOD] * 40, "rows.jsonl:7: no field 'answer' (fields here: question)"),
        ([GOOD.replace("2", str(n)) for n in range(9)] + [GOOD] * 40, "small.toml:8: [task] train_questions: task '"),
    ],
)
def test_questions_are_read_when_tests_are_collected(project, rows, said):
    """Once for all tests, by a recipe that will ask them."""
    project.write(**{"suites/recipes/rows.jsonl": "".join(rows)})
    recipe = project.small.replace('"arithmetic"', '"rows.jsonl"')
    project.write(**{"suites/recipes/small.toml": recipe, "test_a": ASKS, "test_b": ASKS.replace("before", "trained")})
    result = project.pytest("--collect-only", torch=None)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert plain(result).count(said) == 1, result.stdout.str()
    assert not HEAVY & set(project.imported("finished"))
    project.write(**{"suites/recipes/small.toml": f'requires = ["request"]\n{recipe}'})
    result = project.pytest("--collect-only")
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    assert said not in plain(result)


@pytest.mark.parametrize(
    ("task", "data", "said"),
    [
        ("gsm8k", "nowhere", "nowhere: no such file or folder; give a folder with train.jsonl and test.jsonl"),
        ("arithmetic", "data", "data: recipe small makes its own questions and would not read it"),
    ],
)
def test_data_that_would_not_be_read(project, task, data, said):
    recipe = project.small.replace('"arithmetic"', f'"{task}"')
    project.write(**{"suites/recipes/small.toml": recipe, "test_asks.py": ASKS, "data/train.jsonl": ""})
    for plan, code in (([], pytest.ExitCode.INTERRUPTED), (["--rl-plan"], pytest.ExitCode.TESTS_FAILED)):
        result = project.pytest("--rl-recipe=small", f"--rl-data={data}", *plan)
        assert result.ret == code  # a plan of what is sound still follows
        assert plain(result).count(f"--rl-data {project.path}/{said}") == 1
    assert not list(project.path.glob("rl-runs/*"))


def test_data_beside_recipes_that_read_it_leaves_the_others_out(project):
    reads = project.small.replace('"arithmetic"', '"gsm8k"').replace('"tiny"', '"no/such-model"')
    rows = "".join(f'{{"question": "{n}?", "answer": "#### {n}"}}\n' for n in range(24))
    project.write(**{"suites/recipes/reads.toml": reads, "data/train.jsonl": rows.replace("?", "!")})
    project.write(**{"data/test.jsonl": rows})
    project.write(test_asks=ASKS)
    result = project.pytest("--rl-recipe=small", "--rl-recipe=reads", "--rl-data=data")
    result.assert_outcomes(deselected=1, errors=1)
    assert "recipe small makes its own questions; --rl-data is not for it" in result.stdout.str()
