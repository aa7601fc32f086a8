"""The seeds and the commands that `chatlab check` takes and names."""

from __future__ import annotations

import sys
from pathlib import Path
from unittest.mock import Mock

import pytest
from click.testing import CliRunner

from harness.check import worlds_asked
from harness.check.options import Options
from harness.cli.main import cli
from harness.reports.summary import Summary
from harness.texts.seed import read, written
from tests.harness.check.checks import made_up, options


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """What `chatlab check` asks for; nothing is played."""
    mock = Mock(return_value=0)
    monkeypatch.setattr(worlds_asked, "check", mock)
    return mock


def options_of(asked: Mock, monkeypatch: pytest.MonkeyPatch, *words: str) -> Options:
    """The options that a command line means."""
    monkeypatch.setattr(sys, "argv", ["chatlab", "check", *words])
    done = CliRunner().invoke(cli, ["check", *words])
    assert done.exit_code == 0, done.output
    found = asked.call_args.args[0]
    assert isinstance(found, Options)
    return found


@pytest.mark.parametrize(("typed", "seed", "small"), [("13", 13, False), ("13s", 13, True), ("0s", 0, True)])
def test_a_seed_says_the_size(
    asked: Mock, monkeypatch: pytest.MonkeyPatch, typed: str, seed: int, small: bool
) -> None:
    """As reports print it; the command that plays it again has it, too."""
    found = options_of(asked, monkeypatch, "2", "--reference", "--world", "sim", "--seed", typed)
    assert (found.seed, found.small) == (seed, small)
    assert str(found.named_seed("sim")) == typed
    assert found.command == f"chatlab check 2 --reference --world sim --seed {typed}"


def test_small_is_another_way_to_say_it(asked: Mock, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is printed then is the seed that says the size."""
    found = options_of(asked, monkeypatch, "2", "--reference", "--world", "sim", "--seed", "5", "--small")
    assert (found.named_seed("sim"), found.named_seed("live")) == ("5s", 5)


@pytest.mark.parametrize("given", ["s", "x", "-1", "1.5", "13S", "²", ""])
def test_what_is_no_seed_is_wrong_usage(given: str) -> None:
    """One sentence says what a seed looks like, in the language asked for."""
    done = CliRunner().invoke(cli, ["check", "--reference", f"--seed={given}", "--lang", "fr"])
    assert done.exit_code == 2
    assert f"{given!r} n’est pas une graine" in done.output


def test_the_seed_of_a_small_run_is_simulated(asked: Mock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without being asked to, since a live run is not small; the words typed then play the same again."""
    found = options_of(asked, monkeypatch, "2", "--reference", "--seed", "13s")
    assert (found.world, found.small) == ("sim", True)
    assert found.command == "chatlab check 2 --reference --seed 13s"
    done = CliRunner().invoke(cli, ["check", "--reference", "--seed", "13s", "--world", "live"])
    assert done.exit_code == 2
    assert "13s is the seed of a small simulated run; leave out --world live" in done.output


def test_seeds_are_written_as_they_are_read() -> None:
    """A seed says its size."""
    for number, small in ((7, False), (7, True)):
        assert read(written(number, small=small)) == (number, small)


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (
            ("2", "--solutions", "--runs", "10", "--jobs=3", "--skip-slow", "--seed", "4", "--html=a.html"),
            "chatlab check 2 --solutions --world sim --runs 300",
        ),
        (("--reference", "--world", "live"), "chatlab check --reference --world sim --runs 300"),
        (("--reference", "--world", "sim"), ""),
        (("--reference", "--world", "both"), ""),
        (("--url", "ws://127.0.0.1:9/"), ""),
        (("--server", "node server.js"), ""),
    ],
)
def test_what_can_be_simulated_names_the_command(
    asked: Mock, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], command: str
) -> None:
    """Of what was typed, it has what says what is judged."""
    assert options_of(asked, monkeypatch, *words).simulated == command


@pytest.mark.parametrize(("verdict", "is_told"), [("passed", True), ("lost", False), ("inconclusive", False)])
def test_after_a_live_pass_the_line_to_try_next(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    verdict: str,
    is_told: bool,
    tmp_path: Path,
) -> None:
    """Only after a pass."""
    monkeypatch.chdir(tmp_path)

    async def all_of(*_: object) -> list[object]:
        return [Summary(1, "live", "x", 1.0, [[made_up(2, "1", verdict)]])]

    monkeypatch.setattr(worlds_asked, "_all_of", all_of)
    worlds_asked.check(options(world="live", simulated="chatlab check 2 --world sim --runs 300"))
    line = "To look for them with other timing: chatlab check 2 --world sim --runs 300"
    assert (line in capsys.readouterr().out) is is_told
