"""What a training's headline says, and why."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from made_up_runs import MadeUp, write_run
from report_pages import page_of, words_of

from harness.report.present import outcome_told
from harness.report.read import read_run
from harness.report.training import soundness
from harness.store.run_files import SIGNAL, VERDICTS, Verdicts
from tests.run_files import signal, verdict

if TYPE_CHECKING:
    from pathlib import Path

WARNING = {"check": "truncation", "key": "entropy", "step": 2, "level": "warning", "sentence": "Entropy is odd."}
FATAL = WARNING | {"level": "fatal", "step": 3, "sentence": "Entropy fell to 0."}
OK = {"reward": 0.5, "loss": 0.0, "frac_reward_zero_std": 0.1, "completions/clipped_ratio": 0.0}


def said(run: Path, expected: float | None = 0.05) -> tuple[str, str]:
    read = read_run(run)
    assert read.training is not None
    sound = soundness(read, read.training, {} if expected is None else {1: expected})
    return sound.kind, " ".join(sound.sentences)


@pytest.mark.parametrize(
    ("changed", "health", "kind", "words"),
    [
        ({}, None, "good", "3 steps, every logged loss and gradient finite."),
        ({}, [], "good", "and no health check spoke"),
        ({}, [WARNING], "warn", "the health checks gave one warning, first at step 2"),
        ({}, [WARNING, FATAL], "bad", "was fatal: Entropy fell to 0."),
        ({"loss": math.nan}, None, "bad", "no finite number at step 1 and at 2 more"),
        ({"grad_norm": None}, None, "bad", "no finite number at step 1"),
        ({"frac_reward_zero_std": 0.6}, None, "good", "60 % of the groups were without signal"),
        ({"frac_reward_zero_std": 0.31}, None, "good", "by chance alone 5 %"),
        ({"completions/clipped_ratio": 0.2}, None, "good", "20 % of the completions reached the token limit"),
    ],
)
def test_headline(tmp_path: Path, changed: dict[str, Any], health: Any, kind: str, words: str) -> None:
    run = write_run(tmp_path, MadeUp(steps=3, health=health))
    rows = [{"step": step} | OK | changed for step in (1, 2, 3)]
    (run / "train" / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found, text = said(run)
    assert (found, words in text.replace("\u00a0", " ")) == (kind, True), text


def test_a_verdict_or_an_error_comes_first(tmp_path: Path) -> None:
    run = write_run(tmp_path, MadeUp(steps=3, health=[WARNING]))
    unsound = verdict("training", "UNSOUND", "every group had equal rewards")
    VERDICTS.write(run, Verdicts("made-up", 0, {}, (unsound,)))
    assert said(run)[0] == "bad"
    assert said(run)[1].startswith("Every group had equal rewards.")
    (run / "train" / "error.txt").write_text("boom")
    assert said(run)[1].startswith("Training failed")


def test_a_pass_with_a_finding_is_a_reservation_everywhere(tmp_path: Path) -> None:
    """A training in which most groups taught nothing gets no tick."""
    run = write_run(tmp_path, MadeUp(steps=3, health=[]))
    plain = verdict("training", "OK", "every logged loss is finite")
    VERDICTS.write(run, Verdicts("made-up", 0, {}, (plain,)))
    assert "Training was sound" in words_of(page_of(run, output=tmp_path / "good"))
    found = replace(plain, numbers={"finding": "most_groups_equal"})
    VERDICTS.write(run, Verdicts("made-up", 0, {}, (found,)))
    words = words_of(page_of(run, output=tmp_path / "doubtful"))
    assert "Training was sound" not in words
    assert "Training: sound with reservations" in words
    assert outcome_told([found]).mark == "!"


def test_nothing_logged_is_open(tmp_path: Path) -> None:
    assert said(write_run(tmp_path, MadeUp(steps=0)), None) == ("open", "No step was logged.")


def test_the_signal_check_is_held_against_what_came(tmp_path: Path) -> None:
    run = write_run(tmp_path, MadeUp(steps=3))
    SIGNAL.write(run, signal(zero_std_share=0.125))
    assert "the signal check before training expected 12.5" in said(run)[1]


def test_the_page_says_it_and_links_to_the_chart(tmp_path: Path) -> None:
    page = page_of(write_run(tmp_path, MadeUp(steps=3, health=[WARNING, FATAL])), output=tmp_path)
    text = words_of(page)
    assert "Not sound." in text
    listed = text[text.index("What the health checks said") :]
    assert listed.index("Entropy is odd.") < listed.index("Entropy fell to 0.") < listed.index("Reward")
    place = page.split('id="chart-')[1:]
    entropy = next(part.split('"')[0] for part in place if "<b>Entropy</b>" in part)
    assert page.count(f'href="#chart-{entropy}"') == 2
    assert "health check, fatal: step 3" in text
