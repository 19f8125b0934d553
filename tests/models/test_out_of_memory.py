"""Memory that runs out halves a batch and loses nothing: no answer, no token, and no number that was drawn."""

from __future__ import annotations

import pytest
import torch

from harness.models import generate
from harness.models.engines import decode, local, sampling
from harness.store.errors import ModelError
from tests.models.answering import GREEDY, SAMPLED, answers, with_

pytestmark = pytest.mark.usefixtures("one_thread")

ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("MPS backend out of memory"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 1 bytes"),
    MemoryError(),
]


def fails(monkeypatch, error, *, above):
    """Both loops raise ``error`` in steps or batches of more than ``above`` rows; returns the sizes that were tried."""
    sizes: list[int] = []
    step, whole = decode._Decoding._step, local._generate

    def tried(size):
        sizes.append(size)
        if size > above:
            raise error

    def failing_step(self):
        tried(len(self.active))
        return step(self)

    def failing_batch(model, batch, *settings):
        tried(len(batch))
        return whole(model, batch, *settings)

    monkeypatch.setattr(decode._Decoding, "_step", failing_step)
    monkeypatch.setattr(local, "_generate", failing_batch)
    return sizes


@pytest.fixture(scope="module")
def expected(policy, questions):
    return answers(policy, questions, SAMPLED)


@pytest.mark.parametrize(("loop", "error"), [("padded", ERRORS[0]), *(("rows", e) for e in ERRORS)], indirect=["loop"])
def test_a_batch_that_does_not_fit_is_halved(policy, questions, monkeypatch, expected, loop, error):
    sizes = fails(monkeypatch, error, above=2)
    assert answers(policy, questions, with_(SAMPLED, batch_size=64)) == expected
    assert max(sizes) == len(expected)
    assert all(size <= 2 for size in sizes[sizes.index(min(sizes)) :]), "it never grows again"


def test_running_out_of_memory_half_way_loses_nothing(policy, questions, monkeypatch, expected):
    """The step fails late: sequences go on from the tokens that they have, with the stream where it was."""
    step, steps = decode._Decoding._step, []

    def failing(self):
        steps.append(len(self.active))
        if len(steps) == 6:
            raise torch.OutOfMemoryError("out of memory")
        return step(self)

    monkeypatch.setattr(decode._Decoding, "_step", failing)
    assert answers(policy, questions, with_(SAMPLED, batch_size=64)) == expected
    assert max(steps[6:]) <= steps[5] // 2


def test_running_out_of_memory_while_prompts_are_computed_halves_the_batch(policy, questions, monkeypatch, expected):
    load, sizes = decode._Decoding._load, []

    def failing(self, batch):
        sizes.append(len(batch))
        if len(batch) > 2:
            raise torch.OutOfMemoryError("out of memory")
        load(self, batch)

    monkeypatch.setattr(decode._Decoding, "_load", failing)
    assert answers(policy, questions, with_(SAMPLED, batch_size=64)) == expected
    assert max(sizes) > 4


@pytest.mark.parametrize("rows", [None, 1, 3])
def test_no_more_rows_than_memory_holds_at_their_longest(policy, questions, monkeypatch, rows):
    """Where memory for so many whole rows is left; on a device where nobody knows (Apple's GPUs) all are tried."""
    expected = answers(policy, questions, GREEDY)
    load, sizes, loops = decode._Decoding._load, [], []

    def noting(self, batch):
        loops.append(self)
        sizes.append(len(self.active) + len(batch))
        load(self, batch)

    def free(device):
        held = loops[-1].rows
        return None if rows is None else int(rows * held.bytes_per_token * loops[-1].longest) - held.bytes_held

    monkeypatch.setattr(decode._Decoding, "_load", noting)
    monkeypatch.setattr(decode, "free_memory", free)
    monkeypatch.setattr(decode, "_ELSEWHERE", 1)  # one prompt at a time
    assert answers(policy, questions, with_(GREEDY, batch_size=64)) == expected
    assert max(sizes) == (len(questions) if rows is None else rows)


def test_memory_that_nobody_knows():
    assert decode.free_memory(torch.device("mps")) is None
    assert decode.free_memory(torch.device("cpu")) > 0


@pytest.mark.usefixtures("loop")
def test_running_out_of_memory_in_a_draw_loses_no_number(policy, questions, monkeypatch, expected):
    cumulated, calls = sampling._cumulated, []

    def failing(scores):
        calls.append(1)
        if len(calls) == 6:
            raise torch.OutOfMemoryError("out of memory")
        return cumulated(scores)

    monkeypatch.setattr(sampling, "_cumulated", failing)
    assert answers(policy, questions, with_(SAMPLED, batch_size=64)) == expected
    assert len(calls) > 6


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (ERRORS[0], ModelError, r"not enough memory on cpu for one answer to question 't/6' \(\d+ prompt"),
        (RuntimeError("shape mismatch"), RuntimeError, "shape mismatch"),  # not taken for memory
    ],
)
def test_errors_that_no_smaller_batch_mends(policy, questions, monkeypatch, loop, error, kind, said):
    fails(monkeypatch, error, above=0)
    with pytest.raises(kind, match=said):
        list(generate(policy, questions, GREEDY))
