"""Continues many prompts at once: finished sequences leave, waiting ones enter, and a prompt is computed once.

``model.generate`` computes a batch until its longest answer ends, and each of a question's K completions computes the
prompt again. On GSM8K, where answers of up to 400 tokens average 235, that is two fifths of the work.

What it leans on in transformers, all in this file: a model's ``forward`` takes ``position_ids``, a mask of shape (rows,
1, tokens, keys) and a cache; ``Cache`` hands on to ``CacheLayerMixin``, one a layer (:class:`Rows`); and
``DynamicCache`` says by its layers which of them look back how far (:func:`rows_for`).
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
from transformers import Cache, DynamicCache
from transformers.cache_utils import CacheLayerMixin, DynamicLayer, DynamicSlidingWindowLayer

from harness.models.device import release_memory
from harness.models.engines.machine import BatchSize, free_memory, laid_out, out_of_memory

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from harness.models.engines.sampling import Sampler

_PREFILL_TOKENS = {"cuda": 8192}  # prompts are computed together up to so many tokens, padding included
_ELSEWHERE = 2048  # callers sort by length: small batches of them have little padding
_SHARED_PREFIX = 16  # a beginning of so many tokens that all prompts share is computed once
_COLUMNS_AT_ONCE = 128  # buffers grow by so many tokens: growing copies them


class TooLargeError(Exception):
    """Not even one sequence fits into memory; ``index`` is its number."""

    def __init__(self, index: int) -> None:
        self.index = index


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
    model = unwrapped(model)
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


def unwrapped(model: Any) -> Any:
    """The transformers model within a peft wrapper; its adapter's layers are part of it."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def decode(
    model: Any,
    prompts: Sequence[list[int]],
    sampler: Sampler,
    ends: Collection[int],
    max_new_tokens: int,
    size: BatchSize,
) -> Iterator[list[tuple[int, list[int]]]]:
    """Continue each prompt (a list of token ids) until one of ``ends`` or ``max_new_tokens``.

    Yields after each step the ones that it finished, ``(number of the prompt, new ids with the end)``. Equal prompts
    that follow one another are computed once. The model's mode (``eval`` or ``train``) is the caller's affair.

    Raises:
        TooLargeError: memory does not hold one sequence.
    """
    model = unwrapped(model)
    with laid_out(model):
        yield from _Decoding(model, prompts, sampler, frozenset(ends), max_new_tokens, size).run()


@dataclass(slots=True)
class _Sequence:
    index: int
    prompt: list[int]
    new: list[int] = field(default_factory=list)

    @property
    def held(self) -> int:
        """Tokens whose keys and values are computed before the next step, which computes the last one."""
        return len(self.prompt) + len(self.new) - 1


class _Decoding:
    def __init__(
        self,
        model: Any,
        prompts: Sequence[list[int]],
        sampler: Sampler,
        ends: frozenset[int],
        max_new_tokens: int,
        size: BatchSize,
    ) -> None:
        self.model, self.sampler, self.ends, self.max_new_tokens, self.size = model, sampler, ends, max_new_tokens, size
        self.waiting = deque(_Sequence(index, prompt) for index, prompt in enumerate(prompts))
        self.active: list[_Sequence] = []
        self.loading = 0  # sequences whose prompts are being computed
        self.longest = max(map(len, prompts), default=0) + max_new_tokens
        self.dtype, self.device = model.dtype, model.device
        self.adds_mask = model.config._attn_implementation == "eager"
        takes = inspect.signature(type(model).forward).parameters
        self.keeps_logits = {"logits_to_keep": 1} if "logits_to_keep" in takes else {}
        self.cache_argument = _cache_argument(takes) or ""
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
            self.size.observe(len(self.active), time.perf_counter() - started, waiting=len(self.waiting))
            yield self._take(tokens)

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
                keys, values = (each.expand(len(contents), -1, -1, -1) for each in (layer.keys, layer.values))
                cache.update(keys, values, number)
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
        more = {self.cache_argument: cache, **self.keeps_logits}
        self.model(input_ids=tokens, position_ids=positions, use_cache=True, **more)

    @torch.no_grad()
    def _step(self) -> list[int]:
        """The next token of every active sequence."""
        held = [sequence.held for sequence in self.active]
        positions, width = torch.tensor(held, device=self.device), max(held) + 1
        self.rows.advance(positions, width)
        mask = torch.arange(width, device=self.device) <= positions.view(-1, 1, 1, 1)
        if self.adds_mask:
            mask = torch.zeros(mask.shape, device=self.device).masked_fill_(~mask, torch.finfo(self.dtype).min)
        last = [(sequence.new or sequence.prompt)[-1] for sequence in self.active]
        scores = self.model(
            input_ids=torch.tensor(last, device=self.device)[:, None],
            attention_mask=mask,
            position_ids=positions[:, None],
            use_cache=True,
            **{self.cache_argument: self.rows},
        ).logits[:, -1]
        tokens: list[int] = self.sampler(scores, [sequence.index for sequence in self.active]).tolist()
        return tokens

    def _take(self, tokens: Sequence[int]) -> list[tuple[int, list[int]]]:
        """Append the new tokens; finished sequences leave, and the last row moves into the place of each."""
        done = []
        for row in reversed(range(len(self.active))):
            sequence = self.active[row]
            sequence.new.append(tokens[row])
            if tokens[row] in self.ends or len(sequence.new) == self.max_new_tokens:
                done.append((sequence.index, sequence.new))
                last = self.active.pop()
                if last is not sequence:
                    self.active[row] = last
                    self.rows.move(len(self.active), row, last.held)
        return done[::-1]


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


class Rows(Cache):  # type: ignore[misc]  # transformers is untyped here
    """Keys and values, a row for each sequence, in buffers (rows, heads, tokens, head dimension) that are written in
    place: transformers' dynamic cache copies all of them at each step to append one, and its static cache has one
    length for all rows. Here each row has its own; a finished row's place is taken by the last row's, or by another
    prompt. Before a step, :meth:`advance` says where each row's new token goes.
    """

    def __init__(self, layers: int) -> None:
        super().__init__(layers=[_Layer(self) for _ in range(layers)])
        self.positions = self.owners = torch.empty(0, dtype=torch.long)
        self.width = 0

    def advance(self, positions: torch.Tensor, width: int) -> None:
        """The new token of each row is its token number ``positions[row]``; the longest has ``width`` tokens then."""
        self.positions, self.width = positions, width
        self.owners = torch.arange(len(positions), device=positions.device)

    def load(self, filled: DynamicCache, source: torch.Tensor, at: int) -> None:
        """Put rows ``source`` of a prompt's cache at ``at`` and after; one prompt may be taken several times."""
        for layer, prompt in zip(self.layers, filled.layers, strict=True):
            layer.load(prompt.keys, prompt.values, source, at)

    def move(self, source: int, target: int, length: int) -> None:
        """Put one row over another."""
        for layer in self.layers:
            layer.keys[target, :, :length] = layer.keys[source, :, :length]
            layer.values[target, :, :length] = layer.values[source, :, :length]

    @property
    def bytes_per_token(self) -> int:
        """Memory of one token of one row, over all layers."""
        return sum(each.shape[1] * each.shape[3] * each.element_size() for each in self._buffers)

    @property
    def bytes_held(self) -> int:
        """Memory of the buffers as they are."""
        return sum(each.numel() * each.element_size() for each in self._buffers)

    @property
    def _buffers(self) -> list[torch.Tensor]:
        return [buffer for layer in self.layers if layer.is_initialized for buffer in (layer.keys, layer.values)]


class _Layer(CacheLayerMixin):  # type: ignore[misc]
    is_sliding = False

    def __init__(self, rows: Rows) -> None:
        super().__init__()
        self._rows = rows

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        self.dtype, self.device = key_states.dtype, key_states.device
        self.keys, self.values = (
            each.new_empty(0, each.shape[1], 0, each.shape[3]) for each in (key_states, value_states)
        )
        self.is_initialized = True

    def load(self, keys: torch.Tensor, values: torch.Tensor, source: torch.Tensor, at: int) -> None:
        if not self.is_initialized:
            self.lazy_initialization(keys, values)
        rows, width = at + len(source), keys.shape[2]
        self._hold(rows, width)
        self.keys[at:rows, :, :width] = keys[source]
        self.values[at:rows, :, :width] = values[source]

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:  # every prompt was a single token
            self.lazy_initialization(key_states, value_states)
        owners, positions, width = self._rows.owners, self._rows.positions, self._rows.width
        rows = len(owners)
        self._hold(rows, width)
        self.keys[owners, :, positions] = key_states[:, :, 0]
        self.values[owners, :, positions] = value_states[:, :, 0]
        return self.keys[:rows, :, :width], self.values[:rows, :, :width]

    def _hold(self, rows: int, width: int) -> None:
        """Grow the buffers where they are too small."""
        had_rows, _, had_width, _ = self.keys.shape
        if rows <= had_rows and width <= had_width:
            return
        if width > had_width:
            width = -(-width // _COLUMNS_AT_ONCE) * _COLUMNS_AT_ONCE
        rows, width = max(rows, had_rows), max(width, had_width)
        self.keys, self.values = (_grown(each, rows, width) for each in (self.keys, self.values))

    def get_seq_length(self) -> int:
        return self._rows.width - 1

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self._rows.width, 0

    def get_max_length(self) -> int:
        return -1


def _grown(buffer: torch.Tensor, rows: int, width: int) -> torch.Tensor:
    # Zeros, since a masked column still takes part in a product, where 0 times nan is nan.
    larger = buffer.new_zeros(rows, buffer.shape[1], width, buffer.shape[3])
    larger[: buffer.shape[0], :, : buffer.shape[2]] = buffer
    return larger


def rows_for(config: Any, longest: int) -> Rows | None:
    """An empty cache for a model whose sequences get at most ``longest`` tokens; ``None`` where its attention needs
    more than keys and values of all earlier tokens (state-space layers, windows shorter than that)."""
    layers = DynamicCache(config=config).layers
    for layer in layers:
        if type(layer) is DynamicSlidingWindowLayer and longest <= layer.sliding_window:
            continue
        if type(layer) is not DynamicLayer:
            return None
    return Rows(len(layers)) if layers else None
