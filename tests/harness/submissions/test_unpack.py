"""What was handed in is copied safely, whatever it is."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from harness.submissions import unpack
from harness.submissions.copying import Task, copied_apart
from harness.submissions.unpack import TooMuch, Unpacking
from tests.harness.submissions.test_layouts import tarred, write, zipped


def copied(tmp_path: Path, name: str, content: bytes) -> Unpacking:
    """The copy of a file that was handed in."""
    (tmp_path / name).write_bytes(content)
    copy = Unpacking(tmp_path / "job" / "ada")
    copy.take(tmp_path / name, name, is_alone=True)
    return copy


def files_in(folder: Path) -> set[str]:
    """The names of all files below a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


@pytest.mark.parametrize("name", ["../out.py", "/out.py", "a/../../out.py", "..\\out.py", "C:\\out.py"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_no_name_leads_out(tmp_path: Path, name: str, kind: str) -> None:
    """It is left out, that is told, and the rest is there."""
    files = {name: b"x", "in.py": b"y"}
    copy = copied(tmp_path, f"ada.{kind}", zipped(files) if kind == "zip" else tarred(files, "w"))
    assert files_in(tmp_path / "job") == {"ada/in.py"}
    assert [each.key for each in copy.left_out] == ["outside"]


def test_links_and_devices_of_archives_are_left_out(tmp_path: Path) -> None:
    """Of a tar and of a zip: what they would lead to is not there."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, kind in (
            ("link", tarfile.SYMTYPE),
            ("hard", tarfile.LNKTYPE),
            ("device", tarfile.CHRTYPE),
            ("pipe", tarfile.FIFOTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    copy = copied(tmp_path, "ada.tar", data.getvalue())
    assert [each.key for each in copy.left_out] == ["kind"] * 4
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as zip_archive:
        zip_archive.writestr(link, "/etc/passwd")
    (tmp_path / "ada.zip").write_bytes(data.getvalue())
    copy.take(tmp_path / "ada.zip", "ada.zip")
    assert files_in(copy.folder) == set()


def test_links_in_folders_are_followed_inside_only(tmp_path: Path) -> None:
    """Not to everything, nor in a circle; pipes are not read."""
    write(tmp_path / "handed", {"real/a.py": b"1"})
    for name, leads in (("all", "/"), ("again", "."), ("gone", "nowhere"), ("within", "real")):
        (tmp_path / "handed" / name).symlink_to(leads)
    os.mkfifo(tmp_path / "handed" / "pipe")
    copy = Unpacking(tmp_path / "job" / "ada")
    copy.take(tmp_path / "handed", "handed")
    assert files_in(copy.folder) == {"real/a.py", "within/a.py"}
    assert sorted(each.key for each in copy.left_out) == ["kind", "kind", "link"]
    assert not any(path.is_symlink() for path in copy.folder.rglob("*"))


def test_bombs_are_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes count that come, in all archives together, and the files."""
    monkeypatch.setattr(unpack, "_CHUNK", 1024)
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(2_000_000))
    (tmp_path / "ada.zip").write_bytes(zipped({"1.zip": bomb.getvalue(), "2.zip": bomb.getvalue()}))
    copy = Unpacking(tmp_path / "bombed", most_bytes=3_000_000)
    with pytest.raises(TooMuch):
        copy.take(tmp_path / "ada.zip", "ada.zip")
    assert sum(path.stat().st_size for path in copy.folder.rglob("*")) < 3_100_000
    monkeypatch.setattr(unpack, "MOST_FILES", 10)
    with pytest.raises(TooMuch):
        copied(tmp_path, "many.zip", zipped({f"{n}.py": b"" for n in range(20)}))


def test_archives_in_archives_have_an_end(tmp_path: Path) -> None:
    """Three deep are unpacked, and more is told."""
    inner = zipped({"a.py": b"1"})
    for _ in range(3):
        inner = zipped({"x.zip": inner})
    copy = copied(tmp_path, "ada.zip", inner)
    assert [each.key for each in copy.left_out] == ["deep"]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x1f\x8b\x08\0", b"plain text", bytes(1000)])
@pytest.mark.parametrize("name", ["ada.zip", "ada.tar.gz", "ada.tar"])
def test_what_is_no_archive_is_told(tmp_path: Path, name: str, content: bytes) -> None:
    """Empty, cut short, or something else by that name."""
    copy = copied(tmp_path, name, content)
    assert files_in(copy.folder) == set()
    assert {each.key for each in copy.left_out} <= {"corrupt"}


def test_any_name_is_a_file_of_ours(tmp_path: Path) -> None:
    """Names that are not UTF-8, that steer a terminal, or are too long; the end of a long one stays."""
    handed = tmp_path / "handed"
    handed.mkdir()
    for raw in (b"\xe9.py", b"\x1b[31m.py", "李".encode() * 80 + b".py", b"a\nb.py"):
        with open(os.fsencode(handed) + b"/" + raw, "wb"):
            pass
    copy = Unpacking(tmp_path / "job")
    copy.take(handed, "handed")
    names = files_in(copy.folder)
    assert len(names) == 4
    assert all(name.isprintable() and name.endswith(".py") and len(name.encode()) <= 120 for name in names)


def test_what_tools_have_installed_stays_behind(tmp_path: Path) -> None:
    """But not the libraries of a whole server, which it needs."""
    files = {"a.py": b"1", ".git/config": b"", "node_modules/x.js": b"", "__pycache__/a.pyc": b""}
    write(tmp_path / "components", files)
    write(tmp_path / "server", files | {"submission.toml": b"run = 'node x.js'"})
    for name, there in (
        ("components", {"a.py"}),
        ("server", {"a.py", "node_modules/x.js", "submission.toml"}),
    ):
        copy = Unpacking(tmp_path / "job" / name)
        copy.take(tmp_path / name, name)
        assert files_in(copy.folder) == there


def _bad_names() -> bytes:
    """A zip that says that a name is UTF-8 which is not."""
    return zipped({"éé.py": b"1"}).replace("éé".encode(), b"\xff\xff\xff\xff")


def _negative() -> bytes:
    """A tar with a file of a negative size, at which Python's reader goes back and for ever on."""
    data = bytearray(tarred({"__MACOSX/x": b""}, "w")[:512])
    data[124:136] = (-512 & (1 << 96) - 1).to_bytes(12, "big")
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data)
    return bytes(data) + bytes(1024)


HOSTILE = {
    "a name that becomes the folder above": zipped({"...zip": zipped({"out.py": b"1"})}),
    "the same twice": zipped({"...zip": zipped({"...zip": zipped({"out.py": b"1"})})}),
    "a name that becomes the folder itself": zipped({"..zip": zipped({"out.py": b"1"})}),
    "a name that is not UTF-8": _bad_names(),
    "a negative size": _negative(),
    "a very long path": zipped({"a/" * 700 + "x.py": b"1"}),
}


@pytest.mark.parametrize("case", HOSTILE)
@pytest.mark.parametrize("name", ["ada.zip", "...zip"])
def test_no_archive_leads_out_or_ends_the_class(tmp_path: Path, case: str, name: str) -> None:
    """Whatever a library makes of it: there is an answer, and nothing outside of the copy."""
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / name).write_bytes(HOSTILE[case])
    place = tmp_path / "a" / "b" / "job"
    place.mkdir(parents=True)
    sources = [(os.fsencode(tmp_path / "class" / name), name)]
    copied_apart(Task(str(place / "ada"), sources, seconds=1.0 if case == "a negative size" else 10.0))
    assert {path.split("/")[0] for path in files_in(place)} <= {"ada"}
    assert files_in(tmp_path / "a") == {f"b/job/{path}" for path in files_in(place)}


def test_links_that_multiply_have_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each folder with two links to the next one: folders count, too."""
    monkeypatch.setattr(unpack, "MOST_FILES", 200)
    for n in range(20):
        (tmp_path / "handed" / f"{n}").mkdir(parents=True)
        for link in ("a", "b"):
            (tmp_path / "handed" / f"{n}" / link).symlink_to(f"../{n + 1}")
    with pytest.raises(TooMuch):
        Unpacking(tmp_path / "job").take(tmp_path / "handed", "handed")


def test_a_copy_is_removed_whatever_its_code_has_made_of_it(tmp_path: Path) -> None:
    """Also folders that nobody may enter."""
    closed = tmp_path / "job" / "closed"
    (closed / "inside").mkdir(parents=True)
    closed.chmod(0)
    unpack.remove(tmp_path / "job")
    assert not (tmp_path / "job").exists()
