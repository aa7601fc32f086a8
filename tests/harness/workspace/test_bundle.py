"""What is exported is written at once, and takes nobody's place."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from harness.texts.problem import Problem
from harness.workspace.bundle import Bundle, write_archive, write_file, write_folder


def bundle() -> Bundle:
    """A file in a folder, and a program."""
    made = Bundle()
    made.add("folder/text", "é")
    made.add("run", b"#!/bin/sh\n", is_program=True)
    return made


def test_a_folder_is_written(tmp_path: Path) -> None:
    """New or empty, with folders above it that were not there; programs may be executed, and the rest not."""
    (tmp_path / "empty").mkdir()
    for place in (tmp_path / "empty", tmp_path / "not" / "there"):
        write_folder(bundle(), place)
        assert (place / "folder" / "text").read_bytes() == "é".encode()
        assert (place / "run").stat().st_mode & 0o777 == 0o755
        assert (place / "folder" / "text").stat().st_mode & 0o777 == 0o644
        assert [each.name for each in place.parent.iterdir() if each.name[0] == "."] == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """A folder with something in it, a link and a file stay what they are, and a sentence says so."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("full", "file", "link"):
        with pytest.raises(Problem, match="nothing was written"):
            write_folder(bundle(), tmp_path / name)
    with pytest.raises(Problem, match="nothing was written"):
        write_file("", tmp_path / "file")
    with pytest.raises(Problem, match="nothing was written"):
        write_archive(bundle(), tmp_path / "file")
    assert sorted(each.name for each in tmp_path.rglob("*")) == ["file", "full", "link", "mine"]
    assert (tmp_path / "file").read_text() == (tmp_path / "full" / "mine").read_text() == "mine"


def test_what_cannot_be_written_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    """Below a file there can be no folder; a bundle that fails halfway leaves no half of it."""
    (tmp_path / "file").write_text("")
    with pytest.raises(Problem, match="cannot be written"):
        write_folder(bundle(), tmp_path / "file" / "below")
    odd = bundle()
    odd.add("run/below", "a file and a folder of one name")
    with pytest.raises(Problem, match="cannot be written"):
        write_folder(odd, tmp_path / "kit")
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_an_archive_has_its_files_at_the_top(tmp_path: Path) -> None:
    """With their permissions; and the same files give the same bytes."""
    for name in ("a.zip", "b.zip"):
        write_archive(bundle(), tmp_path / name)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as packed:
        modes = {each.filename: each.external_attr >> 16 for each in packed.infolist()}
    assert modes == {"folder/text": 0o644, "run": 0o755}
