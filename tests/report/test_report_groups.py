"""Groups of sampled completions: counted, packed, and expected by chance."""

from __future__ import annotations

import itertools
import json
import statistics
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_runs import MadeUp, write_run
from made_up_training import completions_of, sampled_at
from report_pages import page_of, words_of

from harness.report.groups import (
    FOLD_AT,
    GroupsPage,
    Row,
    Sampled,
    agreement,
    differ,
    expected_by_step,
    expected_zero_std,
    groups_of,
    groups_page,
    samples_of,
    scan,
    thinned,
)
from harness.report.pack import unpack

if TYPE_CHECKING:
    from pathlib import Path


def scanned(run: Path) -> Sampled:
    found = scan(run / "train")
    assert found is not None
    return found


def rows_of(*groups: list[float | None]) -> list[Row]:
    return [Row(1, number, 0, reward, False, 0, 0, 0) for number, group in enumerate(groups) for reward in group]


def unpacked(run: Path, **options: int) -> tuple[Any, list[Any]]:
    index, *blocks = [unpack(packed) for _, packed in groups_page(scanned(run), **options).blocks]
    return index, blocks


def size_of(page: GroupsPage) -> int:
    return sum(len(packed) for _, packed in page.blocks[1:])


def test_packed_blocks_hold_every_completion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.report.groups.BLOCK", 800)
    run = write_run(tmp_path, MadeUp(steps=9))
    index, blocks = unpacked(run)
    assert len(blocks) > 2
    found = []
    for step, block, place, questions, signal, mean in index["steps"]:
        groups = blocks[block][place]
        totals = [total for group in groups for total in group["totals"]]
        assert mean == pytest.approx(statistics.fmean(totals), abs=1e-4)
        assert [group["question"] for group in groups] == questions
        assert signal == sum(len(set(group["totals"])) > 1 for group in groups)
        for group in groups:
            question, _, truth = index["questions"][group["question"]]
            for text, total, advantage in zip(group["texts"], group["totals"], group["advantages"], strict=True):
                found.append((step, question, truth, text, total, advantage))
    assert found == [
        (x["step"], x["question_id"], x["ground_truth"], x["completion"], x["reward"], round(x["advantage"], 4))
        for x in completions_of(run)
    ]


def test_too_much_text_leaves_out_evenly_spaced_steps(tmp_path: Path) -> None:
    run = write_run(tmp_path, MadeUp(steps=40))
    whole = groups_page(scanned(run))
    size = size_of(whole)
    index, _ = unpacked(run, budget=size // 3)
    kept = [step for step, *_ in index["steps"]]
    assert (kept[0], kept[-1]) == (1, 40)
    assert len(kept) < 30
    smaller = groups_page(scanned(run), budget=size // 3)
    assert smaller.packed_steps == len(kept) < smaller.steps == 40
    assert size_of(smaller) < size * 0.6


@given(st.integers(1, 200), st.integers(0, 220))
def test_thinning_keeps_the_ends(count: int, most: int) -> None:
    kept = thinned(range(count), most)
    assert (kept[0], kept[-1]) == (0, count - 1)
    assert len(kept) == min(count, max(2, most))
    assert kept == sorted(set(kept))
    gaps = {after - before for before, after in itertools.pairwise(kept)}
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_lines_in_any_order_are_one_step(tmp_path: Path) -> None:
    run = write_run(tmp_path, MadeUp(steps=4))
    path = run / "train" / "completions.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[::2], *lines[1::2], '{"step": 9, "torn']))
    sampled = scanned(run)
    assert list(sampled.steps) == [1, 2, 3, 4]
    assert {len(groups_of(rows)) for rows in sampled.steps.values()} == {3}


@pytest.mark.parametrize("text", ["", "{torn", "not json\n"])
def test_nothing_sampled_is_no_section(tmp_path: Path, text: str) -> None:
    run = write_run(tmp_path, MadeUp(steps=2))
    (run / "train" / "completions.jsonl").write_text(text)
    assert 'id="groups"' not in page_of(run, output=tmp_path)


def test_a_file_that_goes_away_gives_nothing(tmp_path: Path) -> None:
    run = write_run(tmp_path, MadeUp(steps=2))
    sampled = scanned(run)
    (run / "train" / "completions.jsonl").unlink()
    assert samples_of(sampled, 1) == []
    assert scan(run / "train") is None


def test_invisible_and_endless_texts_are_told(tmp_path: Path) -> None:
    long = "x" * (FOLD_AT + 1000)
    run = write_run(
        tmp_path, MadeUp(steps=1, sampled=lambda question, step, sample: "a\u202eb\x00" if sample else long)
    )
    _, [[step]] = unpacked(run)
    head, left_out, tail = step[0]["texts"][0]
    assert len(head) + left_out + len(tail) == len(long)
    assert left_out == 1000
    assert step[0]["texts"][1] == "a\u202eb\x00", "the page's script makes it visible"


def test_a_line_that_does_not_fit_is_a_note(tmp_path: Path) -> None:
    run = write_run(tmp_path, MadeUp(steps=2))
    rows = completions_of(run)
    rows[1] = {"step": 1}
    (run / "train" / "completions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = words_of(page_of(run, output=tmp_path))
    assert "train/completions.jsonl:2: group: is missing; run again with --rl-fresh" in text


# --- groups in numbers


@pytest.mark.parametrize(
    ("rewards", "signal"),
    [
        ([], False),
        ([None], False),
        ([1.0], False),
        ([1.0, 1.0], False),
        ([0.1 + 0.2, 0.3], False),
        ([0.0, 1.0], True),
        ([None, 0.0, 1.0], True),
    ],
)
def test_signal(rewards: list[float | None], signal: bool) -> None:
    assert differ(rewards) is signal


@given(st.integers(1, 30), st.integers(1, 4), st.integers(2, 9))
def test_made_up_advantages_sum_to_nothing(step: int, groups: int, size: int) -> None:
    sums: dict[str, float] = {}
    for line in sampled_at(MadeUp(steps=30, groups=groups, group_size=size), step):
        sums[line["group"]] = sums.get(line["group"], 0.0) + line["advantage"]
    assert all(abs(total) < 1e-9 for total in sums.values())


# --- what chance would do

GROUPS = st.lists(st.lists(st.sampled_from([0.0, 0.2, 1.0, 1.2, None]), min_size=1, max_size=9), min_size=1, max_size=6)


@given(GROUPS)
def test_expected_share_is_a_share(groups: list[list[float | None]]) -> None:
    share = expected_zero_std(rows_of(*groups))
    known = {reward for group in groups for reward in group if reward is not None}
    assert (share is None) == (not known)
    assert share is None or 0 <= share <= 1
    if len(known) == 1:
        assert share == 1


@given(st.integers(0, 8), st.integers(1, 8))
def test_a_binary_reward_gives_the_known_formula(right: int, groups: int) -> None:
    group: list[float | None] = [1.0] * right + [0.0] * (8 - right)
    p = right / 8
    assert expected_zero_std(rows_of(*[group] * groups)) == pytest.approx(p**8 + (1 - p) ** 8)


@pytest.mark.parametrize(("shares", "draws", "value"), [([1.0], 8, 1.0), ([0.5, 0.5], 2, 0.5), ([0.2] * 5, 2, 0.2)])
def test_agreement(shares: list[float], draws: int, value: float) -> None:
    assert agreement(shares, draws) == pytest.approx(value)


def test_expected_share_is_a_floor_when_questions_differ(tmp_path: Path) -> None:
    """One question always right and one always wrong: no group has signal, chance would leave only few without."""
    assert expected_zero_std(rows_of([1.0] * 4, [0.0] * 4)) == pytest.approx(2 * 0.5**4)
    run = write_run(tmp_path, MadeUp(steps=6))
    assert list(expected_by_step(scanned(run))) == [1, 2, 3, 4, 5, 6]
    assert expected_by_step(None) == {}
