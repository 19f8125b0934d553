"""From a resolved source to a policy that can be asked, trained and saved.

    policy = load_policy("tiny", device="cpu")
    policy.encode([{"role": "user", "content": "What is 2 + 3?"}])   # [1, 5, 12, ...]: ends where the answer begins
    policy.save("final")                                             # load_policy("final") answers the same

Weights come from safetensors or GGUF alone, and code from a model repository never runs.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import importlib.util
import io
import os
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from harness.errors import ModelError
from harness.policy.adapter import put_on
from harness.policy.device import choose_device, choose_dtype
from harness.policy.source import ModelSource, resolve_model

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.tasks.question import Message


@dataclass
class Policy:
    """A causal language model with the tokenizer and chat template it is asked through.

    ``model`` and ``tokenizer`` are transformers' own, ready to hand to a TRL trainer. ``source`` is ``None`` for a
    model that was made in memory. ``eos_token_ids`` are all tokens that end an answer: the generation config's (chat
    models often list several) and the tokenizer's.
    """

    model: Any
    tokenizer: Any
    source: ModelSource | None
    device: str
    dtype: str
    eos_token_ids: frozenset[int]

    @classmethod
    def of(cls, model: Any, tokenizer: Any, source: ModelSource | None = None) -> Policy:
        """A policy around a loaded model. Sets the tokenizer to pad on the left, and gives it a pad token if it has
        none; embeddings are never resized. A generation config that transformers would refuse to save is mended.

        Raises:
            ModelError: the tokenizer has no chat template, or nothing ends an answer.
        """
        name = source.name if source else getattr(model.config, "name_or_path", "") or "this model"
        _require_chat_template(tokenizer, name)
        ends = getattr(model.generation_config, "eos_token_id", None)
        listed = set(ends) if isinstance(ends, list | tuple) else {ends}
        eos = frozenset(int(end) for end in listed | {tokenizer.eos_token_id} if end is not None)
        if not eos:
            raise ModelError(f"{name}: has no end-of-sequence token; name it as eos_token_id in generation_config.json")
        _mend_generation_config(model)
        tokenizer.padding_side = "left"
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = _pad_token(tokenizer, eos, model.get_input_embeddings().weight.shape[0])
        dtype = str(model.dtype).removeprefix("torch.")
        return cls(model, tokenizer, source, model.device.type, dtype, eos)

    @property
    def name(self) -> str:
        """What the user called it."""
        return self.source.name if self.source else getattr(self.model.config, "name_or_path", "") or "this model"

    @property
    def context_length(self) -> int | None:
        """How many tokens prompt and answer may have together, or ``None`` where the model sets no limit."""
        return getattr(self.model.config.get_text_config(), "max_position_embeddings", None)

    @cached_property
    def takes_system(self) -> bool:
        """Whether the chat template shows a system turn to the model; some raise on one, some drop it."""
        probe = "Follow the rules."
        try:
            return probe in self._render([{"role": "system", "content": probe}, {"role": "user", "content": "Hello"}])
        except jinja2.TemplateError:
            return False

    def adapt(self, chat: Sequence[Message]) -> list[dict[str, str]]:
        """The chat in the turns this template takes: where it takes no system turn, the first user turn carries it."""
        turns = [dict(turn) for turn in chat]
        if self.takes_system or not turns or turns[0]["role"] != "system":
            return turns
        system, rest = turns[0], turns[1:]
        for turn in rest:
            if turn["role"] == "user":
                turn["content"] = f"{system['content']}\n\n{turn['content']}"
                return rest
        return [{"role": "user", "content": system["content"]}, *rest]

    def encode(self, chat: Sequence[Message]) -> list[int]:
        """The token ids of one chat, up to and with the header of the answer that is to come. No padding.

        Raises:
            ModelError: the template refuses the chat, or the tokenizer knows tokens that the model does not.
        """
        try:
            text = self._render(self.adapt(chat))
        except (jinja2.TemplateError, ValueError, TypeError) as error:
            raise ModelError(f"{self.name}: the chat template refuses a chat: {error}") from None
        # The template writes the special tokens itself.
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        known = self.model.get_input_embeddings().weight.shape[0]
        if max(ids, default=0) >= known:
            raise ModelError(
                f"{self.name}: the tokenizer gave token {max(ids)}, but the model knows {known}; it is another model's"
            )
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids, special tokens left out and spaces as they are."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def merged(self) -> Policy:
        """The same policy as plain weights: an adapter is added into them. This policy's model is then used up."""
        if not hasattr(self.model, "merge_and_unload"):
            return self
        model = self.model.merge_and_unload()
        model.requires_grad_(True)  # peft froze them
        return dataclasses.replace(self, model=model)

    def save(self, folder: str | Path) -> None:
        """Write safetensors (of an adapter alone, where there is one), tokenizer and chat template to a folder that
        :func:`load_policy` reads back."""
        adapted = hasattr(self.model, "merge_and_unload")
        self.model.save_pretrained(folder, **({"save_embedding_layers": False} if adapted else {}))
        if adapted:
            (Path(folder) / "README.md").unlink(missing_ok=True)  # peft's model card is a form without entries
        self.tokenizer.save_pretrained(folder)

    def _render(self, turns: list[dict[str, str]]) -> str:
        return str(self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))


def load_policy(
    name_or_source: str | ModelSource, *, revision: str = "main", device: str | None = None, dtype: str = "auto"
) -> Policy:
    """Load a model by name (see :func:`harness.policy.resolve_model`) or from what a name was resolved to.

    ``device`` and ``dtype`` are chosen where not given: see :mod:`harness.policy.device`. A GGUF file is unpacked into
    a plain model, which can be trained and saved as safetensors; this takes the memory of its unpacked weights. Under
    pytest-xdist the process takes its share of the cores, because torch's threads spin and would fight for them.

    Raises:
        ModelError: the model is not there, is incomplete or damaged, has no chat template, or does not fit in memory.
    """
    source = name_or_source if isinstance(name_or_source, ModelSource) else resolve_model(name_or_source, revision)
    if source.base is not None:
        return _adapted(source, load_policy(source.base, device=device, dtype=dtype).merged())
    device = choose_device(device)
    torch_dtype = getattr(torch, choose_dtype(dtype, device))
    _share_cores()
    if source.kind == "gguf" and importlib.util.find_spec("gguf") is None:
        raise ModelError(f"{source.name}: reading GGUF files takes the gguf package: pip install 'rl-harness[gguf]'")
    try:
        with _quiet():
            tokenizer = _load_tokenizer(source)
            model = _load_model(source, torch_dtype).to(device)
    except ModelError:
        raise
    except Exception as error:  # damaged files raise whatever the parser at hand raises
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"{source.name}: cannot be loaded ({type(error).__name__}: {reason})") from error
    model.eval()
    return Policy.of(model, tokenizer, source)


def _adapted(source: ModelSource, base: Policy) -> Policy:
    """A base policy with an adapter on it, asked through the adapter's own tokenizer where it brings one."""
    try:
        with _quiet():
            own = (source.path / "tokenizer_config.json").is_file()
            tokenizer = _load_tokenizer(source) if own else base.tokenizer
            model = put_on(base, source.path)
    except ModelError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"{source.name}: cannot be loaded ({type(error).__name__}: {reason})") from error
    return Policy.of(model, tokenizer, source)


def _load_tokenizer(source: ModelSource) -> Any:
    folder, file = (source.path.parent, source.path.name) if source.kind == "gguf" else (source.path, None)
    extra = {"gguf_file": file} if file else {}
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True, **extra)
    if len(tokenizer) - len(tokenizer.added_tokens_decoder) < 1:  # transformers makes up an empty one
        raise ModelError(f"{source.name}: has no tokenizer files in {folder}; save its tokenizer there")
    _require_chat_template(tokenizer, source.name)
    return tokenizer


def _load_model(source: ModelSource, dtype: torch.dtype) -> Any:
    if source.kind == "gguf":
        return _plain(_load_weights(source, source.path.parent, dtype, **_gguf_arguments(source.path)), dtype)
    return _load_weights(source, source.path, dtype, use_safetensors=True)


def _load_weights(source: ModelSource, folder: Path, dtype: torch.dtype, **arguments: Any) -> Any:
    model, found = AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, trust_remote_code=False, local_files_only=True, output_loading_info=True, **arguments
    )
    if missing := sorted(found["missing_keys"]):  # transformers would leave them random
        raise ModelError(
            f"{source.name}: the files lack {len(missing)} of the model's weights, such as {missing[0]}; fetch it again"
        )
    return model


def _gguf_arguments(file: Path) -> dict[str, Any]:
    arguments: dict[str, Any] = {"gguf_file": file.name}
    with contextlib.suppress(ImportError):  # older transformers always unpack
        from transformers import GgufConfig

        arguments["quantization_config"] = GgufConfig(dequantize=True)
    return arguments


def _plain(unpacked: Any, dtype: torch.dtype) -> Any:
    """The same weights in a model that does not take itself for a quantized one, which could be neither saved nor
    trained."""
    if getattr(unpacked, "hf_quantizer", None) is None:
        return unpacked
    config = copy.deepcopy(unpacked.config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    plain = type(unpacked).from_pretrained(None, config=config, state_dict=unpacked.state_dict(), dtype=dtype)
    plain.generation_config = unpacked.generation_config
    return plain


def _require_chat_template(tokenizer: Any, name: str) -> None:
    if not tokenizer.chat_template:
        raise ModelError(
            f"{name}: has no chat template, so there is no way to ask it a question; take the instruct or chat version "
            f"of the model, or put a chat_template.jinja into a local copy of it"
        )


def _pad_token(tokenizer: Any, eos: frozenset[int], embeddings: int) -> str:
    """An existing special token that is no end and no part of a chat: one made for padding, else the unknown token,
    else any. Where there is none, the end itself; nothing here compares ids with the pad token, so that hides no end.
    """
    spare = {
        id_: str(token)
        for id_, token in sorted(tokenizer.added_tokens_decoder.items())
        if token.special
        and id_ < embeddings
        and id_ not in eos
        and id_ != tokenizer.bos_token_id
        and str(token) not in str(tokenizer.chat_template)
    }
    for text in spare.values():
        if "pad" in text.lower():
            return text
    if tokenizer.unk_token_id in spare:
        return spare[tokenizer.unk_token_id]
    return next(iter(spare.values()), None) or str(tokenizer.convert_ids_to_tokens(min(eos)))


def _mend_generation_config(model: Any) -> None:
    """Many models on the Hub set a temperature without do_sample, which transformers loads but refuses to save."""
    settings = model.generation_config
    try:
        settings.validate(strict=True)
    except ValueError:
        settings.do_sample = True


def _share_cores() -> None:
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT") or 1)
    if workers > 1:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        torch.set_num_threads(max(1, cores // workers))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without progress bars (GGUF's asks nobody before it draws) and load reports; what they would say is raised."""
    bars, verbosity = transformers_logging.is_progress_bar_enabled(), transformers_logging.get_verbosity()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    try:
        with warnings.catch_warnings(action="ignore"), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
