"""Continues many prompts at once: finished sequences leave, waiting ones enter, and a prompt is computed once.

``model.generate`` computes a batch until its longest answer ends, and each of a question's K completions computes the
prompt again. On GSM8K, where answers of up to 400 tokens average 235, that is two fifths of the work. What a greedy
answer repeats is drafted, see :mod:`harness.models.engines.drafts`.
"""

from __future__ import annotations

import contextlib
import inspect
import itertools
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
import transformers
from transformers import DynamicCache

from harness.models.device import release_memory
from harness.models.engines.batch_size import BatchSize
from harness.models.engines.cache import Rows, rows_for
from harness.models.engines.drafts import Lookup, draft_length
from harness.models.engines.memory import free_memory, out_of_memory
from harness.models.engines.packed import Packing, attending_packed, can_pack

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from harness.models.engines.sampling import Sampler

_PREFILL_TOKENS = {"cuda": 8192}  # prompts are computed together up to so many tokens, padding included
_ELSEWHERE = 2048  # callers sort by length: small batches of them have little padding
_SHARED_PREFIX = 16  # a beginning of so many tokens that all prompts share is computed once


class TooLargeError(Exception):
    """Not even one sequence fits into memory; ``index`` is its number."""

    def __init__(self, index: int) -> None:
        self.index = index


@dataclass(slots=True)
class _Sequence:
    index: int
    prompt: list[int]
    new: list[int] = field(default_factory=list)
    lookup: Lookup | None = None

    @property
    def held(self) -> int:
        """Tokens whose keys and values are computed before the next step, which computes the last one."""
        return len(self.prompt) + len(self.new) - 1

    def add(self, tokens: Sequence[int], ends: Collection[int], most: int) -> bool:
        """Take new tokens; returns whether the sequence is finished."""
        for token in tokens:
            self.new.append(token)
            if token in ends or len(self.new) == most:
                return True
        if self.lookup is not None:
            self.lookup.extend(tokens)
        return False


# Architectures (``config.model_type``) in which every layer attends to all earlier tokens by the positions and the mask
# that it is given; each is held against ``model.generate`` in tests. A signature does not tell: doge bends its mask by
# the values, and BERT looks both ways, and both would answer wrongly without an error.
# fmt: off
KNOWN = frozenset({
    "apertus", "arcee", "bitnet", "cohere", "cohere2", "ernie4_5", "exaone4", "gemma", "gemma2", "gemma3_text", "glm",
    "glm4", "glm4_moe", "gpt2", "gpt_neox", "gpt_oss", "granite", "granitemoe", "hunyuan_v1_dense", "llama",
    "ministral", "ministral3", "mistral", "mixtral", "nemotron", "olmo", "olmo2", "olmo3", "olmoe", "phi", "phi3",
    "phimoe", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "seed_oss", "smollm3", "stablelm", "starcoder2",
})
# fmt: on


def why_not(model: Any, longest: int) -> str | None:
    """Why :func:`decode` cannot continue this model's sequences of at most ``longest`` tokens; ``None`` if it can."""
    model = plain(model)
    kind, attention = model.config.model_type, getattr(model.config, "_attn_implementation", None)
    if kind not in KNOWN:
        return f"models of type {kind} are not known to the default engine's loop"
    if attention not in ("sdpa", "eager"):
        return f"the loop does not know {attention} attention"
    if "position_ids" not in (takes := inspect.signature(type(model).forward).parameters):
        return f"{type(model).__name__} takes no position_ids in transformers {transformers.__version__}"
    if _cache_argument(takes) is None:
        return f"{type(model).__name__} takes no cache that is known in transformers {transformers.__version__}"
    if rows_for(model.config, longest) is None:
        return f"its layers look back less far than sequences of {longest} tokens, or keep a state of their own"
    return None


def _cache_argument(takes: Collection[str]) -> str | None:
    """What a model calls its cache: ``past_key_values`` up to transformers 5.23."""
    return next((name for name in ("cache", "past_key_values") if name in takes), None)


def plain(model: Any) -> Any:
    """The transformers model within a peft wrapper; its adapter's layers are part of it."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def decode(
    model: Any,
    prompts: Sequence[list[int]],
    sampler: Sampler,
    ends: Collection[int],
    max_new_tokens: int,
    size: BatchSize,
    *,
    drafts: bool = False,
) -> Iterator[list[tuple[int, list[int]]]]:
    """Continue each prompt (a list of token ids) until one of ``ends`` or ``max_new_tokens``.

    Yields finished ones as ``(number of the prompt, new ids with the end)``, as they come. Equal prompts that follow
    one another are computed once. The model's mode (``eval`` or ``train``) is the caller's affair. With ``drafts`` a
    sequence takes several tokens a step where it repeats itself, for models that :mod:`.packed` knows; ``sampler`` must
    not mind scores that are not taken.

    Raises:
        TooLargeError: memory does not hold one sequence.
    """
    yield from _Decoding(plain(model), prompts, sampler, frozenset(ends), max_new_tokens, size, drafts).run()


class _Decoding:
    def __init__(
        self,
        model: Any,
        prompts: Sequence[list[int]],
        sampler: Sampler,
        ends: frozenset[int],
        max_new_tokens: int,
        size: BatchSize,
        drafts: bool,
    ) -> None:
        self.model, self.sampler, self.ends, self.max_new_tokens, self.size = model, sampler, ends, max_new_tokens, size
        self.waiting = deque(_Sequence(index, prompt) for index, prompt in enumerate(prompts))
        self.active: list[_Sequence] = []
        self.loading = 0  # sequences whose prompts are being computed
        self.longest = max(map(len, prompts), default=0) + max_new_tokens
        self.dtype, self.device = model.dtype, model.device
        self.adds_mask = model.config._attn_implementation == "eager"
        takes = inspect.signature(type(model).forward).parameters
        self.keeps_logits = "logits_to_keep" in takes
        self.cache_argument = _cache_argument(takes) or ""
        self.drafts = drafts and can_pack(model.config)
        self.prefix_ids = _common_beginning(prompts)
        self._forget()

    def run(self) -> Iterator[list[tuple[int, list[int]]]]:
        while self.waiting or self.active:
            try:
                if self.waiting and self._has_room():
                    self._admit()
                started = time.perf_counter()
                tokens = self._step()
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                tokens = None
            if tokens is None:  # outside of the handler, whose traceback keeps the step's tensors alive
                self._retreat()
                continue
            seconds, taken = time.perf_counter() - started, sum(map(len, tokens))
            self.size.observe(len(self.active), taken, seconds, waiting=len(self.waiting))
            if done := self._take(tokens):
                yield done

    def _has_room(self) -> bool:
        """Whether enough rows are free: computing prompts a few at a time costs more than rows that wait a little."""
        free = self.size.limit - len(self.active)
        return not self.active or free >= min(len(self.waiting), max(1, self.size.limit // 8))

    def _forget(self) -> None:
        rows = rows_for(self.model.config, self.longest)
        assert rows is not None, "why_not says which models this works for"
        self.rows: Rows = rows
        self.prefix: DynamicCache | None = None

    def _retreat(self) -> None:
        """Memory ran out: halve the batch, and start what was under way again from where it stood."""
        first = (self.active or self.waiting)[0]
        tried = max(1, min(self.size.limit, len(self.active) + self.loading))
        self.waiting.extendleft(reversed(self.active))
        self.active, self.loading = [], 0
        self._forget()
        release_memory()
        if not self.size.shrink(tried):
            raise TooLargeError(first.index)

    @torch.no_grad()
    def _admit(self) -> None:
        """Fill free rows: compute waiting prompts, all but their last token, which the next step takes."""
        most = _PREFILL_TOKENS.get(self.device.type, _ELSEWHERE)
        while self.waiting and len(self.active) < self.size.limit:
            batch = [self.waiting[0]]
            distinct, widest = 1, self.waiting[0].held
            for sequence in itertools.islice(self.waiting, 1, self.size.limit - len(self.active)):
                new = bool(sequence.new) or sequence.prompt != batch[-1].prompt
                widest = max(widest, sequence.held)
                if new and (distinct + 1) * widest > most:
                    break
                distinct += new
                batch.append(sequence)
            self.loading = len(batch)
            self._load(batch)
            self.loading = 0
            for _ in batch:
                self.active.append(self.waiting.popleft())
            self._fit()

    def _fit(self) -> None:
        """No more rows than memory holds when each is as long as the longest may get: buffers grow with their rows."""
        per_row, free = self.rows.bytes_per_token * self.longest, free_memory(self.device)
        if per_row and free is not None:
            self.size.fit((free + self.rows.bytes_held) // per_row)

    def _load(self, batch: Sequence[_Sequence]) -> None:
        contents: list[list[int]] = []
        source: list[int] = []
        for sequence in batch:
            ids = (sequence.prompt + sequence.new)[:-1]
            if not contents or contents[-1] != ids:
                contents.append(ids)
            source.append(len(contents) - 1)
        if max(map(len, contents)) == 0:
            return
        filled = self._computed(contents)
        self.rows.load(filled, torch.tensor(source, device=self.device), at=len(self.active))

    def _computed(self, contents: Sequence[list[int]]) -> DynamicCache:
        """Keys and values of token lists, one a row, filled up on the right: causal attention never looks there."""
        shared = len(self.prefix_ids) if all(len(ids) > len(self.prefix_ids) for ids in contents) else 0
        cache = DynamicCache()
        if shared:
            for number, layer in enumerate(self._beginning().layers):
                cache.update(
                    layer.keys.expand(len(contents), -1, -1, -1), layer.values.expand(len(contents), -1, -1, -1), number
                )
        width = max(map(len, contents)) - shared
        rest = [ids[shared:] + [0] * (width + shared - len(ids)) for ids in contents]
        self._forward(rest, shared, cache)
        return cache

    def _beginning(self) -> DynamicCache:
        if self.prefix is None:
            self.prefix = DynamicCache()
            self._forward([self.prefix_ids], 0, self.prefix)
        return self.prefix

    def _forward(self, ids: list[list[int]], first: int, cache: Any) -> None:
        tokens = torch.tensor(ids, device=self.device)
        positions = torch.arange(first, first + tokens.shape[1], device=self.device).expand(len(ids), -1)
        self.model(
            input_ids=tokens,
            position_ids=positions,
            use_cache=True,
            **{self.cache_argument: cache},
            **({"logits_to_keep": 1} if self.keeps_logits else {}),
        )

    @torch.no_grad()
    def _step(self) -> list[list[int]]:
        """The next token of every active sequence, or several, where drafts of them are what the model says."""
        drafted = draft_length(len(self.active)) if self.drafts else 0
        fed = [self._fed(sequence, drafted) for sequence in self.active]
        new = Packing([sequence.held for sequence in self.active], [len(ids) for ids in fed], self.device)
        self.rows.advance(new.owners, new.positions, new.rows, new.width)
        tokens = torch.tensor([token for ids in fed for token in ids], device=self.device)
        if new.most == 1:
            scores = self._scores(tokens[:, None], new.positions[:, None], new.mask)
        else:
            with attending_packed(self.model):
                scores = self._scores(tokens[None], new.positions[None], new.mask, packing=new)
        owners = [sequence.index for sequence, ids in zip(self.active, fed, strict=True) for _ in ids]
        said = iter(self.sampler(scores, owners).tolist())
        return [_agreed(ids[1:], list(itertools.islice(said, len(ids)))) for ids in fed]

    def _fed(self, sequence: _Sequence, drafted: int) -> list[int]:
        """What a step computes of a sequence: its last token, and a draft of the next ones."""
        last = (sequence.new or sequence.prompt)[-1:]
        most = min(drafted, self.max_new_tokens - len(sequence.new) - 1)
        if most <= 0:
            return last
        if sequence.lookup is None:
            sequence.lookup = Lookup(sequence.prompt + sequence.new)
        return last + sequence.lookup.draft(most)

    def _scores(self, tokens: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor, **more: Any) -> torch.Tensor:
        """Scores (new tokens, vocabulary) of what follows each token."""
        if self.adds_mask:
            mask = torch.zeros(mask.shape, device=self.device).masked_fill_(~mask, torch.finfo(self.dtype).min)
        logits: torch.Tensor = self.model(
            input_ids=tokens,
            attention_mask=mask,
            position_ids=positions,
            use_cache=True,
            **{self.cache_argument: self.rows},
            **more,
        ).logits
        return logits.flatten(0, 1)

    def _take(self, tokens: Sequence[Sequence[int]]) -> list[tuple[int, list[int]]]:
        """Append the new tokens; finished sequences leave, and the last row moves into the place of each."""
        done = []
        for row in reversed(range(len(self.active))):
            sequence = self.active[row]
            if sequence.add(tokens[row], self.ends, self.max_new_tokens):
                done.append((sequence.index, sequence.new))
                last = self.active.pop()
                if last is not sequence:
                    self.active[row] = last
                    self.rows.move(len(self.active), row, last.held)
        return done[::-1]


def _agreed(draft: list[int], said: list[int]) -> list[int]:
    """What the model said: after a token that it did not draft, the rest of the draft does not count."""
    right = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(draft, said, strict=False)))
    return said[: right + 1]


def _common_beginning(prompts: Sequence[list[int]]) -> list[int]:
    """What all prompts begin with; empty where that is too little to bother, or where there is but one prompt."""
    first, last = min(prompts, default=[]), max(prompts, default=[])
    if first == last:
        return []
    same = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first[:-1], last, strict=False)))
    return first[:same] if same >= _SHARED_PREFIX else []


@contextlib.contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """A model that is being trained is in training mode, with dropout; answers are given without."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
