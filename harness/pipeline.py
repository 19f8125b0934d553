"""One recipe with one seed, from questions to verdicts: each stage is made when it is first asked for, and kept.

    result = harness.run("tiny-arithmetic")
    result.before().accuracy, result.after().accuracy, [verdict.sentence for verdict in result.verdicts()]

The pytest fixtures and the command line are thin calls of this class.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.environment import git_state, without_secrets
from harness.errors import NoSignal, TrainingError
from harness.evaluation import Decided, Evaluation, Keys, evaluate
from harness.gate import Verdict
from harness.identity import generation_identity, grading_identity, run_identity, training_identity
from harness.judging import GATES, RECIPE, decided, judge
from harness.learning import data_identity, sampling
from harness.lineage import parent_of
from harness.policy.device import choose_device, choose_dtype, release_memory
from harness.policy.source import ModelSource, fingerprint, resolve_model
from harness.policy.threads import calm_threads
from harness.runs import digest, locked, read_json, run_directories, set_aside, write_json
from harness.settings import Settings
from harness.tasks import Question, Questions, load_questions
from harness.trained import Trained
from harness.training.launch import train
from harness.what_ran import held_by_another, write_what_runs

if TYPE_CHECKING:
    from harness.audit import Audit
    from harness.policy import Policy
    from harness.policy.engines import Engine
    from harness.recipe import EvaluateSection, Recipe


__all__ = ["Run", "Settings", "Trained"]

STAGES = ("before", "after", "samples")  # where other runs may have kept the same answers


class Run:
    """The stages of one recipe and seed. Nothing happens until a stage is asked for."""

    def __init__(self, recipe: Recipe, seed: int | None = None, settings: Settings | None = None) -> None:
        self.recipe = recipe
        self.seed = recipe.seeds[0] if seed is None else seed
        self.settings = settings or Settings()
        self._policy: tuple[str, Policy] | None = None
        self._asked: tuple[str, Engine] | None = None
        # Reward functions of the user's are found beside the recipe and in the working directory.
        folders = [Path.cwd(), *([recipe.source.parent.resolve()] if recipe.source else [])]
        sys.path += [str(folder) for folder in folders if str(folder) not in sys.path]

    @property
    def id(self) -> str:
        return f"{self.recipe.name}-{self.seed}"

    @cached_property
    def commit(self) -> str:
        """What pairs answers with a baseline's: the git commit, so that a rerun draws the same pairs."""
        return str((git_state(Path.cwd()) or {}).get("commit", "no commit"))

    @cached_property
    def device(self) -> str:
        return choose_device(self.settings.device)

    @cached_property
    def questions(self) -> Questions:
        task = self.recipe.task
        located = task.model_copy(update={"name": self.located(task.name)})
        evaluate = self.recipe.evaluate
        held_out = evaluate.during_questions if evaluate.every_steps else 0
        return load_questions(located, data=self.settings.data, held_out=held_out)

    @cached_property
    def base(self) -> ModelSource:
        """The model that training starts from; what another recipe trains is made or found now."""
        parent = parent_of(self.recipe)
        if parent is not None:
            run = Run(parent, self.seed, self.settings)
            try:
                return run.final()
            finally:
                run.release()
        return resolve_model(self._model_name, self.recipe.model.revision)

    @cached_property
    def directory(self) -> Path:
        """The run directory, opened: its first files are there."""
        identity = run_identity(
            self.generation(self.base, self.recipe.evaluate, self.questions.test),
            grading_identity(self.recipe, self.questions.test),
            {**training_identity(self.recipe, self.questions, self.seed), **data_identity(self)},
        )
        path = self.settings.runs_dir / f"{self.id}-{digest(identity)[:12]}"
        with locked(path):
            if self.settings.fresh and held_by_another(path, self.settings.session):
                set_aside(path)
            write_what_runs(self, path, identity)
        return path

    def policy(self) -> Policy:
        """The base policy, loaded."""
        return self._open(self.base)

    def before(self) -> Evaluation:
        """The base policy on the test questions."""
        return self._evaluate("before", self.base)

    def samples(self) -> Evaluation:
        """The base policy's own answers to the training questions, which SFT and DPO learn from.

        Raises:
            TrainingError: the recipe learns from something else.
        """
        decoding = sampling(self.recipe, self.seed)
        if decoding is None:
            raise TrainingError(f"{self.id}: does not learn from sampled completions, so there are none")
        return self._evaluate("samples", self.base, decoding=decoding, questions=self.questions.train)

    def trained(self) -> Trained:
        """The training job, run to its end.

        Raises:
            NoSignal: the signal check found next to nothing to learn from; the training verdict says so too.
            TrainingError: the job failed; asking again in the same session says so again without another try.
        """
        directory = self.directory / "train"
        with locked(directory):
            summary = read_json(directory / "summary.json")
            if summary is None:
                failed = read_json(directory / "failed.json") or {}
                if failed.get("session") == self.settings.session:
                    raise (NoSignal if failed.get("no_signal") else TrainingError)(failed["error"])
                self.release()
                try:
                    summary = train(self, directory)
                except TrainingError as error:
                    refused, said = isinstance(error, NoSignal), without_secrets(str(error))
                    known = {"session": self.settings.session, "error": said, "no_signal": refused}
                    write_json(directory / "failed.json", known)
                    if refused:
                        self.keep(Verdict("training", "UNSOUND", said))
                    raise
        return Trained(directory, summary)

    def after(self) -> Evaluation:
        """The trained policy on the same questions."""
        source = self.final()
        if not (self.recipe.gate.stop_early or self.settings.stop_early):
            return self._evaluate("after", source)
        self.before()  # what the answers are held against is there before the first look
        return self._evaluate("after", source, decided=partial(decided, self))

    def ask(self, stage: str, decoding: EvaluateSection, *, trained: bool) -> Evaluation:
        """The base or the trained policy asked anew with another decoding, in a stage directory of its own."""
        return self._evaluate(stage, self.final() if trained else self.base, decoding=decoding, keep=False)

    def verdicts(self) -> list[Verdict]:
        """Every verdict that is asked for, in the order of :data:`~harness.judging.GATES`, and ``verdicts.json``."""
        return [verdict for gate in GATES if (verdict := self.verdict(gate)) is not None]

    def verdict(self, gate: str) -> Verdict | None:
        """One of :data:`~harness.judging.GATES`, after the stages it needs; ``None`` where nothing is asked of it."""
        verdict = judge(self, gate)
        if verdict is not None:
            self.keep(verdict)
        return verdict

    def audit(self) -> Audit:
        """The recipe's rewards, audited with its questions; ``audit.json``, unless opening the run directory would
        fetch or train a model for it."""
        made = self._audit
        name = self._model_name  # "" where another recipe trains the model
        if "directory" in self.__dict__ or (name and (name == "tiny" or Path(name).exists())):
            write_json(self.directory / "audit.json", made.to_json())
        return made

    @cached_property
    def _audit(self) -> Audit:
        from harness.audit import audit_rewards

        return audit_rewards(self.recipe.rewards, (*self.questions.train, *self.questions.test))

    @property
    def _model_name(self) -> str:
        return self.located(self.recipe.model.name)

    def release(self) -> None:
        """Let go of the loaded model and its memory."""
        asked, policy = self._asked, self._policy
        self._asked = self._policy = None
        if asked is not None:
            asked[1].close()
        elif policy is not None:  # collecting garbage costs a twentieth of a second
            del policy
            release_memory()

    def keep(self, verdict: Verdict) -> None:
        """Put a verdict into ``verdicts.json``, in place of an earlier one of its gate."""
        path = self.directory / "verdicts.json"
        with locked(self.directory):
            asked, known = self.recipe.gate.model_dump(), read_json(path) or {}
            # What was said when the gate asked for something else no longer holds.
            kept = {each["gate"]: each for each in known.get("verdicts", []) if known.get("asked") == asked}
            kept[verdict.gate] = verdict.to_json()
            ordered = [kept[gate] for gate in (*GATES, RECIPE) if gate in kept]
            own = {"format": 1, "recipe": self.recipe.name, "seed": self.seed, "asked": asked}
            write_json(path, {**own, "verdicts": ordered})

    def located(self, name: str) -> str:
        """A path written in a recipe is relative to the recipe's folder, or else to the working directory."""
        if self.recipe.source is not None and name not in ("", "tiny", "arithmetic", "gsm8k"):
            beside = self.recipe.source.parent / name
            if beside.exists():
                return str(beside.resolve())
        return name

    def _open(self, source: ModelSource) -> Policy:
        calm_threads()
        from harness.policy import load_policy

        key = str(source.path)
        if self._policy is None or self._policy[0] != key:
            self.release()
            self._policy = key, load_policy(source, device=self.device, dtype=self.recipe.model.dtype)
        return self._policy[1]

    def _engine(self, source: ModelSource) -> Engine:
        calm_threads()
        from harness.policy.engines.opening import open_engine

        key = str(source.path)
        if self._asked is None or self._asked[0] != key:
            self.release()
            self._asked = key, open_engine(self.recipe.engine, lambda: self._open(source))
        return self._asked[1]

    def fingerprint(self, source: ModelSource) -> dict[str, str]:
        """Hashes of a model's content; those of files that did not change are remembered."""
        return fingerprint(source, cache=self.settings.runs_dir / ".fingerprints.json")

    def generation(
        self, source: ModelSource, decoding: EvaluateSection, questions: Sequence[Question]
    ) -> dict[str, Any]:
        """What decides the answers of a policy to these questions, on this run's device."""
        return generation_identity(
            self.fingerprint(source),
            questions,
            decoding,
            self.recipe.engine,
            device=self.device,
            dtype=choose_dtype(self.recipe.model.dtype, self.device),
        )

    def final(self) -> ModelSource:
        """The trained policy."""
        return resolve_model(str(self.trained().model.resolve()))

    def _evaluate(
        self,
        stage: str,
        source: ModelSource,
        *,
        decoding: EvaluateSection | None = None,
        questions: Sequence[Question] | None = None,
        keep: bool = True,
        decided: Decided | None = None,
    ) -> Evaluation:
        decoding, questions = decoding or self.recipe.evaluate, questions or self.questions.test
        keys = Keys(
            digest(self.generation(source, decoding, questions)), digest(grading_identity(self.recipe, questions))
        )
        directory = self.directory
        with locked(self.settings.runs_dir / ".locks" / keys.generation[:12]):
            kept = []
            if keep and not self.settings.fresh:
                kept = [other / each for other in run_directories(self.settings.runs_dir) for each in STAGES]
            return evaluate(
                directory / stage,
                questions,
                self.recipe.rewards,
                decoding,
                keys,
                open_engine=lambda: self._engine(source),
                kept_stages=kept,
                progress=lambda done, total: self.settings.announce(f"{self.id} {stage}", f"{done}/{total} answers"),
                decided=decided,
            )
