"""Questions a second: this project's evaluation beside lm-evaluation-harness and a notebook's loop.

pytest suites/peers/test_evaluation.py --rl-model SmolLM2-135M-Instruct.Q4_1.gguf --rl-data path/to/gsm8k

All answer the same chat prompts greedily with the same weights, threads and memory, each in a process of its own,
taking turns. What answers one question at a time is asked every fourth question, a third of those each round: its time
is a sum over questions, so that of all is estimated from it by the number of tokens. The others are asked all of them.
"""

from __future__ import annotations

import importlib.util
import json
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from comparison import Row, Table, circumstances
from contestant import Contestant

pytestmark = [pytest.mark.peer, pytest.mark.rl_recipe(str(Path(__file__).with_name("peers-gsm8k.toml")))]

ROUNDS = 3
ALONE = 4  # one of so many questions is asked one at a time
SIZES = (8, 16, 32, 64)
OURS, LOOP, DEFAULT = "rl-harness", "one at a time", "lm-eval, batch size 1 (default)"


@dataclass(frozen=True)
class Measured:
    """By contestant: ``seconds``, what each round took, for all questions; ``texts``, its answers by the question's
    place; ``threads``."""

    seconds: dict[str, list[float]]
    texts: dict[str, dict[int, str]]
    threads: dict[str, int]


@pytest.fixture(scope="module")
def contest(policy, questions, recipe, device, weights, environment, own, tmp_path_factory):
    """Everyone's times and answers; lm-eval's best size of :func:`sizes` is found first."""
    folder = tmp_path_factory.mktemp("contest")
    every = list(range(len(questions.test)))
    job = folder / "job.json"
    job.write_text(json.dumps(job_of(policy, questions, recipe, device, weights)))
    with ExitStack() as stack:

        def enter(name):
            log = folder / f"{name}.log"
            settings = own if name == OURS else environment
            contestant = stack.enter_context(Contestant("answering.py", name, job, environment=settings, log=log))
            contestant.ask(questions=every[:1])  # the first call of all pays for what is made once
            return contestant

        ours, loop = enter(OURS), enter(LOOP)
        seconds, texts, threads = {}, {}, {}
        entries = {OURS: (ours, None), LOOP: (loop, 1)}
        if importlib.util.find_spec("lm_eval") is not None:
            theirs = enter("lm-eval")
            tried = {size: theirs.ask(questions=every, batch_size=size)["seconds"] for size in sizes(len(every))}
            best = min(tried, key=tried.__getitem__)
            seconds |= {f"lm-eval, batch size {size}": [took] for size, took in tried.items() if size != best}
            entries |= {DEFAULT: (theirs, 1), f"lm-eval, batch size {best} (best)": (theirs, best)}
        for number in range(ROUNDS):
            for name, (contestant, size) in entries.items():
                asked = every[::ALONE][number::ROUNDS] if size == 1 else every
                if not asked:
                    continue
                found = contestant.ask(questions=asked, batch_size=size)
                took = seconds.setdefault(name, [])
                took[:] = [sum(took) + found["seconds"]] if size == 1 else [*took, found["seconds"]]
                texts.setdefault(name, {}).update(zip(asked, found["texts"], strict=True))
                threads[name] = found["threads"]
    for name in (each for each, (_, size) in entries.items() if size == 1):
        whole, part = (sum(lengths(policy, texts[each])) for each in (OURS, name))
        seconds[name] = [took * whole / part for took in seconds[name]]
    return Measured({name: seconds[name] for name in dict.fromkeys([*entries, *seconds])}, texts, threads)


def lengths(policy, texts):
    """Tokens of each answer."""
    return [len(policy.tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts.values()]


def sizes(questions):
    """Those of :data:`SIZES` that so many questions can fill. Not lm-eval's ``"auto"``: it looks for the largest that
    memory holds, from 64 down, which on a CPU takes longer than all of these together."""
    return [size for size in SIZES if size <= questions] or [questions]


def job_of(policy, questions, recipe, device, weights):
    chats = [policy.adapt(question.prompt) for question in questions.test]
    longest = max(len(policy.encode(question.prompt)) for question in questions.test)
    return {
        "model": str(weights),
        "device": device,
        "dtype": policy.dtype,
        "chats": chats,
        "prompts": [
            policy.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True) for chat in chats
        ],
        "max_new_tokens": recipe.evaluate.max_new_tokens,
        "max_length": longest + recipe.evaluate.max_new_tokens,
        "decoding": recipe.evaluate.model_dump(),
    }


@dataclass(frozen=True)
class Difference:
    """Where an answer parts from ours, after so many tokens, and how far apart the two log-probabilities are there."""

    place: int
    gap: float
    tie: bool

    @property
    def sentence(self) -> str:
        return f"after {self.place} tokens, log-probabilities {self.gap:.2g} apart, {'a' if self.tie else 'no'} tie"


@pytest.fixture(scope="module")
def differing(contest, policy, questions):
    """By contestant, where and why each answer that is not ours differs."""
    from parting import TIES, parting

    found = {name: [] for name in contest.texts if name != OURS}
    for number, question in enumerate(questions.test):
        ours = contest.texts[OURS][number]
        for name, differences in found.items():
            theirs = contest.texts[name].get(number, ours)
            if theirs != ours:
                place, gap = parting(policy, policy.encode(question.prompt), ours, theirs)
                differences.append(Difference(place, gap, gap <= TIES[policy.dtype]))
    return found


def test_table(contest, differing, policy, questions, recipe, environment, publish):
    """The table of ratios. Nothing is asked of them but that this project is not the slower one."""
    count = len(questions.test)
    tokens = sum(lengths(policy, contest.texts[OURS]))
    rows = []
    for name, took in contest.seconds.items():
        row = Row(name, [count / seconds for seconds in took])
        cells = {"tokens/s": f"{tokens / count * row.median:.0f}"} if name in contest.texts else {}
        if name in differing:
            ties = sum(each.tie for each in differing[name])
            cells["answers that differ"] = (
                f"{len(differing[name])} of {len(contest.texts[name])}, {ties} by a numeric tie"
            )
        rows.append(Row(name, row.rounds, cells))
    table = Table(
        title="evaluation beside its peers",
        name="evaluation",
        measure="questions/s",
        rows=rows,
        more_is_better=True,
        conditions=circumstances(
            environment,
            model=Path(policy.name).name,
            questions=count,
            **{"at most": f"{recipe.evaluate.max_new_tokens} new tokens", "greedy": "yes"},
        ),
        notes=[f"{name}: {each.sentence}" for name, found in differing.items() for each in found],
    )
    publish(table)
    assert set(contest.threads.values()) == {int(environment["OMP_NUM_THREADS"])}, contest.threads
    slower = [row.name for row in rows[1:] if table.ratio(row.name) < 1]
    assert not slower, f"faster than this project: {', '.join(slower)}"


def test_answers_differ_by_numeric_ties_alone(differing):
    """Batches of other shapes round otherwise; nothing else may tell one contestant's greedy answers from another's."""
    real = [f"{name}: {each.sentence}" for name, found in differing.items() for each in found if not each.tie]
    assert not real, "\n".join(real)


def test_lm_eval_took_part():
    """Its rows are left out of the table where it is not installed."""
    pytest.importorskip("lm_eval", reason="lm-evaluation-harness is not installed: pip install 'rl-harness[peers]'")
