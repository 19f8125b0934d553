"""What failed in rewards is counted over a training as a whole, however often it was killed and went on."""

from __future__ import annotations

from types import SimpleNamespace

from harness.store.records import FAULTS, FaultReason, FunctionFaults, RewardFaults
from harness.store.run_directory import write_json
from harness.store.run_files import COMPLETIONS
from harness.training.callbacks import CompletionLog, MetricsLog, forget_after
from tests.run_files import completion

REWARDS = {"boxed_numeric": 1.0, "format_boxed": 0.5}


def faults(count: int) -> RewardFaults:
    reasons = (FaultReason("raised ValueError: no", count),)
    return RewardFaults({"boxed_numeric": FunctionFaults(64, count, "", reasons)})


def test_a_job_that_goes_on_counts_what_its_checkpoint_had(tmp_path):
    """Killed after step 5 with a checkpoint at 3: faults of steps 4 and 5 are done again, and completions asked about
    before the kill are asked about."""
    COMPLETIONS.write(tmp_path, [completion(step=step) for step in range(1, 6) for _ in range(64)])
    write_json(tmp_path / "checkpoint-3/trainer_state.json", {})
    log, at = MetricsLog(tmp_path), SimpleNamespace(global_step=3)
    log.on_save(SimpleNamespace(output_dir=str(tmp_path)), at, None)
    assert not (tmp_path / "checkpoint-3/rewards.json").exists(), "nothing has failed yet"
    FAULTS.write(tmp_path, faults(1))
    log.on_save(SimpleNamespace(output_dir=str(tmp_path)), at, None)
    FAULTS.write(tmp_path, faults(3))

    forget_after(tmp_path, 3)
    assert FAULTS.read(tmp_path) == faults(1)
    counted = CompletionLog(tmp_path, None, REWARDS)._calls.faults
    assert counted.asked == {"boxed_numeric": 192, "format_boxed": 192}
    assert counted.share("boxed_numeric") == 1 / 192


def test_a_job_that_begins_again_has_failed_in_nothing(tmp_path):
    FAULTS.write(tmp_path, faults(3))
    forget_after(tmp_path, 0)
    assert not (tmp_path / "rewards.json").exists()
    assert CompletionLog(tmp_path, None, REWARDS)._calls.faults.asked == {}
