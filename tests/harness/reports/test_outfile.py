"""Files that a command is asked to write."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from harness.cli.options import OutFile
from harness.reports.outfile import write_out
from harness.texts import texts


@click.command()
@click.option("--into", type=OutFile())
@click.option("--report", type=OutFile(dash=True))
def save(into: str | None, report: str | None) -> None:
    """Print the two arguments."""
    click.echo(f"{into} {report}")


def test_names_are_kept_as_they_were_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name whose folder exists is accepted unchanged, and so is `-` where it is allowed."""
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(save, ["--into", "x.json", "--report", "-"])
    assert done.output == "x.json -\n"


@pytest.mark.parametrize(
    ("file", "words"),
    [("no/x.json", "no such folder"), (".", "is a directory"), ("-", "this goes into a file")],
)
def test_a_file_that_cannot_be_written_is_reported_first(
    file: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing folder, a folder itself, and `-` where a file is needed are wrong usage."""
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(save, ["--into", file])
    assert done.exit_code == 2
    assert words in done.output


@pytest.mark.parametrize("language", ["en", "fr"])
def test_a_write_error_is_one_sentence(
    language: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that cannot be written after all is reported by its name, and the caller knows; no exception."""
    assert write_out(tmp_path / "fine.json", "{}", texts(language))
    assert not write_out(tmp_path, "{}", texts(language))
    assert str(tmp_path) in capsys.readouterr().err
