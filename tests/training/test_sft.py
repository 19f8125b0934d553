"""Supervised fine-tuning on the embedded model: what is learnt, from what, and that a killed job goes on."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from harness.store.errors import TaskError, TrainingError
from harness.store.run_directory import read_json
from harness.training.job import Job
from harness.training.trainers import build
from tests.training.jobs import run_of, steps


@pytest.fixture(scope="module")
def finished(supervised):
    run = supervised("sft")
    run.trained()
    return run


@pytest.fixture
def data(tmp_path):
    """``data(rows)``: the source of data that is a file with these rows."""

    def write(rows, name="rows.jsonl"):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(tmp_path / name)

    return write


def test_samples_are_kept_and_what_was_learnt_from_them(finished):
    samples, trained = finished.samples(), finished.trained()
    assert len(samples.records) == 16 * 8
    correct = {(each.question_id, each.completion) for each in samples.records if each.status == "correct"}
    assert {(row["question_id"], row["completion"][0]["content"]) for row in trained.data} == correct
    assert trained.summary.examples == len(trained.data) == len(correct)
    assert trained.summary.completions == 16 * 8
    assert trained.summary.sampled_tokens == sum(each.completion_tokens for each in samples.records)
    assert trained.summary.sampling_seconds > 0
    assert steps(trained) == [1, 2, 3, 4, 5, 6]
    assert finished.verdict("training").passed


def test_only_the_answers_tokens_have_labels_and_make_the_loss(finished, tiny, tmp_path):
    """Decoded, what has a label is the completion and its end, and what has none is the prompt that is asked. TRL's own
    loss of a row is the mean over the answer's tokens, computed here from the logits."""
    trainer = build(Job.read(finished.directory / "train"), tiny, tmp_path)
    assert len(trainer.train_dataset) == len(finished.trained().data)
    batch = trainer.data_collator([trainer.train_dataset[index] for index in range(3)])
    for row, ids, labels in zip(finished.trained().data, batch["input_ids"], batch["labels"], strict=False):
        learnt = labels != -100
        assert tiny.tokenizer.decode(ids[learnt]) == row["completion"][0]["content"] + "<|im_end|>"
        assert (labels[learnt] == ids[learnt]).all()
        prompt = tiny.encode(row["prompt"])
        assert ids[: len(prompt)].tolist() == prompt
        assert not learnt[: len(prompt)].any()
    batch = trainer.data_collator([trainer.train_dataset[0]])
    with torch.no_grad():
        loss = trainer.compute_loss(trainer.model, dict(batch)).item()
        logits = tiny.model(input_ids=batch["input_ids"]).logits[0, :-1].log_softmax(-1)
    targets = batch["labels"][0, 1:]
    kept = targets != -100
    assert loss == pytest.approx(-logits[kept].gather(-1, targets[kept, None]).mean().item(), rel=1e-4)


@pytest.mark.slow
def test_answers_end_by_themselves_after_training(supervised, data):
    """The end is learnt: no answer is cut off, though there is room for three times as many tokens.

    The data ends with a word that the base model goes on after, so that an unlearnt end would be seen.
    """
    from harness.models import generate, load_policy
    from harness.store.records import SamplingParams
    from harness.tasks import Question

    rows = [{"prompt": f"Say {n}.", "completion": f"It is {n}, so the answer is"} for n in range(32)]
    keys = {"train__max_steps": 30, "train__learning_rate": 2e-3, "train__per_device_train_batch_size": 16}
    run = supervised("sft", data__source=data(rows), **keys)
    policy = load_policy(str(run.trained().model), device="cpu")
    asked = [
        Question(row["prompt"], row["prompt"], "", "test", prompt=({"role": "user", "content": row["prompt"]},))
        for row in rows
    ]
    found = [each for batch in generate(policy, asked, SamplingParams(max_new_tokens=48)) for each in batch]
    assert {each.finish_reason for each in found} == {"stop"}
    assert sum(each.completion.endswith("so the answer is") for each in found) >= 24


def test_killed_it_goes_on_from_its_last_checkpoint(finished, tmp_path):
    """The rest is then exactly what the uninterrupted job did."""
    shutil.copytree(finished.directory, tmp_path / finished.directory.name)
    train = tmp_path / finished.directory.name / "train"
    (train / "summary.json").unlink()
    for name in ("final", "checkpoint-6"):
        shutil.rmtree(train / name)
    trained = run_of(tmp_path, "sft").trained()
    assert trained.summary.resumed_from == 4
    assert steps(trained) == [1, 2, 3, 4, 5, 6]
    losses = [[row["loss"] for row in each.metrics if "loss" in row] for each in (trained, finished.trained())]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_worked_solutions_are_learnt_without_sampling(tmp_path):
    """And checkpoints lie a quarter apart, where the recipe does not say."""
    keys = {"train__max_steps": 8, "train__save_total_limit": 10, "train__save_steps": None}
    run = run_of(tmp_path, "sft", data__source="solutions", **keys)
    trained = run.trained()
    assert [row["completion"][0]["content"] for row in trained.data] == [each.solution for each in run.questions.train]
    assert trained.summary.completions == trained.summary.sampled_tokens == 0
    assert not (run.directory / "samples").exists()
    kept = sorted(path.name for path in (run.directory / "train").glob("checkpoint-*"))
    assert kept == [f"checkpoint-{step}" for step in (2, 4, 6, 8)]


def test_a_task_without_solutions_is_told_where_to_name_them(data, tmp_path):
    asked = data([{"question": f"{n} + 1?", "answer": n + 1} for n in range(40)])
    with pytest.raises(TaskError, match=r"has no worked solutions to learn from; name the field that holds them"):
        run_of(tmp_path, "sft", data__source="solutions", task__name=asked).trained()


@pytest.mark.parametrize(
    ("method", "lacks", "advice"),
    [
        ("sft", "no correct and complete one among 32 sampled answers", "Ask easier questions, show worked ones by"),
        ("dpo", "no question has a correct and complete answer and a wrong one, among 32 sampled answers", "Raise ["),
    ],
)
def test_nothing_to_learn_from_is_said_before_training_starts(method, lacks, advice, tmp_path):
    """Two tokens are too few for any answer: the counts, and what to do."""
    run = run_of(tmp_path, method, data__samples_per_question=2, data__max_new_tokens=2)
    with pytest.raises(TrainingError) as caught:
        run.trained()
    counts = "0 correct, 0 wrong, 32 no_answer, 0 unscored; 32 cut off at max_new_tokens."
    assert str(caught.value).startswith(f"nothing to learn from: {lacks}: {counts} {advice}")
    assert read_json(run.directory / "train" / "job.json") is None


def test_an_example_longer_than_the_model_is_refused(data, tmp_path):
    source = data([{"prompt": "a", "completion": "1 " * 3000}])
    with pytest.raises(
        TrainingError, match=r"line 1 of train/data.jsonl has \d+ tokens and .* can hold 2048; leave it"
    ):
        run_of(tmp_path / "runs", "sft", data__source=source).trained()


IDENTITY = [  # changes that make another run, and those that do not
    ({"data__per_question": 1}, True),
    ({"data__temperature": 0.9}, True),
    ({"data__samples_per_question": 4}, True),
    ({"data__max_new_tokens": 20}, True),
    ({"data__source": "solutions"}, True),
    ({"lora__r": 4}, True),
    ({"data__max_new_tokens": 24}, False),  # as [evaluate] says anyway
    ({"evaluate__batch_size": 3}, False),
]


@pytest.mark.parametrize(("changes", "another"), IDENTITY)
def test_what_is_learnt_from_names_the_run(finished, supervised, changes, another):
    assert (supervised("sft", **changes).directory != finished.directory) == another


def test_a_files_content_names_the_run(data, tmp_path):
    rows = {"a": "x", "b": "x", "c": "y"}
    files = [data([{"prompt": "p", "completion": word}], f"{name}.jsonl") for name, word in rows.items()]
    first, same, other = (run_of(tmp_path, "sft", data__source=file).directory.name for file in files)
    assert first == same != other
