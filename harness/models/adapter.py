"""Adapter folders (peft's ``adapter_config.json`` and ``adapter_model.safetensors``) and the models they belong to.

An adapter is worth nothing without its base, so a folder that the harness writes says which base that was
(``base.json``: name, revision, fingerprint), and another one found under that name is refused.
"""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.store.errors import ModelError
from harness.store.run_directory import digest, read_json, write_json

if TYPE_CHECKING:
    from harness.models.policy import Policy
    from harness.models.source import ModelSource

CONFIG, WEIGHTS, BASE = "adapter_config.json", "adapter_model.safetensors", "base.json"

# True of where and by what the adapter was written rather than of the adapter.
_PROVENANCE = ("base_model_name_or_path", "revision", "peft_version")


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter alone."""
    return (folder / CONFIG).is_file() and not (folder / "config.json").is_file()


def base_of(name: str, folder: Path) -> tuple[str, str]:
    """Name and revision of the model that an adapter folder belongs to.

    Raises:
        ModelError: the folder does not say, or its weights are not safetensors.
    """
    if not (folder / WEIGHTS).is_file():
        raise ModelError(f"{name}: has no {WEIGHTS} in {folder}, and no other format is loaded")
    config, base = read_json(folder / CONFIG) or {}, read_json(folder / BASE) or {}
    beside = folder / str(base.get("beside") or "")
    if base.get("beside") and beside.exists():
        return str(beside.resolve()), "main"
    found = base.get("name") or config.get("base_model_name_or_path")
    if not found:
        place = folder / CONFIG
        raise ModelError(f"{name}: an adapter that names no model; write it as base_model_name_or_path in {place}")
    return str(found), str(base.get("revision") or config.get("revision") or "main")


def adapter_fingerprint(source: ModelSource, base: dict[str, str], weights: str, own: dict[str, str]) -> dict[str, str]:
    """The fingerprint of an adapter on its base.

    Args:
        base: the base's fingerprint.
        weights: digest of the adapter's weights.
        own: digests of the tokenizer and chat template in the adapter's folder, where it has them.

    Raises:
        ModelError: the base is not the one that the adapter was trained on.
    """
    recorded = (read_json(source.path / BASE) or {}).get("fingerprint")
    if recorded and recorded.get("weights") != base["weights"]:
        found = source.base.path if source.base else "its base"
        raise ModelError(f"{source.name}: was trained on other weights than those in {found}; put the old ones back")
    config = {key: value for key, value in (read_json(source.path / CONFIG) or {}).items() if key not in _PROVENANCE}
    return {
        "weights": digest([base["weights"], weights]),
        "tokenizer": own.get("tokenizer", base["tokenizer"]),
        "chat_template": own.get("chat_template", base["chat_template"]),
        "config": digest([base["config"], config]),
    }


def base_json(source: ModelSource, fingerprint: dict[str, str]) -> dict[str, Any]:
    """What an adapter's folder says of its base: a name that is found from anywhere, and what was found there."""
    name = source.name if source.kind in ("embedded", "hub") else str(source.path.resolve())
    return {"name": name, "revision": source.revision, "fingerprint": fingerprint}


def write_base(folder: Path, base: dict[str, Any]) -> None:
    """Put ``base.json`` into an adapter's folder, and the same name into peft's own configuration.

    A base that another run trained is also named as it lies from here: both are found where their folder was copied to.
    """
    runs, path = folder.resolve().parents[2], Path(base["name"])
    beside = {"beside": os.path.relpath(path, folder.resolve())} if path.is_relative_to(runs) else {}
    write_json(folder / BASE, {**base, **beside})
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    write_json(folder / CONFIG, {**config, "base_model_name_or_path": base["name"], "revision": base["revision"]})


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
