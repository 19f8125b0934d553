"""``--rl-plan``: what a session would run and what it would cost. No model is loaded, and nothing downloaded or run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.pipeline.naming import run_name
from harness.pipeline.plan import gate_lines, kept_lines, plan_lines
from harness.plugin.options import get_option, get_path
from harness.plugin.terminal import Terminal
from harness.store.errors import TaskError

if TYPE_CHECKING:
    from harness.plugin.session import Session
    from harness.recipe import Recipe


def write_plan(session: Session, parameters: list[tuple[Recipe, int]]) -> int:
    """Print the plan of (recipe, seed) pairs to the terminal; how many of them could not run with their questions."""
    terminal = Terminal(session.config.pluginmanager.getplugin("terminalreporter"))
    terminal.section("rl-harness plan")
    wrong, (folder, runs_dir) = 0, (get_path(session.config, name) for name in ("baselines-dir", "runs-dir"))
    for recipe, seed in parameters:
        name = run_name(recipe, seed, session.name_given(recipe)).name
        terminal.write_line(f"{name}: {recipe.description}", bold=True)
        if unmet := session.unmet(recipe):
            terminal.write_line(f"  not run: {unmet.reason}")
            continue
        kept = [] if get_option(session.config, "fresh") else kept_lines(recipe, seed, runs_dir)
        try:
            lines = plan_lines(recipe, session.data)
        except TaskError as error:
            terminal.write_line(f"  {error}", red=True)
            wrong += 1
            continue
        for line in (*lines, *kept, *gate_lines(recipe, seed, folder, session.gates)):
            terminal.write_line(f"  {line}")
    terminal.write_line("nothing was run")
    return wrong
