"""``--rl-plan``: what a session would run and what it would cost. Nothing is loaded, downloaded or run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.pipeline.plan import gate_lines, kept_lines, plan_lines
from harness.plugin.options import get_option, get_path
from harness.plugin.terminal import Terminal

if TYPE_CHECKING:
    from harness.plugin.session import Session
    from harness.recipe import Recipe


def write_plan(session: Session, parameters: list[tuple[Recipe, int]]) -> None:
    """Print the plan of (recipe, seed) pairs to the terminal."""
    terminal = Terminal(session.config.pluginmanager.getplugin("terminalreporter"))
    terminal.section("rl-harness plan")
    folder, runs_dir = (get_path(session.config, name) for name in ("baselines-dir", "runs-dir"))
    for recipe, seed in parameters:
        terminal.write_line(f"{recipe.name}, seed {seed}: {recipe.description}", bold=True)
        if reason := session.unmet(recipe):
            terminal.write_line(f"  skipped: {reason}")
            continue
        kept = [] if get_option(session.config, "fresh") else kept_lines(recipe, seed, runs_dir)
        for line in (*plan_lines(recipe), *kept, *gate_lines(recipe, seed, folder, session.gates)):
            terminal.write_line(f"  {line}")
    terminal.write_line("nothing was run")
