"""What was asked of `chatlab check`, as data."""

from __future__ import annotations

from msgspec import Struct

from harness.judged.targets import Target
from harness.texts.seed import written
from harness.verdict.outcome import Outcome


class Options(Struct, frozen=True):
    """What was asked for: see the help of `chatlab check`."""

    chosen: dict[int, Target]
    seed: int
    world: str
    runs: int
    jobs: int
    small: bool
    skip_slow: bool
    lang: str
    verbose: bool
    json_file: str | None
    html_file: str | None
    command: str
    """What plays the same again, as it is typed."""
    folder: str = ""
    """The folder of the exercises, if what is judged are the student's own files."""
    simulated: str = ""
    """What plays it in the simulated world, many times; "" if that makes no sense."""

    @property
    def is_own(self) -> bool:
        """Whether a student's own files are judged: he is offered hints, and his progress is kept."""
        return bool(self.folder)

    def named_seed(self, world: str) -> int | str:
        """What plays the first run in this world again, as `--seed`."""
        return written(self.seed, small=True) if self.small and world == "sim" else self.seed

    @property
    def quiet(self) -> bool:
        """Whether standard output belongs to the JSON report."""
        return self.json_file == "-"

    def is_worth_a_page(self, outcome: Outcome) -> bool:
        """Whether what came out like this is shown on a page: if one was asked for, or after a failure."""
        return self.html_file is not None or (outcome is Outcome.FAILED and not self.quiet)
