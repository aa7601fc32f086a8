"""What the judged code did by itself: each distinct cause once, in the order of time."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from harness.checkers.catalogue import Anomaly
from harness.history.printed import Output
from harness.judged.own_code import methods_of, own_code
from harness.judged.targets import ROOT, Target, reference, whole_server
from harness.verdict.causes import Cause, Floating, causes_in, in_order, with_contract, with_floating

RED = "store.py, line 5, in find"


def traceback(*frames: tuple[str, int, str], error: str = "KeyError: 'red'") -> str:
    """What Python prints of an exception."""
    places = [f'  File "{file}", line {line}, in {function}\n    code()\n' for file, line, function in frames]
    return f"Traceback (most recent call last):\n{''.join(places)}{error}\n"


def causes(text: str, target: Target) -> list[Cause]:
    """The causes in what a server prints, a line each second."""
    output = Output(lambda event: None)
    for at, line in enumerate(text.splitlines(keepends=True)):
        output.take(at, line)
    output.flush(99.0)
    return causes_in(output.seen.values(), own_code(target), methods_of(target))


@pytest.fixture
def target(tmp_path: Path) -> Target:
    """A component of a student's."""
    path = tmp_path / "store.py"
    path.write_text("class MessageStore:\n    async def save(self, messages):\n        pass\n")
    return Target("x", ("python", "-m", "lab"), uses={"store": str(path)}, component="store")


def test_each_exception_is_told_once(target: Target) -> None:
    """At one place, exceptions of one type are one, whatever they say; the first time counts."""
    path = target.uses["store"]
    one, other = (
        traceback((path, 5, "find"), error="KeyError: 1"),
        traceback((path, 9, "page"), error="ValueError"),
    )
    again = traceback((path, 5, "find"), ("/usr/lib/python3.11/json/a.py", 7, "x"), error="KeyError: 2")
    found = causes(f"{one}{other}{again}{other}", target)
    assert found == [
        Cause("raised", "KeyError: 1", RED, "code()", 2, 0.0),
        Cause("raised", "ValueError", "store.py, line 9, in page", "code()", 2, 4.0),
    ]


def test_the_place_is_the_student_s_own(target: Target) -> None:
    """And not the reference server's, which calls it, nor that of what it calls."""
    lab = str(ROOT / "lab" / "session.py")
    text = traceback((lab, 9, "run"), (target.uses["store"], 5, "find"), (lab, 1, "send"))
    (cause,) = causes(text, target)
    assert (cause.kind, cause.where) == ("raised", RED)


def test_whose_code_is_a_file(tmp_path: Path) -> None:
    """A whole server's is all but libraries and the kit; the reference is its own."""
    lab, zoo = str(ROOT / "lab" / "hub.py"), str(ROOT / "harness" / "zoo" / "plain.py")
    library = "/usr/lib/python3.11/asyncio/tasks.py"
    server = own_code(whole_server("python server.py", tmp_path))
    assert [server(file) for file in ("server.py", "/x/chat/hub.py", zoo)] == [True, True, True]
    assert [server(file) for file in (lab, library, "<frozen importlib>")] == [False, False, False]
    assert own_code(reference())(lab)
    assert not own_code(reference())(library)


@pytest.mark.parametrize(
    ("function", "line", "method"),
    [
        ("lists", 2, "MessageStore.page"),
        ("lists", 3, "MessageStore.page"),
        ("first", 8, "MessageStore.find"),
        ("asks_nothing", 13, ""),
    ],
)
def test_an_answer_that_the_server_cannot_use(
    target: Target, tmp_path: Path, function: str, line: int, method: str
) -> None:
    """No line of the student's raised it: the method that was called last before is named instead."""
    server = tmp_path / "kit" / "lab_server.py"
    server.parent.mkdir()
    server.write_text(
        textwrap.dedent(
            """
            def lists(store, room):
                for each in store.page(room):
                    use(each)
                store.last(room)

            def first(store, room):
                found = store.find(room)
                use(found)
                store.save(room)

            def asks_nothing(store):
                x = None
                use(x)
            """
        ).lstrip("\n")
    )
    helper = (str(ROOT / "lab" / "nowhere.py"), 1, "use")
    error = "TypeError: 'NoneType' object is not iterable"
    text = traceback((str(server), line, function), helper, error=error)
    target = Target("x", target.command, uses={"store": str(tmp_path / "elsewhere" / "store.py")})
    (cause,) = causes(text, target)
    assert (cause.kind, cause.what if method else "") == ("unusable" if method else "elsewhere", method)
    assert cause.error == error


def test_a_missing_await_comes_before_what_it_led_to(target: Target) -> None:
    """Its line raised an exception earlier than Python saw that nobody awaits the coroutine."""
    path = target.uses["store"]
    text = traceback((path, 3, "save"), error="TypeError: 'coroutine' and 'int'")
    text += f"{path}:3: RuntimeWarning: coroutine 'MessageStore.last' was never awaited\n  pass\n"
    found = causes(text, target)
    assert [(cause.kind, cause.what, cause.where) for cause in found] == [
        ("unawaited", "MessageStore.last", "store.py, line 3, in save"),
        ("raised", "TypeError: 'coroutine' and 'int'", "store.py, line 3, in save"),
    ]


def test_a_coroutine_that_was_dropped_elsewhere(target: Target) -> None:
    """Python says where: if that is not the student's code, the one call that was not awaited is meant."""
    text = "class MessageStore:\n  async def both(self):\n    await self.page()\n    return self.last()\n"
    Path(target.uses["store"]).write_text(text, encoding="utf-8")
    lab = str(ROOT / "lab" / "hub.py")
    warning = f"{lab}:3: RuntimeWarning: coroutine 'MessageStore.{{}}' was never awaited\n  x\n"
    output = Output(lambda event: None)
    for name in ("last", "page"):
        output.take(0.0, warning.format(name))
    output.flush(1.0)
    files = target.uses.values()
    last, page = causes_in(output.seen.values(), own_code(target), methods_of(target), files)
    assert (last.where, last.source) == ("store.py, line 4, in both", "return self.last()")
    assert page.where.startswith("hub.py, line 3")


def test_clients_that_go_away_are_told_last(target: Target) -> None:
    """As is what was raised elsewhere, for reasons that nobody knows."""
    gone = Cause("raised", "ConnectionResetError", "a.py, line 1, in f", at=0.0, is_usual=True)
    elsewhere = Cause("elsewhere", "OSError", "hub.py, line 1, in f", at=0.0)
    own = Cause("raised", "KeyError", "a.py, line 2, in f", at=5.0)
    direct = Cause("raised", "KeyError", "a.py, line 3, in f")
    assert in_order([gone, elsewhere, direct, own]) == [own, direct, elsewhere, gone]


def test_what_direct_calls_have_shown_is_a_cause() -> None:
    """Unless the play has shown it, too."""
    raised = Anomaly("call_raised", {"where": f"{RED}: code()", "error": "KeyError: 'red'", "call": "find()"})
    seen = Cause("raised", "KeyError: 'blue'", RED, "code()", 2, 0.0)
    assert seen.is_told_by(raised)
    assert with_contract([seen], [raised, Anomaly("wrong_page", {})]) == [seen]
    assert with_contract([], [raised]) == [Cause("raised", "KeyError: 'red'", RED, "code()")]


# --- Node -----------------------------------------------------------------------------------------

LINES = "export class MessageStore {\n  async save() {\n    for (;;) this.last().length;\n  }\n}\n"


@pytest.fixture
def typescript(tmp_path: Path) -> Target:
    """A component of a student's in TypeScript."""
    path = tmp_path / "store.ts"
    path.write_text(LINES, encoding="utf-8")
    return Target("x", ("node", "dist/index.js"), uses={"store": str(path)}, component="store")


def node_causes(text: str, target: Target, at: float = 5.0) -> list[Cause]:
    """The causes in what a server in Node prints at once."""
    output = Output(lambda event: None)
    output.take(at, text)
    output.flush(99.0)
    return causes_in(output.seen.values(), own_code(target), methods_of(target), target.uses.values())


def stack(
    *places: str, error: str = "TypeError: Cannot read properties of undefined (reading 'length')"
) -> str:
    """What Node prints of an error."""
    return "\n".join([error, *(f"    at {place}" for place in places), ""])


def test_an_error_in_node(typescript: Target) -> None:
    """The line of code is read where the judged component is, since Node does not print it."""
    path = typescript.uses["store"]
    text = stack(f"MessageStore.save ({path}:3:5)", "/x/server.ts:1:2", "node:internal/timers:1:2")
    (cause,) = node_causes(f"could not obey {text}{text}", typescript)
    assert cause == Cause(
        "raised",
        "TypeError: Cannot read properties of undefined (reading 'length')",
        "store.ts, line 3, in MessageStore.save",
        "for (;;) this.last().length;",
        2,
        5.0,
    )


def test_no_other_file_is_read(tmp_path: Path) -> None:
    """A whole server may print any name as a place in its code."""
    secret = tmp_path / "secret"
    secret.write_text("password\n", encoding="utf-8")
    server = Target("x", ("node", "a.js"), cwd=str(tmp_path))
    (cause,) = node_causes(stack(f"f ({secret}:1:2)"), server)
    assert (cause.where, cause.source) == ("secret, line 1, in f", "")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "b.ts").symlink_to(secret)
    mine = Target("x", ("node", "a.js"), uses={"store": str(tmp_path / "mine" / "store.ts")})
    (cause,) = node_causes(stack(f"f ({tmp_path / 'mine' / 'b.ts'}:1:2)"), mine)
    assert (cause.where, cause.source) == ("b.ts, line 1, in f", "")


@pytest.mark.parametrize(
    ("place", "kind", "where"),
    [
        ("MessageStore.save ({}:3:5)", "unhandled", "store.ts, line 3, in MessageStore.save"),
        ("f (node:fs:3:5)", "unhandled", ""),
        ("Hub.join (/x/hub.ts:3:5)", "elsewhere", "hub.ts, line 3, in Hub.join"),
    ],
)
def test_an_error_that_ended_the_server(typescript: Target, place: str, kind: str, where: str) -> None:
    """Nobody has caught it. Clients that go away may have caused it: a server has to catch it, then."""
    error = stack(place.format(typescript.uses["store"]), error="Error: read ECONNRESET")
    text = f"node:fs:3\n  throw x\n  ^\n\n{error}\nNode.js v20.20.2\n"
    (cause,) = node_causes(text, typescript)
    assert (cause.kind, cause.what, cause.where) == (kind, "Error: read ECONNRESET", where)
    assert not cause.is_usual


def test_an_answer_that_a_server_in_node_cannot_use(
    typescript: Target, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The method that was called last before is named; the call may have several lines."""
    server = tmp_path_factory.mktemp("server") / "kit" / "hub.ts"
    server.parent.mkdir()
    lines = "const last = await this.store.last(room);\nconst found = this.store.page(\n  room,\n).length;\n"
    server.write_text(lines, encoding="utf-8")
    (cause,) = node_causes(stack(f"Hub.join ({server}:4:5)", "node:internal/x:1:2"), typescript)
    assert (cause.kind, cause.what) == ("unusable", "MessageStore.page")
    assert cause.where == "hub.ts, line 4, in Hub.join"


def test_a_call_that_blocks_the_event_loop_of_node(typescript: Target) -> None:
    """It began before it was told; the longest time counts. The server's own calls are not told."""
    path = typescript.uses["store"]
    told = f"    at MessageStore.save ({path}:3:5)\n    at /x/server.ts:1:2\n"
    text = "".join(
        f"[chatlab] the event loop {words}\n{told}"
        for words in ("has been blocked for 1.1 s so far", "was blocked for 3.4 s")
    )
    (cause,) = node_causes(text, typescript)
    line = "for (;;) this.last().length;"
    assert cause == Cause("blocks", "", "store.ts, line 3, in MessageStore.save", line, 1, 3.9, seconds=3.4)
    other = "[chatlab] the event loop was blocked for 2.0 s\n    at f (node:fs:1:2)\n"
    assert node_causes(other, typescript) == []


def test_the_memory_of_node_is_full(typescript: Target) -> None:
    """No place is to blame for certain."""
    text = "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory\n"
    assert node_causes(text, typescript) == [Cause("heap", "JavaScript heap out of memory", "", at=5.0)]


def test_promises_that_nobody_waits_for() -> None:
    """They may be what is wrong: after what is wrong for certain, each line once."""
    own = Cause("raised", "TypeError", "a.ts, line 2, in f", at=5.0)
    elsewhere = Cause("elsewhere", "TypeError", "hub.ts, line 1", at=0.0)
    floats = [Floating("/x/a.ts", 7, 3, "this.save();"), Floating("/x/a.ts", 7, 16, "this.save();")]
    floating = Cause("floating", "", "a.ts, line 7", "this.save();")
    assert with_floating([own, elsewhere], floats) == [own, floating, elsewhere]
    assert with_floating([], floats) == [floating]
    assert with_floating([own], []) == [own]
