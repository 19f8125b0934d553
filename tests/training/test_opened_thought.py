"""A chat template that opens ``<think>`` in the prompt: every stage gives rewards the whole turn, and keeps it."""

from __future__ import annotations

import json
import shutil

import pytest

from harness.models import load_policy
from harness.models.engines.base import answer_of, requests
from harness.models.tiny import FOLDER
from harness.rewards.grading import grade
from harness.store.records import SamplingParams
from harness.tasks import Question
from harness.training.callbacks import CompletionLog
from harness.training.trainers import answer_tokens
from tests.training.jobs import run_of

CHAT = [{"role": "user", "content": "What is 6 * 7?"}]
QUESTION = Question("q", "What is 6 * 7?", "42", "test", prompt=tuple(CHAT))
REWARDS = {"answer_in_tags": 1.0, "format_tags": 0.5, "boxed_exact": 0.0}
HEADER = "'<|im_start|>assistant\\n'"
OPENS = "'<|im_start|>assistant\\n<think>\\n'"


@pytest.fixture(scope="module")
def thinks(tmp_path_factory):
    """The embedded model, with a template that opens a thought."""
    folder = tmp_path_factory.mktemp("model") / "thinks"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    template = (folder / "chat_template.jinja").read_text()
    assert HEADER in template
    (folder / "chat_template.jinja").write_text(template.replace(HEADER, OPENS))
    return folder


@pytest.fixture(scope="module")
def policy(thinks):
    return load_policy(str(thinks), device="cpu")


@pytest.mark.parametrize(
    ("ending", "opened"),
    [
        (OPENS, "<think>\n"),
        (HEADER, ""),
        ("'<|im_start|>assistant\\n<think>'", "<think>"),
        ("'<|im_start|>assistant\\n<think>\\n\\n</think>\\n\\n'", ""),
        # as templates look whether to think at all
        ("'<think>\\n' if 'think' in messages[-1]['content'] else ''", ""),
    ],
)
def test_what_a_template_opens_is_known(thinks, ending, opened):
    policy = load_policy(str(thinks), device="cpu")
    policy.tokenizer.chat_template = policy.tokenizer.chat_template.replace(OPENS, ending)
    assert policy.opened_thought(CHAT) == opened
    asked = [{"role": "user", "content": "Please think: what is 6 * 7?"}]
    assert policy.opened_thought(asked) == ("<think>\n" if "if" in ending else opened)
    policy.tokenizer.add_special_tokens({"extra_special_tokens": ["</think>"]})
    assert policy.opened_thought(CHAT) == "", "an end that no text shows is no end"


SAID = [
    # what the policy writes behind the prompt, status by answer_in_tags, format_tags
    ("6 * 7 = 42\n</think>\n<answer>42</answer>", "correct", 1.0),
    ("6 * 7 = 41\n</think>\n<answer>41</answer>", "wrong", 1.0),
    ("6 * 7 = <answer>42</answer>, but", "no_answer", 0.0),
    ("<answer>42</answer>", "no_answer", 0.0),
    ("</think><answer>42</answer>", "correct", 0.0),
]


@pytest.mark.parametrize(("said", "status", "form"), SAID)
def test_an_answer_is_graded_as_a_whole_turn(policy, tmp_path, said, status, form):
    """In an evaluation and in training alike, and again from what is kept."""
    decoding = SamplingParams(max_new_tokens=64)
    (request,) = requests(policy, [QUESTION], decoding, set())
    ids = [*policy.tokenizer(said, add_special_tokens=False)["input_ids"], min(policy.eos_token_ids)]
    made = answer_of(policy, request, ids, decoding)
    assert (made.completion, made.completion_tokens) == (f"<think>\n{said}", len(ids))
    for _ in range(2):
        (record,) = grade([made], {"q": QUESTION}, REWARDS)
        assert (record.status, record.rewards["format_tags"]) == (status, form)
        made = record

    log = CompletionLog(tmp_path, policy, REWARDS)
    columns = {"completion_ids": [ids], "ground_truth": ["42"], "question_id": ["q"]}
    given = [[{"role": "assistant", "content": said}]]
    values = {name: log.wrap(name)([CHAT], given, **columns) for name in REWARDS}
    assert values == {name: [value] for name, value in record.rewards.items()}
    log.write(1, [0.0], REWARDS)
    (row,) = [json.loads(line) for line in (tmp_path / "completions.jsonl").read_text().splitlines()]
    assert (row["completion"], row["status"], row["rewards"]) == (record.completion, status, dict(record.rewards))


LEARNT = [
    ("<think>\n6 * 7\n</think>\n\\boxed{42}", "6 * 7\n</think>\n\\boxed{42}"),
    ("<think>6 * 7</think>\\boxed{42}", "6 * 7</think>\\boxed{42}"),
    ("6 * 7</think>\\boxed{42}", "6 * 7</think>\\boxed{42}"),
    ("It is \\boxed{42}.", "</think>\n\nIt is \\boxed{42}."),
]


@pytest.mark.parametrize(("answer", "goes_on"), LEARNT)
def test_what_is_learnt_goes_on_from_the_prompt(policy, tiny, answer, goes_on):
    assert policy.decode(answer_tokens(policy, CHAT, answer, None)) == goes_on
    assert tiny.decode(answer_tokens(tiny, CHAT, answer, None)) == answer


SEEN = []


def spy(completions, trainer_state=None, **columns):
    """A reward that writes down what it is given."""
    SEEN.extend(("asked" if trainer_state is None else "train", each[0]["content"]) for each in completions)
    return [0.0] * len(completions)


def test_every_stage_of_a_training_gives_the_whole_turn(thinks, tmp_path):
    SEEN.clear()
    changes = {"model__name": str(thinks), "rewards": {"boxed_numeric": 1.0, f"{__name__}:spy": 0.1}}
    during = {"evaluate__every_steps": 1, "evaluate__during_questions": 4}
    run = run_of(tmp_path, train__max_steps=1, **changes, **during)
    records = [*run.before().records, *run.after().records]
    kept = [record.completion for record in records] + [row.completion for row in run.trained().completions]
    assert len(kept) == 8 + 16 + 8
    assert {stage for stage, text in SEEN if text} == {"asked", "train"}
    assert len(SEEN) > len(kept)  # the evaluation during training is not kept
    for text in (*kept, *(text for _, text in SEEN if text)):
        assert text.startswith("<think>\n")
        assert text.count("<think>") == 1
    assert {record.status for record in records} == {"no_answer"}
    sft = {"model__name": str(thinks), "rewards": {"repetition_penalty": 1.0}, "data__samples_per_question": 2}
    samples = run_of(tmp_path, "sft", **sft).samples()
    assert all(record.completion.startswith("<think>\n") for record in samples.records)
