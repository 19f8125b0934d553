"""``--rl-plan`` says what would run and what it would cost, and runs nothing."""

from __future__ import annotations

import re

import pytest

from harness.pipeline.plan import plan_lines, requires_gpu
from harness.recipe.catalog import find_recipe
from harness.recipe.trl_arguments import argument_defaults, completions_per_step, optimizer_steps


def training_steps(recipe):
    arguments = {**argument_defaults("grpo"), **recipe.train.arguments}
    return optimizer_steps(arguments, recipe.task.train_questions), completions_per_step(arguments)


# keys beside 320 questions, batch 64, 8 generations: optimizer steps, completions a step
STEPS = [
    ({"max_steps": 7}, (7, 64)),
    ({}, (120, 64)),  # TRL's default of 3 epochs; an epoch is 320 / (64 / 8) = 40 batches
    ({"num_train_epochs": 1}, (40, 64)),
    ({"num_train_epochs": 1, "num_iterations": 2}, (80, 64)),
    ({"num_train_epochs": 1, "gradient_accumulation_steps": 2}, (20, 128)),
    ({"num_train_epochs": 1, "steps_per_generation": 4}, (40, 64)),
]


@pytest.mark.parametrize(("keys", "steps"), STEPS)
def test_training_steps_by_trls_keys(keys, steps):
    train = {"method": "grpo", "per_device_train_batch_size": 64, "num_generations": 8, **keys}
    recipe = find_recipe("tiny-arithmetic").override({"train": train, "task.train_questions": 320})
    assert training_steps(recipe) == steps


def test_the_classic_recipe_is_50_steps_of_8():
    """Batch 1 x accumulation 8 with 4 generations: 2 of the 100 questions a step."""
    recipe = find_recipe("gsm8k-qwen2.5-0.5b")
    assert training_steps(recipe) == (50, 8)
    assert "50 optimizer steps of 8 completions (400 to sample) over 100 questions" in "\n".join(plan_lines(recipe))


# a recipe, its changes, and all of it together: 2 x 400 answers of 48 tokens and what is sampled for the training
ALL = [
    ("tiny-arithmetic", {}, "3,360 answers, at most 161,280 tokens, 40 optimizer steps"),
    ("tiny-arithmetic", {"train.num_iterations": 2}, "3,360 answers, at most 161,280 tokens, 80 optimizer steps"),
    ("tiny-arithmetic", {"task.learnable": 64}, "at most 3,872 answers, at most 185,856 tokens, 8 optimizer steps"),
    ("tiny-arithmetic-sft", {}, "3,360 answers, at most 161,280 tokens, at most 80 optimizer steps"),
    (
        "tiny-arithmetic-dpo",
        {"data.max_new_tokens": 8},
        "3,360 answers, at most 58,880 tokens, at most 40 optimizer steps",
    ),
    (
        "tiny-arithmetic-sft",
        {"data.source": "solutions"},
        "800 answers, at most 38,400 tokens, at most 20 optimizer steps",
    ),
    ("tiny-arithmetic-sft", {"data.source": "some.jsonl"}, "800 answers, at most 38,400 tokens"),
]


@pytest.mark.parametrize(("name", "changes", "said"), ALL)
def test_all_that_is_sampled_and_learnt(name, changes, said):
    assert f"in all: {said}" in plan_lines(find_recipe(name).override(changes))


def test_without_a_gpu_vllm_has_to_be_left_out_too():
    recipe = find_recipe("gsm8k-qwen2.5-0.5b")
    runs = "runs it all the same: 800 answers, at most 409,600 tokens, 50 optimizer steps"
    said = "recipe gsm8k-qwen2.5-0.5b requires a GPU here; --device cpu"
    assert requires_gpu(recipe, "here", options="--") == f"{said} {runs}"
    changed = recipe.override({"train.use_vllm": True})
    assert requires_gpu(changed, "here", options="--") == f"{said} --set train.use_vllm=false {runs}"


def test_nothing_is_run(project):
    recipe = project.small
    project.write(
        **{
            "suites/recipes/big.toml": f'requires = ["gpu"]\nseeds = [0, 1]\n{recipe}',
            "test_flow.py": "def test_flow(before, trained, after):\n    pass\n",
            "test_plain.py": "def test_plain():\n    raise SystemExit('it ran')\n",
        }
    )
    options = ["--rl-plan", "-n2", "--rl-set=evaluate.max_new_tokens=9", "-p", "pytest_benchmark.plugin"]
    result = project.pytest(*options, CUDA_VISIBLE_DEVICES="")
    assert result.ret == 0, result.stdout.str()
    result.stdout.fnmatch_lines(
        [
            "*rl-harness plan*",
            "big max_new_tokens=9 seed 0: A recipe of four steps.",
            "  not run: recipe big requires a GPU and none is visible",
            "big max_new_tokens=9 seed 1: A recipe of four steps.",
            "small max_new_tokens=9: A recipe of four steps.",
            "  model: tiny; task: arithmetic",
            "  before and after: 8 answers each, at most 9 tokens an answer",
            "  train: grpo, 4 optimizer steps of 16 completions (64 to sample) over 24 questions",
            "nothing was run",
        ]
    )
    assert not {"torch", "transformers", "trl"} & set(project.imported("finished"))
    left = {path.name for path in project.path.iterdir()} - {"__pycache__"}
    assert not {"rl-runs", "rl-report", ".benchmarks"} & left
    assert "workers" not in result.stdout.str(), "a plan starts none"


def test_a_wrong_recipe_spoils_the_plan(project):
    project.write(**{"suites/recipes/bad.toml": "[model]\n", "test_x": "def test_x(before):\n    pass\n"})
    project.write(**{"pytest.ini": "[pytest]\nrl_plan = true\n"})
    result = project.pytest()
    assert result.ret == 1
    assert "bad.toml:1: [model] name: missing" in result.stdout.str()


def test_fewer_questions_than_are_asked_spoil_the_plan(project):
    """Those that lie here are read; those of the Hub are not."""
    recipe = project.small.replace('"arithmetic"', '"questions.jsonl"')
    rows = "".join(f'{{"question": "{n}?", "answer": "{n}"}}\n' for n in range(32))
    project.write(**{"suites/recipes/few.toml": recipe, "test_x": "def test_x(before):\n    pass\n"})
    project.write(**{"suites/recipes/questions.jsonl": rows})
    assert project.pytest("--rl-plan").ret == 0
    project.write(**{"suites/recipes/questions.jsonl": rows.partition("\n")[2]})
    result = project.pytest("--rl-plan")
    assert result.ret == 1
    assert re.search(r"few: .*\n  task .* has 23 train questions left, the recipe asks for 24", result.stdout.str())
    assert "small" in result.stdout.str()
    assert not {"torch", "transformers", "trl"} & set(project.imported("finished"))


def test_the_plan_counts_what_is_of_no_use(project):
    """70 lines of which 16 repeat a test question."""
    recipe = project.small.replace('"arithmetic"', '"data"')
    asked, others = [f"{n}?" for n in range(8)], [f"{n}!" for n in range(46)]
    for name, texts in (("test", asked), ("train", [*asked, *asked, *others])):
        rows = "".join(f'{{"question": "{text}", "answer": "1"}}\n' for text in texts)
        project.write(**{f"suites/recipes/data/{name}.jsonl": rows})
    project.write(**{"suites/recipes/small.toml": recipe, "test_x": "def test_x(before):\n    pass\n"})
    result = project.pytest("--rl-plan")
    assert result.ret == 0
    says = (
        "questions: 70 there, 8 asked, 24 trained on; 16 more have the text of a test question and are not trained on"
    )
    assert says in result.stdout.str()


def test_gates_that_nobody_asks_for_share_no_alpha(project):
    """What the plan says of a gate is what the session will do."""
    gated = project.small + "\n[gate]\nmin_improvement = 0.1\n"
    other = gated.replace("A recipe of four steps.", "Another.")
    project.write(**{"suites/recipes/small.toml": gated.replace("test_questions = 8", "test_questions = 90")})
    project.write(test_verdict="def test_verdict(verdicts):\n    pass\n")

    def planned():
        lines = project.pytest("--rl-plan").outlines
        return lines[lines.index("small: A recipe of four steps.") :]

    alone = next(line for line in planned() if "improvement gate" in line)
    project.write(**{"suites/recipes/zother.toml": other.replace("test_questions = 8", "test_questions = 90")})
    shared = next(line for line in planned() if "improvement gate" in line)
    assert shared != alone, "two gates share alpha"
    project.write(
        test_verdict='import pytest\n\n@pytest.mark.rl_recipe("small")\ndef test_verdict(verdicts):\n    pass\n'
    )
    project.write(test_asks="def test_asks(before):\n    pass\n")
    assert next(line for line in planned() if "improvement gate" in line) == alone
