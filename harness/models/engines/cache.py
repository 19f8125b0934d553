"""Keys and values of the sequences that are being answered: a row each, in buffers that are written in place.

transformers' dynamic cache copies every key and value at each step to append one; its static cache has one length for
all rows, so a finished row keeps computing until the last one is done. Here each row has a length of its own: a
finished row's place is taken by the last row's, or by another prompt.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import Cache, DynamicCache
from transformers.cache_utils import CacheLayerMixin, DynamicLayer, DynamicSlidingWindowLayer

_COLUMNS_AT_ONCE = 128  # buffers grow by so many tokens: growing copies them


class Rows(Cache):  # type: ignore[misc]
    """A key-value cache with rows of different lengths.

    Before a step, :meth:`advance` says where each new token goes; the model then writes it there. Buffers are of shape
    (rows, key-value heads, tokens, head dimension).
    """

    def __init__(self, layers: int) -> None:
        super().__init__(layers=[_Layer(self) for _ in range(layers)])
        self.owners = self.positions = torch.empty(0, dtype=torch.long)  # the row and the column of each new token
        self.count = self.width = 0  # rows, and tokens of the longest one, with the new ones

    def advance(self, owners: torch.Tensor, positions: torch.Tensor, count: int, width: int) -> None:
        """New token number ``n`` is token ``positions[n]`` of row ``owners[n]``; there are ``count`` rows of at most
        ``width`` tokens then."""
        self.owners, self.positions, self.count, self.width = owners, positions, count, width

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
        rows, width = self._rows.count, self._rows.width
        owners, positions = self._rows.owners, self._rows.positions
        self._hold(rows, width)
        self.keys[owners, :, positions] = key_states.transpose(1, 2).flatten(0, 1)
        self.values[owners, :, positions] = value_states.transpose(1, 2).flatten(0, 1)
        return self.keys[:rows, :, :width], self.values[:rows, :, :width]

    def _hold(self, rows: int, width: int) -> None:
        """Grow the buffers where they are too small."""
        had_rows, _, had_width, _ = self.keys.shape
        if rows <= had_rows and width <= had_width:
            return
        if width > had_width:
            width = -(-width // _COLUMNS_AT_ONCE) * _COLUMNS_AT_ONCE
        self.keys, self.values = (
            _grown(each, max(rows, had_rows), max(width, had_width)) for each in (self.keys, self.values)
        )

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
