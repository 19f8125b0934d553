"""Answers by vLLM in this process (https://docs.vllm.ai): ``pip install 'rl-harness[vllm]'``, on a GPU.

    engine = VllmEngine(resolve_model("Qwen/Qwen2.5-0.5B-Instruct"), device="cuda", dtype="bfloat16")

Prompts are encoded here, as for every other engine, and handed over as token ids; nothing but end tokens is taken from
the model's generation config. Keys of ``[engine]`` go to ``vllm.LLM`` unchanged (``gpu_memory_utilization``,
``tensor_parallel_size``, ``max_model_len``, ...). Each answer has a seed of its own; a question's samples share their
prompt by vLLM's prefix cache.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from harness.models.device import release_memory
from harness.models.engines.base import Request, answer_of, answer_seed, requests
from harness.models.load import loading
from harness.models.policy import Policy
from harness.store.errors import ModelError
from harness.store.redact import safe_line

if TYPE_CHECKING:
    from harness.models.source import ModelSource
    from harness.store.question import Question
    from harness.store.records import Generation, SamplingParams

_AT_ONCE = 1024  # answers are handed out in so many: vLLM's generate returns when all are done
# Without vLLM's own reading of generation_config.json, which may cap the length of every answer.
_DEFAULTS = {"enable_prefix_caching": True, "disable_log_stats": True, "generation_config": "vllm"}
_OWNED = {
    "model": "write [model] name",
    "dtype": "write [model] dtype",
    "seed": "write [evaluate] seed",
    "trust_remote_code": "code from a model repository never runs",
    "skip_tokenizer_init": "answers are decoded here",
    "tokenizer": "prompts are put into tokens here, by the model's own tokenizer",
}


class VllmEngine:
    """A model that vLLM loads.

    Raises:
        ModelError: vLLM is not installed or cannot load the model, or an argument is not the user's to set.
    """

    name = "vllm"

    def __init__(
        self,
        source: ModelSource,
        *,
        device: str,
        dtype: str,
        arguments: Mapping[str, Any] | None = None,
        chat_template_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        vllm = _vllm()
        if source.kind not in ("hub", "folder", "embedded"):
            raise ModelError(
                f"{source.name}: the vllm engine reads model folders and Hub ids, no {source.kind}; leave out "
                "[engine] name, or save the model as plain weights"
            )
        for key in arguments or {}:
            if key in _OWNED:
                raise ModelError(f"[engine] {key}: not set here: {_OWNED[key]}")
        self._asking = asking(source, device, dtype, chat_template_kwargs)
        self.model, self.device = source.name, device
        self._params = vllm.SamplingParams
        try:
            self._llm: Any = vllm.LLM(
                model=str(source.path),
                dtype=dtype,
                seed=0,  # what sampled answers draw from on a CPU
                **{**_DEFAULTS, **(arguments or {})},
            )
        except Exception as error:  # vLLM, CUDA and its workers each raise their own
            reason = safe_line(str(error), 300)
            raise ModelError(f"{source.name}: vLLM cannot load it ({type(error).__name__}: {reason})") from error

    def answer(
        self,
        questions: Sequence[Question],
        decoding: SamplingParams,
        skip: Collection[tuple[str, int]] = (),
    ) -> Iterator[list[Generation]]:
        """As :meth:`harness.models.engines.base.Engine.answer`; an explicit ``batch_size`` is handed over at a time."""
        asked = requests(self._asking, questions, decoding, set(skip))
        size = decoding.batch_size if isinstance(decoding.batch_size, int) else _AT_ONCE
        for start in range(0, len(asked), size):
            batch = asked[start : start + size]
            outputs = self._llm.generate(
                [{"prompt_token_ids": request.ids} for request in batch],
                [self._params(**self._sampling(request, decoding)) for request in batch],
                use_tqdm=False,
            )
            yield [
                answer_of(self._asking, request, list(output.outputs[0].token_ids), decoding)
                for request, output in zip(batch, outputs, strict=True)
            ]

    def _sampling(self, request: Request, decoding: SamplingParams) -> dict[str, Any]:
        """The arguments of ``vllm.SamplingParams`` for one answer. Ends are given one by one, and the model's own is
        not asked, so that all engines stop alike. The ids are decoded here."""
        greedy = decoding.temperature == 0
        # vLLM 0.31 on a CPU ends at a sampled answer with a seed: "CPU Generator does not use offset".
        seeded = self.device != "cpu"
        return {
            "n": 1,
            "temperature": decoding.temperature,
            "top_p": 1.0 if greedy else decoding.top_p,
            "top_k": 0 if greedy else decoding.top_k,
            "seed": answer_seed(decoding.seed, request.question.id, request.sample) if seeded else None,
            "max_tokens": decoding.max_new_tokens,
            "stop_token_ids": sorted(self._asking.eos_token_ids),
            "detokenize": False,
        }

    def close(self) -> None:
        self._llm = None
        release_memory()


def asking(
    source: ModelSource, device: str, dtype: str, chat_template_kwargs: Mapping[str, Any] | None = None
) -> Policy:
    """A policy that encodes and decodes, and whose model has shapes but no weights: they are in vLLM."""
    given = {"trust_remote_code": False, "local_files_only": True}
    with loading(source):
        tokenizer = AutoTokenizer.from_pretrained(source.path, **given)
        config = AutoConfig.from_pretrained(source.path, **given)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
        if (source.path / "generation_config.json").is_file():
            model.generation_config = GenerationConfig.from_pretrained(source.path, local_files_only=True)
        policy = Policy.of(model, tokenizer, source, chat_template_kwargs)
    return dataclasses.replace(policy, device=device, dtype=dtype)


def _vllm() -> Any:
    try:
        import vllm
    except ImportError as error:
        missing = error.name == "vllm"
        why = "is not installed" if missing else f"cannot be imported ({error})"
        raise ModelError(
            f"[engine] name = 'vllm': vLLM {why}; pip install 'rl-harness[vllm]' on a machine with a GPU, or leave out "
            "[engine] name"
        ) from None
    return vllm
