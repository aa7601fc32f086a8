"""`submission.toml`, as editors and people write it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.judged.problems import BadTarget
from harness.judged.submission_toml import read
from harness.texts import texts

SERVER = ("python", "server.py")
RIGHT = {
    "as documented": b'run = "python server.py"\n',
    "a byte order mark": b'\xef\xbb\xbfrun = "python server.py"\n',
    "UTF-16": 'run = "python server.py"\r\n'.encode("utf-16"),
    "UTF-16, the other way": '\ufeffrun = "python server.py"'.encode("utf-16-be"),
    "Windows line ends": b'# mine\r\nrun = "python server.py"\r\n',
    "line ends of an old Mac": b'# mine\rrun = "python server.py"\r',
    "a list": b'run = ["python", "server.py"]\n',
    "over several lines": b'run = """\npython\n  server.py"""\n',
    "with a track": b'track = "python"\nrun = "python server.py"\n',
    "a tab between the words": b'run = "python\tserver.py"\n',
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_clear_is_accepted(name: str, tmp_path: Path) -> None:
    """However the file was saved."""
    path = tmp_path / "submission.toml"
    path.write_bytes(RIGHT[name])
    settings = read(path, "submission.toml")
    assert settings.words == SERVER
    assert settings.remarks == ()


WRONG = {
    "latin-1": (b'# mine\nrun = "python server.py" # d\xe9marre\n', "line 2 was saved in another encoding"),
    "UTF-16 without a mark": ('run = "é"\n'.encode("utf-16-le"), "UTF-8"),
    "brackets without end": (b"run = " + b"[" * 4000, "cannot be read"),
    "a number of many digits": (b"run = " + b"9" * 6000, "cannot be read"),
    "curly quotes": ("run = “python server.py”\n".encode(), "line 1 has typographic quotes: run = “python"),
    "an escape that is none": (b'run = "python src\\server.py"\n', "line 1 has a backslash"),
    "an escape that is one": (b'run = "C:\\tools\\node.exe"\n', r"was read as 'C:\tools\node.exe'"),
    "an escaped backslash": (b'run = "python src\\\\server.py"\n', "`python srcserver.py`"),
    "a backslash": (b"run = 'python src\\server.py'\n", "Write / between folders"),
    "a NUL": (b'run = "node \\u0000"\n', "was read as 'node \\x00'"),
    "no quotes": (b"run = python server.py\n", "run = python server.py. A text stands in quotes"),
    "no end": (b'run = "python server.py', "cannot be read"),
    "nothing": (b"", "has no `run`"),
    "something else": (b'name = "ada"\n', "has no `run`"),
    "a number": (b"run = 1\n", "has no `run` that is a text"),
    "an empty list": (b"run = []\n", "has no `run` that is a text"),
    "an empty text": (b'run = ""\n', "submission.toml: the command is empty"),
    "in a table": (b'[submission]\nrun = "python server.py"\n', "below [submission]"),
    "in capitals": (b'Run = "python server.py"\n', "no `run`, but `Run`"),
    "misspelled": (b'runs = "python server.py"\n', "no `run`, but `runs`"),
    "by another name": (b'command = "python server.py"\n', "no `run`, but `command`"),
    "for a shell": (b'run = "cd app && python server.py"\n', "sh -c 'cd app && python server.py'"),
    "too large": (b"#" * 1024 * 1025, "is too large"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_a_sentence(name: str, tmp_path: Path) -> None:
    """It names the file, and the line where there is one, in each language."""
    content, words = WRONG[name]
    path = tmp_path / "submission.toml"
    path.write_bytes(content)
    with pytest.raises(BadTarget) as caught:
        read(path, "ada/submission.toml")
    said = str(caught.value)
    assert words in said
    assert "ada/submission.toml" in said
    assert "{" not in caught.value.said_in(texts("fr"))
    assert caught.value.said_in(texts("fr")) != said


@pytest.mark.parametrize(
    ("more", "key", "named"),
    [
        (b'build = "npm ci"', "unread_build", "`build`"),
        (b'name = "ada"\nport = 1', "unread_keys", "`name`, `port`"),
        (b"[server]\nport = 1", "unread_keys", "`server`"),
    ],
)
def test_what_is_not_read_is_remarked(more: bytes, key: str, named: str, tmp_path: Path) -> None:
    """A right server is judged all the same."""
    path = tmp_path / "submission.toml"
    path.write_bytes(b'run = "python server.py"\n' + more)
    (remark,) = read(path, "submission.toml").remarks
    assert (remark.key, remark.params["keys"]) == (key, named)
    assert named in texts("fr").say(f"note.{key}", **remark.params)
