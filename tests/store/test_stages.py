"""One list of stages: what any of them leaves is read by all who go through stages."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from harness.pipeline.remarks import doubts
from harness.report.files import stamp_of
from harness.report.read import read_run
from harness.store.faults import stage_sentences
from harness.store.records import FAULTS, SUMMARY, Doubt, FunctionFaults, RewardFaults
from harness.store.stages import ASKED, STAGES
from tests.run_files import summary

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize("stage", STAGES)
def test_a_failing_reward_is_said_of_every_stage(tmp_path: Path, stage: str) -> None:
    """In the terminal and on the page, which is drawn again for it."""
    (tmp_path / stage).mkdir()
    before = stamp_of(tmp_path)
    (tmp_path / stage).mkdir(exist_ok=True)
    FAULTS.write(tmp_path / stage, RewardFaults({"my:f": FunctionFaults(8, 1, 'reward "my:f" gave no value', ())}))
    assert stage_sentences(tmp_path) == [f'{stage}: reward "my:f" gave no value']
    assert f'reward "my:f" gave no value, {STAGES[stage]}.' in read_run(tmp_path).notes
    assert stamp_of(tmp_path) != before


@pytest.mark.parametrize("stage", ASKED)
def test_answers_that_are_doubtful_are_said_of_every_stage_that_asks(tmp_path: Path, stage: str) -> None:
    SUMMARY.write(tmp_path / stage, summary(unanswered=Doubt(1, 8, "1 of 8 answers could not be had")))
    assert doubts(tmp_path) == [f"{stage}: 1 of 8 answers could not be had"]
    assert f"{STAGES[stage].capitalize()} 1 of 8 answers could not be had." in read_run(tmp_path).notes


def lists_of_stages(source: str) -> list[int]:
    """Lines on which two or more stages, and nothing else, are written out."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Tuple | ast.List | ast.Set) and len(node.elts) > 1
        if all(isinstance(each, ast.Constant) and each.value in STAGES for each in node.elts)
    ]


def test_nobody_else_has_a_list_of_them() -> None:
    assert lists_of_stages('for stage in ("before", "train"):\n    pass\nx = ["a", "before"]') == [1]
    files = [path for folder in ("harness", "reports") for path in sorted((REPOSITORY / folder).rglob("*.py"))]
    assert len(files) > 100
    found = {f"{path}:{line}" for path in files for line in lists_of_stages(path.read_text(encoding="utf-8"))}
    assert {Path(each).name.partition(":")[0] for each in found} == {"stages.py"}, found
