"""The command `chatlab`."""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from harness import targets
from harness.grading.command import grade_class
from harness.load.command import load
from harness.steps import EXERCISES
from harness.targets import BadTarget, Target
from harness.texts import LANGUAGES, texts
from harness.verdict import EXIT_CODES, EXIT_DEFECT
from lab.command import EXIT_INTERRUPTED, run_command, serve

F = TypeVar("F", bound=Callable[..., object])

__all__ = ["EXIT_CODES", "EXIT_DEFECT", "cli", "main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="chat-lab", prog_name="chatlab")
def cli() -> None:
    """Check your chat server, step by step as the course's exercises number them.

    Start with `chatlab check 1`. Exit codes: 0 passed, 1 failed, 2 inconclusive (the machine was too slow,
    or a fault did not bite), 64 wrong usage, 70 a fault of the kit itself.
    """


cli.add_command(serve)
cli.add_command(grade_class)
cli.add_command(load)


def _language(default: str = "en") -> Callable[[F], F]:
    return click.option(
        "--lang",
        type=click.Choice(LANGUAGES),
        default=default,
        envvar="CHATLAB_LANG",
        show_default=True,
        show_envvar=True,
        help="Language of the report.",
    )


@cli.command()
@click.argument("numbers", metavar="[1 2 3 4]", nargs=-1, type=click.IntRange(1, len(EXERCISES)))
@click.option("--exercises", "of_exercises", is_flag=True, help="Judge your files in exercises/ (default).")
@click.option("--solutions", "of_solutions", is_flag=True, help="Judge the model answers in solutions/.")
@click.option("--reference", "of_reference", is_flag=True, help="Judge the reference server.")
@click.option("--server", metavar="COMMAND", help='Judge any server, such as "node server.js".')
@click.option("--url", help="Judge a server that runs already, such as ws://127.0.0.1:8080/.")
@click.option(
    "--submission", type=click.Path(path_type=Path), help="Judge a folder that is laid out like exercises/."
)
@click.option("--together", is_flag=True, help="Use all four of your components at once.")
@click.option("--seed", type=click.IntRange(0), help="Play the plan of this seed again.")
@click.option("--runs", type=click.IntRange(1, 10_000), default=1, show_default=True, help="Play this often.")
@click.option(
    "--jobs", type=click.IntRange(1, 64), default=1, show_default=True, help="Play so many at once."
)
@click.option("--json", "json_file", metavar="FILE", help="Also write the verdict as JSON; - is the output.")
@click.option("--skip-slow", is_flag=True, help="Leave out steps that wait for long time-outs.")
@_language()
@click.option("--verbose", is_flag=True, help="Tell more.")
def check(
    numbers: tuple[int, ...],
    of_exercises: bool,
    of_solutions: bool,
    of_reference: bool,
    server: str | None,
    url: str | None,
    submission: Path | None,
    together: bool,
    seed: int | None,
    runs: int,
    jobs: int,
    json_file: str | None,
    skip_slow: bool,
    lang: str,
    verbose: bool,
) -> int:
    """Judge a chat server against the exercises given (all four, if none is).

    What is judged: your files in exercises/, each put into the reference server by itself, unless an
    option names something else.
    """
    named = {
        "--exercises": of_exercises,
        "--solutions": of_solutions,
        "--reference": of_reference,
        "--server": server is not None,
        "--url": url is not None,
        "--submission": submission is not None,
    }
    given = [name for name, is_given in named.items() if is_given]
    if len(given) > 1:
        raise click.UsageError(f"{' and '.join(given)} exclude each other; give one of them")
    if together and given and given[0] in ("--reference", "--server", "--url"):
        raise click.UsageError(f"--together has no meaning with {given[0]}, which is a whole server")
    exercises = sorted(set(numbers)) or sorted(EXERCISES)
    try:
        chosen = {
            number: targets.choose(
                number,
                of_reference=of_reference,
                server=server,
                url=url,
                folder=submission,
                of_solutions=of_solutions,
                together=together,
            )
            for number in exercises
        }
    except BadTarget as error:
        raise click.UsageError(str(error)) from error
    if json_file not in (None, "-") and not Path(str(json_file)).absolute().parent.is_dir():
        raise click.UsageError(f"--json {json_file}: there is no such folder to write into")
    if seed is None:
        seed = random.SystemRandom().randrange(1_000_000)
    checking = _Check(chosen, seed, runs, jobs, skip_slow, lang, verbose, quiet=json_file == "-")
    return checking.run(json_file, hints=not given or of_exercises)


class _Check:
    """One call of `chatlab check`: plays what was asked for, and reports."""

    def __init__(
        self,
        chosen: dict[int, Target],
        seed: int,
        runs: int,
        jobs: int,
        skip_slow: bool,
        lang: str,
        verbose: bool,
        quiet: bool,
    ) -> None:
        # Imported late: `chatlab --help` and wrong usage need none of it.
        from harness.reports.terminal import Terminal

        self.chosen = chosen
        self.seed = seed
        self.runs = runs
        self.jobs = jobs
        self.skip_slow = skip_slow
        self.quiet = quiet
        self.texts = texts(lang)
        self.terminal = Terminal(self.texts, verbose=verbose)

    def run(self, json_file: str | None, *, hints: bool) -> int:
        """Play, report, and return the exit code."""
        from harness.reports.jsonreport import report
        from harness.reports.summary import Summary

        began = time.monotonic()
        try:
            played = asyncio.run(self._play())
        except (KeyboardInterrupt, asyncio.CancelledError):
            click.echo(self.texts.say("ui.interrupted"), err=True)
            return EXIT_INTERRUPTED
        labels = dict.fromkeys(target.label for target in self.chosen.values())
        summary = Summary(self.seed, "live", ", ".join(labels), time.monotonic() - began, played)
        if not self.quiet:
            self.terminal.summary(summary, hints=hints)
        if json_file is not None:
            text = json.dumps(report(summary, self.texts), indent=2, ensure_ascii=False) + "\n"
            if json_file == "-":
                sys.stdout.write(text)
            else:
                Path(json_file).write_text(text, encoding="utf-8")
        return EXIT_DEFECT if summary.defect else EXIT_CODES[summary.outcome]

    async def _play(self) -> list[list[Any]]:
        from harness.worker import cancel_on_sigterm

        cancel_on_sigterm()
        if self.jobs > 1:
            return await self._side_by_side()
        return [await self._one_run(number) for number in range(self.runs)]

    async def _one_run(self, number: int) -> list[Any]:
        """All exercises once, one after the other."""
        from harness.play import play

        self._announce(number)
        found = []
        for exercise, target in self.chosen.items():
            with self.terminal.progress(exercise) as tell:
                run = await play(
                    exercise, target, str(self.seed + number), skip_slow=self.skip_slow, progress=tell
                )
            run.history = [] if self.runs > 1 else run.history
            found.append(run)
            if not self.quiet:
                self.terminal.run(run)
        return found

    async def _side_by_side(self) -> list[list[Any]]:
        """All exercises of all runs, `jobs` at a time, each in a process of its own."""
        from harness.worker import Job, run_in_process

        places = asyncio.Semaphore(self.jobs)

        async def one(number: int, exercise: int) -> Any:
            async with places:
                target = self.chosen[exercise]
                return await run_in_process(Job(exercise, target, str(self.seed + number), self.skip_slow))

        async def all_of(number: int) -> list[Any]:
            found = await asyncio.gather(*(one(number, exercise) for exercise in self.chosen))
            if not self.quiet:
                self._announce(number)
                for run in found:
                    self.terminal.run(run)
            return list(found)

        return list(await asyncio.gather(*(all_of(number) for number in range(self.runs))))

    def _announce(self, number: int) -> None:
        if self.runs > 1 and not self.quiet:
            self.terminal.line(self.texts.say("ui.runs", number=number + 1, n=self.runs), "bold")


@cli.command()
@click.argument("number", type=click.IntRange(1, len(EXERCISES)))
@click.option("--more", type=click.IntRange(1, 3), default=1, show_default=True, help="How many hints.")
@_language()
def hint(number: int, more: int, lang: str) -> None:
    """Show a hint for an exercise; there are three, and each says more."""
    say = texts(lang).say
    click.echo(say("ui.hints", number=number, title=say(f"exercise.{number}")))
    hints = texts(lang).list(f"hints.{number}")
    for count, each in enumerate(hints[:more], start=1):
        click.echo(f"  {count}. {each}")
    if more < len(hints):
        click.echo(say("ui.hint_more", exercise=number, next=more + 1))


def main() -> None:
    """The entry point of the command `chatlab`."""
    sys.exit(run_command(cli, "chatlab"))


if __name__ == "__main__":
    main()
