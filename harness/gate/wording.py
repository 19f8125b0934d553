"""Every sentence of a verdict, made of its gate, its code and its numbers; nothing reads one back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from harness.store.words import counted, percent, points, two_digits

if TYPE_CHECKING:
    from harness.store.run_files import Signal, Verdict

Numbers = Mapping[str, Any]
Effect = Literal["drop", "gain"]
# Why a verdict is what it is, by gate; "undecided" and "ungraded" are several gates'.
Improvement = Literal[
    "no_gain", "no_change", "small_gain", "unsure_gain", "better_at_first", "worse_at_first", "no_gain_at_first"
]
Baseline = Literal["no_loss", "changed", "unusable", "none", "not_recorded", "recorded"]
Accuracy = Literal["reached", "below", "within"]
Training = Literal["no_steps", "not_finite", "no_signal", "sound", "refused", "reward_faults"]
Recipe = Literal["unjudged_seeds", "few_seeds", "equal_seeds"]
Shared = Literal["no_pairs", "gain", "loss", "undecided", "ungraded"]
Code = Improvement | Baseline | Accuracy | Training | Recipe | Shared
STALE = "the baseline is stale: --rl-update-baselines all records a new one"
MORE_SIGNAL = "ask questions that are neither too easy nor too hard for the model, or raise num_generations"
FORMATS = {"box": "format_boxed", "tags": "format_tags"}  # what pays for a form alone
MOST_QUESTIONS = 1_000_000  # what takes more is "over" so many


def told_alpha(alpha: float, gates: int) -> str:
    """``(alpha .05)``, or ``(alpha .05 shared by 2 gates)`` where this gate's ``alpha`` is a part of the recipe's."""
    return f"(alpha {two_digits(alpha * gates)}{f' shared by {gates} gates' if gates > 1 else ''})"


def luck(claim: Literal["gain", "loss"], alpha: float, gates: int, *, exact: bool = True) -> str:
    """How often the whole test, all its looks together, makes this claim where nothing differs."""
    at = f"{'at most' if exact else 'about'} {100 * alpha:.3g} %"
    return f"luck alone would pass for a {claim} in {at} of such tests {told_alpha(alpha, gates)}"


def ruled_out(effect: str, beta: float, *, exact: bool = True) -> str:
    """``effect`` is not there, and how often the test says so where it is."""
    at = f"{'at most' if exact else 'about'} {100 * beta:.3g} %"
    return f"{effect} or more is ruled out, wrongly in {at} of such tests"


def sentence(gate: str, code: str, numbers: Numbers) -> str:
    """What a verdict says, and behind it what is to be known of the checkpoint and of the rewards it learnt from.

    A test's own verdict names the test behind its gate: ``accuracy (test_own.py::test_base)``.
    """
    if code == "ungraded":
        told = numbers["ungraded"]
        had = {0: "graded", told["ungraded"]: "had"}.get(told["lost"], "had or graded")
        counts = f"{told['ungraded']} of {told['answers']} answers{told['whose']}"
        return f"{counts} could not be {had}; of the others: {sentence(gate, told['code'], numbers)}"
    words = {
        "improvement": _improvement,
        "baseline": _baseline,
        "accuracy": _accuracy,
        "training": _training,
        "recipe": _recipe,
    }
    found = words[gate.partition(" ")[0]](code, numbers)
    if (seed := numbers.get("held_against_seed")) is not None:
        found += f" (held against seed {seed}'s checkpoint)"
    if code != "reward_faults":
        found = "; ".join([found, *numbers.get("faults", ())])
    if selected := numbers.get("selected"):
        found += f"; {selected['sentence']}"
    return found


def _improvement(code: str, n: Numbers) -> str:
    if code == "no_pairs":
        return "no question was scored both before and after"
    effect, alpha = n["min_improvement"] or n["margin"], told_alpha(n["alpha"], n["gates"])
    gain = f"a gain of {points(effect)}"
    no_gain = ruled_out(gain, n["beta"], exact=n["exact"])
    match code:
        case "gain" | "loss":
            clear = f"; clear after the first {n['certain_after']} questions" if n["certain_after"] < n["asked"] else ""
            reason = luck(code, n["alpha"], n["gates"], exact=n["exact"]) + clear
        case "no_gain":
            reason = no_gain
        case "no_change":
            reason = f"neither better nor worse beyond luck {alpha}; {no_gain}"
        case "small_gain":
            reason = f"a gain beyond luck {alpha}, but of {points(n['gain'])} only"
        case "unsure_gain":
            few = f"{n['asked']} questions are too few to be sure of {points(effect)}"
            reason = f"a gain beyond luck {alpha}, but {few}"
        case "undecided":
            so_far = f"this may be luck {alpha}" if n["gained"] or n["lost"] else "no answer turned right or wrong"
            reason = f"{so_far}; {_left(n, 'gain', effect)}"
        case _:
            first = {
                "better_at_first": "better",
                "worse_at_first": "worse",
                "no_gain_at_first": f"no gain of {points(effect)}",
            }[code]
            reason = f"{first} on the first {n['certain_after']} questions, but not on all; ask more questions"
    asked_for = f" ({gain} is asked for)" if n["min_improvement"] else ""
    planned = f" ({n['questions']} planned)" if n["asked"] < n["questions"] else ""
    return (
        f"{percent(n['before'])} → {percent(n['after'])}{asked_for}, {n['gained']} gained and {n['lost']} lost of "
        f"{counted(n['pairs'], 'question')}{planned}; {reason}"
    )


def _baseline(code: str, n: Numbers) -> str:
    match code:
        case "no_pairs":
            return "no question was scored on both sides"
        case "changed":
            return f"{n['run']} differs from {n['against']} in {' and '.join(n['changed'])}"
        case "unusable":
            return str(n["reason"])
        case "none":
            where = f" in {n['folder']}" if n["folder"] else ""
            return f"none is recorded{where}; --rl-update-baselines new records one"
        case "not_recorded":
            return f"none was recorded: {n['reason']}"
        case "recorded":
            found = f"{percent(n['accuracy'])} of {counted(n['questions'], 'question')}"
            return f"recorded {found} in {n['path']}; commit it to gate on it; {plan_sentence(n['plan'])}"
    drop, seen = f"a drop of {points(n['margin'])}", round(n["baseline"] - n["now"], 12)
    so = True  # what was clear first stands; a person should know where the rest of the questions disagree
    match code:
        case "loss":
            reason, so = luck("loss", n["alpha"], n["gates"], exact=n["exact"]), seen > 0
        case "gain":
            reason, so = luck("gain", n["alpha"], n["gates"], exact=n["exact"]), seen < 0
            reason += f"; {STALE}" if n["stale"] else ""
        case "no_loss":
            reason, so = ruled_out(drop, n["beta"], exact=n["exact"]), seen < n["margin"]
        case _:
            changed = n["lost"] or n["gained"]
            nothing = f"no loss beyond luck {told_alpha(n['alpha'], n['gates'])}" if changed else "no answer changed"
            reason = f"{nothing}, but {drop} is not ruled out either; {_left(n, 'drop', n['margin'])}"
    decided, total = n["certain_after"] or n["asked"], n["questions"]
    within = f"the first {decided} of {total} questions" if decided < total else counted(total, "question")
    yet = "" if so else f"; yet all {n['asked']} together say otherwise"
    was, now = ("", "") if n["against_run"] else ("baseline ", "now ")
    return (
        f"{was}{percent(n['baseline'])} → {now}{percent(n['now'])}, {n['lost']} lost and {n['gained']} gained in "
        f"{within}; {reason}{yet}"
    )


def _left(n: Numbers, effect: Effect, margin: float) -> str:
    """What an undecided test leaves open: questions that were not asked, or effects that these cannot show."""
    if n["asked"] < n["questions"]:
        return f"{n['questions'] - n['asked']} were not asked"
    return unseen(n["pairs"], effect, n["smallest_seen"], margin, n["needed"], enough=n["enough"])


def _accuracy(code: str, n: Numbers) -> str:
    least = f"the {percent(n['min_accuracy'])} asked for"
    could = "more questions would narrow it" if n["min_accuracy"] < 1 else "no number of questions would show so much"
    reason = {
        "reached": f"all of it reaches {least}",
        "below": f"all of it is below {least}",
        "within": f"{least} lie within it, and {could}",
    }
    return (
        f"{percent(n['accuracy'])} right over {counted(n['questions'], 'question')}, "
        f"95 % interval {percent(n['low'])} to {percent(n['high'])}; {reason[code]}"
    )


def _training(code: str, n: Numbers) -> str:
    match code:
        case "no_steps":
            return "no training step was logged"
        case "not_finite":
            ((key, steps),) = n["not_finite"].items()
            return f"{key} is not finite from step {steps[0]} on"
        case "no_signal":
            equal = f"every group had equal rewards in all {counted(n['logged_steps'], 'logged step')}"
            return f"{equal}: there was nothing to learn from"
        case "refused":
            return str(n["reason"])
        case "reward_faults":
            return "; ".join(n["faults"])
    tenth = n["shown_steps"]
    over = "first and last logged step" if tenth == 1 else f"means of the first and last {tenth} logged steps"
    parts = [f"{counted(n['steps'], 'step')}, every logged loss and gradient finite"]
    for what in ("reward", "loss"):
        if f"first_{what}" in n:
            parts.append(f"{what} {n[f'first_{what}']:.3f} → {n[f'last_{what}']:.3f} ({over})")
    if "preferred_share" in n:
        parts.append(f"chosen answers preferred in {percent(n['preferred_share'])} of the pairs at the end")
    if "zero_std_share" in n:
        parts.append(f"{percent(n['zero_std_share'])} of groups had equal rewards and taught nothing")
    if "finding" in n:
        parts.append(f"most groups taught nothing: {MORE_SIGNAL}")
    if "stopped" in n:
        parts.append(f"stopped early by {n['stopped']['check']}: {n['stopped']['sentence']}")
    return "; ".join(parts)


def _recipe(code: str, n: Numbers) -> str:
    seeds = n["seeds"]
    match code:
        case "unjudged_seeds":
            return f"not all {seeds} seeds have a verdict to speak of"
        case "few_seeds":
            only = {0: "no trained model", 1: "this trained model only"}.get(
                seeds, f"these {seeds} trained models only"
            )
            return f"a claim about the recipe takes {n['fewest']} seeds or more; {seeds} can speak of {only}"
        case "equal_seeds":
            return f"all {seeds} seeds differ by {points(n['mean'])}: were they trained apart?"
        case "loss" | "gain":
            reason = luck(code, n["alpha"], n["gates"], exact=False)
        case "no_loss":
            reason = ruled_out(f"a drop of {points(n['margin'])}", n["beta"], exact=False)
        case _:
            reason = f"this may be luck {told_alpha(n['alpha'], n['gates'])}; train more seeds"
    return (
        f"{100 * n['mean']:+.1f} points against {n['against']}, the mean of {seeds} trained models, one a seed "
        f"({100 * n['confidence']:.3g} % interval {100 * n['low']:+.1f} to {100 * n['high']:+.1f}); {reason}"
    )


def brief(verdict: Verdict) -> str | None:
    """What a run's line says of a verdict, in a few words beside its numbers; ``None`` where these tell it all."""
    n, code = verdict.numbers, verdict.code
    gate, _, test = verdict.gate.partition(" ")
    words = _brief(gate, code, n)
    return f"{words or verdict.verdict} {test}" if test else words


def _brief(gate: str, code: str, n: Numbers) -> str | None:
    if code == "ungraded":
        return f"{n['ungraded']['ungraded']} answers not graded"
    match gate, code:
        case ("improvement", "gain") | ("accuracy", "reached"):
            return None
        case "improvement", "no_gain":
            return f"no gain of {points(n['min_improvement'])}"
        case "improvement", "small_gain":
            return "a small gain"
        case "improvement", "loss":
            return "worse than before"
        case "improvement", "no_change":
            return "no change"
        case "improvement", "no_pairs":
            return "no answers to compare"
        case "improvement", _:
            return "may be luck"
        case "baseline", "loss":
            return f"worse than baseline ({percent(n['baseline'])} → {percent(n['now'])})"
        case "baseline", "changed":
            return "not comparable to baseline"
        case "accuracy", "below":
            return f"below {percent(n['min_accuracy'])}"
        case "accuracy", _:
            return f"{percent(n['min_accuracy'])} not certain"
        case "training", "sound":
            return "sound, but most groups taught nothing" if n.get("finding") else "sound"
        case "training", "refused":
            return "not trained"
        case "recipe", "gain" | "loss" | "no_loss":
            return f"{ {'gain': 'better', 'loss': 'worse'}.get(code, 'no worse') } over {n['seeds']} seeds"
    return {
        ("baseline", "no_loss"): "no worse than baseline",
        ("baseline", "gain"): "better than baseline",
        ("baseline", "unusable"): "baseline cannot be used",
        ("baseline", "none"): "no baseline yet",
        ("baseline", "not_recorded"): "no baseline recorded",
        ("baseline", "recorded"): "baseline recorded",
        ("training", "no_steps"): "unsound: no steps",
        ("training", "not_finite"): "unsound: not finite",
        ("training", "no_signal"): "unsound: all rewards equal",
        ("training", "reward_faults"): "unsound: a reward failed",
    }.get((gate, code), f"{gate} not certain")


def plan_sentence(n: Numbers) -> str:
    """A line for a plan (the fields of :class:`harness.gate.power.Plan`), before anything is generated: what the
    questions see, or what they may miss."""
    if not n["enough"]:
        return unseen(n["n"], n["effect"], n["smallest_seen"], n["margin"], n["needed"], enough=False)
    sees = f"a {n['effect']} of {points(n['margin'])} with power {two_digits(n['reached'])}"
    at = f"at discordance {two_digits(n['discordance'])}"
    return f"{n['n']} questions {at} see {sees}; {two_digits(n['power'])} was asked for"


def unseen(
    questions: int,
    effect: Effect,
    smallest: float | None,
    asked: float,
    needed: int | None,
    *,
    enough: bool,
) -> str:
    """What so many questions may miss: ``60 questions: a drop of less than about 15 points could go unseen, 5 were
    asked for (that needs about 530)``.

    Args:
        smallest: the smallest effect that they show, as a share; ``None`` where they show none at all.
        asked: the effect that is asked for.
        needed: how many questions show it; ``None`` where not even a million do. Not said where these are ``enough``.
    """
    unit = "was" if 100 * asked == 1 else "were"
    if smallest is None:
        turned = "wrong" if effect == "drop" else "right"
        could = f"any {effect} could go unseen, even if every answer turned {turned}; {points(asked)} {unit} asked for"
    else:
        least = 100 * smallest
        rough = points(smallest) if least < 9.95 else f"{least:.0f} points"
        could = f"a {effect} of less than about {rough} could go unseen, {100 * asked:.3g} {unit} asked for"
    if enough:
        return f"{counted(questions, 'question')}: {could}"
    if needed is None:
        rough = f"over {MOST_QUESTIONS:,}"
    else:
        rough = f"about {10 * math.ceil(needed / 10) if needed > 100 else needed}"
    return f"{counted(questions, 'question')}: {could} (that needs {rough})"


def signal_advice(found: Signal, form: str | None) -> list[str]:
    """What to change where hardly any group has a gradient, most telling first."""
    counts, answers, tips = found.counts, sum(found.counts.values()), []
    if found.truncated > answers / 2:
        tips.append("raise max_completion_length: most answers were cut off")
    if counts.get("no_answer", 0) > answers / 2:
        tips.append("show worked examples ([task] few_shot = 2)")
        if form in FORMATS:
            tips.append(f"pay for the form too ([rewards] {FORMATS[form]} = 0.2)")
        tips.append("warm up by SFT on worked answers")
    elif found.accuracy > 0.5:
        tips.append("ask harder questions: these are answered right already")
    else:
        tips.append("ask easier questions or take a stronger base model")
        tips.append("warm up by SFT on worked answers")
    if found.signal_share > 0:
        tips.append(f"raise num_generations above {found.num_generations}: larger groups differ more often")
    return tips


def signal_sentence(found: Signal) -> str:
    """What ``signal.json`` says: of a training that is refused, why and what to change."""
    counts, asked = found.counts, found.questions
    answers = sum(counts.values())
    if found.kept is not None:
        return _learnable(found, answers)
    text = (
        f"{100 * found.signal_share:.0f} % of groups of {found.num_generations} are expected to carry a gradient "
        f"({answers} sampled answers to {asked} training questions, {100 * found.accuracy:.0f} % right"
    )
    if counts.get("no_answer"):
        text += f", {counts['no_answer']} without an answer to grade"
    text += f"); about {found.steps_without_signal:.0f} of {found.steps} steps without any"
    if found.refused:
        text = f"not trained: only {text}, at least {100 * found.limit:g} % of groups are asked for"
    if found.advice:
        text += f". What to change: {'; '.join(found.advice)}"
    return text + (" ([health] signal = false trains all the same)" if found.refused else "")


def _learnable(found: Signal, answers: int) -> str:
    share = f"{100 * found.accuracy:.0f} % of {counted(answers, 'answer')} right"
    which = f"{found.kept} of {counted(found.questions, 'training question')} asked {found.samples_per_question} times"
    text = f"{which} got right and wrong answers ({share})"
    if not found.refused:
        return f"{text} and {'is' if found.kept == 1 else 'are'} trained on"
    text = f"not trained: only {text}, too few to fill a batch"
    return f"{text}. What to change: {'; '.join(['raise [task] train_questions', *found.advice])}"
