"""A model with what it takes to talk to it: tokenizer, chat template, and the tokens that end an answer.

    policy.encode([{"role": "user", "content": "What is 2 + 3?"}])   # [1, 5, 12, ...]: ends where the answer begins
    policy.save("final")                                             # load_policy("final") answers the same

:func:`harness.models.load_policy` makes one from a name, :meth:`Policy.of` from a loaded model.
"""

from __future__ import annotations

import dataclasses
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2

from harness.store.errors import ModelError
from harness.store.limits import OutOfTimeError, limited
from harness.store.redact import safe_line
from harness.tasks.forms import CLOSING, opened_by

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from harness.models.source import ModelSource
    from harness.store.question import Message


# No template for people's chats comes near any of these.
_TEMPLATE_SECONDS, _TEMPLATE_BYTES, _LONGEST_PROMPT = 10.0, 1 << 30, 10_000_000
_HOSTILE = "{name}: the chat template {does} for a chat; take another model, or mend the template in a local copy of it"


class RefusedChatError(ModelError):
    """A chat that the chat template raises on."""


@dataclass
class Policy:
    """A causal language model with the tokenizer and chat template it is asked through.

    ``model`` and ``tokenizer`` are transformers' own, ready to hand to a TRL trainer. ``source`` is ``None`` for a
    model that was made in memory. ``eos_token_ids`` are all tokens that end an answer: the generation config's (chat
    models often list several) and the tokenizer's. ``chat_template_kwargs`` is what the template is rendered
    with beside the chat, such as ``{"enable_thinking": False}``.
    """

    model: Any
    tokenizer: Any
    source: ModelSource | None
    device: str
    dtype: str
    eos_token_ids: frozenset[int]
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        model: Any,
        tokenizer: Any,
        source: ModelSource | None = None,
        chat_template_kwargs: Mapping[str, Any] | None = None,
    ) -> Policy:
        """A policy around a loaded model. Sets the tokenizer to pad on the left, and gives it a pad token if it has
        none; embeddings are never resized. A generation config that transformers would refuse to save is mended.

        Raises:
            ModelError: the tokenizer has no chat template, or nothing ends an answer.
        """
        name = source.name if source else getattr(model.config, "name_or_path", "") or "this model"
        require_chat_template(tokenizer, name)
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
        return cls(model, tokenizer, source, model.device.type, dtype, eos, dict(chat_template_kwargs or {}))

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
            return probe in self.render([{"role": "system", "content": probe}, {"role": "user", "content": "Hello"}])
        except RefusedChatError:
            return False

    def adapt(self, chat: Sequence[Message]) -> list[dict[str, str]]:
        """The chat in the turns this template takes: where it takes no system turn, the first user turn carries it."""
        return [dict(turn) for turn in chat] if self.takes_system else without_system(chat)

    def encode(self, chat: Sequence[Message]) -> list[int]:
        """The token ids of one chat, up to and with the header of the answer that is to come. No padding.

        Raises:
            ModelError: the template refuses the chat, or the tokenizer knows tokens that the model does not.
        """
        text = self.render(self.adapt(chat))
        # The template writes the special tokens itself.
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        known = self.model.get_input_embeddings().weight.shape[0]
        if max(ids, default=0) >= known:
            raise ModelError(
                f"{self.name}: the tokenizer gave token {max(ids)}, but the model knows {known}; it is another model's"
            )
        return ids

    def opened_thought(self, chat: Sequence[Message]) -> str:
        """The ``<think>`` that the template opens at the end of this chat's prompt, ``""`` where it opens none: what
        the policy writes goes on from there, so it belongs before the text of every completion. Where ``</think>`` is
        a special token, texts have none, and a thought in them has no end."""
        if any(token.special and token.content == CLOSING for token in self.tokenizer.added_tokens_decoder.values()):
            return ""
        return opened_by(self.render(self.adapt(chat)))

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
        :func:`harness.models.load_policy` reads back."""
        adapted = hasattr(self.model, "merge_and_unload")
        self.model.save_pretrained(folder, **({"save_embedding_layers": False} if adapted else {}))
        if adapted:
            (Path(folder) / "README.md").unlink(missing_ok=True)  # peft's model card is a form without entries
        self.tokenizer.save_pretrained(folder)

    def render(self, turns: Sequence[Mapping[str, str]], *, answered: bool = False) -> str:
        """The text of turns that the template takes, with the header of the answer unless the chat is ``answered``.

        Raises:
            RefusedChatError: the template raises, as some do for a system turn.
            ModelError: it takes too long or too much memory: it is a program that whoever made the model wrote.
        """
        told = {**self.chat_template_kwargs, "tokenize": False, "add_generation_prompt": not answered}
        try:
            with _more_memory(_TEMPLATE_BYTES):
                text = str(limited(partial(self.tokenizer.apply_chat_template, turns, **told), _TEMPLATE_SECONDS))
        except OutOfTimeError:
            raise ModelError(_HOSTILE.format(name=self.name, does=f"takes over {_TEMPLATE_SECONDS:g} s")) from None
        except MemoryError:
            raise ModelError(_HOSTILE.format(name=self.name, does=f"takes over {_TEMPLATE_BYTES >> 20} MiB")) from None
        except Exception as error:  # whatever Jinja, Python and the template raise
            kind = "" if isinstance(error, jinja2.TemplateError) else f"{type(error).__name__}: "
            reason = safe_line(f"{kind}{error}", 300)
            raise RefusedChatError(f"{self.name}: the chat template refuses a chat: {reason}") from None
        if len(text) > _LONGEST_PROMPT:
            raise ModelError(_HOSTILE.format(name=self.name, does=f"writes {len(text):,} characters"))
        return text

    @property
    def unused_kwargs(self) -> list[str]:
        """Those of ``chat_template_kwargs`` that the template does not name, and so does not look at."""
        return [key for key in self.chat_template_kwargs if key not in str(self.tokenizer.chat_template)]


def without_system(chat: Sequence[Message]) -> list[dict[str, str]]:
    """The chat with its system turn, if it has one, at the beginning of the first user turn."""
    turns = [dict(turn) for turn in chat]
    if not turns or turns[0]["role"] != "system":
        return turns
    system, rest = turns[0], turns[1:]
    for turn in rest:
        if turn["role"] == "user":
            turn["content"] = f"{system['content']}\n\n{turn['content']}"
            return rest
    return [{"role": "user", "content": system["content"]}, *rest]


@contextmanager
def _more_memory(size: int) -> Iterator[None]:
    """Within, the process can have so many bytes more than it has: ``MemoryError``, where the system would end it.
    Only where the system says how many it has."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = pages * resource.getpagesize() + size
        if any(0 <= known < limit for known in (soft, hard)):  # RLIM_INFINITY is -1
            raise ValueError
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    except (ImportError, OSError, ValueError):
        yield
        return
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def require_chat_template(tokenizer: Any, name: str) -> None:
    """Raise ``ModelError`` where there is none; ``name`` is what the user called the model."""
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
