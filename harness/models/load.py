"""From a resolved source to a policy that can be asked, trained and saved.

    policy = load_policy("tiny", device="cpu")

Weights come from safetensors or GGUF alone, and code from a model repository never runs.
"""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from harness.models.device import choose_device, choose_dtype, share_cores
from harness.models.policy import Policy, require_chat_template
from harness.models.source import ModelSource, resolve_model
from harness.store.errors import ModelError
from harness.store.redact import safe_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def load_policy(
    name_or_source: str | ModelSource,
    *,
    revision: str = "main",
    device: str | None = None,
    dtype: str = "auto",
    chat_template_kwargs: Mapping[str, Any] | None = None,
) -> Policy:
    """Load a model by name (see :func:`harness.models.resolve_model`) or from what a name was resolved to.

    ``device`` and ``dtype`` are chosen where not given: see :mod:`harness.models.device`. A GGUF file is unpacked into
    a plain model, which can be trained and saved as safetensors; this takes the memory of its unpacked weights. The
    chat template is rendered with ``chat_template_kwargs``. Under pytest-xdist the process takes its share of the
    cores, because torch's threads spin and would fight for them.

    Raises:
        ModelError: the model is not there, is incomplete or damaged, has no chat template, or does not fit in memory.
    """
    source = name_or_source if isinstance(name_or_source, ModelSource) else resolve_model(name_or_source, revision)
    if source.base is not None:
        return _adapted(source, load_policy(source.base, device=device, dtype=dtype).merged(), chat_template_kwargs)
    device = choose_device(device)
    torch_dtype = getattr(torch, choose_dtype(dtype, device))
    share_cores()
    if source.kind == "gguf" and importlib.util.find_spec("gguf") is None:
        raise ModelError(f"{source.name}: reading GGUF files takes the gguf package: pip install 'rl-harness[gguf]'")
    with loading(source):
        tokenizer = _load_tokenizer(source)
        model = _load_model(source, torch_dtype).to(device)
        model.eval()
        return Policy.of(model, tokenizer, source, chat_template_kwargs)


def _adapted(source: ModelSource, base: Policy, chat_template_kwargs: Mapping[str, Any] | None) -> Policy:
    """A base policy with an adapter on it, asked through the adapter's own tokenizer where it brings one."""
    with loading(source):
        own = (source.path / "tokenizer_config.json").is_file()
        tokenizer = _load_tokenizer(source) if own else base.tokenizer
        return Policy.of(put_on(base, source.path), tokenizer, source, chat_template_kwargs)


def put_on(base: Policy, folder: Path) -> Any:
    """The base policy's model with an adapter on it, for inference.

    Raises:
        ModelError: peft is not installed.
    """
    if importlib.util.find_spec("peft") is None:
        raise ModelError(f"{folder}: reading an adapter takes the peft package: pip install 'rl-harness[lora]'")
    from peft import PeftModel

    model = PeftModel.from_pretrained(base.model, folder)
    model.eval()
    return model


def _load_tokenizer(source: ModelSource) -> Any:
    folder, file = (source.path.parent, source.path.name) if source.kind == "gguf" else (source.path, None)
    extra = {"gguf_file": file} if file else {}
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True, **extra)
    if len(tokenizer) - len(tokenizer.added_tokens_decoder) < 1:  # transformers makes up an empty one
        raise ModelError(f"{source.name}: has no tokenizer files in {folder}; save its tokenizer there")
    require_chat_template(tokenizer, source.name)
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


@contextlib.contextmanager
def loading(source: ModelSource) -> Iterator[None]:
    """Quietly, and what goes wrong is a ``ModelError``."""
    try:
        with _quiet():
            yield
    except ModelError:
        raise
    except Exception as error:  # damaged files raise whatever the parser at hand raises
        reason = safe_line(str(error), 300)
        raise ModelError(f"{source.name}: cannot be loaded ({type(error).__name__}: {reason})") from error


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
