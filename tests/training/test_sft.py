"""Supervised fine-tuning on the embedded model: what is learnt, that it ends, and that a killed job goes on."""

from __future__ import annotations

import json

import pytest

from harness.pipeline.run import Run, Settings
from harness.recipe.catalog import find_recipe
from harness.store.errors import TaskError, TrainingError
from harness.store.run_directory import read_json
from harness.training.job import Job
from tests.small_recipes import SUPERVISED
from tests.training.interrupted import kill_after_checkpoint_2


@pytest.fixture(scope="module")
def finished(supervised):
    run = supervised("sft")
    run.trained()
    return run


def steps(trained):
    return [row["step"] for row in trained.metrics if "loss" in row]


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


def built(run, tiny, tmp_path):
    """The job's trainer, as the training process would make it."""
    from harness.training.trainers import build

    return build(Job.read(run.directory / "train"), tiny, tmp_path)


def test_only_the_answers_tokens_have_labels(finished, tiny, tmp_path):
    """Decoded, what has a label is the completion and its end, and what has none is the prompt that is asked."""
    trainer = built(finished, tiny, tmp_path)
    assert len(trainer.train_dataset) == len(finished.trained().data)
    batch = trainer.data_collator([trainer.train_dataset[index] for index in range(3)])
    for row, ids, labels in zip(finished.trained().data, batch["input_ids"], batch["labels"], strict=False):
        learnt = labels != -100
        assert tiny.tokenizer.decode(ids[learnt]) == row["completion"][0]["content"] + "<|im_end|>"
        assert (labels[learnt] == ids[learnt]).all()
        prompt = tiny.encode(row["prompt"])
        assert ids[: len(prompt)].tolist() == prompt
        assert not learnt[: len(prompt)].any()


def test_a_token_of_the_prompt_makes_no_loss(finished, tiny, tmp_path):
    """TRL's own loss of a batch is the mean over the answer's tokens, computed here from the logits."""
    import torch

    trainer = built(finished, tiny, tmp_path)
    batch = trainer.data_collator([trainer.train_dataset[0]])
    with torch.no_grad():
        loss = trainer.compute_loss(trainer.model, dict(batch)).item()
        logits = tiny.model(input_ids=batch["input_ids"]).logits[0, :-1].log_softmax(-1)
    targets = batch["labels"][0, 1:]
    kept = targets != -100
    expected = -logits[kept].gather(-1, targets[kept, None]).mean().item()
    assert loss == pytest.approx(expected, rel=1e-4)


def test_answers_end_by_themselves_after_training(supervised, tmp_path):
    """The end is learnt: no answer is cut off, though there is room for three times as many tokens.

    The data ends with a word that the base model goes on after, so that an unlearnt end would be seen.
    """
    rows = [{"prompt": f"Say {n}.", "completion": f"It is {n}, so the answer is"} for n in range(32)]
    (tmp_path / "say.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = supervised(
        "sft",
        **{
            "data.source": str(tmp_path / "say.jsonl"),
            "train.max_steps": 30,
            "train.learning_rate": 2e-3,
            "train.per_device_train_batch_size": 16,
            "evaluate.max_new_tokens": 48,
        },
    )
    from harness.models import generate, load_policy
    from harness.store.records import SamplingParams
    from harness.tasks import Question

    policy = load_policy(str(run.trained().model), device="cpu")
    asked = [
        Question(row["prompt"], row["prompt"], "", "test", prompt=({"role": "user", "content": row["prompt"]},))
        for row in rows
    ]
    found = [each for batch in generate(policy, asked, SamplingParams(max_new_tokens=48)) for each in batch]
    ended = [each for each in found if each.finish_reason == "stop"]
    assert len(ended) == len(found)
    assert sum(each.completion.endswith("so the answer is") for each in found) >= 24


def test_killed_in_the_middle_it_goes_on_from_its_last_checkpoint(finished, tmp_path):
    """SIGKILL after a checkpoint; the rest is then exactly what the uninterrupted job did."""
    kill_after_checkpoint_2("tiny-arithmetic-sft", SUPERVISED, tmp_path / "runs")
    recipe = find_recipe("tiny-arithmetic-sft").override(SUPERVISED)
    trained = Run(recipe, 0, Settings(runs_dir=tmp_path / "runs", in_process=True)).trained()
    assert trained.summary.resumed_from in (2, 4)
    assert steps(trained) == [1, 2, 3, 4, 5, 6]
    losses = [[row["loss"] for row in each.metrics if "loss" in row] for each in (trained, finished.trained())]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_checkpoints_lie_a_quarter_apart(supervised, tmp_path):
    recipe = find_recipe("tiny-arithmetic-sft")
    overrides = {**SUPERVISED, "train.max_steps": 8, "train.save_total_limit": 10, "data.source": "solutions"}
    del overrides["train.save_steps"]
    run = Run(recipe.override(overrides), 0, Settings(runs_dir=tmp_path, in_process=True))
    run.trained()
    assert sorted(path.name for path in (run.directory / "train").glob("checkpoint-*")) == [
        f"checkpoint-{step}" for step in (2, 4, 6, 8)
    ]


def test_worked_solutions_are_learnt_without_sampling(supervised, tmp_path):
    run = supervised("sft", tmp_path, **{"data.source": "solutions"})
    trained = run.trained()
    assert [row["completion"][0]["content"] for row in trained.data] == [each.solution for each in run.questions.train]
    assert trained.summary.completions == trained.summary.sampled_tokens == 0
    assert not (run.directory / "samples").exists()


def test_a_task_without_solutions_is_told_where_to_name_them(supervised, tmp_path):
    rows = [{"question": f"{n} + 1?", "answer": n + 1} for n in range(40)]
    (tmp_path / "asked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = supervised("sft", tmp_path, **{"data.source": "solutions", "task.name": str(tmp_path / "asked.jsonl")})
    with pytest.raises(TaskError, match=r"has no worked solutions to learn from; name the field that holds them"):
        run.trained()


def test_no_correct_answer_is_said_before_training_starts(supervised, tmp_path):
    """Two tokens are too few for any answer: the counts, and what to do."""
    run = supervised("sft", tmp_path, **{"data.samples_per_question": 1, "data.max_new_tokens": 2})
    with pytest.raises(TrainingError) as caught:
        run.trained()
    assert str(caught.value) == (
        "nothing to learn from: no correct and complete one among 16 sampled answers: 0 correct, 0 wrong, 16 "
        "no_answer, 0 unscored; 16 cut off at max_new_tokens. Ask easier questions, show worked ones by [task] "
        'few_shot, raise [data] samples_per_question, or write source = "solutions" under [data]'
    )
    assert read_json(run.directory / "train" / "job.json") is None


def test_an_example_longer_than_the_model_is_refused(supervised, tmp_path):
    (tmp_path / "long.jsonl").write_text(json.dumps({"prompt": "a", "completion": "1 " * 3000}) + "\n")
    run = supervised("sft", tmp_path / "runs", **{"data.source": str(tmp_path / "long.jsonl")})
    with pytest.raises(
        TrainingError, match=r"line 1 of train/data.jsonl has \d+ tokens and .* can hold 2048; leave it"
    ):
        run.trained()


IDENTITY = [  # changes that make another run, and those that do not
    ({"data.per_question": 1}, True),
    ({"data.temperature": 0.9}, True),
    ({"data.samples_per_question": 4}, True),
    ({"data.max_new_tokens": 20}, True),
    ({"data.source": "solutions"}, True),
    ({"lora.r": 4}, True),
    ({"data.max_new_tokens": 24}, False),  # as [evaluate] says anyway
    ({"evaluate.batch_size": 3}, False),
]


@pytest.mark.parametrize(("changes", "another"), IDENTITY)
def test_what_is_learnt_from_names_the_run(finished, supervised, changes, another):
    assert (supervised("sft", **changes).directory != finished.directory) == another


def test_a_files_content_names_the_run(supervised, tmp_path):
    found = []
    for name, word in (("a", "x"), ("b", "x"), ("c", "y")):
        path = tmp_path / f"{name}.jsonl"
        path.write_text(json.dumps({"prompt": "p", "completion": word}))
        found.append(supervised("sft", tmp_path, **{"data.source": str(path)}).directory.name)
    assert found[0] == found[1] != found[2]


def test_the_same_samples_serve_dpo(finished, supervised):
    """Nothing is sampled twice: DPO finds the answers that SFT's run keeps, by their content."""
    run = supervised("dpo")
    reused = [each.samples().summary.reused for each in (run, finished)]
    assert any(reused), "both asked the model"  # which was first depends on the order of the tests
    assert [each.completion for each in run.samples().records] == [
        each.completion for each in finished.samples().records
    ]
