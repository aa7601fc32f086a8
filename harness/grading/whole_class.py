"""Grades the submissions of a class, one after the other; what is done stays done."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from harness.grading.grade import Rules, grade
from harness.grading.progress import Progress, line_of
from harness.grading.register import Register, name_of
from harness.grading.result import Grade, is_complete
from harness.running.worker import cancel_on_sigterm
from harness.texts import Texts
from harness.texts.console import echo


async def grade_class(
    folders: list[Path], numbers: list[int], rules: Rules, register: Register, said: Texts, again: bool
) -> list[Grade]:
    """The grades of these submissions, one after the other; who has one already keeps it, unless `again`."""
    cancel_on_sigterm()
    grades = {folder: None if again else register.known(folder, rules) for folder in folders}

    def there_are() -> list[Grade]:
        return [each for each in grades.values() if each is not None]

    # Every grade that is kept is in the table from the start, and stays there if this is interrupted.
    register.write_table(there_are())
    for count, (folder, known) in enumerate(grades.items(), start=1):
        name = name_of(folder)
        place = f"[{count}/{len(folders)}] {name}"
        if known is not None and is_complete(known, numbers):
            echo(f"{place}: {line_of(known, said)}, {said.say('grade.kept')}")
            continue
        progress = Progress(place)
        keep_page = partial(register.keep_page, folder)
        mark = await grade(folder, name, numbers, rules, said, known, progress.show, keep_page)
        progress.end()
        grades[folder] = mark
        register.keep(folder, mark, said)
        register.write_table(there_are())
        echo(f"{place}: {line_of(mark, said)}")
    return there_are()
