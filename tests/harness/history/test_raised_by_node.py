"""What Node prints of errors is one event, and tells the place in the judged code.

The texts are what Node prints, with shorter names of files.
"""

from __future__ import annotations

import pytest

from harness.history.events import Printed
from harness.history.printed import Output, Seen
from harness.history.raised import (
    Blocked,
    Frame,
    Raised,
    blocked_in,
    essence,
    heap_in,
    is_no_library,
    own_frame,
    raised_in,
)

LOGGED = """\
could not obey Error: ENOENT: no such file or directory, open '/nowhere'
    at async open (node:internal/fs/promises:637:25)
    at async Object.readFile (node:internal/fs/promises:1249:14)
    at async Store.save (file:///x/my%20caf%C3%A9/store.ts:3:31)
    at async file:///x/my%20caf%C3%A9/index.ts:7:1 {
  errno: -2,
  code: 'ENOENT',
  syscall: 'open',
  path: '/nowhere'
}"""
CAUSE = """\
Error: could not save
    at /x/a.ts:9:65
    at go (/x/a.ts:5:70)
    at <anonymous> (/x/a.ts:9:7) {
  [cause]: TypeError: Cannot read properties of undefined (reading 'z')
      at Store.find (/x/store.ts:3:85)
      at /x/a.ts:9:35
}"""
AGGREGATE = """\
could not obey [AggregateError: All promises were rejected] {
  [errors]: [
    Error: one
        at /x/a.ts:10:57
        at go (/x/a.ts:5:70),
    TypeError: two
        at /x/b.ts:10:91
  ]
}"""
ASSERTION = """\
AssertionError [ERR_ASSERTION]: Expected values to be strictly equal:

1 !== 2

    at /x/a.ts:11:33
    at go (/x/a.ts:5:70) {
  generatedMessage: true,
  code: 'ERR_ASSERTION',
  actual: 1,
  expected: 2,
  operator: 'strictEqual'
}"""
OWN_CLASS = """\
Refused [NoRoom]: two
lines
    at new Room (/x/a.ts:15:31)
    at Array.map (<anonymous>)
    at async Promise.all (index 0)
    at Hub.#join [as join] (/x/node_modules/ws/b.js:15:7)"""
CRASH = """\
file:///x/a%20b.ts:1
setTimeout(() => { throw new Error("late: 1"); }, 1)
                         ^

Error: late: 1
    at Timeout._onTimeout (file:///x/a%20b.ts:1:26)
    at listOnTimeout (node:internal/timers:581:17)

Node.js v20.20.2"""
REJECTION = """\
node:internal/fs/promises:637
  return new FileHandle(await PromisePrototypeThen(
                        ^

Error: ENOENT: no such file or directory, open '/nowhere/x'
    at async Object.open (node:internal/fs/promises:637:25)
    at async save (/x/store.ts:1:60) {
  errno: -2,
  code: 'ENOENT'
}

Node.js v20.20.2"""
NO_ERROR = """\
node:internal/process/promises:389
      new UnhandledPromiseRejection(reason);
      ^

UnhandledPromiseRejection: This error originated either by throwing inside of an async function without a \
catch block, or by rejecting a promise which was not handled with .catch(). The promise rejected with the \
reason "text".
    at throwUnhandledRejectionsMode (node:internal/process/promises:389:7)
    at process.processTicksAndRejections (node:internal/process/task_queues:96:32) {
  code: 'ERR_UNHANDLED_REJECTION'
}

Node.js v20.20.2"""
NO_STACK = """\
node:internal/process/promises:288
            triggerUncaughtException(err, true /* fromPromise */);
            ^

[UnhandledPromiseRejection: This error originated either by throwing inside of an async function without a \
catch block, or by rejecting a promise which was not handled with .catch(). The promise rejected with the \
reason "undefined".] {
  code: 'ERR_UNHANDLED_REJECTION'
}

Node.js v20.11.0"""
THROWN_TEXT = """\
/x/a.ts:1
setTimeout(() => { throw "text" }, 1)
                   ^
text
(Use `node --trace-uncaught ...` to show where the exception was thrown)

Node.js v20.20.2"""
EMITTED = """\
node:events:502
      throw er; // Unhandled 'error' event
      ^

Error: connect ECONNREFUSED 127.0.0.1:1
    at TCPConnectWrap.afterConnect [as oncomplete] (node:net:1611:16)
Emitted 'error' event on Socket instance at:
    at emitErrorNT (node:internal/streams/destroy:169:8) {
  errno: -111
}

Node.js v20.20.2"""
SYNTAX = """\
file:///x/a.ts:1
const x = ;
          ^

SyntaxError: Unexpected token ';'
    at compileSourceTextModule (node:internal/modules/esm/utils:346:16)

Node.js v20.20.2"""
WARNING = """\
(node:13951) MaxListenersExceededWarning: Possible EventEmitter memory leak detected. 11 listeners added
(Use `node --trace-warnings ...` to show where the warning was created)"""
HEAP = """\
<--- Last few GCs --->

[13928:0x25f4cca0]      121 ms: Mark-Compact 17.3 (49.7) -> 16.7 (49.7) MB, 9.14 / 0.00 ms


<--- JS stacktrace --->

FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory
----- Native stack trace -----

 1: 0xb78db3 node::OOMErrorHandler(char const*, v8::OOMDetails const&) [node]
10: 0x195e476  [node]"""
BLOCKED = """\
[chatlab] the event loop has been blocked for 1.1 s so far
    at MessageStore.save (/x/store.ts:12:5)
    at processTimers (node:internal/timers:516:9)"""


def printed(text: str) -> tuple[list[str], list[Seen]]:
    """The events of what a server prints at once, and what was seen in it."""
    events: list[Printed] = []
    output = Output(events.append)
    output.take(1.0, f"before\n{text}\nafter\n")
    output.flush(2.0)
    return [each.text for each in events], list(output.seen.values())


def raised(text: str) -> Raised:
    """The error that began what a server has printed."""
    found = raised_in(text.splitlines(), is_no_library)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "text",
    [
        *(LOGGED, CAUSE, AGGREGATE, ASSERTION, OWN_CLASS, CRASH, REJECTION, NO_ERROR, NO_STACK, THROWN_TEXT),
        *(EMITTED, SYNTAX, HEAP),
    ],
)
def test_what_node_says_of_one_error_is_one_event(text: str) -> None:
    """And nothing around it is; it is counted, also if it comes again with another message."""
    if text == OWN_CLASS:  # only where it says that it is an error, its message may have several lines
        text = text.replace("Refused [NoRoom]", "RefusedError [NoRoom]")
    events, seen = printed(text)
    assert events == ["before", text, "after"]
    assert [each.lines for each in seen] == [text.splitlines()]
    _, twice = printed(f"{text}\n{text}")
    assert [each.count for each in twice] == [1 if text == HEAP else 2], "memory is full once"


def test_what_only_looks_like_node_s_is_a_line_each() -> None:
    """Errors without a stack, paths with a number behind them, and what comes after these."""
    lines = [
        "Error: no room",
        "more",
        "TypeError: 1",
        "/rooms/red:12",
        "const x",
        "y",
        "a: at last (b)",
        "{",
        "}",
    ]
    events, seen = printed("\n".join(lines))
    assert events == ["before", *lines, "after"]
    assert seen == []
    events, _ = printed(
        'ERROR: ValueError: 1\nTraceback (most recent call last):\n  File "a", line 1\nKeyError: 2'
    )
    assert len(events) == 3


def test_a_warning_is_one_event_and_no_error() -> None:
    """With the advice below it."""
    events, seen = printed(WARNING)
    assert events == ["before", WARNING, "after"]
    assert seen == []


def test_what_is_said_of_the_event_loop_is_not_the_server_s() -> None:
    """It is no event; each time that it is told is kept, since it lasts longer then."""
    events, seen = printed(f"{BLOCKED}\n{BLOCKED.replace('1.1', '2.2')}")
    assert events == ["before", "after"]
    blocked = [blocked_in(each.lines) for each in seen]
    assert [each.seconds for each in blocked if each] == [1.1, 2.2]
    frames = [
        Frame("node:internal/timers", 516, "processTimers"),
        Frame("/x/store.ts", 12, "MessageStore.save"),
    ]
    assert blocked[0] == Blocked(1.1, frames)
    assert blocked_in(LOGGED.splitlines()) is None


@pytest.mark.parametrize(
    ("text", "error", "place", "is_end"),
    [
        (
            LOGGED,
            "Error: ENOENT: no such file or directory, open '/nowhere'",
            "store.ts, line 3, in Store.save",
            False,
        ),
        (
            CAUSE,
            "TypeError: Cannot read properties of undefined (reading 'z')",
            "store.ts, line 3, in Store.find",
            False,
        ),
        (AGGREGATE, "Error: one", "a.ts, line 10", False),
        (
            ASSERTION,
            "AssertionError [ERR_ASSERTION]: Expected values to be strictly equal:",
            "a.ts, line 11",
            False,
        ),
        (OWN_CLASS, "lines", "a.ts, line 15, in Room.constructor", False),
        (CRASH, "Error: late: 1", "a b.ts, line 1, in Timeout._onTimeout", True),
        (
            REJECTION,
            "Error: ENOENT: no such file or directory, open '/nowhere/x'",
            "store.ts, line 1, in save",
            True,
        ),
        (NO_ERROR, 'UnhandledPromiseRejection: "text"', None, True),
        (NO_STACK, 'UnhandledPromiseRejection: "undefined"', None, True),
        (THROWN_TEXT, "text", "a.ts, line 1", True),
        (EMITTED, "Error: connect ECONNREFUSED 127.0.0.1:1", None, True),
        (SYNTAX, "SyntaxError: Unexpected token ';'", "a.ts, line 1", True),
    ],
)
def test_the_error_that_began_it(text: str, error: str, place: str | None, is_end: bool) -> None:
    """With the innermost place that is in no library; and whether it has ended the server."""
    found = raised(text)
    frame = own_frame(found.frames, is_no_library)
    assert (found.error, frame.place if frame else None, found.is_end) == (error, place, is_end)


def test_files_are_named_as_the_system_does() -> None:
    """Node prints the URL of a module."""
    frame = own_frame(raised(LOGGED).frames, is_no_library)
    assert frame is not None
    assert frame.file == "/x/my café/store.ts"


def test_the_line_of_code_where_it_was_thrown() -> None:
    """Node prints that one if nobody has caught it."""
    assert raised(CRASH).frames[-1].source == 'setTimeout(() => { throw new Error("late: 1"); }, 1)'


@pytest.mark.parametrize(
    "error",
    ["Error: read ECONNRESET", "Error: write EPIPE", "Error: WebSocket is not open: readyState 3 (CLOSED)"],
)
def test_errors_that_clients_bring_about(error: str) -> None:
    """Every server has these, when a client goes away."""
    assert raised(f"{error}\n    at f (/x/a.ts:1:2)").is_usual
    assert not raised(CRASH).is_usual


def test_memory_that_is_full() -> None:
    """No line of code is to blame for certain."""
    assert heap_in(HEAP.splitlines()) == "JavaScript heap out of memory"
    assert heap_in(CRASH.splitlines()) == ""


def test_what_is_shown_of_it_in_one_line() -> None:
    """The error, and its place, with the line of code if it is known."""
    assert essence(CRASH.splitlines())[1].startswith("a b.ts, line 1, in Timeout._onTimeout: setTimeout(")
    assert essence(LOGGED.splitlines())[1] == "store.ts, line 3, in Store.save"
    assert essence(WARNING.splitlines()) == WARNING.splitlines()[:1]


@pytest.mark.parametrize(
    "line",
    [
        "    at ",
        "    at (:1:2)",
        "    at f (",
        "    at f ()",
        "    at x:1:2)",
        "    at " + "(" * 99,
        "\tat a.b(C.java:1)",
    ],
)
def test_no_line_is_an_error_of_ours(line: str) -> None:
    """Whatever a server prints below an error."""
    events, _ = printed(f"Error: x\n{line}\n{line} {{\n}}")
    assert events[0] == "before"
    raised_in(["Error: x", line], is_no_library)
