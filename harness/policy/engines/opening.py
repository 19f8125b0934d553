"""Which engine a recipe asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.policy.engines import Engine
    from harness.policy.policy import Policy
    from harness.recipe import EngineSection


def open_engine(engine: EngineSection, policy: Callable[[], Policy]) -> Engine:
    """The engine of a recipe; ``policy`` loads the model, where the engine wants it loaded by us.

    Raises:
        ModelError: the model cannot be loaded.
    """
    from harness.policy.engines.local import TransformersEngine

    return TransformersEngine(policy())
