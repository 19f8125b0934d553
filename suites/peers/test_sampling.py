"""Tokens a second of sampling for GRPO: each prompt computed once, beside TRL's default generation.

pytest suites/peers/test_sampling.py --rl-model SmolLM2-135M-Instruct.Q4_1.gguf --rl-data path/to/gsm8k

The faster one must draw from the same distribution: the log-probability that it gave each token when it drew it is that
of a plain forward pass, and its completions are as long and as likely as TRL's.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from pathlib import Path

import pytest
from comparison import Row, Table, circumstances
from contestant import Contestant

pytestmark = [
    pytest.mark.peer,
    pytest.mark.method("grpo"),
    pytest.mark.rl_recipe(str(Path(__file__).with_name("peers-gsm8k.toml"))),
]

ROUNDS = 4
PROMPTS = 4  # a batch; each is answered [train] num_generations times
COMPARED = 4  # one completion in so many is gone through by a plain forward pass
OURS, PLAIN = "rl-harness", "TRL"
DEVIATIONS = 4.0  # standard errors that two means of one distribution may lie apart


@dataclass(frozen=True)
class Batch:
    """``prompts`` and ``completions`` are token ids, ``log_probabilities`` what the sampler gave the drawn tokens."""

    seconds: float
    prompts: list[list[int]]
    completions: list[list[int]]
    log_probabilities: list[list[float]] | None

    @property
    def tokens(self) -> int:
        return sum(map(len, self.completions))


@pytest.fixture(scope="module")
def batches(job, environment, own, tmp_path_factory):
    """Every batch by contestant, and one more of ours with its log-probabilities."""
    folder = tmp_path_factory.mktemp("sampling")
    found = {OURS: [], PLAIN: []}
    contestants = {}
    try:
        for name in found:
            place = folder / name
            job.write(place)
            settings = own if name == OURS else environment
            contestants[name] = Contestant("sampling.py", name, place, environment=settings, log=place / "log.txt")
            contestants[name].ask(rows=[0], seed=0)  # the first call of all pays for what is made once
        for number in range(ROUNDS):
            rows = [(number * PROMPTS + place) % len(job.rows) for place in range(PROMPTS)]
            for name, contestant in contestants.items():
                found[name].append(Batch(**contestant.ask(rows=rows, seed=number)))
        noted = Batch(**contestants[OURS].ask(rows=list(range(PROMPTS)), seed=ROUNDS, note=True))
    finally:
        for contestant in contestants.values():
            contestant.close()
    return found, noted


@pytest.fixture(scope="module")
def reference(job, policy):
    """The base policy with weights as both contestants hold them: training's may be wider than an evaluation's."""
    return policy if policy.dtype == job.dtype else job.load()


def log_probabilities(policy, prompt, completion):
    """Of each token of a completion, by a plain forward pass over the one sequence."""
    import torch

    with torch.inference_mode():
        logits = policy.model(input_ids=torch.tensor([prompt + completion], device=policy.model.device)).logits[0]
    values = logits[len(prompt) - 1 : -1].float().log_softmax(dim=-1)
    return values.gather(1, torch.tensor(completion, device=values.device)[:, None]).squeeze(1).tolist()


def apart(first, other):
    """How many standard errors the means of two samples lie apart."""
    error = math.sqrt(sum(statistics.variance(each) / len(each) for each in (first, other)))
    return abs(statistics.mean(first) - statistics.mean(other)) / error if error else 0.0


def test_drawn_as_a_plain_forward_pass_says(batches, reference, device):
    from parting import TIES

    _, noted = batches
    agrees = TIES["float32" if device == "cpu" else "bfloat16"]  # elsewhere the trainer's products are of bfloat16
    largest = 0.0
    for prompt, completion, drawn in zip(noted.prompts, noted.completions, noted.log_probabilities, strict=True):
        plain = log_probabilities(reference, prompt, completion)
        largest = max(largest, *(abs(a - b) for a, b in zip(drawn, plain, strict=True)))
    assert largest <= agrees, f"the largest difference of a log-probability is {largest:.2g}"


def test_table(batches, policy, reference, job, rl_run, environment, publish):
    """The table of ratios; both contestants' completions are one distribution's."""
    found, _ = batches
    means = {
        name: [
            statistics.mean(log_probabilities(reference, prompt, completion))
            for batch in every
            for prompt, completion in list(zip(batch.prompts, batch.completions, strict=True))[::COMPARED]
        ]
        for name, every in found.items()
    }
    lengths = {name: [len(each) for batch in every for each in batch.completions] for name, every in found.items()}
    rows = [
        Row(
            name,
            [batch.tokens / batch.seconds for batch in every],
            {
                "tokens a completion": f"{statistics.mean(lengths[name]):.1f}",
                "mean log-probability": f"{statistics.mean(means[name]):.4f}",
            },
        )
        for name, every in found.items()
    ]
    distances = {"lengths": apart(*lengths.values()), "log-probabilities": apart(*means.values())}
    said = ", ".join(f"{what} {value:.1f} standard errors apart" for what, value in distances.items())
    table = Table(
        title="sampling for GRPO beside TRL's default generation",
        name="sampling",
        measure="tokens/s",
        rows=rows,
        more_is_better=True,
        conditions=circumstances(
            environment,
            model=Path(policy.name).name,
            prompts=PROMPTS,
            **{
                "completions a prompt": rl_run.recipe.train.arguments["num_generations"],
                "at most": f"{rl_run.recipe.train.arguments.get('max_completion_length', 256)} new tokens",
            },
        ),
        notes=[f"one distribution: {said}"],
    )
    publish(table)
    assert max(distances.values()) <= DEVIATIONS, said
    assert table.ratio(PLAIN) >= 1, f"TRL's own generation is {1 / table.ratio(PLAIN):.2f} times as fast"
