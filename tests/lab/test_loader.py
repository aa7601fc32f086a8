from __future__ import annotations

import os
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

import lab
from lab.loader import INTERFACES, ComponentError, describe, load

PUBSUB = """
class PubSub:
    def __init__(self):
        self.rooms_ = {}
    def subscribe(self, room, member): ...
    def unsubscribe(self, room, member): ...
    def publish(self, room, frame): ...
    def members(self, room): return []
    def rooms(self): return []
"""
STORE = """
class MessageStore:
    def __init__(self, data_dir): ...
    async def save(self, messages): ...
    async def page(self, room, since, limit): return []
    async def newest(self, room, count): return []
    async def last(self, room): return 0
    async def find(self, room, user, id): return None
    def close(self): ...
"""


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Forget the modules that were loaded, and their folders."""
    modules, path = set(sys.modules), list(sys.path)
    yield
    for name in set(sys.modules) - modules:
        del sys.modules[name]
    sys.path[:] = path


def write(path: Path, text: str) -> Path:
    """Put Python into a file."""
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path


def complaint(name: str, where: str | Path) -> str:
    """The message with which `load` refuses."""
    with pytest.raises(ComponentError) as refused:
        load(name, where)
    return str(refused.value)


@pytest.mark.parametrize("name", sorted(INTERFACES))
def test_every_component_can_come_from_a_file(tmp_path: Path, name: str) -> None:
    """The source of each of our components, copied to another place, is found there and loads."""
    source = (Path(lab.__file__).parent / f"{name}.py").read_text(encoding="utf-8")
    (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")
    for where in (tmp_path, tmp_path / f"{name}.py", str(tmp_path)):
        found = load(name, where)
        assert found.__name__ == INTERFACES[name].__name__
        assert not found.__module__.startswith("lab.")


def test_a_component_may_differ_where_callers_do_not_see_it(tmp_path: Path) -> None:
    """A missing constructor where none is required, other names, more defaults,
    and helpers beside it are fine.
    """
    write(tmp_path / "beside.py", "ROOMS = ['r']")
    write(
        tmp_path / "mine.py",
        """
        from __future__ import annotations
        import collections
        import lab.protocol
        from lab import interfaces, protocol
        from lab.interfaces import Member
        from beside import ROOMS
        class Base:
            def publish(self, room, frame, *, twice=False): ...
            def members(self, *anything): return []
            def rooms(self): return ROOMS
        class PubSub(Base):
            def subscribe(self, where: str, who: Member, why=None): ...
            def unsubscribe(self, where: str, who: Member): ...
        """,
    )
    assert load("pubsub", tmp_path / "mine.py")().rooms() == ["r"]


def test_a_missing_component_file_or_folder(tmp_path: Path) -> None:
    """A component that does not exist, and a file or folder without it,
    have different messages with its name.
    """
    assert "did you mean `sequencer`?" in complaint("sequenzer", tmp_path)
    everything = complaint("x", tmp_path)
    assert all(f"`{name}`" in everything for name in INTERFACES)
    missing = tmp_path / "missing.py"
    assert str(missing) in complaint("store", missing)
    assert str(tmp_path / "store.py") in complaint("store", tmp_path)


@pytest.mark.parametrize(
    ("text", "line", "shown", "under"),
    [
        ("import os\n\nclass PubSub\n    pass\n", 3, "class PubSub", 12),
        ("x = 1\nif x:\n        y = (1 +* 2)\n", 3, "y = (1 +* 2)", 8),
    ],
)
def test_syntax_errors_are_shown_with_a_caret(
    tmp_path: Path, text: str, line: int, shown: str, under: int
) -> None:
    """A syntax error is reported with its file, line and text, and a caret at the place."""
    path = tmp_path / "mine.py"
    path.write_text(text)
    first, second, third = complaint("pubsub", path).splitlines()
    assert first.startswith(f"{path}, line {line}: SyntaxError: ")
    assert second == f"    {shown}"
    assert re.fullmatch(r" +\^", third)
    assert third.index("^") - 4 == under


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """A file that is not Python at all is refused with its name, and without a crash."""
    path = tmp_path / "mine.py"
    for content in (b"x = '\xff'\n", b"\0\0\0"):
        path.write_bytes(content)
        assert complaint("pubsub", path).startswith(str(path))


def test_a_missing_class_is_guessed(tmp_path: Path) -> None:
    """For a file without the class, the message has the class that was perhaps meant, or those there are."""
    path = write(tmp_path / "mine.py", "class Pubsub: ...\nclass _Hidden: ...\n")
    assert complaint("pubsub", path) == f"{path} has no class `PubSub`; did you mean `Pubsub`?"
    write(path, "class Rooms: ...\nclass Other: ...\n")
    assert complaint("pubsub", path) == f"{path} has no class `PubSub`; there is `Rooms`, `Other`"
    write(path, "def PubSub(): ...\n")
    assert complaint("pubsub", path) == f"{path} has no class `PubSub`; there is no class at all"


@pytest.mark.parametrize(
    ("component", "before", "after", "expected"),
    [
        (
            "pubsub",
            "def publish(self, room, frame): ...",
            "",
            "`PubSub.publish` is missing; it should be `def publish(self, room, frame)`",
        ),
        (
            "pubsub",
            "def publish(self, room, frame)",
            "def publish(self, frame)",
            "`PubSub.publish` should be `def publish(self, room, frame)`, "
            "and it is `def publish(self, frame)`",
        ),
        (
            "pubsub",
            "def publish(self, room, frame)",
            "def publish(self, room, frame, now)",
            "`PubSub.publish` should be `def publish(self, room, frame)`, "
            "and it is `def publish(self, room, frame, now)`",
        ),
        (
            "pubsub",
            "def publish",
            "async def publish",
            "`PubSub.publish` must not be `async`: it should be `def publish(self, room, frame)`",
        ),
        (
            "pubsub",
            "def __init__(self)",
            "def __init__(self, store)",
            "`PubSub.__init__` should be `def __init__(self)`, and it is `def __init__(self, store)`",
        ),
        (
            "store",
            "async def last",
            "def last",
            "`MessageStore.last` should be `async def last(self, room)`, and it is `def last(self, room)`",
        ),
        (
            "store",
            "def __init__(self, data_dir): ...",
            "",
            "`MessageStore.__init__` should be `def __init__(self, data_dir)`, "
            "and it is `def __init__(self)`",
        ),
        (
            "store",
            "def close(self): ...",
            "close = None",
            "`MessageStore.close` is missing; it should be `def close(self)`",
        ),
    ],
)
def test_methods_that_do_not_fit(
    tmp_path: Path, component: str, before: str, after: str, expected: str
) -> None:
    """A method that is missing, takes other arguments, or is (not) async is named with what it should be."""
    source = {"pubsub": PUBSUB, "store": STORE}[component]
    path = write(tmp_path / "mine.py", source)
    load(component, path)
    assert before in source
    write(path, source.replace(before, after))
    assert complaint(component, path) == f"in {path}, {expected}"


@pytest.mark.parametrize(
    ("line", "module"),
    [
        ("from lab.sequencer import Sequencer", "lab.sequencer"),
        ("from lab import sequencer", "lab.sequencer"),
        ("import lab.sequencer as s", "lab.sequencer"),
        ("import lab", "lab"),
        ("from lab import *", "lab.*"),
        ("import solutions", "solutions"),
        ("from solutions.ex2_ordering import sequencer", "solutions.ex2_ordering"),
        ("import os, harness.worlds.client", "harness.worlds.client"),
        ("def later():\n    import lab.store", "lab.store"),
    ],
)
def test_the_answers_of_the_kit_may_not_be_imported(tmp_path: Path, line: str, module: str) -> None:
    """A component that imports ours, or a solution, is refused with the line to write instead."""
    path = write(tmp_path / "mine.py", f"import json\n{line}\n")
    said = complaint("sequencer", path)
    at = 2 + line.count("\n")
    assert said.startswith(f"{path}, line {at} takes its component from `{module}`: write your own.")


def test_our_class_under_another_name_is_refused(tmp_path: Path) -> None:
    """A class that is ours all the same, however it was imported, is refused."""
    path = write(
        tmp_path / "mine.py", "import importlib\nPubSub = importlib.import_module('lab.pubsub').PubSub\n"
    )
    assert complaint("pubsub", path).startswith(f"{path} takes its component from `lab.pubsub`: write your")


def test_an_error_at_import_is_reported_with_its_line(tmp_path: Path) -> None:
    """An exception at import is one line with the file, the line, the exception and its source."""
    path = write(tmp_path / "mine.py", "import json\n\ndef parse():\n    json.loads('{')\n\nparse()\n")
    first, second = complaint("pubsub", path).splitlines()
    assert first.startswith(f"{path}, line 4: JSONDecodeError: Expecting property name")
    assert second == "    json.loads('{')"
    write(path, "import there_is_no_such_module\n")
    assert f"{path}, line 1: ModuleNotFoundError: No module named 'there_is" in complaint("pubsub", path)
    write(path, "raise ValueError\n")
    assert complaint("pubsub", path) == f"{path}, line 1: ValueError: no further text\n    raise ValueError"


def test_relative_paths_are_shown_as_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file given relative to the current folder is found, and named like that in the text."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "mine.py", "\n1 / 0\n")
    assert complaint("pubsub", "mine.py") == "mine.py, line 2: ZeroDivisionError: division by zero\n    1 / 0"


def test_a_syntax_error_in_an_imported_file_is_reported_there(tmp_path: Path) -> None:
    """A syntax error in a file that the component imports is reported with that file's name and line."""
    beside = write(tmp_path / "beside_broken.py", "x = 1\ny = = 2\n")
    path = write(tmp_path / "mine.py", "import beside_broken\n")
    assert complaint("pubsub", path).startswith(f"{beside}, line 2: SyntaxError: ")


def test_an_error_in_an_imported_file_is_reported_there(tmp_path: Path) -> None:
    """An exception in a file that the component imports is not reported under a wrong file's name."""
    beside = write(tmp_path / "beside_failing.py", "x = 1\n\n\ny = x / 0\n")
    path = write(tmp_path / "mine.py", "import beside_failing\n")
    said = complaint("pubsub", path)
    assert said.startswith((f"{beside}, line 4: ZeroDivisionError", f"{path}, line 1: ZeroDivisionError"))


def test_a_component_that_exits_is_refused(tmp_path: Path) -> None:
    """A file that calls `sys.exit()` at import is reported like any other error."""
    path = write(tmp_path / "mine.py", "import sys\nsys.exit()\n")
    try:
        said = complaint("pubsub", path)
    except SystemExit:
        pytest.fail("it ended the program that loads it")
    assert said.startswith(f"{path}, line 2: SystemExit")


def test_an_error_after_loading_is_described_too(tmp_path: Path) -> None:
    """An exception that a loaded component raises when it runs is described with its place in the file."""
    path = write(tmp_path / "mine.py", STORE.replace("def close(self): ...", "def close(self): return 1 / 0"))
    store = load("store", path)(tmp_path)
    with pytest.raises(ZeroDivisionError) as raised:
        store.close()
    said = describe(raised.value, path)
    assert re.fullmatch(
        rf"{re.escape(str(path))}, line 9: ZeroDivisionError: division by zero\n    def close.*", said
    )
    assert describe(KeyError("elsewhere"), path) == f"{path}: KeyError: 'elsewhere'"


def test_a_file_that_was_saved_a_moment_ago_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python compiles a file once, and looks at its size and its second: two saves may have the same."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    file, beside = tmp_path / "pubsub.py", tmp_path / "beside_pubsub.py"
    text = (Path(__file__).parents[2] / "solutions" / "ex1_chat" / "pubsub.py").read_text(encoding="utf-8")
    for number in (1, 2):
        beside.write_text(f"NUMBER = {number}\n")
        file.write_text(f"{text}\nfrom beside_pubsub import NUMBER\n\nPubSub.own = {number}, NUMBER\n")
        for path in (file, beside):
            os.utime(path, (1, 1))
        sys.modules.pop("beside_pubsub", None)
        assert vars(load("pubsub", file))["own"] == (number, number)
    sys.modules.pop("beside_pubsub")
    assert [each.name for each in tmp_path.iterdir() if each.is_dir()] == []
