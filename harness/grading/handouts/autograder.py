"""Judges a submission on Gradescope, exercise by exercise, and writes results.json after each of them.

A program of its own, copied into the autograder's folder as driver.py. It imports nothing of the kit, so that
there are results even where the kit was not installed; what it says stands in settings.json. The shape of
results.json: https://gradescope-autograders.readthedocs.io/en/latest/specs/
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_GRACE = 10.0
"""Seconds that a check has to end by itself once it is told to."""
_SPARE = 1.3
"""An exercise is judged again only if so many times what it took is left."""
_LOG = 100_000
"""Bytes of a check's output that the instructor is shown."""
_BLANKS = "\n\t\u00a0\u202f"
"""What is not printable, and does no harm: French has no-break spaces."""
_PASSED, _OPEN = "passed", "inconclusive"


class Ended(BaseException):
    """We were told to end: no failure of anything, which `except Exception` is for."""


@dataclass(frozen=True)
class Place:
    """The folders, as they are laid out on Gradescope below /autograder."""

    root: Path

    @property
    def source(self) -> Path:
        """What was uploaded as the autograder."""
        return self.root / "source"

    @property
    def submission(self) -> Path:
        """What was handed in."""
        return self.root / "submission"

    @property
    def results(self) -> Path:
        """The file that Gradescope reads."""
        return self.root / "results" / "results.json"


@dataclass
class Play:
    """What came of a check: steps by their numbers as its JSON has them, or a sentence that says why not."""

    steps: dict[str, dict[str, Any]] = field(default_factory=dict)
    problem: str = ""
    seconds: float = 0.0
    is_again: bool = False

    @property
    def is_open(self) -> bool:
        """Whether judging it again may bring more."""
        return not self.steps or any(step["verdict"] == _OPEN for step in self.steps.values())


class Results:
    """What is known by now, and how Gradescope is told."""

    def __init__(self, place: Place, settings: dict[str, Any]) -> None:
        self._place = place
        self._settings = settings
        self._words: dict[str, str] = settings["words"]
        self._began = time.monotonic()
        self.plays: dict[int, Play] = {}

    def seconds(self) -> float:
        """How long it has taken."""
        return time.monotonic() - self._began

    def write(self) -> None:
        """Write results.json at once: whoever reads it sees all of it, at any time. Raises OSError."""
        write(self._place.results, self.as_json())

    def as_json(self) -> dict[str, Any]:
        """All that is known, in Gradescope's form."""
        tests = [self._test(step) for step in self._settings["steps"]]
        shown = [test for test in tests if test["visibility"] == "visible"]
        points = sum(test["score"] for test in shown)
        said = self.say("points", points=f"{points:g}", of=f"{sum(test['max_score'] for test in shown):g}")
        if len(shown) < len(tests):
            said += f"\n{self.say('later')}"
        return {
            "output": said,
            "output_format": "text",
            "stdout_visibility": "hidden",
            "execution_time": round(self.seconds()),
            "tests": tests,
            "extra_data": {"chat-lab": self._settings["version"], "seed": self._settings["seed"]},
        }

    def _test(self, step: dict[str, Any]) -> dict[str, Any]:
        """The entry for a step of the settings."""
        play = self.plays.get(step["exercise"])
        judged = play.steps.get(step["step"]) if play else None
        of = judged["of"] if judged else step["of"]
        return {
            "number": step["step"],
            "name": step["title"],
            "score": judged["points"] if judged else 0,
            "max_score": of,
            "status": "passed" if judged and judged["verdict"] == _PASSED else "failed",
            "output": self._output(play, judged, of),
            "output_format": "text",
            "visibility": step["visibility"],
        }

    def _output(self, play: Play | None, judged: dict[str, Any] | None, of: float) -> str:
        """What is told of a step, with an empty line between paragraphs."""
        if play is None:
            return self.say("waiting")
        if judged is None:
            return play.problem or self.say("broken")
        found = [
            f"{each['title']}\n{each['message']}\n{self.say('cause')} {each['cause']}".strip()
            for each in judged["anomalies"]
        ]
        is_open = judged["verdict"] == _OPEN
        receipt = self.say("open", why=judged["receipt"]) if is_open else judged["receipt"]
        said = [*found, receipt, *judged["notes"]]
        said += [self.say("again")] if play.is_again else []
        said += [self.say("no_points")] if not of else []
        return "\n\n".join(legible(each) for each in said if each)

    def say(self, key: str, **values: object) -> str:
        """A sentence of the settings, filled in."""
        return self._words[key].format(**values)


def legible(text: str) -> str:
    """The text without characters that nobody sees, or that steer a terminal."""
    return "".join(char if char.isprintable() or char in _BLANKS else "?" for char in text)


def write(file: Path, content: dict[str, Any]) -> None:
    """Write JSON so that the file is there as a whole at any time. Raises OSError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    half = file.with_name(f".{file.name}.part")
    # A lone surrogate, as in a name that is not UTF-8, is an escape in ASCII.
    half.write_text(json.dumps(content, indent=1), encoding="ascii")
    os.replace(half, file)


# --- one check ----------------------------------------------------------------------------------------


class Judge:
    """Has `chatlab check` judge one exercise after the other, each in a copy of what was handed in."""

    def __init__(self, place: Place, settings: dict[str, Any]) -> None:
        self._place = place
        self._settings = settings
        self._words: dict[str, str] = settings["words"]
        self._command = [str(place.source / part) if "/" in part else part for part in settings["command"]]
        self._user = self._other_user()

    def judge(self, exercise: int, seconds: float) -> Play:
        """Judge an exercise, for so many seconds at most."""
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="chatlab-", ignore_cleanup_errors=True) as name:
            work = Path(name)
            handed_in = work / "submission"
            with suppress(shutil.Error):  # pipes and the like are left out
                shutil.copytree(self._place.submission, handed_in, symlinks=True)
            self._give_away(work)
            with tempfile.TemporaryFile() as log:
                code = self._run(exercise, work, log, seconds)
                log.seek(0)
                printed = log.read(_LOG).decode("utf-8", "replace").replace(f"{work}/", "")
            say(f"--- exercise {exercise}: exit code {code}\n{printed}")
            play = self._play(work / "verdict.json", code, printed, seconds)
            _hide_paths(play, (f"{handed_in}/", ""), (f"{work}/", ""), (f"{self._place.root}/", ""))
        play.seconds = time.monotonic() - began
        return play

    def _run(self, exercise: int, work: Path, log: Any, seconds: float) -> int | None:
        """Run the check, and return its exit code; None if it took too long."""
        command = [*self._command, "check", str(exercise), "--submission", "submission"]
        command += ["--json", "verdict.json", "--seed", str(self._settings["seed"])]
        command += self._settings["options"]
        process = subprocess.Popen(
            command,
            cwd=work,
            env={**os.environ, "HOME": str(work), "COLUMNS": "100", "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **self._user,
        )
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            _end(process)

    def _play(self, verdict: Path, code: int | None, printed: str, seconds: float) -> Play:
        """What a check has left."""
        if code is None:
            return Play(problem=self._words["deadline"].format(seconds=round(seconds)))
        if code == 64:  # there is nothing that can be judged, and the last line says why
            why = printed.strip().rpartition("\n")[2].partition(": ")[2] or printed.strip()
            return Play(problem=self._words["unusable"].format(why=legible(why)))
        try:
            steps = json.loads(verdict.read_text(encoding="utf-8"))["steps"]
            return Play({step["step"]: step for step in steps}, self._words["broken"])
        except (OSError, ValueError, KeyError, TypeError):
            return Play(problem=self._words["broken"])

    def _give_away(self, work: Path) -> None:
        """Let the user that the check runs as write in its folder."""
        if self._user:
            for place, folders, files in os.walk(work):
                for name in (*folders, *files):
                    os.lchown(os.path.join(place, name), self._user["user"], self._user["group"])
            os.chown(work, self._user["user"], self._user["group"])

    def _other_user(self) -> dict[str, Any]:
        """How to start a check as a user who cannot write results; empty if there is none, or we may not."""
        if not hasattr(os, "geteuid") or os.geteuid() != 0:
            return {}
        import pwd  # Unix only

        try:
            entry = pwd.getpwnam(self._settings["user"])
            user: dict[str, Any] = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
            subprocess.run([*self._command, "--version"], cwd="/", capture_output=True, check=True, **user)
        except (KeyError, OSError, subprocess.SubprocessError) as error:
            say(f"The checks run as root, and could write results: no other user can run them ({error}).")
            return {}
        self._place.results.parent.chmod(0o700)
        return user


def _hide_paths(play: Play, *paths: tuple[str, str]) -> None:
    """Replace paths of this machine in everything that is told."""
    text = json.dumps([play.steps, play.problem])
    for path, instead in paths:
        text = text.replace(json.dumps(path)[1:-1], instead)
    play.steps, play.problem = json.loads(text)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a check and what belongs to it: it is asked to, so that it ends its servers, and then made to."""
    with suppress(ProcessLookupError):
        if process.poll() is None:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


# --- all of it ----------------------------------------------------------------------------------------


def judge_all(place: Place, settings: dict[str, Any], results: Results) -> None:
    """Judge each exercise; then those again that were left open, as long as there is time."""
    judge = Judge(place, settings)
    exercises: list[int] = settings["exercises"]
    for number, exercise in enumerate(exercises):
        left = settings["seconds"] - results.seconds()
        share = left / (len(exercises) - number)  # what one does not need, the others have
        if share > _GRACE:
            try:
                results.plays[exercise] = judge.judge(exercise, share - _GRACE)
            except Exception:  # the other exercises are judged nevertheless
                say(traceback.format_exc())
                results.plays[exercise] = Play(problem=results.say("broken"))
            results.write()
    for exercise, first in list(results.plays.items()):
        left = settings["seconds"] - results.seconds() - _GRACE
        if first.is_open and first.steps and left > _SPARE * first.seconds:
            again = judge.judge(exercise, left)
            again.is_again = True
            if not again.is_open:
                results.plays[exercise] = again
            results.write()


def main() -> int:
    """Judge what was handed in. Whatever happens, there are results."""
    place = Place(Path(os.environ.get("CHATLAB_AUTOGRADER", "/autograder")).absolute())
    signal.signal(signal.SIGTERM, _told_to_end)
    try:
        settings = json.loads((place.source / "settings.json").read_text(encoding="utf-8"))
        results = Results(place, settings)
        results.write()  # if nothing more comes of it, each step says that it was not judged
    except Exception:
        return _without_settings(place)
    try:
        judge_all(place, settings, results)
    except Ended:
        say("Told to end: the results are those known by now.")
    except Exception:
        say(traceback.format_exc())
        for exercise in settings["exercises"]:
            results.plays.setdefault(exercise, Play(problem=results.say("broken")))
    with suppress(OSError):  # the disk is full, perhaps: what was written before is there as a whole
        results.write()
    return 0


def _without_settings(place: Place) -> int:
    """Say that the autograder is broken, in the form that Gradescope shows to everybody."""
    say(traceback.format_exc())
    said = (
        "No verdict: the autograder's own files are damaged. Tell your teacher; your work is not the reason."
    )
    with suppress(OSError):
        write(place.results, {"score": 0, "output": said, "stdout_visibility": "hidden"})
        return 0
    return 1


def _told_to_end(number: int, frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the results are written now, and once is enough
    raise Ended


def say(text: str) -> None:
    """Tell the instructor: students are not shown what is printed."""
    with suppress(OSError, ValueError):  # nobody may read it any more
        print(legible(text), flush=True)


if __name__ == "__main__":
    sys.exit(main())
