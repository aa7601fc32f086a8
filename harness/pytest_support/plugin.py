"""The course's steps as pytest items.

`pytest --lab-submission DIR` collects eighteen items, one for each step. An exercise is played once in a
session, by the first of its items that runs; each item then has the verdict on its step:

- *passed* and *failed* are just that, and a failure shows our explanation instead of a traceback;
- *inconclusive* is an error: it is not a pass, and must not be mistaken for a skip;
- *skipped* is a step that was left out, such as a restart of a server that is reached by its URL.

`harness/entry_points/chatlab_pytest.py` is what pytest loads. It imports this if one of its options is given.
"""

from __future__ import annotations

import asyncio
import random
import traceback
from collections.abc import Generator, Iterator
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from harness.judged.targets import BadTarget, Target, Unclear
from harness.pytest_support import options
from harness.pytest_support.handed_in import handed_in, isolation_of
from harness.pytest_support.plays import NotKept, Plays
from harness.reports.jsonreport import receipt
from harness.reports.summary import Summary
from harness.reports.terminal import Terminal
from harness.reports.words import Words
from harness.running.direct_calls import called_alone
from harness.running.play import play
from harness.running.run import Run
from harness.running.worker import Job, run_in_process
from harness.submissions.paths import run_without_paths, without_paths
from harness.submissions.submission import Submission
from harness.texts import Texts, texts
from harness.texts.defect import told
from harness.texts.problem import Problem
from harness.verdict.outcome import EXIT_DEFECT, Outcome, StepResult
from harness.verdict.steps import COMPONENTS, EXERCISES, numbers_in, points_for, steps_of
from lab.legible import legible, one_line


def begin(config: pytest.Config) -> None:
    """Read the options. Raises pytest.UsageError for those that make no sense."""
    config.addinivalue_line("markers", "course(step, points): a step of the course, made by chat-lab")
    asked = [name for name in options.TARGETS if options.is_given(config, name)]
    if len(asked) > 1:
        raise _wrong_usage(config, "exclusive", options=", ".join(asked))
    for option, least in (("--lab-runs", 1), ("--lab-seed", 0)):
        number = config.getoption(option)
        if number is not None and number < least:
            raise _wrong_usage(config, "number_from", option=option, least=least)
    if options.is_asked_for(config):
        course = _Course(config)
        if course.is_collected:
            config.pluginmanager.register(course, "chat-lab-course")
            if config.pluginmanager.hasplugin("xdist"):
                config.pluginmanager.register(_XdistSupport(config, course), "chat-lab-xdist")


def _wrong_usage(config: pytest.Config, key: str, **params: Any) -> pytest.UsageError:
    return pytest.UsageError(legible(options.words_of(config).say(f"usage.{key}", **params)))


class _Course:
    """The exercises that are judged, and on which servers."""

    def __init__(self, config: pytest.Config) -> None:
        self.config, self.words = config, options.words_of(config)
        self.exercises = _exercises(config.getoption("--lab-exercises"), self.words)
        shared = getattr(config, "workerinput", {})  # by a worker of xdist, with those beside it
        self.seed: int = shared.get("lab_seed", config.getoption("--lab-seed"))
        if self.seed is None:
            self.seed = random.SystemRandom().randrange(1_000_000)
        self.folder: str = shared.get("lab_plays") or _temporary_folder(config)
        self.isolation = isolation_of(config)
        together = config.getoption("--lab-together")
        self.given = handed_in(config, Path(self.folder), self.isolation, together=together)
        self.targets = options.targets_of(config, self.exercises, self.given)
        named_files = config.args_source is pytest.Config.ArgsSource.ARGS and bool(config.args)
        self.is_collected = bool(config.getoption("--lab-exercises")) or not named_files
        if not named_files:
            config.args[:] = []  # only the course, and no tests in the current folder

    def pytest_report_header(self) -> str:
        """What is judged, for the header of pytest's report."""
        labels = dict.fromkeys(each.label for each in self.targets.values() if isinstance(each, Target))
        said = self.words.say("pytest.judging", targets=", ".join(labels), seed=self.seed)
        if self.config.getoption("--lab-submission"):
            said += self.words.say("pytest.isolation", kind=self.isolation)
        return one_line(said)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, session: pytest.Session, items: list[pytest.Item]) -> None:
        """Add the steps, before -k and -m choose among all items."""
        plays = Plays(Path(self.folder))
        for number, target in self.targets.items():
            exercise = Exercise.of(session, number, target, self.seed, plays)
            exercise.given = self.given
            items.extend(exercise.collect())

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, Any, Any]:
        """Show our explanation, also where the kit itself has failed."""
        report = yield
        raised = call.excinfo and call.excinfo.value
        if isinstance(raised, StepFailed | NoVerdict):
            report.longrepr = legible(str(raised))
        elif isinstance(item, Step) and report.failed:
            report.longrepr = told(_details(raised), self.words)
            report.user_properties.append((_DEFECT, True))
        return report

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """If the kit itself has failed, the exit code says so, and not that a step has."""
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        reports = [each for some in reporter.stats.values() for each in some] if reporter else []
        if any(_DEFECT in dict(getattr(report, "user_properties", ())) for report in reports):
            session.exitstatus = EXIT_DEFECT

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the points, from which a grade is computed: of each step once, whoever has reported it."""
        steps: dict[str, tuple[int, int]] = {}
        for reports in terminalreporter.stats.values():
            for report in reports:
                found = dict(getattr(report, "user_properties", ()))
                is_last = getattr(report, "when", None) == "teardown"
                if "chat-lab step" in found and is_last and found["verdict"] != Outcome.SKIPPED:
                    steps[found["chat-lab step"]] = found["points"], found["of"]
        if steps:
            reached, of = (sum(numbers) for numbers in zip(*steps.values(), strict=True))
            said = self.words.say("pytest.points", points=reached, of=of, steps=len(steps))
            terminalreporter.write_line(said)


def _temporary_folder(config: pytest.Config) -> str:
    """A folder that is removed when pytest ends. Raises pytest.UsageError if there is no room for one."""
    try:
        folder = TemporaryDirectory(prefix="chat-lab-plays-", ignore_cleanup_errors=True)
    except OSError as error:
        raise _wrong_usage(config, "no_temporary_folder", why=error) from error
    config.add_cleanup(folder.cleanup)
    return folder.name


class _XdistSupport:
    """With xdist, all workers have one seed, and read what came of the same plays.

    A worker whose step is of an exercise that another plays waits for it: so they go together where they can.
    """

    def __init__(self, config: pytest.Config, course: _Course) -> None:
        self._course = course
        if config.getoption("dist") == "load":
            config.option.dist = "loadscope"  # the scope of a step is its exercise

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Pass the seed and the folder to a worker."""
        node.workerinput["lab_seed"] = self._course.seed
        node.workerinput["lab_plays"] = self._course.folder


class Exercise(pytest.Collector):
    """An exercise, judged on one server; its steps are the items."""

    number: int
    target: Target | BadTarget
    seed: int
    plays: Plays
    given: Submission | None = None
    """What is judged in isolation, in a process of its own."""

    @classmethod
    def of(
        cls, session: pytest.Session, number: int, target: Target | BadTarget, seed: int, plays: Plays
    ) -> Exercise:
        """The exercise of this number."""
        name = EXERCISES[number]
        exercise: Exercise = cls.from_parent(session, name=name, nodeid=name, path=session.path / name)
        exercise.number, exercise.target, exercise.seed = number, target, seed
        exercise.plays = plays
        return exercise

    def collect(self) -> Iterator[Step]:
        """The steps, in the course's order. Their names are English always: by these they are chosen."""
        for step in steps_of(self.number):
            title = texts("en").say(f"step.{step.replace('.', '-')}")
            item: Step = Step.from_parent(self, name=f"{step} {title}")
            item.step = step
            item.mark()
            yield item

    def runs(self) -> list[Run]:
        """The plays of this exercise, which happen at the first call. Raises NotKept."""
        return self.plays.of(self.number, self._play)

    def _play(self) -> list[Run]:
        runs = asyncio.run(self._plays())
        for run in runs:
            run.history = []
        return runs

    async def _plays(self) -> list[Run]:
        assert isinstance(self.target, Target), "nothing else is played"
        skip_slow, given = self.config.getoption("--lab-skip-slow"), self.given
        seeds = [str(self.seed + n) for n in range(self.config.getoption("--lab-runs"))]
        if given is not None:
            return await self._apart(given, self.target, seeds, skip_slow)
        contract = await called_alone(self.number, self.target)
        return [
            await play(self.number, self.target, seed, contract=contract, skip_slow=skip_slow)
            for seed in seeds
        ]

    async def _apart(self, given: Submission, target: Target, seeds: list[str], skip_slow: bool) -> list[Run]:
        """The plays of a submission that is isolated: in processes that have a network of their own."""
        given.call_directly([self.number])
        contract = await given.contract(self.number)
        jobs = [Job(self.number, target, seed, skip_slow, contract) for seed in seeds]
        return [run_without_paths(await run_in_process(job), given.staged, given.place) for job in jobs]


class Step(pytest.Item):
    """One step of the course: an item whose outcome is the verdict on it."""

    step: str

    def mark(self) -> None:
        """Add markers: for selection with `-m`, against pytest-timeout, and for the groups of xdist."""
        exercise = self._exercise
        self.add_marker(pytest.mark.course(self.step, self._possible))
        if self.config.pluginmanager.hasplugin("timeout"):
            # A play has limits of its own. One from outside would kill it before it can explain a failure.
            self.add_marker(pytest.mark.timeout(0))
        if getattr(self.config.option, "loadgroup", False):  # in a worker of xdist
            self.add_marker(pytest.mark.xdist_group(exercise.name))

    @property
    def _exercise(self) -> Exercise:
        assert isinstance(self.parent, Exercise), "steps are made by an exercise"
        return self.parent

    def setup(self) -> None:
        """Play the exercise if that was not done yet. No verdict is an error: pytest reports it from here."""
        target = self._exercise.target
        if isinstance(target, BadTarget):
            self.user_properties += [("chat-lab step", self.step), ("points", 0), ("of", self._possible)]
            is_open = isinstance(target, Unclear)
            self.user_properties.append(("verdict", str(Outcome.INCONCLUSIVE if is_open else Outcome.FAILED)))
            if is_open:
                raise NoVerdict(self._nothing(target))
            return
        try:
            runs = self._exercise.runs()
        except NotKept as error:
            raise NoVerdict(
                options.words_of(self.config).say("usage.no_temporary_folder", why=error)
            ) from error
        defect = next((run.defect for run in runs if run.defect), "")
        if defect:
            raise KitFailed(defect)
        summary = Summary(self._exercise.seed, runs[0].world, "", 0.0, [[run] for run in runs])
        self._result = next(result for result in summary.steps if result.step == self.step)
        self._run = next(run for run in runs if any(each is self._result for each in run.steps))
        self._note_properties(runs)
        if self._result.outcome is Outcome.INCONCLUSIVE:
            raise NoVerdict(self._explanation())
        if self._result.outcome is Outcome.SKIPPED:
            pytest.skip(self._receipt())

    def runtest(self) -> None:
        """Fail if the step did, or if nothing was handed in for it."""
        if isinstance(self._exercise.target, BadTarget):
            raise StepFailed(self._nothing(self._exercise.target))
        if self._result.outcome is Outcome.FAILED:
            raise StepFailed(self._explanation())

    @property
    def _possible(self) -> int:
        """The points of the step; where nothing was handed in, a component was."""
        target = self._exercise.target
        component = target.component if isinstance(target, Target) else COMPONENTS[self._exercise.number]
        return points_for(self.step, component)

    def _nothing(self, problem: BadTarget) -> str:
        """Why nothing is judged."""
        said, given = problem.said_in(options.words_of(self.config)), self._exercise.given
        return without_paths(said, given.staged, given.place) if given else said

    def _note_properties(self, runs: list[Run]) -> None:
        """Add properties to JUnit's XML besides the outcome."""
        outcomes = [r.outcome for run in runs for r in run.steps if r.step == self.step]
        self.user_properties += [
            ("chat-lab step", self.step),
            ("verdict", str(self._result.outcome)),
            ("points", self._result.points),
            ("of", self._result.of),
            ("receipt", self._receipt()),
            ("seed", self._run.seed),
            ("target", one_line(self._run.target)),
        ]
        if len(runs) > 1:
            self.user_properties += [("runs", len(runs)), ("runs passed", outcomes.count(outcomes[0].PASSED))]

    def _words(self) -> Words:
        """Words in the chosen language, for the run that the verdict comes from."""
        return Words.of(self._run, options.words_of(self.config))

    def _receipt(self) -> str:
        return one_line(receipt(self._result, self._words()))

    def _explanation(self) -> str:
        text = StringIO()
        words = self._words()
        terminal = Terminal(words.texts, out=text)
        terminal.step(self._run, self._result)
        # The first line is what pytest's summary shows.
        titles = dict.fromkeys(words.title(anomaly) for anomaly in self._result.anomalies)
        first = "; ".join(titles) or self._receipt()
        again = words.texts.say("ui.again_pytest", seed=self._run.seed)
        return f"{first}\n{text.getvalue().rstrip()}\n{again}"

    def reportinfo(self) -> tuple[Path, None, str]:
        """The location that pytest's report shows."""
        # With the bare name, pytest would take the dot in its number for that between class and method.
        return self._exercise.path, None, f"step {self.name}"

    _result: StepResult
    _run: Run


class StepFailed(Exception):  # noqa: N818 - it is a verdict
    """The step failed; the text is the explanation."""


class NoVerdict(Exception):  # noqa: N818 - named for what it says
    """The step is inconclusive; the text says why."""


class KitFailed(Exception):  # noqa: N818 - named for what it says
    """The kit itself failed; the text has the details."""


_DEFECT = "chat-lab defect"
"""The property of a report by which all processes of a session know that the kit itself failed."""


def _details(raised: BaseException | None) -> str:
    """What there is to say about a failure of the kit."""
    return str(raised) if isinstance(raised, KitFailed) else "".join(traceback.format_exception(raised))


def _exercises(text: str | None, words: Texts) -> list[int]:
    """The numbers in a text such as `1,3`; all of them if there is none."""
    try:
        return numbers_in(text, "--lab-exercises") if text else list(EXERCISES)
    except Problem as error:
        raise pytest.UsageError(legible(error.said_in(words))) from error
