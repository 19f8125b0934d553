"""Formulas compared in a process: what it decides, and that neither hanging nor crashing gets out of it."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from harness.rewards import math_equivalent
from harness.rewards.formula import read
from harness.rewards.math_process import MathProcess
from harness.rewards.runner import RewardCalls
from harness.store.errors import RewardError
from harness.store.limits import OutOfTimeError, limited

HANGS = "(10^{9000})^{9000x}"  # at a point tried it has a hundred million digits


def tree(text):
    found = read(text)
    assert found is not None, text
    return found


# Expressions as nested tuples: (operation, part, part); a number or a variable is a leaf.
NOTATIONS = {
    "latex": {"+": "{}+{}", "-": "{}-{}", "*": r"{} \cdot {}", "/": r"\frac{{{}}}{{{}}}", "2": "{}^{{2}}",
              "root": r"\sqrt{{{}}}"},
    "plain": {"+": "{} + {}", "-": "{} - {}", "*": "{}*{}", "/": "{}/{}", "2": "{}**2", "root": "sqrt({})"},
    "unicode": {"+": "{}+{}", "-": "{}\u2212{}", "*": "{}\u00b7{}", "/": "{}\u00f7{}", "2": "{}\u00b2",
                "root": "\u221a({})"},
}  # fmt: skip
EXPRESSIONS = st.recursive(
    st.integers(1, 99) | st.sampled_from("xyn"),
    lambda parts: st.tuples(st.sampled_from("+-*/"), parts, parts) | st.tuples(st.sampled_from(["2", "root"]), parts),
    max_leaves=6,
)


def written(expression, notation):
    if not isinstance(expression, tuple):
        return str(expression)
    sign, *parts = expression
    bare = sign == "root" or (sign == "/" and notation == "latex")
    texts = [written(part, notation) for part in parts]
    texts = [
        f"({text})" if isinstance(part, tuple) and not bare else text for part, text in zip(parts, texts, strict=True)
    ]
    return NOTATIONS[notation][sign].format(*texts)


def value(expression, variables):
    if not isinstance(expression, tuple):
        return float(variables.get(str(expression), 0) or str(expression))
    sign, *parts = expression
    one, *more = (value(part, variables) for part in parts)
    match sign:
        case "+":
            return one + more[0]
        case "-":
            return one - more[0]
        case "*":
            return one * more[0]
        case "/":
            return one / more[0]
        case "2":
            return one**2
    return math.sqrt(one)


def numbers(expression):
    if isinstance(expression, tuple):
        return [number for part in expression[1:] for number in numbers(part)]
    return [expression] if isinstance(expression, int) else []


def changed(expression, place, by):
    """With the number at a place, counted from the left, made larger."""
    if not isinstance(expression, tuple):
        return expression + by if isinstance(expression, int) and place == 0 else expression
    parts = []
    for part in expression[1:]:
        parts.append(changed(part, place, by) if 0 <= place < len(numbers(part)) else part)
        place -= len(numbers(part))
    return (expression[0], *parts)


@settings(deadline=None, max_examples=60)
@given(EXPRESSIONS, st.permutations(list(NOTATIONS)), st.integers(0, 5), st.integers(1, 9))
def test_two_notations_are_the_same_and_another_number_is_not(expression, notations, place, by):
    point = {"x": 1.37, "y": 2.71, "n": 0.59}
    try:
        right = value(expression, point)
        other = value(changed(expression, place, by), point)
    except (ZeroDivisionError, ValueError, OverflowError):
        assume(False)
    truth = written(expression, notations[0])
    assert math_equivalent.grade(f"\\boxed{{{written(expression, notations[1])}}}", truth).correct is True
    if not math.isclose(right, other, rel_tol=1e-6, abs_tol=1e-6):
        answer = written(changed(expression, place, by), notations[1])
        assert math_equivalent.grade(f"\\boxed{{{answer}}}", truth).correct is False


@settings(deadline=None, max_examples=100)
@given(
    EXPRESSIONS,
    st.from_regex(r"\\q[a-z]{3,8}", fullmatch=True) | st.sampled_from(list('?`;:@#&"')) | st.just("\\\\"),
    st.sampled_from(["", "{3}", "3", " x"]),
)
def test_what_cannot_be_read_is_never_passed_over(expression, mark, more):
    truth = written(expression, "latex")
    assume(not mark.startswith(r"\quad"))
    for answer in (truth + mark + more, mark + more + truth):
        assert math_equivalent.grade(f"\\boxed{{{answer}}}", truth).correct is False


PIECES = [
    "1", "2.5", "x", "ab", "e", "i", r"\pi", "+", "-", "*", "/", "^", "_", "!", "=", "<", ",", "(", ")", "[", "]", "{",
    "}", r"\frac", r"\sqrt", r"\sin", r"\log", r"\{", r"\}", "|", r"\text{", r"\pm", r"\cup", r"\circ", "&", r"\\",
    r"\begin{pmatrix}", r"\end{pmatrix}", r"\overline", r"\dot", ".", " ", "%", "$", "\u00bd", "\u00b2", "\u2461",
    "\u2082", "\u09ea", "\u0305",
]  # fmt: skip


@settings(deadline=None)
@given(st.text(max_size=60) | st.lists(st.sampled_from(PIECES), max_size=15).map("".join))
def test_any_text_is_read_without_error_and_is_itself(text):
    found = read(text)
    assert found is None or found == read(f" {text} ")
    if found is not None:
        assert read(text + r"\qwerty") is None
    assert math_equivalent.grade(f"\\boxed{{{text}}}", text.strip() + "?").correct is False


@pytest.fixture
def verifier():
    process = MathProcess(time_limit_s=1.0)
    yield process
    process.close()


@pytest.mark.parametrize("truth", ["1/(2-2)", r"\begin{pmatrix}1 & 1/(2-2)\end{pmatrix}", "(1, 1/(2-2))"])
def test_a_ground_truth_without_a_value_is_undecided(verifier, truth):
    assert verifier.equivalent(tree("5"), tree(truth)) is None
    assert verifier.equivalent(tree("1/(2-2)"), tree("5")) is False


def test_numbers_need_no_process(monkeypatch):
    def refuse(self, answer, ground_truth):
        raise AssertionError("asked the process")

    monkeypatch.setattr(MathProcess, "equivalent", refuse)
    assert math_equivalent(["?", "?"], [r"\boxed{1,200}", r"\boxed{7}"], ground_truth=["1200", "1200"]) == [1.0, 0.0]


def test_what_takes_too_long_is_wrong_for_a_number_and_else_undecided(verifier, monkeypatch):
    monkeypatch.setattr(sys.modules["harness.rewards.symbolic"], "_process", verifier)
    completions = [f"\\boxed{{{HANGS}}}", f"\\boxed{{{HANGS}}}", r"\boxed{2^{4}}"]
    assert math_equivalent(["?"] * 3, completions, ground_truth=["17", r"\sqrt{x}", "16"]) == [0.0, None, 1.0]
    assert math_equivalent.grade(completions[1], r"\sqrt{x}").status == "unscored"
    assert math_equivalent.grade(completions[1], r"\sqrt{x}").extracted == HANGS


TOWERS = [
    "9^{9^{%d}}",
    "n^{n^{n^{%d}}}",
    "%d00000!",
    r"\binom{10^9}{5\cdot10^%d}",
    r"\sqrt{9^{9^%d}}",
    "2^{x+10^%d}",
    "e^{e^{e^%d}}",
]


@pytest.mark.parametrize("tower", TOWERS)
def test_a_tower_of_powers_is_wrong_at_once(tower):
    completions = [f"\\boxed{{{tower % number}}}" for number in range(7, 23)]
    started = time.monotonic()
    assert math_equivalent(["?"] * 16, completions, ground_truth=["17"] * 16) == [0.0] * 16
    assert time.monotonic() - started < 30  # SymPy's import too, on a busy machine


@pytest.mark.parametrize(
    ("text", "truth"),
    [("2^{10000}", r"2^{5000}\cdot 2^{5000}"), ("(-1)^{10^9}", "1"), ("0^{10^9}", "0"),
     (r"\sqrt[3]{10^{9000}}", "10^{3000}"),
     ("1000!", r"1000\cdot 999!"), (r"\binom{1000}{999}", "1000")],
)  # fmt: skip
def test_large_numbers_are_compared_exactly(text, truth):
    assert math_equivalent.grade(f"\\boxed{{{text}}}", truth).correct is True
    assert math_equivalent.grade(f"\\boxed{{{text}+1}}", truth).correct is False


def test_answers_that_take_too_long_share_a_budget():
    process = MathProcess(time_limit_s=1.0)
    asked, before = tree(HANGS), os.times()
    assert {process.equivalent(asked, ["num", str(number)]) for number in range(30)} == {"beyond"}
    process.close()
    assert os.times().children_user - before.children_user < 15  # 30 seconds without a budget


def test_undecided_answers_are_counted():
    calls = RewardCalls({"math_equivalent": 1.0})
    calls(["?"] * 2, [r"\boxed{5}", r"\boxed{6}"], {"ground_truth": ["1/(2-2)", None], "question_id": ["q1", "q2"]})
    (reason,) = calls.faults.reasons["math_equivalent"].values()
    assert reason == (1, "q1")


@pytest.mark.parametrize(
    "answer",
    ["(" * 1_500, "{" * 900 + "x" + "}" * 900, r"\frac{" * 300, "2^{" * 20 + "2" + "}" * 20, "x" + "^2" * 900,
     "x+" * 900 + "x", "0." + "(3)" * 400, "1" * 1_900, "|" * 1_900, "-" * 1_900 + "1", "_" * 1_900, "x!" * 900,
     r"\text{" * 300 + "1", "\u00bd" * 1_000, "1,000" * 300, r"\pm" * 600 + "1", "\u0305".join("1" * 900),
     r"{1 \over " * 200, "9**9**9", "10^{999999999}", "1 000" * 300],
)  # fmt: skip
def test_hostile_answers_are_never_correct(verifier, monkeypatch, answer):
    monkeypatch.setattr(sys.modules["harness.rewards.symbolic"], "_process", verifier)
    start = time.monotonic()
    assert math_equivalent.grade(f"\\boxed{{{answer}}}", "5").correct is not True
    assert time.monotonic() - start < 60


def test_time_out_off_the_main_thread(verifier):
    assert threading.current_thread() is threading.main_thread()
    with ThreadPoolExecutor(4) as pool:
        verdicts = list(
            pool.map(lambda answer: verifier.equivalent(tree(answer), tree("16")), [HANGS, "2^{4}", HANGS, "4^{2}"])
        )
    assert verdicts == ["beyond", True, "beyond", True]


def _fake(tmp_path, body):
    """A worker that greets and then runs ``body`` for each ``line``."""
    script = tmp_path / "worker.py"
    head = "import json, os, sys, time\nprint(json.dumps({'ready': True}), flush=True)\nfor line in sys.stdin:\n"
    script.write_text(head + textwrap.indent(body, "    "))
    return [sys.executable, str(script)]


def test_a_sleeping_worker_is_killed_by_the_clock(tmp_path):
    body = "if 'sleep' in line: time.sleep(600)\nprint('true', flush=True)"
    process = MathProcess(time_limit_s=0.2, command=_fake(tmp_path, body))
    assert process.equivalent("sleep", "1") is None
    process.close()


def test_a_worker_that_no_exception_ends_is_ended_by_a_signal(tmp_path):
    body = "if 'long' in line: os.kill(os.getpid(), __import__('signal').SIGVTALRM)\nprint('true', flush=True)"
    process = MathProcess(time_limit_s=30, command=_fake(tmp_path, body))
    assert [process.equivalent(answer, "1") for answer in ("long", "b")] == ["beyond", True]
    process.close()


@pytest.mark.parametrize(
    "crash",
    ["os.abort()", "sys.exit(3)", "print('tr', end='', flush=True); os._exit(1)"],
    ids=["abort", "exit", "torn"],
)
def test_a_crash_is_undecided_and_the_next_question_is_answered(tmp_path, crash):
    command = _fake(tmp_path, f"if 'crash' in line: {crash}\nprint('true', flush=True)")
    process = MathProcess(time_limit_s=30, command=command)
    assert [process.equivalent(answer, "1") for answer in ("a", "crash", "b")] == [True, None, True]
    process.close()


def test_a_reply_that_nobody_waited_for_is_not_the_next_questions(tmp_path):
    """A time limit around the question ends the wait, as Ctrl-C does."""
    body = "if 'slow' in line: time.sleep(1)\nprint('true' if 'slow' in line else 'false', flush=True)"
    process = MathProcess(time_limit_s=30, command=_fake(tmp_path, body))
    assert process.equivalent("a", "1") is False
    with pytest.raises(OutOfTimeError):
        limited(lambda: process.equivalent("slow", "1"), 0.3)
    assert process.equivalent("b", "1") is False
    process.close()


def test_death_while_idle_goes_unnoticed(tmp_path):
    process = MathProcess(time_limit_s=30, command=_fake(tmp_path, "print('true', flush=True)\nos._exit(0)"))
    for _ in range(3):
        assert process.equivalent("a", "1") is True
        assert process._process is not None
        os.waitid(os.P_PID, process._process.pid, os.WEXITED | os.WNOWAIT)
    process.close()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ([sys.executable, "-c", 'print(\'{"error": "No module named sympy"}\')'], "No module named sympy"),
        ([sys.executable, "-c", "raise SystemExit(1)"], "before it was ready"),
        (["/nowhere/python"], "No such file"),
    ],
)
def test_a_worker_that_does_not_start(command, message):
    with pytest.raises(RewardError, match=f"could not start its verifier process: .*{message}"):
        MathProcess(command=command).equivalent("a", "b")


def test_close_ends_the_worker_and_may_be_repeated(verifier):
    assert verifier.equivalent(tree("2^{2}"), tree("4")) is True
    worker = verifier._process
    assert worker is not None
    verifier.close()
    verifier.close()
    assert worker.returncode is not None
    assert verifier.equivalent(tree("2^{2}"), tree("4")) is True


SCRIPT = """
import os, sys
from harness.rewards import math_equivalent
module = sys.modules["harness.rewards.symbolic"]

def ask(n):
    return math_equivalent.grade("\\\\boxed{2^{%d}}" % n, str(2**n)).correct

assert ask(5) is True
parent = module._process._process.pid
child = os.fork() if sys.argv[1] == "fork" else None
if child == 0:
    assert module._process._process is None
    assert ask(6) is True
    assert module._process._process.pid != parent
    module._process.close()
    os._exit(0)
if child is not None:
    assert os.waitpid(child, 0)[1] == 0
    assert ask(7) is True
    assert module._process._process.pid == parent
print(parent)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
@pytest.mark.parametrize("mode", ["fork", "plain"])
def test_no_worker_outlives_its_owner_and_forks_do_not_share(mode):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, mode],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    with pytest.raises(ProcessLookupError):
        os.kill(int(result.stdout), 0)
