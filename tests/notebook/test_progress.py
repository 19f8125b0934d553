"""What is seen while ``harness.run`` works."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from harness.notebook.progress import Progress, in_notebook


@pytest.mark.parametrize(
    ("shell", "drawn"), [(None, False), (SimpleNamespace(), False), (SimpleNamespace(kernel=object()), True)]
)
def test_only_a_kernel_draws(monkeypatch, shell, drawn):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert in_notebook() is drawn


def test_without_ipython_there_is_no_notebook(monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not in_notebook()


def test_a_script_has_a_line_a_stage(capsys):
    with Progress(notebook=False) as progress:
        progress.announce("before x", "0/8 answers", 0.0)
        progress.announce("before x", "8/8 answers  25.0 % right", 1.0)
        progress.announce("GRPO x", "starting", None)
        progress.announce("GRPO x", "1/4", 0.25)
        progress.say("x health", "warning:\x1b[31m step 1")
    out, err = capsys.readouterr()
    assert out == ""
    # What is said comes at once; what a stage came to, when the next begins or nothing is left.
    assert err.splitlines() == ["before x: 8/8 answers  25.0 % right", "x health: warning:␛[31m step 1", "GRPO x: 1/4"]


def test_a_notebook_has_a_bar_a_stage(capsys):
    """Drawn as text, where there are no widgets."""
    with Progress(notebook=True) as progress:
        progress.announce("before x", "4/8 answers", 0.5)
        progress.announce("before x", "8/8 answers", 1.0)
        progress.announce("GRPO x", "starting", None)
        progress.announce("GRPO x", "1/4", 0.25)
    drawn = capsys.readouterr().err
    assert "before x: 4/8 answers  50%|" in drawn
    before, train = (line.rsplit("\r", 1)[-1] for line in drawn.rstrip().split("\n"))
    assert before.startswith("before x: 8/8 answers 100%|")
    assert train.startswith("GRPO x: 1/4  25%|")
