"""Recipes that are wrong: one a row, and the sentence that it gets."""

# ruff: noqa: E501 (one recipe a row)

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.recipe import Recipe, load_recipe
from harness.recipe.catalog import find_recipe
from harness.recipe.needs import check_needs
from harness.store.errors import RecipeError

RIGHT = """description = "right"
seeds = [0]

[model]
name = "tiny"

[task]
name = "arithmetic"
train_questions = 20
test_questions = 10

[rewards]
boxed_numeric = 1.0

[train]
method = "grpo"
num_generations = 4
per_device_train_batch_size = 8

[evaluate]
temperature = 0.0

[gate]
alpha = 0.05
"""

SIZE = "per_device_train_batch_size = 8\n"
BATCH = f"num_generations = 4\n{SIZE}"

# What is replaced, what stands there instead, and the whole message after the file's name.
WRONG = [
    ("seeds = [0]", "seed = [0]", "2: seed: unknown key; did you mean 'seeds'?"),
    ("[gate]", "[gates]", "23: gates: unknown key; did you mean 'gate'?"),
    ("alpha =", "alpah =", "24: [gate] alpah: unknown key; did you mean 'alpha'?"),
    ("alpha =", "zzz =", "24: [gate] zzz: unknown key; valid: alpha, margin, min_accuracy, min_improvement, power, stop_early"),
    ("alpha = 0.05", "top_k = 1", "24: [gate] top_k: unknown key; it belongs under [data] or [evaluate]"),
    ("alpha = 0.05", "seeds = [1]", "24: [gate] seeds: unknown key; it belongs to the top of the recipe, before the first [table]"),
    ('name = "tiny"', 'nmae = "tiny"', "5: [model] nmae: unknown key; did you mean 'name'?"),
    ("seeds = [0]", 'name = "x"', "2: a recipe's name is its file; drop this key"),
    ("seeds = [0]", 'source = "x"', "2: a recipe's source is its file; drop this key"),
    ("test_questions = 10", 'test_questions = 10\n[task.fields]\nqestion = "q"', "12: [task.fields] qestion: unknown field; did you mean 'question'?"),
    ("test_questions = 10", "test_questions = 10\nfields = { answer = 3 }", "11: [task.fields] answer: must be text in quotes, not 3"),
    # one prompt in every stage
    (BATCH, f"{BATCH}chat_template_kwargs = {{ enable_thinking = false }}\n", "19: [train] chat_template_kwargs: belongs to [model], so that every stage asks the same prompt"),
    (BATCH, f"{BATCH}generation_kwargs = {{ chat_template_kwargs = {{ enable_thinking = false }} }}\n", "19: [train.generation_kwargs] chat_template_kwargs: belongs to [model], so that every stage asks the same prompt"),
    (BATCH, BATCH + """generation_kwargs = '{"chat_template_kwargs": {"enable_thinking": false}}'\n""", "19: [train] generation_kwargs: belongs to [model], so that every stage asks the same prompt"),
    ("[gate]", "[engine]\nchat_template_kwargs = {}\n[gate]", "24: [engine] chat_template_kwargs: belongs to [model], so that every stage asks the same prompt"),
    ("temperature = 0.0", "chat_template_kwargs = {}", "21: [evaluate] chat_template_kwargs: unknown key; it belongs under [model]"),
    ('name = "tiny"', 'name = "tiny"\nchat_template_kwargs = "no"', "6: [model] chat_template_kwargs: must be a table of keys, not 'no'"),
    ('name = "tiny"', 'name = "tiny"\nchat_template_kwargs = { since = 2026-01-01 }', "6: [model.chat_template_kwargs] since: must be text, a number, true or false, or lists and tables of them, not datetime.date(2026, 1, 1)"),
    ('name = "tiny"', 'name = "tiny"\nchat_template_kwargs = { effort = [nan] }', "6: [model.chat_template_kwargs] effort: must be a finite number, not nan"),
    ('name = "tiny"', 'name = "tiny"\n[model.chat_template_kwargs]\ntools = []', "7: [model.chat_template_kwargs] tools: not set here: no stage has any"),
    ('name = "tiny"', 'name = "tiny"\nchat_template_kwargs = { add_generation_prompt = false }', "6: [model.chat_template_kwargs] add_generation_prompt: not set here: a prompt always ends where the answer begins"),
    ('name = "tiny"', 'name = "tiny"\nchat_template_kwargs = { chat_template = "x" }', "6: [model.chat_template_kwargs] chat_template: not set here: put a chat_template.jinja into a local copy of the model, and name that under [model]"),
    # keys that would change nothing
    ("test_questions = 10", "test_questions = 10\nwhere = { level = 3 }", "11: [task] where: is of a table, and arithmetic does not read it; drop this key"),
    ("test_questions = 10", "test_questions = 10\nsplit = \"test\"", "11: [task] split: is of a table, and arithmetic does not read it; drop this key"),
    ("test_questions = 10", "test_questions = 10\nfields = { question = \"problem\" }", "11: [task] fields: is of a table, and arithmetic does not read it; drop this key"),
    ("test_questions = 10", "test_questions = 10\nrevision = \"v1\"", "11: [task] revision: is of a table, and arithmetic does not read it; drop this key"),
    ("test_questions = 10", "test_questions = 10\nsubset = \"main\"", "11: [task] subset: is of a table, and arithmetic does not read it; drop this key"),
    # missing
    ('[model]\nname = "tiny"\n', "", "1: model: missing; a recipe needs a [model] table"),
    ("test_questions = 10\n", "", "7: [task] test_questions: missing; this key is required"),
    # wrong types and values
    ("train_questions = 20", 'train_questions = "ten"', "9: [task] train_questions: must be a whole number, not 'ten'"),
    ("train_questions = 20", "train_questions = 20.0", "9: [task] train_questions: must be a whole number, not 20.0"),
    ("train_questions = 20", "train_questions = true", "9: [task] train_questions: must be a whole number, not true"),
    ("train_questions = 20", "train_questions = -1", "9: [task] train_questions: must be 0 or more, not -1"),
    ("test_questions = 10", "test_questions = 10\nfew_shot = -1", "11: [task] few_shot: must be 0 or more, not -1"),
    ("seeds = [0]", "seeds = 0", "2: seeds: must be a list in [brackets], not 0"),
    ("seeds = [0]", "seeds = []", "2: seeds: must not be empty, not []"),
    ("seeds = [0]", "seeds = [-1]", "2: seeds: must be 0 or more, not -1"),
    ("seeds = [0]", "seeds = [0, 1, 0]", "2: seeds: [0, 1, 0] names a seed twice; each seed is a run of its own"),
    ("seeds = [0]", 'requires = ["gpus"]', "2: requires: must be 'gpu' or 'request', not 'gpus'"),
    ('description = "right"', "description = 3", "1: description: must be text in quotes, not 3"),
    ('description = "right"\nseeds = [0]\n\n[model]\nname = "tiny"', 'model = "tiny"', "1: model: must be a table of keys, not 'tiny'"),
    ('name = "tiny"', 'name = "tiny"\ndtype = "fp16"', "6: [model] dtype: must be 'auto', 'float32', 'bfloat16' or 'float16', not 'fp16'"),
    ("temperature = 0.0", 'temperature = "hot"', "21: [evaluate] temperature: must be a number, not 'hot'"),
    ("temperature = 0.0", "temperature = inf", "21: [evaluate] temperature: must be a finite number, not inf"),
    ("temperature = 0.0", "top_p = 0", "21: [evaluate] top_p: must be more than 0, not 0"),
    ("alpha = 0.05", "alpha = 0.5", "24: [gate] alpha: must be less than 0.5, not 0.5"),
    ("alpha = 0.05", "min_accuracy = 30", "24: [gate] min_accuracy: must be 1 or less, not 30; shares are written as 0.3 for 30 %"),
    ("alpha = 0.05", "stop_early = 1", "24: [gate] stop_early: must be true or false, not 1"),
    # rewards
    ("boxed_numeric = 1.0", "boxed_numerc = 1.0", "13: [rewards] boxed_numerc: no such reward function; did you mean 'boxed_numeric'? (your own are written \"package.module:function\")"),
    ("boxed_numeric = 1.0", "zzz = 1.0", "13: [rewards] zzz: no such reward function; valid: answer_in_tags, boxed_exact, boxed_numeric, choice, exact, f1, format_boxed, format_tags, json_schema, length_penalty, math_equivalent, regex, repetition_penalty (your own are written \"package.module:function\")"),
    ("boxed_numeric = 1.0", "", "12: rewards: must not be empty, not {}"),
    ("boxed_numeric = 1.0", "boxed_numeric = nan", "13: [rewards] boxed_numeric: must be a finite number, not nan"),
    ("boxed_numeric = 1.0", "length_penalty = 0.2", "13: [rewards] length_penalty: needs max_tokens and soft_tokens, as in length_penalty = { weight = 1.0, max_tokens = ..., soft_tokens = ... }"),
    ("boxed_numeric = 1.0", "length_penalty = { max_tokens = 9 }", "13: [rewards] length_penalty: a reward with parameters needs its weight, as in { weight = 1.0, ... }"),
    ("boxed_numeric = 1.0", "length_penalty = { weight = 1, max_tokens = 9, soft = 3 }", "13: [rewards] length_penalty: unknown parameter 'soft'; length_penalty takes max_tokens, soft_tokens"),
    ("boxed_numeric = 1.0", "length_penalty = { weight = 1, max_tokens = 9, soft_tokens = 30 }", "13: [rewards] length_penalty: soft_tokens = 30 must not be more than max_tokens = 9"),
    ("boxed_numeric = 1.0", "boxed_numeric = { weight = 1, cap = 3 }", "13: [rewards] boxed_numeric: unknown parameter 'cap'; boxed_numeric takes none"),
    ("boxed_numeric = 1.0", "boxed_numeric = { weight = true }", "13: [rewards.boxed_numeric] weight: must be a number, not true"),
    ("boxed_numeric = 1.0", "boxed_numeric = 1.0\ntimeout_seconds = 0", "14: [rewards] timeout_seconds: must be more than 0 seconds, not 0"),
    ("boxed_numeric = 1.0", '"my.mod:f" = { weight = 1, ground_truth = "7" }', "13: [rewards.my.mod:f] ground_truth: every reward function is called with it; choose another name"),
    ("boxed_numeric = 1.0", '"my.mod:f" = "1"', "13: [rewards] my.mod:f: must be a number, not '1'"),
    # TRL's keys
    ('method = "grpo"', 'method = "gpro"', "16: [train] method: must be 'grpo', 'sft' or 'dpo', not 'gpro'"),
    ('method = "grpo"', "learning_rat = 1e-5", "16: [train] learning_rat: unknown key of TRL's grpo config; did you mean 'learning_rate'?"),
    ('method = "grpo"', "qqqqqq = 1e-5", "16: [train] qqqqqq: unknown key of TRL's grpo config; nothing valid has a similar name"),
    ('method = "grpo"', 'learning_rate = "5e-6"', "16: [train] learning_rate: must be a number without quotes, not '5e-6'"),
    ('method = "grpo"', 'log_completions = "yes"', "16: [train] log_completions: must be true or false without quotes, not 'yes'"),
    ('method = "grpo"', "arguments = { max_steps = 2 }", "16: [train] arguments: unknown key of TRL's grpo config; nothing valid has a similar name"),
    ('method = "grpo"', 'output_dir = "x"', "16: [train] output_dir: not set here: the run directory decides it (--rl-runs-dir)"),
    ('method = "grpo"', "seed = 3", "16: [train] seed: not set here: write seeds = [..] at the top of the recipe"),
    ('method = "grpo"', "reward_weights = [1.0]", "16: [train] reward_weights: not set here: write name = weight under [rewards]"),
    ('method = "grpo"', "learning_rate = -1.0", "16: [train] learning_rate: must be a number of 0 or more, not -1.0"),
    ('method = "grpo"', "learning_rate = nan", "16: [train] learning_rate: must be a finite number, not nan"),
    ('method = "grpo"', "learning_rate = true", "16: [train] learning_rate: must be a number of 0 or more, not True"),
    ('method = "grpo"', "beta = -0.1", "16: [train] beta: must be a number of 0 or more, not -0.1"),
    ('method = "grpo"', "top_p = 1.5", "16: [train] top_p: must be a share above 0 and up to 1, not 1.5"),
    # combinations
    ("num_generations = 4", "num_generations = 1", "17: [train] num_generations: GRPO compares answers in a group: give 2 or more, not 1"),
    ("num_generations = 4", "num_generations = 3", "17: [train] num_generations: a generation batch of 8 completions (per_device_train_batch_size 8 x 1 accumulated) cannot be split into groups of 3; make it a multiple, as with gradient_accumulation_steps = 3"),
    ("num_generations = 4", "num_generations = 3\nsteps_per_generation = 2", "17: [train] num_generations: a generation batch of 16 completions (per_device_train_batch_size 8 x 2 accumulated) cannot be split into groups of 3; make it a multiple, as with steps_per_generation = 3"),
    ("num_generations = 4", "num_generations = 3\ngeneration_batch_size = 16", "17: [train] num_generations: a generation batch of 16 completions (per_device_train_batch_size 8 x 2 accumulated) cannot be split into groups of 3; make it a multiple, as with generation_batch_size = 24"),
    ("num_generations = 4", "generation_batch_size = 20", "17: [train] generation_batch_size: 20 completions cannot be split into batches of 8 (per_device_train_batch_size); make it a multiple"),
    ("num_generations = 4", "generation_batch_size = 16\nsteps_per_generation = 2", "17: [train] generation_batch_size: steps_per_generation says the same; give one of the two"),
    ("per_device_train_batch_size = 8", "per_device_train_batch_size = 0", "18: [train] per_device_train_batch_size: must be a whole number of 1 or more, not 0"),
    ("per_device_train_batch_size = 8", "gradient_accumulation_steps = 2.0", "18: [train] gradient_accumulation_steps: must be a whole number of 1 or more, not 2.0"),
    ("per_device_train_batch_size = 8", "per_device_train_batch_size = 100", "9: [task] train_questions: 20 questions do not fill one generation batch of 25 (100 completions, 4 a question); ask for more questions or make the batch smaller"),
    ("temperature = 0.0", "samples_per_question = 4", "21: [evaluate] samples_per_question: 4 greedy answers to a question are the same answer; set temperature above 0 or samples_per_question = 1"),
    ("temperature = 0.0", "keep_best = true", "21: [evaluate] keep_best: nothing to choose by; set every_steps, the steps between two evaluations"),
    # health
    ("alpha = 0.05\n", "[health]\nreward_colapse = 0.3\n", "25: [health] reward_colapse: no such health check; did you mean 'reward_collapse'?"),
    ("alpha = 0.05\n", '[health]\nreward_collapse = "low"\n', "25: [health] reward_collapse: must be a limit above 0, or false to switch the check off, not 'low'"),
    ("alpha = 0.05\n", "[health]\nsignal = true\n", "25: [health] signal: must be a limit above 0, or false to switch the check off, not True"),
    ("alpha = 0.05\n", "[health]\nno_answer = -1\n", "25: [health] no_answer: must be a limit above 0, or false to switch the check off, not -1"),
    ("alpha = 0.05\n", '[health]\nstop_on = ["truncaton"]\n', "25: [health] stop_on: 'truncaton' is no health check; did you mean 'truncation'?"),
    ("alpha = 0.05\n", '[health]\nstop_on = ["stall"]\nstall = false\n', "25: [health] stop_on: stall is switched off below; drop it here or give it a limit"),
    ("alpha = 0.05\n", "[health]\nstall_seconds = 0\n", "25: [health] stall_seconds: must be more than 0, not 0"),
    # launch
    ("alpha = 0.05\n", "[launch]\nnproc_per_node = 0\n", "25: [launch] nproc_per_node: must be 1 or more, not 0"),
    ("alpha = 0.05\n", '[launch]\ncommand = "srun"\n', "25: [launch] command: must be a list in [brackets], not 'srun'"),
    ("alpha = 0.05\n", "[launch]\nmax_restarts = -1\n", "25: [launch] max_restarts: must be 0 or more, not -1"),
    ("alpha = 0.05\n", '[health]\nstop_on = ["restart"]\n', "25: [health] stop_on: a job that is not to be started again has max_restarts = 0 under [launch]"),
    (BATCH, f"num_generations = 3\n{SIZE}[launch]\nnproc_per_node = 2\n", "17: [train] num_generations: a generation batch of 16 completions (per_device_train_batch_size 8 x 1 accumulated in each of 2 processes) cannot be split into groups of 3; make it a multiple, as with gradient_accumulation_steps = 3"),
    (BATCH, f"num_generations = 4\ngeneration_batch_size = 24\n{SIZE}[launch]\nnproc_per_node = 2\n", "18: [train] generation_batch_size: 24 completions cannot be split into batches of 8 (per_device_train_batch_size) in each of 2 processes; make it a multiple"),
    (BATCH, f"num_generations = 4\n{SIZE}[launch]\nnproc_per_node = 16\n", "9: [task] train_questions: 20 questions do not fill one generation batch of 32 (128 completions, 4 a question); ask for more questions or make the batch smaller"),
    ('method = "grpo"', 'deepspeed = "zero.json"', "16: [train] deepspeed: 'zero.json' is no JSON file, neither beside the recipe nor in the working directory"),
    ('method = "grpo"', "fsdp = true\ndeepspeed = { stage = 1 }", "16: [train] fsdp: deepspeed shares out the weights too; give one of the two"),
    ('method = "grpo"', "fsdp_config = { version = 2 }", "16: [train] fsdp_config: has no say without fsdp; write fsdp = true beside it"),
    ("temperature = 0.0", "every_steps = 2\n[train.fsdp_config]\nversion = 2", "22: [train] fsdp_config: has no say without fsdp; write fsdp = true beside it"),
    # what TOML can hold and no key can mean
    ("alpha = 0.05", "alpha = 0.05\n[launch]\ncommand = [" + "[" * 30 + "]" * 30 + "]", "26: [launch] command: lists or tables lie too deep in each other"),
    ("alpha = 0.05", "alpha = " + "[" * 3000 + "]" * 3000, "24: not valid TOML: lists or tables lie too deep in each other (at line 24)"),
    ("seeds = [0]", f"seeds = [{'9' * 6000}]", "2: not valid TOML: a number has too many digits (at line 2)"),
    ("seeds = [0]", f"seeds = [{2**64}]", "2: seeds: must be a number that fits into 64 bits"),
    ('method = "grpo"', "weight_decay = inf", "16: [train] weight_decay: must be a finite number, not inf"),
    ("alpha = 0.05", "alpha = 0.05\n[health]\ntruncation = nan", "26: [health] truncation: must be a finite number, not nan"),
    ("alpha = 0.05", "alpha = 0.05\n[engine]\ntimeout_seconds = 1e300", "26: [engine] timeout_seconds: must be a number of seconds above 0 and under a million, not 1e+300"),
    ("alpha", "a" * 5000, "23: gate: no key has 5000 characters"),
    ('name = "tiny"', 'name = "ti\\u0000ny"', "5: [model] name: must be text without NUL characters"),
    # no TOML
    ("[gate]", "[gate", "23: not valid TOML: Expected ']' at the end of a table declaration (at line 23, column 6)"),
    ("alpha = 0.05\n", 'alpha = "', "24: not valid TOML: Unterminated string (at end of document)"),
]  # fmt: skip


def told(folder: Path, right: str, old: str, new: str) -> str:
    """What is said of the text ``right`` with ``new`` in the place of ``old``, behind the file's name."""
    assert right.count(old) == 1
    path = folder / "wrong.toml"
    path.write_text(right.replace(old, new))
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    return str(caught.value).removeprefix(f"{path}:")


@pytest.mark.parametrize(("old", "new", "message"), WRONG, ids=[f"{new!r}"[:48] for _, new, _ in WRONG])
def test_wrong_recipes(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert told(tmp_path, RIGHT, old, new) == message


def test_the_recipe_that_they_are_made_from_is_right(tmp_path: Path) -> None:
    path = tmp_path / "right.toml"
    path.write_text(RIGHT)
    assert load_recipe(path).description == "right"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b'seeds = [0]\ndescription = "gr\xfcn"\n')
    for path, message in [
        (latin, f"{latin}:2: not UTF-8 text; save the file as UTF-8"),
        (tmp_path / "missing.toml", f"{tmp_path}/missing.toml: cannot be read: No such file or directory"),
        (tmp_path, f"{tmp_path}: cannot be read: Is a directory"),
    ]:
        with pytest.raises(RecipeError) as caught:
            load_recipe(path)
        assert str(caught.value) == message


def test_a_file_whose_name_names_no_run(tmp_path: Path) -> None:
    path = tmp_path / "my recipe.toml"
    path.write_text(RIGHT)
    with pytest.raises(RecipeError, match=r"must be letters, digits, .* not 'my recipe'$"):
        load_recipe(path)


TASK = {"name": "arithmetic", "train_questions": 20, "test_questions": 10}
PARTS = {"name": "built", "model": {"name": "tiny"}, "task": TASK, "train": {"num_generations": 4}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": {**TASK, "train_questions": "ten"}}, "[task] train_questions: must be a whole number, not 'ten'"),
        ({"model": "tiny"}, "model: must be a table of keys, not 'tiny'"),
        ({"nmae": "x"}, "nmae: unknown key; did you mean 'name'?"),
        ({"seeds": (0, 1)}, "seeds: must be a list in [brackets], not (0, 1)"),
        ({"train": {"num_generations": 3}}, "[train] num_generations: a generation batch of 8 completions"),
        ({"train": {"max_steps": None}}, "[train] max_steps: None cannot be written in TOML; use plain values"),
        ({"description": ["x" * 99]}, "description: must be text in quotes, not ['" + "x" * 55 + "..."),
    ],
)
def test_recipes_built_in_python(changes: dict[str, Any], message: str) -> None:
    assert Recipe(**PARTS).name == "built"
    with pytest.raises(RecipeError) as caught:
        Recipe(**{**PARTS, **changes})
    assert str(caught.value).startswith(message)


# Methods that learn from data: the method, its data, its adapter, and what it starts from.

SUPERVISED = """description = "right"

[model]
name = "tiny"

[task]
name = "arithmetic"
train_questions = 20
test_questions = 10

[train]
method = "sft"
learning_rate = 1e-4

[data]
source = "completions"

[lora]
r = 8
"""

WRONG_SUPERVISED = [
    # the method
    ('method = "sft"', 'method = "grpo"', "15: data: GRPO learns from what it samples itself; drop this table, or write method = \"sft\" or \"dpo\" under [train]"),
    ('method = "sft"', 'method = "SFT"', "12: [train] method: must be 'grpo', 'sft' or 'dpo', not 'SFT'"),
    ("learning_rate = 1e-4", "num_generations = 8", "13: [train] num_generations: unknown key of TRL's sft config; it is one of grpo's"),
    ("learning_rate = 1e-4", "pakcing = true", "13: [train] pakcing: unknown key of TRL's sft config; did you mean 'packing'?"),
    ("learning_rate = 1e-4", "per_device_train_batch_size = 0", "13: [train] per_device_train_batch_size: must be a whole number of 1 or more, not 0"),
    ("learning_rate = 1e-4", 'packing = "yes"', "13: [train] packing: must be true or false without quotes, not 'yes'"),
    ("learning_rate = 1e-4", "assistant_only_loss = true", "13: [train] assistant_only_loss: not set here: the last turn of a chat is learnt, and every other one is its prompt"),
    ("learning_rate = 1e-4", 'eos_token = "x"', "13: [train] eos_token: not set here: answers are put into tokens as the policy is asked, with its own chat template and its own end"),
    ("learning_rate = 1e-4", 'truncation_mode = "keep_end"', "13: [train] truncation_mode: \"keep_end\" cuts the beginning off prompts that every other stage asks whole; write \"keep_start\""),
    ('method = "sft"', 'method = "dpo"\nnum_generations = 4', "13: [train] num_generations: unknown key of TRL's dpo config; it is one of grpo's"),
    # its data
    ('source = "completions"', 'source = "solutons"', "16: [data] source: must be \"completions\", \"solutions\" or the path of a .jsonl file, not 'solutons'"),
    ('source = "completions"', "temperature = 0", "15: [data] samples_per_question: 8 greedy answers to a question are the same answer; set temperature above 0 or samples_per_question = 1"),
    ('source = "completions"', "per_question = 0", "16: [data] per_question: must be 1 or more, not 0"),
    ('method = "sft"\nlearning_rate = 1e-4\n\n[data]\nsource = "completions"', 'method = "dpo"\n[data]\nsource = "solutions"', "14: [data] source: DPO learns from pairs, and worked solutions are right ones alone; write source = \"completions\", or a file with chosen and rejected answers"),
    ('method = "sft"\nlearning_rate = 1e-4\n\n[data]\nsource = "completions"', 'method = "dpo"\n[data]\nsamples_per_question = 1', "14: [data] samples_per_question: a pair takes two answers to a question: give 2 or more, not 1"),
    # its adapter
    ("r = 8", "r = 0", "19: [lora] r: must be 1 or more, not 0"),
    ("r = 8", "dropout = 1", "19: [lora] dropout: must be less than 1, not 1"),
    ("r = 8", "target_modules = []", "19: [lora] target_modules: must not be empty, not []"),
    ("r = 8", "target_modules = 3", "19: [lora] target_modules: must be a list in [brackets], not 3"),
    ("r = 8", "rank = 8", "19: [lora] rank: unknown key; valid: alpha, dropout, merge, r, target_modules"),
    # what it starts from
    ('name = "tiny"', "", "3: [model] name: missing; this key is required"),
    ('name = "tiny"', 'from_recipe = "nobody"', "4: [model] from_recipe: no recipe named 'nobody'; "),
    ('name = "tiny"', 'from_recipe = "parnt"', "4: [model] from_recipe: no recipe named 'parnt'; did you mean 'parent'? (or give a .toml file)"),
    ('name = "tiny"', 'from_recipe = "parent.toml"', "4: [model] from_recipe: 'parent.toml' is a file; write the recipe's name, without .toml"),
    ('name = "tiny"', 'from_recipe = "wrong"', "4: [model] from_recipe: wrong starts from wrong: no recipe can start from itself"),
    ('name = "tiny"', 'from_recipe = "round"', "4: [model] from_recipe: wrong starts from round starts from wrong: no recipe can start from itself"),
    ('name = "tiny"', 'from_recipe = "other-round"', "4: [model] from_recipe: wrong starts from other-round starts from other-round-2 starts from other-round: no recipe can start from itself"),
    ('name = "tiny"', 'from_recipe = "parent"\nname = "other"', "4: [model] from_recipe: parent starts from the model 'tiny', and name says 'other'; drop name, or one of the two"),
    ('name = "tiny"', 'from_recipe = "parent"\nchat_template_kwargs = { enable_thinking = false }', "4: [model] from_recipe: parent is trained with chat_template_kwargs = {}, and this recipe says {'enable_thinking': False}; write the same under [model] of both, so that every stage asks the same prompt"),
    ('name = "tiny"', 'from_recipe = "thinks"', "4: [model] from_recipe: thinks is trained with chat_template_kwargs = {'enable_thinking': True}, and this recipe says {}; write the same under [model] of both, so that every stage asks the same prompt"),
    ('name = "tiny"', "from_recipe = 3", "4: [model] from_recipe: must be text in quotes, not 3"),
]  # fmt: skip

BESIDE = {
    "parent": 'name = "tiny"',
    "thinks": 'name = "tiny"\nchat_template_kwargs = { enable_thinking = true }',
    "round": 'from_recipe = "wrong"',
    "other-round": 'from_recipe = "other-round-2"',
    "other-round-2": 'from_recipe = "other-round"',
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, model in BESIDE.items():
        (tmp_path / f"{name}.toml").write_text(SUPERVISED.replace('name = "tiny"', model))
    return tmp_path


@pytest.mark.parametrize(
    ("old", "new", "message"), WRONG_SUPERVISED, ids=[f"{new!r}"[:48] for _, new, _ in WRONG_SUPERVISED]
)
def test_wrong_supervised_recipes(folder: Path, old: str, new: str, message: str) -> None:
    assert told(folder, SUPERVISED, old, new).startswith(message)


def test_a_wrong_parent_is_named_with_its_own_place(folder: Path) -> None:
    (folder / "parent.toml").write_text(SUPERVISED.replace("r = 8", "r = 0"))
    path = folder / "child.toml"
    path.write_text(SUPERVISED.replace('name = "tiny"', 'from_recipe = "parent"'))
    with pytest.raises(RecipeError, match=r"parent.toml:19: \[lora\] r: must be 1 or more, not 0"):
        load_recipe(path)


def test_right_recipes_read_back(folder: Path) -> None:
    path = folder / "child.toml"
    same = 'from_recipe = "thinks"\n[model.chat_template_kwargs]\nenable_thinking = true'
    for model in ('from_recipe = "parent"', 'from_recipe = "parent"\nname = "tiny"', same):
        path.write_text(SUPERVISED.replace('name = "tiny"', model))
        recipe = load_recipe(path)
        assert recipe.model.from_recipe in model
        again = folder / "again.toml"
        again.write_text(recipe.to_toml())
        assert load_recipe(again).model_copy(update={"name": recipe.name, "source": path}) == recipe


def test_data_and_adapter_can_be_overridden_where_they_are_left_out(folder: Path) -> None:
    path = folder / "plain.toml"
    path.write_text(SUPERVISED.partition("[data]")[0])
    recipe = load_recipe(path)
    assert recipe.lora is None
    assert recipe.data is not None
    assert recipe.data.samples_per_question == 8
    changed = recipe.override({"lora.r": 4, "data.samples_per_question": 2})
    assert changed.lora is not None
    assert changed.lora.r == 4
    assert changed.data is not None
    assert changed.data.samples_per_question == 2


def test_limited_supervised_recipes_need_one_question(folder: Path) -> None:
    path = folder / "plain.toml"
    path.write_text(SUPERVISED)
    assert load_recipe(path).limited(1).task.train_questions == 1


@pytest.mark.parametrize("key", ["task.name", "data.source"])
def test_names_of_5000_letters_are_names_of_nothing(tmp_path: Path, key: str) -> None:
    path = tmp_path / "right.toml"
    path.write_text(RIGHT.replace('method = "grpo"', 'method = "sft"').replace("num_generations = 4\n", ""))
    recipe = load_recipe(path).override({key: "a" * 5000 + ".jsonl"})
    with pytest.raises(RecipeError, match="no such file or folder") as caught:
        check_needs(recipe)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(("ending", "said"), [("", "no recipe named"), (".toml", "no such recipe file")])
def test_a_name_of_5000_letters_is_no_recipe(ending: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said) as caught:
        find_recipe("a" * 5000 + ending)
    assert len(str(caught.value)) < 1000
