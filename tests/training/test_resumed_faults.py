"""What failed in rewards is counted over a training as a whole, however often it was killed and went on."""

from __future__ import annotations

from types import SimpleNamespace

from harness.store.run_directory import read_json, write_json, write_lines
from harness.training.callbacks import CompletionLog, MetricsLog, forget_after

REWARDS = {"boxed_numeric": 1.0, "format_boxed": 0.5}


def faults(count: int) -> dict:
    reasons = [{"reason": "raised ValueError: no", "completions": count, "question_id": None}]
    row = {"completions": 64, "unscored": count, "sentence": "", "reasons": reasons, "retried": 0, "retried_for": ""}
    return {"functions": {"boxed_numeric": row}}


def test_a_job_that_goes_on_counts_what_its_checkpoint_had(tmp_path):
    """Killed after step 5 with a checkpoint at 3: faults of steps 4 and 5 are done again, and completions asked about
    before the kill are asked about."""
    write_lines(tmp_path / "completions.jsonl", [{"step": step} for step in range(1, 6) for _ in range(64)])
    write_json(tmp_path / "checkpoint-3/trainer_state.json", {})
    log, at = MetricsLog(tmp_path), SimpleNamespace(global_step=3)
    log.on_save(SimpleNamespace(output_dir=str(tmp_path)), at, None)
    assert not (tmp_path / "checkpoint-3/rewards.json").exists(), "nothing has failed yet"
    write_json(tmp_path / "rewards.json", faults(1))
    log.on_save(SimpleNamespace(output_dir=str(tmp_path)), at, None)
    write_json(tmp_path / "rewards.json", faults(3))

    forget_after(tmp_path, 3)
    assert read_json(tmp_path / "rewards.json") == faults(1)
    counted = CompletionLog(tmp_path, None, REWARDS)._calls.faults
    assert counted.asked == {"boxed_numeric": 192, "format_boxed": 192}
    assert counted.share("boxed_numeric") == 1 / 192


def test_a_job_that_begins_again_has_failed_in_nothing(tmp_path):
    write_json(tmp_path / "rewards.json", faults(3))
    forget_after(tmp_path, 0)
    assert not (tmp_path / "rewards.json").exists()
    assert CompletionLog(tmp_path, None, REWARDS)._calls.faults.asked == {}
