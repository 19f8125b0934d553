"""One recipe with one seed, from questions to verdicts: each stage is made when it is first asked for, and kept.

    result = harness.run("tiny-arithmetic")
    result.before().accuracy, result.after().accuracy, [verdict.sentence for verdict in result.verdicts()]

The pytest fixtures and the command line are thin calls of this class. It knows the order of the stages, and hands plain
values to those who make them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from harness.gate.baseline import Baseline, BaselineError
from harness.gate.verdicts import judged, with_ungraded
from harness.models.device import choose_device, choose_dtype
from harness.models.source import ModelSource, fingerprint, resolve_model
from harness.pipeline import baselines, judge
from harness.pipeline.baselines import RecordedBaseline
from harness.pipeline.dataset import dataset_of
from harness.pipeline.evaluate import EarlyStop, Evaluation, evaluate
from harness.pipeline.fingerprint import (
    Keys,
    generation_identity,
    grading_identity,
    policy_identity,
    run_identity,
    served_generation,
    training_identity,
)
from harness.pipeline.judge import GATES, RECIPE, Judge, write_verdicts
from harness.pipeline.loaded import Loaded, open_endpoint, refusal
from harness.pipeline.lost import lost_told
from harness.pipeline.manifest import held_by_another, opened_by, write_manifest
from harness.pipeline.naming import run_name
from harness.pipeline.settings import Settings
from harness.pipeline.signal import look_for_signal
from harness.pipeline.train import (
    Trained,
    adopt_training,
    job_of,
    kept_training,
    log_digests,
    policy_in,
    train,
)
from harness.recipe.catalog import parent_of
from harness.recipe.checks import check_endpoint_keys
from harness.recipe.launching import require_processes
from harness.recipe.needs import asked_by, check_needs, check_rewards, require_columns
from harness.recipe.schema import data_sampling, located, located_task, questions_of
from harness.store.errors import HarnessError, NoSignal, TrainingError, nearest
from harness.store.manifest import git_state
from harness.store.run_directory import digest, locked, own_folder, place_of, run_directories, set_aside
from harness.store.run_files import (
    DATA,
    FAILED,
    IDENTITY,
    NAME,
    TRAINED,
    VERDICTS,
    Example,
    Failed,
    Name,
    TrainingSummary,
    Verdict,
)
from harness.store.siblings import slug
from harness.store.stages import SHARED, SIDES
from harness.store.words import answers_done
from harness.tasks import Question, Questions, is_from_hub
from harness.training.job import tidy

if TYPE_CHECKING:
    from harness.models import Policy
    from harness.models.engines.base import Engine
    from harness.models.engines.chat_server import Served
    from harness.recipe import Recipe
    from harness.store.audit import Audit
    from harness.store.records import SamplingParams


class Run:
    """The stages of one recipe and seed. Nothing happens until a stage is asked for.

    Raises:
        RecipeError: a reward function of the user's is not there, or cannot be called as the recipe says; keys of
            ``[engine]`` are for an endpoint and there is none.
    """

    def __init__(self, recipe: Recipe, seed: int | None = None, settings: Settings | None = None) -> None:
        self.recipe = recipe
        self.seed = recipe.seeds[0] if seed is None else seed
        self.settings = settings or Settings()
        self.reused: dict[str, int] = {}  # by stage, answers (in "train" steps) that were there when first asked for
        self.judged: dict[str, Verdict] = {}  # by gate, what was said of this run since it was made
        self.recorded: Verdict | None = None  # the baseline gate's, once its baseline was recorded from this run
        self._made: dict[str, Evaluation] = {}
        self._looked = False  # whether the trained policy was found as training left it
        self.loaded = Loaded(recipe, partial(self.settings.say, self.id))
        check_endpoint_keys(recipe)
        check_rewards(recipe)

    @property
    def id(self) -> str:
        """What a person calls this run."""
        return self._name.name

    @property
    def variant(self) -> str:
        """The same for all seeds."""
        return self._name.variant

    @cached_property
    def _name(self) -> Name:
        return run_name(self.recipe, self.seed, self.settings.name)

    def _titled(self, stage: str) -> str:
        return f"{self.recipe.train.method.upper() if stage == 'train' else stage} {self.id}"

    @cached_property
    def commit(self) -> str:
        """What pairs answers with a baseline's: the git commit, so that a rerun draws the same pairs."""
        return str((git_state(Path.cwd()) or {}).get("commit", "no commit"))

    @cached_property
    def device(self) -> str:
        return choose_device(self.settings.device)

    @cached_property
    def questions(self) -> Questions:
        if self.settings.data is None and is_from_hub(located_task(self.recipe)):
            with asked_by(self.recipe, "task"):
                return require_columns(self.recipe, questions_of(self.recipe, None))
        return require_columns(self.recipe, questions_of(self.recipe, self.settings.data))

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
        if self.served is not None:
            return ModelSource(self.served.model, "endpoint", Path(self.served.url))
        with asked_by(self.recipe, "model"):
            return resolve_model(self._model_name, self.recipe.model.revision)

    @cached_property
    def served(self) -> Served | None:
        """What a server says of the model that it serves, asked now; ``None`` for a model that is here."""
        if self.recipe.model.endpoint is None:
            return None
        engine = open_endpoint(self.recipe)
        engine.close()
        return engine.served

    @cached_property
    def directory(self) -> Path:
        """The run directory, opened: its first files are there."""
        runs_dir = self.settings.runs_dir
        own_folder(runs_dir)
        identity = run_identity(self.recipe.name, *self._identities)
        with locked(runs_dir / ".locks" / "names"):
            path = place_of(runs_dir, slug(self._name.name), identity["key"])
            with locked(path):
                if self.settings.fresh and held_by_another(path, self.settings.session):
                    set_aside(path)
                write_manifest(
                    path,
                    self.recipe,
                    self.seed,
                    identity=identity,
                    name=self._name,
                    questions=self.questions.test,
                    device=self.device,
                    served=self.served,
                    hub={"hub_model": self.base.commit, "hub_data": self.questions.source},
                    session=self.settings.session,
                )
        self._name = NAME.read(path) or self._name  # one that was given earlier stays
        for each in run_directories(runs_dir):
            tidy(each / "train")
        return path

    @property
    def opened(self) -> Path | None:
        """The run directory if it was asked for."""
        directory: Path | None = self.__dict__.get("directory")
        return directory

    @cached_property
    def _identities(self) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """What decides the first evaluation's answers, its grades, and the training."""
        return (
            self.generation(self.base, self.recipe.evaluate.sampling, self.questions.test),
            grading_identity(self.recipe, self.questions.test),
            training_identity(self.recipe, self.questions, self.seed),
        )

    @cached_property
    def training_key(self) -> str:
        """The same for all recipes that train the same thing, whatever they ask of it."""
        return digest(policy_identity(*self._identities, self.recipe))

    def others(self) -> list[Path]:
        """Run directories that may have what this one needs, oldest first; ``fresh`` allows this session's only."""
        found = run_directories(self.settings.runs_dir)
        return [each for each in found if opened_by(each, self.settings.session)] if self.settings.fresh else found

    def policy(self) -> Policy:
        """The base policy, loaded."""
        return self.loaded.policy(self.base, self.device)

    def engine(self) -> Engine:
        """What answers questions with the base policy, as the recipe's ``[engine]`` says."""
        return self.loaded.engine(self.base, self.device)

    def before(self) -> Evaluation:
        """The base policy on the test questions."""
        if "before" not in self._made:
            self._made["before"] = self._evaluate("before", self.base)
            self._made.pop("after", None)  # an early stop before it was known did not wait for the improvement gate
        return self._made["before"]

    @property
    def has_before(self) -> bool:
        """Whether :meth:`before` was asked for."""
        return "before" in self._made

    def samples(self) -> Evaluation:
        """The base policy's own answers to the training questions, which SFT and DPO learn from.

        Raises:
            TrainingError: the recipe learns from something else.
        """
        decoding = data_sampling(self.recipe, self.seed)
        if decoding is None:
            raise TrainingError(f"{self.id}: does not learn from sampled completions, so there are none")
        return self._evaluate("samples", self.base, how=decoding, questions=self.questions.train)

    def trained(self) -> Trained:
        """The training job, run to its end.

        Raises:
            NoSignal: the signal check found next to nothing to learn from; the training verdict says so too.
            RecipeError: a file, a folder or a package is missing that the training takes.
            ModelError: the model cannot be had.
            TrainingError: the job failed; asking again in the same session says so again without another try.
        """
        if self.recipe.model.endpoint is not None:
            raise TrainingError(refusal(self.recipe))
        directory = self.directory / "train"
        with self._in_place(), locked(directory, self._waiting("train")):
            summary = kept_training(
                directory, None if self._looked else self.fingerprint, partial(self.settings.say, self._titled("train"))
            )
            if summary is None:
                failed = FAILED.fit(directory)
                if failed and failed.session == self.settings.session:
                    raise (NoSignal if failed.no_signal else TrainingError)(*failed.error.split("\n"))
                same = self.settings.runs_dir / ".locks" / f"train-{self.training_key[:12]}"
                with locked(same, self._waiting("train")):
                    self._outdate()
                    summary = adopt_training(directory, self.training_key, self.others(), self.fingerprint)
                    if summary is None:
                        summary = self._train(directory)
                        self.reused["train"] = summary.resumed_from or 0
            if not summary.policy:
                summary = replace(summary, policy=policy_in(directory, self.fingerprint), logs=log_digests(directory))
                TRAINED.write(directory, summary)
            self._looked = True
        self.reused.setdefault("train", summary.steps)
        return Trained(directory, summary)

    def _train(self, directory: Path) -> TrainingSummary:
        recipe, settings = self.recipe, self.settings
        if not recipe.task.train_questions:
            raise TrainingError(f"{self.id}: [task] train_questions = 0 leaves nothing to train on")
        check_needs(recipe, data=settings.data)  # whoever asks rl_run, or a Run of their own, has not been told
        require_processes(recipe, self.device, in_process=settings.in_process)
        try:
            questions = self.questions
            if recipe.task.learnable or not list(directory.glob("checkpoint-*")):  # else it has begun, and goes on
                questions = replace(questions, train=self._trained_on())
            dataset = dataset_of(recipe, self.seed, questions, self.samples)
            if recipe.data is not None:
                DATA.write(directory, cast(list[Example], dataset.rows))
            self.release()
            job = job_of(
                recipe,
                self.seed,
                dataset,
                base=self.base,
                weights=self.fingerprint(self.base),
                held_out=self.questions.held_out,
                device=self.device,
                key=self.training_key,
            )
            announce = partial(settings.announce, self._titled("train"))
            say = partial(settings.say, f"{self.id} health")
            return train(job, directory, in_process=settings.in_process, announce=announce, say=say)
        except TrainingError as error:
            refused, said = isinstance(error, NoSignal), str(error)
            FAILED.write(directory, Failed(settings.session, said, refused))
            if refused:
                self.keep(judged("training", "UNSOUND", "refused", {"reason": said}))
            raise

    def _trained_on(self) -> tuple[Question, ...]:
        def ask(sampling: SamplingParams, questions: Sequence[Question], early: EarlyStop) -> Evaluation:
            return self._evaluate("signal", self.base, how=sampling, questions=questions, early=early)

        say = partial(self.settings.say, f"{self.id} signal")
        return look_for_signal(self.recipe, self.questions.train, self.directory, ask, say)

    def after(self) -> Evaluation:
        """The trained policy on the same questions."""
        if "after" not in self._made:
            source, early = self.final(), None
            if self.recipe.gate.stop_early or self.settings.stop_early:
                kept = self._baseline_or_why()
                usable = kept if isinstance(kept, RecordedBaseline) else None
                # With a baseline to be held against, the base is among them once it was asked: who asks for it later
                # has more questions asked.
                before = self.before().means if usable is None or self.has_before else None
                early = self._judge.early_stop(before, usable)
            self._made["after"] = self._evaluate("after", source, early=early)
        return self._made["after"]

    def lost(self, gate: str) -> list[str]:
        """What a failing verdict is about, in lines: questions that were right before, or in the baseline, and are no
        more. Nothing is asked for it, so that there are none where only one side is there."""
        if "after" not in self._made or gate not in ("improvement", "baseline", "accuracy"):
            return []
        earlier: Mapping[str, float] | Baseline
        if gate == "baseline":
            kept = self._baseline_or_why()
            if isinstance(kept, Verdict):
                return []
            earlier = kept.baseline
        elif self.has_before:
            earlier = self.before().means
        else:
            return []
        return lost_told(self.directory, earlier, len(self.after().means))

    def ask(self, stage: str, decoding: SamplingParams, *, trained: bool) -> Evaluation:
        """The base or the trained policy asked anew with another decoding, in a stage directory of its own."""
        return self._evaluate(stage, self.final() if trained else self.base, how=decoding, share=False)

    def verdicts(self) -> list[Verdict]:
        """Every verdict that is asked for, in the order of ``GATES``, and ``verdicts.json``."""
        return [verdict for gate in GATES if (verdict := self.verdict(gate)) is not None]

    def verdict(self, gate: str) -> Verdict | None:
        """One of ``GATES``, after the stages it needs; ``None`` where nothing is asked of it.

        Raises:
            HarnessError: there is no such gate, or a stage that it needs cannot be made.
        """
        if gate not in GATES:
            raise HarnessError(f"there is no gate named {gate!r}; {nearest(gate, [*GATES, RECIPE])}")
        try:
            verdict = self._judged(gate)
        except HarnessError:
            self._outdate()
            raise
        if verdict is None:
            return None
        if self.recipe.evaluate.keep_best:
            verdict = judge.selected(verdict, TRAINED.read(self.directory / "train"))
        if verdict.passed and gate == "improvement":
            verdict = with_ungraded(verdict, self.before().summary, " of the base model")
        if verdict.passed and gate != "training":
            verdict = with_ungraded(verdict, self.after().summary)
        self.keep(verdict)
        return verdict

    @cached_property
    def _judge(self) -> Judge:
        order = [question.id for question in self.questions.test]
        return Judge(self.recipe, self.seed, order, self.commit, self.settings.gates)

    def _judged(self, gate: str) -> Verdict | None:
        if gate == "training":
            try:
                return self._judge.training(self.trained())
            except NoSignal as refusal:
                return judged("training", "UNSOUND", "refused", {"reason": str(refusal)})
        if gate == "accuracy":
            least = self.recipe.gate.min_accuracy
            return None if least is None else self._judge.accuracy(self.after(), least)
        if gate == "improvement":
            self.trained()
            before, after = self.before(), self.after()
            paired = before.means, after.means, after.summary.questions
            return self._judge.with_interval(self._judge.improvement(*paired), *paired)
        if self.recorded is not None:  # what was written just now is no bar for the run that it was written of
            return self.recorded
        recipe, settings = self.recipe, self.settings
        if baselines.is_recorded(settings.baselines_dir, recipe.name, self.seed, settings.update):
            return self._record_baseline()
        kept = self._baseline_or_why(write=True)
        if isinstance(kept, Verdict):
            return kept
        after = self.after()
        return self._judge.baseline(kept, after.means, after.summary.questions)

    def _baseline_or_why(self, *, write: bool = False) -> RecordedBaseline | Verdict:
        """The baseline that this run can be held against, or the verdict that says why there is none.

        ``write`` leaves word of it in the run directory, comparable or not.
        """
        folder = self.settings.baselines_dir
        try:
            found = baselines.find(folder, self.recipe.name, self.seed)
        except BaselineError as error:
            return judged("baseline", "INCOMPARABLE", "unusable", {"reason": str(error)})
        if write:
            baselines.keep_held_against(self.directory, found)
        now = baselines.as_baseline(self.recipe, self.seed, self.questions.test, self.commit)
        return baselines.comparable(found, folder, now)

    def _record_baseline(self) -> Verdict:
        recipe, settings = self.recipe, self.settings
        try:
            folder = baselines.recordable(settings.baselines_dir, allow_dirty=settings.allow_dirty)
            asked = self.ask("baseline", baselines.recording(recipe.evaluate.sampling), trained=True)
            made = baselines.record(folder, recipe, self.seed, self.questions.test, self.commit, asked)
        except HarnessError as error:
            # What an earlier session said is not why this one recorded none.
            why = (str(error).splitlines() or [type(error).__name__])[0]
            refused = judged("baseline", "NO_BASELINE", "not_recorded", {"reason": why})
            if self.opened:
                self.keep(refused)
            else:  # nor is it worth fetching or training a model; the next verdict takes it along
                self.judged["baseline"] = refused
            raise
        baselines.keep_held_against(self.directory, None)
        baseline = made.baseline
        gates = sum(judge.count_gates(recipe, seed, folder) for seed in recipe.seeds)
        planned = judge.plans(recipe, self.seed, folder, gates)["baseline"]
        numbers = {"accuracy": baseline.accuracy, "questions": len(baseline.correct), "path": str(made.path)}
        numbers |= {"recorded": True, "plan": planned.numbers()}
        self.recorded = judged("baseline", "NO_BASELINE", "recorded", numbers)
        return self.recorded

    def audit(self) -> Audit:
        """The recipe's rewards, audited with its questions; ``audit.json``, unless opening the run directory would
        fetch or train a model for it."""
        from harness.store.audit import AUDIT

        name = self._model_name  # "" where another recipe trains the model
        if self.opened or (name and (name == "tiny" or Path(name).exists())):
            AUDIT.write(self.directory, self._audit)
        return self._audit

    @cached_property
    def _audit(self) -> Audit:
        from harness.rewards.audit import audit_once

        questions = (*self.questions.train, *self.questions.test)
        return audit_once(self.recipe.rewards, questions, chain(filter(None, [self.opened]), self.others()))

    @property
    def _model_name(self) -> str:
        return located(self.recipe, self.recipe.model.name)

    @contextmanager
    def _in_place(self) -> Iterator[None]:
        """Whatever comes of work in a directory that somebody removed meanwhile, or fails for it, is told as that."""
        self._check_place()
        try:
            yield
        except (HarnessError, OSError):
            self._check_place()
            raise
        self._check_place()

    def _check_place(self) -> None:
        if not IDENTITY.path(self.directory).exists():
            raise HarnessError(
                f"{self.directory}: was removed while this session was at work there; remove what is left of it, "
                "and run again"
            ) from None

    def _waiting(self, stage: str) -> Callable[[], None]:
        title = self._titled(stage)
        return lambda: self.settings.announce(title, "waiting for another process that makes the same", None)

    def release(self) -> None:
        """Let go of the loaded model and its memory, and of the records that were read."""
        for made in self._made.values():
            made.forget()
        self.loaded.release()

    def keep(self, verdict: Verdict) -> None:
        """Put a verdict into ``verdicts.json``, in place of an earlier one of its gate."""
        self.judged[verdict.gate] = verdict
        with locked(self.directory):
            write_verdicts(self.directory, self.recipe, self.seed, self.settings.session, self.judged)

    def _outdate(self) -> None:
        """What earlier sessions said of this run was about something else than what lies there now."""
        if self.opened and VERDICTS.path(self.opened).exists():
            with locked(self.opened):
                write_verdicts(self.opened, self.recipe, self.seed, self.settings.session, self.judged, outdated=True)

    def fingerprint(self, source: ModelSource) -> dict[str, str]:
        """Hashes of a model's content; those of files that did not change are remembered."""
        own_folder(self.settings.runs_dir)
        return fingerprint(source, cache=self.settings.runs_dir / ".fingerprints.json")

    def generation(
        self, source: ModelSource, decoding: SamplingParams, questions: Sequence[Question]
    ) -> dict[str, Any]:
        """What decides the answers of a policy to these questions, on this run's device."""
        if self.served is not None:
            return served_generation(self.served, self.recipe, questions, decoding)
        return generation_identity(
            self.fingerprint(source),
            questions,
            decoding,
            self.recipe.engine,
            device=self.device,
            dtype=choose_dtype(self.recipe.model.dtype, self.device),
            chat_template_kwargs=self.recipe.model.chat_template_kwargs,
        )

    def final(self) -> ModelSource:
        """The trained policy."""
        return resolve_model(str(self.trained().model.resolve()))

    def _evaluate(
        self,
        stage: str,
        source: ModelSource,
        *,
        how: SamplingParams | None = None,
        questions: Sequence[Question] | None = None,
        share: bool = True,
        early: EarlyStop | None = None,
    ) -> Evaluation:
        """``share`` lets the answers come from other runs."""
        how, questions = how or self.recipe.evaluate.sampling, questions or self.questions.test
        keys = Keys.of(self.generation(source, how, questions), grading_identity(self.recipe, questions))
        directory = self.directory
        announce = partial(self.settings.announce, self._titled(stage))
        # Those who ask the same of the same policy wait for each other; sets that begin alike mostly overlap, and where
        # others do, a question is at worst asked twice.
        first = digest([keys.answer, questions[0].id, questions[0].prompt])
        same, waiting = self.settings.runs_dir / ".locks" / first[:12], self._waiting(stage)
        alone = locked(directory / ".locks" / stage.replace("/", "-"), waiting)

        begun: tuple[int, float] | None = None  # answers there, and when

        def progress(done: int, total: int) -> None:
            nonlocal begun
            now = time.monotonic()
            before, since = begun = begun or (done, now)
            left = (now - since) / (done - before) * (total - done) if done > before else 0.0
            announce(answers_done(done, total, left=left), done / max(1, total))

        def say(sentence: str) -> None:
            self.settings.say(self._titled(stage), sentence)
            self._outdate()

        with self._in_place(), alone, locked(same, waiting):
            made = evaluate(
                directory / stage,
                questions,
                self.recipe.rewards,
                how,
                keys,
                open_engine=lambda: self.loaded.engine(source, self.device),
                others=(other / each for other in self.others() for each in SHARED) if share else (),
                progress=progress,
                early=early,
                session=self.settings.session,
                say=say,
            )
        answers = sum(made.summary.counts.values())
        if made.generated and stage in SIDES:
            self._outdate()
        if made.generated:
            announce(answers_done(answers, answers, made.accuracy), 1.0)
        self.reused.setdefault(stage, answers - made.generated)
        return made


def over_seeds(runs: Sequence[Run]) -> Verdict | None:
    """The recipe over its training seeds, each one observation; ``None`` for a single seed.

    Seeds are held against the baseline where all of them can be, and else against the base model.
    """
    if len(runs) < 2:
        return None
    sides = {"baseline": ("baseline", "now", "the baseline"), "improvement": ("before", "after", "the base model")}
    for gate, (first, second, against) in sides.items():
        numbers = [verdict.numbers for run in runs if (verdict := run.verdict(gate)) is not None]
        if len(numbers) == len(runs) and all(second in each and each.get("pairs") for each in numbers):
            verdict = runs[0]._judge.over_seeds([each[second] - each[first] for each in numbers], against)
            for run in runs:
                if gate == "improvement":
                    verdict = with_ungraded(verdict, run.before().summary, f" of the base model with seed {run.seed}")
                verdict = with_ungraded(verdict, run.after().summary, f" of seed {run.seed}")
            return verdict
    return judged(RECIPE, "INCONCLUSIVE", "unjudged_seeds", {"seeds": len(runs)})
