"""Answers by transformers' continuous batching: a paged cache, and a batch that sequences enter and leave at any step.

    engine = ContinuousEngine(load_policy("Qwen/Qwen2.5-0.5B-Instruct", device="cuda"))

It is made for GPUs, with flash attention where that is installed; on a CPU it gives the same answers slowly. Keys of
``[engine]`` go to transformers' ``ContinuousBatchingConfig`` unchanged.

A sampled answer draws from its own stream of (seed, question, sample), as with the default engine: transformers would
draw all rows of a step from one generator, and what a row draws would depend on its neighbours.
"""

from __future__ import annotations

import inspect
import math
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from transformers import ContinuousBatchingConfig, GenerationConfig, LogitsProcessorList
from transformers.generation.continuous_batching.cb_logits_processors import (
    ContinuousBatchingLogitsProcessor,
    ContinuousBatchingLogitsProcessorList,
)
from transformers.generation.continuous_batching.utils import WorkloadHints

from harness.models.device import release_memory
from harness.models.engines.requests import Request, answer_of, requests
from harness.models.engines.sampling import stream, tokens_at, warpers
from harness.store.errors import ModelError, nearest

if TYPE_CHECKING:
    from harness.models import Policy
    from harness.store.question import Question
    from harness.store.records import Generation, SamplingParams

_ON_CPU = 64  # sequences at once where nobody says: a GPU's memory decides there, a CPU's would be taken whole
_CPU_BATCH_TOKENS = 1024
_BELOW_ONE = 1 - 2**-24  # the largest float32 below 1
_SECONDS = 1.0  # how long to wait for an answer before looking whether the loop still runs


class ContinuousEngine:
    """Answers with a loaded policy.

    Raises:
        ModelError: an argument is none of ``ContinuousBatchingConfig``'s.
    """

    name = "continuous"

    def __init__(self, policy: Policy, arguments: Mapping[str, Any] | None = None) -> None:
        self._policy: Policy | None = policy
        self._arguments = dict(arguments or {})
        self.model, self.device = policy.name, policy.device
        known = list(inspect.signature(ContinuousBatchingConfig).parameters)
        for key in self._arguments:
            if key not in known:
                raise ModelError(f"[engine] {key}: no key of ContinuousBatchingConfig; {nearest(key, known)}")

    def answer(
        self,
        questions: Sequence[Question],
        decoding: SamplingParams,
        skip: Collection[tuple[str, int]] = (),
    ) -> Iterator[list[Generation]]:
        """As :meth:`harness.models.engines.Engine.answer`; ``batch_size`` is the most sequences in one step.

        Raises:
            ModelError: as the protocol says; also where transformers' loop ends with an error.
        """
        assert self._policy is not None, "the engine is closed"
        policy, asked = self._policy, requests(self._policy, questions, decoding, set(skip))
        if not asked:
            return
        by_id = {str(number): request for number, request in enumerate(asked)}
        manager = self._start(policy, by_id, decoding)
        try:
            for id_, request in by_id.items():
                manager.add_request(request.ids, request_id=id_)
            left = len(by_id)
            while left:
                done = _finished(manager, policy)
                left -= len(done)
                if done:
                    yield [answer_of(policy, by_id[each.request_id], each.generated_tokens, decoding) for each in done]
        finally:
            manager.stop(block=True, hard_stop=True)
            manager.destroy()

    def close(self) -> None:
        self._policy = None
        release_memory()

    def _start(self, policy: Policy, by_id: Mapping[str, Request], decoding: SamplingParams) -> Any:
        longest = max(len(request.ids) for request in by_id.values())
        settings = GenerationConfig(
            max_new_tokens=decoding.max_new_tokens,
            do_sample=False,
            eos_token_id=sorted(policy.eos_token_ids),
            pad_token_id=policy.tokenizer.pad_token_id,
        )
        at_once = decoding.batch_size if isinstance(decoding.batch_size, int) else None
        config = ContinuousBatchingConfig(
            **{**_sizes(policy.device, at_once, longest + decoding.max_new_tokens), **self._arguments}
        )
        manager = policy.model.init_continuous_batching(
            generation_config=settings,
            continuous_batching_config=config,
            workload_hints=WorkloadHints(longest, decoding.max_new_tokens, len(by_id)),
        )
        if decoding.temperature > 0:
            manager.logit_processor = _processors(by_id, decoding)
        try:
            manager.warmup()
            manager.start()
        except (RuntimeError, ValueError, MemoryError) as error:
            manager.destroy()
            raise ModelError(f"{policy.name}: continuous batching cannot start on {policy.device}: {error}") from error
        return manager


def _sizes(device: str, at_once: int | None, longest: int) -> dict[str, Any]:
    """Settings where the user gives none. On a CPU transformers would take 60 % of all memory for its cache."""
    sizes: dict[str, Any] = {"max_requests_per_batch": at_once} if at_once else {}
    if device != "cpu":
        return sizes
    at_once = at_once or _ON_CPU
    # block_size before transformers 5.18
    page = getattr(ContinuousBatchingConfig, "page_size", None) or ContinuousBatchingConfig.block_size
    blocks = at_once * math.ceil(longest / page)
    return {"max_requests_per_batch": at_once, "num_blocks": blocks, "max_batch_tokens": _CPU_BATCH_TOKENS}


def _finished(manager: Any, policy: Policy) -> list[Any]:
    """All that is done by now, or nothing after :data:`_SECONDS`."""
    found: list[Any] = []
    while (result := manager.get_result(timeout=0 if found else _SECONDS)) is not None:
        if result.error is not None:
            raise ModelError(f"{policy.name}: continuous batching failed on {policy.device}: {result.error}")
        if result.is_finished():
            found.append(result)
    if not found and not manager.is_running():
        reason = manager.background_thread_status.fatal_error or "its loop ended"
        raise ModelError(f"{policy.name}: continuous batching failed on {policy.device}: {reason}")
    return found


def _processors(by_id: Mapping[str, Request], decoding: SamplingParams) -> ContinuousBatchingLogitsProcessorList:
    cut = warpers(decoding.temperature, decoding.top_p, decoding.top_k)
    made = ContinuousBatchingLogitsProcessorList(LogitsProcessorList([*cut, _Draw(by_id, decoding.seed)]))
    made.tensors_required = 1  # one number a sequence and step
    return made


class _Draw(ContinuousBatchingLogitsProcessor):  # type: ignore[misc]  # transformers is untyped here
    """Leaves one token of each row, drawn by inverse CDF with one uniform number a sequence and step.

    The step is counted by the sequence's place, since transformers may prepare one before it knows the last token, and
    may compute a sequence again that memory had no room for.
    """

    supported_kwargs: Mapping[str, type] = {}
    ignored_kwargs = ()

    def __init__(self, by_id: Mapping[str, Request], seed: int) -> None:
        self._prompts = {id_: len(request.ids) for id_, request in by_id.items()}
        self._streams = {id_: stream(seed, each.question.id, each.sample) for id_, each in by_id.items()}
        self._drawn: dict[str, list[float]] = {id_: [] for id_ in by_id}
        self._lock = threading.Lock()

    def fill_defaults(self, int32_tensor: torch.Tensor) -> None:
        int32_tensor.zero_()

    def prepare_tensor_args(self, requests_with_new_token: Sequence[Any]) -> torch.Tensor:
        """Heights in [0, 1), float32 in the bits of int32, as transformers hands arguments over."""
        with self._lock:
            heights = [
                self._height(each.state.request_id, each.state.position_offset) for each in requests_with_new_token
            ]
        # float32 rounds the last of them to 1, where no token is.
        return torch.tensor(heights, dtype=torch.float32).clamp(max=_BELOW_ONE).view(dtype=torch.int32)

    def _height(self, id_: str, place: int) -> float:
        if id_ not in self._prompts:  # transformers' own, to warm up
            return 0.0
        drawn, step = self._drawn[id_], place - self._prompts[id_]
        while len(drawn) <= step:
            drawn.append(self._streams[id_].random())
        return drawn[step]

    def __call__(self, scores: torch.Tensor, tensor_arg: torch.Tensor) -> torch.Tensor:
        """``scores`` (sequences, vocabulary) to scores of the same shape. Nothing here waits for the GPU."""
        heights = tensor_arg[: scores.shape[0]].view(dtype=torch.float32).double()
        steps = scores.double().softmax(dim=-1).cumsum(dim=-1)
        drawn = tokens_at(heights[:, None], steps).clamp(max=scores.shape[-1] - 1)  # scores that are not numbers
        return torch.full_like(scores, -torch.inf).scatter(-1, drawn[:, None], 0.0)
