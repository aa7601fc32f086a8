"""Watching as a student does: in a terminal, with keys, while a file is edited."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.judged.handed_out import pristine

termios = pytest.importorskip("termios")
fcntl = pytest.importorskip("fcntl")

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("live2")]

ROOT = Path(__file__).parents[3]
PATIENCE = 60.0
_CONTROLS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A terminal with `chatlab` in it."""

    def __init__(self, folder: Path, *words: str) -> None:
        ours, its = pty.openpty()
        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 90, 0, 0))
        self.settings = termios.tcgetattr(its)
        self._ours, self._its = ours, its
        self._text = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "harness.cli.main", *words],
            cwd=folder,
            stdin=its,
            stdout=its,
            stderr=its,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "SSH_CONNECTION": "yes"},
        )

    def press(self, keys: str) -> None:
        """Press keys."""
        os.write(self._ours, keys.encode())

    def shows(self, words: str) -> str:
        """Wait until a screen has these words, and return it. Screens before the last call do not count."""
        deadline = time.monotonic() + PATIENCE
        while words not in self._text and time.monotonic() < deadline:
            self._read(0.1)
        assert words in self._text, self._text[-2000:]
        screen, self._text = self._text, ""
        return screen

    def ends(self) -> int:
        """Wait until the program has ended; the keyboard is then as it was."""
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None and time.monotonic() < deadline:
            self._read(0.1)
        assert termios.tcgetattr(self._its)[3] == self.settings[3]
        return self.process.wait(1.0)

    def close(self) -> None:
        """End it."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.ends()
        os.close(self._ours)
        os.close(self._its)

    def _read(self, seconds: float) -> None:
        if select.select([self._ours], [], [], seconds)[0]:
            self._text += _CONTROLS.sub("", os.read(self._ours, 65536).decode("utf-8", "replace"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The file of exercise 1, as it was handed out."""
    ((place, text),) = pristine(1).items()
    path: Path = tmp_path / "exercises" / place
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


@pytest.fixture
def terminal(tmp_path: Path, file: Path) -> Iterator[Terminal]:
    """A terminal in which the exercises are watched: plain `chatlab` does so."""
    found = Terminal(tmp_path)
    yield found
    found.close()


def test_from_the_stub_to_a_pass(terminal: Terminal, tmp_path: Path, file: Path) -> None:
    """A verdict with the own line, hints, everything, the page; then a pass, at last live; it is kept."""
    first = terminal.shows("first verdict")
    assert "✗ 1.3" in first
    assert "It is about this method: pubsub.py, line" in first
    terminal.press("h")
    assert "1. " in terminal.shows("Hints for exercise 1")
    terminal.press("v")
    assert "short scenarios" in terminal.shows("first verdict")
    terminal.press("p")
    terminal.shows("report.html")
    assert (tmp_path / ".chatlab" / "report.html").is_file()
    terminal.press("v")
    terminal.shows("first verdict")
    shutil.copy(ROOT / "solutions" / "ex1_chat" / "pubsub.py", file)
    assert "passes now" in terminal.shows("first verdict")
    while "Exercise 1 passes" not in terminal.shows("live, first verdict"):
        terminal.press("r")  # the machine was too slow
    terminal.press("q")
    assert terminal.ends() == 0
    assert "8 of 8 points" in terminal.shows("chatlab status")
    kept = json.loads((tmp_path / ".chatlab" / "progress.json").read_text())
    assert kept["reached"]["python"]["1"]["passed_at"] > 0


def test_wrong_files_and_an_interruption(terminal: Terminal, file: Path) -> None:
    """A syntax error and a missing file are told; Ctrl-C in a play leaves the keyboard as it was."""
    terminal.shows("first verdict")
    file.write_text("class PubSub:\n    def subscribe((self):\n")
    assert "subscribe((self)" in terminal.shows("first verdict")
    file.unlink()
    terminal.shows("chatlab reset 1")
    shutil.copy(ROOT / "solutions" / "ex1_chat" / "pubsub.py", file)
    terminal.shows("now live")
    os.killpg(terminal.process.pid, signal.SIGINT)
    assert terminal.ends() == 130
    terminal.shows("goes on")


def test_without_a_terminal_verdicts_are_lines(tmp_path: Path, file: Path) -> None:
    """In a pipe each verdict is printed below the one before, without control characters."""
    words = [sys.executable, "-m", "harness.cli.main", "watch", "1", "--lang", "fr"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line.decode())
            if "premier verdict" in lines[-1]:
                break
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read().decode()
    text = "".join(lines)
    assert "✗ 1.3" in text
    assert "\x1b" not in text + rest
    assert "chatlab status" in rest
    assert process.returncode == 130
