"""Direct preference optimization on the embedded model."""

from __future__ import annotations

import json

import pytest

from harness.training.job import Job
from harness.training.trainers import build
from tests.training.jobs import run_of


@pytest.fixture(scope="module")
def finished(supervised):
    run = supervised("dpo")
    run.trained()
    return run


def test_pairs_are_kept_and_preferred_more_and_more(finished, supervised):
    trained, samples = finished.trained(), finished.samples()
    assert trained.summary.examples == len(trained.data) > 8
    status = {(each.question_id, each.completion): each.status for each in samples.records}
    for row in trained.data:
        assert status[row["question_id"], row["chosen"][0]["content"]] == "correct"
        assert status[row["question_id"], row["rejected"][0]["content"]] in ("wrong", "no_answer")
    margins = [row["rewards/margins"] for row in trained.metrics if "rewards/margins" in row]
    assert margins[0] == pytest.approx(0, abs=1e-5), "the reference is not the policy that training began from"
    assert sum(margins) / len(margins) > 0.01  # a batch holds four pairs: single ones say little
    verdict = finished.verdict("training")
    assert verdict.passed
    assert "chosen answers preferred in" in verdict.sentence
    # Nothing is sampled twice: SFT learns from the same answers, which it finds by their content.
    others = supervised("sft").samples()
    assert any(each.summary.reused for each in (samples, others)), "both asked the model"
    assert [each.completion for each in samples.records] == [each.completion for each in others.records]


def test_tokens_are_those_of_generation(finished, tiny, tmp_path):
    job = Job.read(finished.directory / "train")
    job.rows[0]["rejected_finish_reason"] = "length"
    trainer = build(job, tiny, tmp_path)
    for row, tokens in zip(job.rows, trainer.train_dataset, strict=True):
        cut = row["rejected_finish_reason"] == "length"
        assert tokens["prompt_ids"] == tiny.encode(row["prompt"])
        assert tiny.tokenizer.decode(tokens["chosen_ids"]) == row["chosen"][0]["content"] + "<|im_end|>"
        end = "" if cut else "<|im_end|>"
        assert tiny.tokenizer.decode(tokens["rejected_ids"]) == row["rejected"][0]["content"] + end
    batch = trainer.data_collator([trainer.train_dataset[1]])
    answers = batch["input_ids"][batch["completion_mask"].bool()]
    assert answers.tolist() == trainer.train_dataset[1]["chosen_ids"] + trainer.train_dataset[1]["rejected_ids"]


def test_given_preferences(tmp_path):
    rows = [{"prompt": f"Is it {n}?", "chosen": "yes", "rejected": "no"} for n in range(8)]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    trained = run_of(tmp_path / "runs", "dpo", data__source=str(tmp_path / "pairs.jsonl"), train__max_steps=2).trained()
    assert trained.summary.examples == 8
    assert trained.data[3]["prompt"] == [{"role": "user", "content": "Is it 3?"}]
