"""A student's component is built into a server, or a sentence says where and why it is none."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness.texts import texts
from harness.typescript.build import build
from harness.typescript.components import COMPONENTS, methods_owed
from harness.typescript.tools import PROJECT
from lab.interfaces import MessageStore, PresenceManager, PubSub, Sequencer
from tests.extras import needs_node
from tests.harness.typescript.kits import PRESENCE, PUBSUB, SEQUENCER, STORE, Kit, write


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    """A small project."""
    return Kit(tmp_path, needs_node())


def test_the_interfaces_are_those_of_python() -> None:
    """The same components, with as many methods."""
    types = (PROJECT / "src" / "types.ts").read_text(encoding="utf-8")
    for interface in (PubSub, Sequencer, PresenceManager, MessageStore):
        methods = [name for name in vars(interface) if not name.startswith("_")]
        assert len(methods_owed(types, interface.__name__)) == len(methods)
    assert {each.name for each in COMPONENTS.values()} == {
        *("PubSub", "Sequencer", "PresenceManager", "MessageStore")
    }
    assert methods_owed(types, "Sequencer")["accept"] == "accept(draft: Draft): Promise<Message>"


def test_a_server_is_built_of_his_and_ours(kit: Kit) -> None:
    """All four components, the server and his own module are there, and nothing else."""
    text = 'import { one } from "./util/one.js";\nexport const x = one;\n' + SEQUENCER
    built = kit.build(
        "sequencer", text, **{"util/one": 'export * from "../two.js";', "two": "export const one = 1;"}
    )
    assert built.problem == ""
    there = sorted(
        path.relative_to(built.folder / "dist").as_posix() for path in built.folder.rglob("dist/**/*.js")
    )
    modules = ["index", "presence", "pub-sub", "sequencer", "server", "store", "two", "types", "util/one"]
    assert there == [f"{each}.js" for each in modules]
    assert list(built.own) == ["sequencer.ts", "util/one.ts", "two.ts"]
    assert built.own["two.ts"] == kit.mine / "two.ts"


def test_what_lies_beside_and_is_ours_is_left_out(kit: Kit) -> None:
    """A student may have changed the server, its settings or other components: they are not judged."""
    for name in ("server.ts", "types.ts", "store.ts", "tsconfig.json", "package.json"):
        write(kit.mine / name, "nonsense")
    assert kit.build("pubsub", PUBSUB).problem == ""


def test_an_error_shows_his_own_line(kit: Kit) -> None:
    """In the stack that Node prints: his file where he wrote it, whatever its folder's name."""
    kit.mine = kit.folder / "my café #1"
    path = write(
        kit.mine / "pubsub.ts",
        PUBSUB.replace("ServerFrame): void {", 'ServerFrame): void {\n      throw new Error("x");'),
    )
    built = kit.build_files({"pubsub": path})
    assert built.problem == ""
    words = [kit.tools.node, "--enable-source-maps", "dist/index.js"]
    done = subprocess.run(words, cwd=built.folder, capture_output=True, text=True, check=False)
    assert f"{path}:7" in done.stderr
    assert f"at PubSub.publish ({path}:7:" in done.stderr
    assert f"{kit.folder / 'kit' / 'src' / 'index.ts'}:4:8" in done.stderr


def test_type_errors_are_told_with_their_lines(kit: Kit) -> None:
    """The first one first, a few of them, each with its line of code."""
    text = (
        SEQUENCER.replace("this.store.save", "this.stor.save")
        .replace("last: 0", 'last: "é"')
        .replace("more: false", "more: x")
    )
    assert kit.build("sequencer", text).problem == (
        "TypeScript does not compile this:\n"
        "| mine/sequencer.ts, line 9: Property 'stor' does not exist on type 'Sequencer'. "
        "Did you mean 'store'? (TS2551)\n"
        "|     await this.stor.save([message]);\n"
        "|                ^\n"
        "| mine/sequencer.ts, line 18: Type 'string' is not assignable to type 'number'. (TS2322)\n"
        '|     return { room, messages: await this.store.page(room, since, limit), last: "é", more: x };\n'
        "|                                                                         ^\n"
        "| mine/sequencer.ts, line 18: Cannot find name 'x'. (TS2304)\n"
        '|     return { room, messages: await this.store.page(room, since, limit), last: "é", more: x };\n'
        "|                                                                                          ^"
    )


def test_few_of_many_errors_are_told(kit: Kit) -> None:
    """The others are counted."""
    lines = "".join(f'const x{number}: number = "";\n' for number in range(9))
    problem = kit.build("pubsub", lines + PUBSUB).problem
    assert problem.count("TS2322") == 3
    assert problem.endswith("\n… and 6 errors more")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "export class Sequencer",
            "export class Sequenzer",
            "mine/sequencer.ts has no exported class `Sequencer`; did you mean `Sequenzer`?",
        ),
        (
            "export class Sequencer",
            "export class Numbers",
            "mine/sequencer.ts has no exported class `Sequencer`; there is `Numbers`",
        ),
        (
            "export class",
            "class",
            "mine/sequencer.ts has a class `Sequencer`, but does not export it: "
            "write `export class Sequencer`",
        ),
        (
            "export class",
            "export default class",
            "mine/sequencer.ts exports its class `Sequencer` as default; write `export class Sequencer`",
        ),
        (
            "constructor(",
            "constructor(n: number, ",
            "mine/sequencer.ts: `new Sequencer(store: MessageStore, pubsub: PubSub)` is how the server makes "
            "it, and the class does not allow it: Expected 3 arguments, but got 2. (TS2554)",
        ),
        (
            "async accept(",
            "async acept(",
            "in mine/sequencer.ts, `Sequencer.accept` is missing; "
            "it should be `accept(draft: Draft): Promise<Message>`",
        ),
        (
            "history(room: string",
            "history(room: number",
            "in mine/sequencer.ts, `Sequencer.history` should be "
            "`history(room: string, since: number, limit: number): Promise<History>`, and it is not: Type",
        ),
    ],
)
def test_a_class_that_is_not_what_the_server_needs(kit: Kit, old: str, new: str, told: str) -> None:
    """It is told of his file, and not of the server's, where the compiler sees it."""
    text = SEQUENCER.replace(old, new)
    if "room: number" in text:
        text = text.replace(
            "{ room, messages: await this.store.page(room", '{ room: "", messages: await this.store.page(""'
        )
    assert kit.build("sequencer", text).problem.startswith(told)


def test_a_file_without_any_class(kit: Kit) -> None:
    """It need not be a module."""
    told = "mine/sequencer.ts has no exported class `Sequencer`; there is no class at all"
    assert kit.build("sequencer", "const x = 1;").problem == told


ITS_OWN = "A component imports ./types.js, its own modules beside it, and what Node has"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('import "./store.js";', "takes a component from `./store.js`: write your own"),
        ('import { Server } from "./server.js";', "imports `./server.js`, which is a module of the server"),
        ('import "../../solutions/sequencer.js";', "which is outside of the component's folder"),
        ('import "/tmp/sequencer.js";', "which is outside of the component's folder"),
        ('import "file:///tmp/sequencer.js";', "which is outside of the component's folder"),
        ('import "lodash";', "imports the package `lodash`, which is not installed"),
        ('import "../lodash/x.js";', "which is outside of the component's folder"),
    ],
)
def test_what_a_component_must_not_import(kit: Kit, line: str, told: str) -> None:
    """It is refused in its file, and in a module that it imports."""
    problem = kit.build("sequencer", f"{line}\n{SEQUENCER}").problem
    assert problem.startswith("mine/sequencer.ts, line 1 ")
    assert told in problem
    files = {"sequencer": write(kit.mine / "sequencer.ts", f'import "./mine.js";\n{SEQUENCER}')}
    write(kit.mine / "mine.ts", f"// mine\n{line}\nexport {{}};\n")
    assert kit.build_files(files).problem.startswith("mine/mine.ts, line 2 ")


@pytest.mark.parametrize(
    "line",
    [
        '/// <reference types="SECRET/marks.js" />\nexport const mark: Marks = 3;',
        '/// <reference types="SECRET/marks.d.ts" />',
        'import type marks from "./\\u002e./../secret/marks.js";\nexport type Mark = marks;',
        'import marks from "./\\u002e./../secret/marks.json" with { type: "json" };\nexport default marks;',
    ],
)
def test_no_file_of_this_machine_is_read(kit: Kit, line: str) -> None:
    """However it is named, nothing of what is in it is told."""
    secret = kit.folder / "secret"
    text = "interface Marks { ada: 20 }\ndeclare const marks: Marks;\nexport default marks;"
    write(secret / "marks.d.ts", text)
    write(secret / "marks.json", '{"ada": 20}')
    problem = kit.build("pubsub", f"{line.replace('SECRET', str(secret))}\n{PUBSUB}").problem
    assert "names a file outside of the component's folder, marks" in problem
    assert "ada" not in problem


def test_what_a_component_may_import(kit: Kit) -> None:
    """What Node has, by both of its names, and the installed packages."""
    lines = 'import fs from "fs";\nimport { join } from "node:path/posix";\nimport { WebSocket } from "ws";\n'
    assert kit.build("pubsub", lines + PUBSUB).problem == ""


def test_modules_of_one_name(kit: Kit) -> None:
    """Components of several folders run in one server: their modules must not be confused."""
    files = {}
    for name, text in (("presence", PRESENCE), ("store", STORE)):
        files[name] = write(kit.mine / name / f"{name}.ts", f'import "./log.js";\n{text}')
        write(kit.mine / name / "log.ts", f'console.log("{name}");')
    assert kit.build_files(files).problem.startswith(
        "mine/presence/log.ts and mine/store/log.ts are two modules of the same name"
    )


def test_a_file_that_is_none(kit: Kit) -> None:
    """It is not there, leads elsewhere, or is no text."""
    assert (
        kit.build_files({"store": kit.mine / "store.ts"}).problem
        == "mine/store.ts is no file that can be read"
    )
    path = write(kit.mine / "store.ts", f'import "./log.js";\n{STORE}')
    (kit.mine / "log.ts").symlink_to(write(kit.folder / "other" / "log.ts", ""))
    assert kit.build_files({"store": path}).problem.startswith(
        "mine/log.ts is a link that leads out of the folder"
    )
    path.write_bytes(b"// caf\xe9\n")
    assert kit.build_files({"store": path}).problem.startswith("mine/store.ts is not UTF-8: line 1")


def test_the_compiler_cannot_be_kept_busy(kit: Kit) -> None:
    """What takes it too long is told."""
    deep = f"export const x = {'(' * 50_000}1{')' * 50_000};\n"
    problem = kit.build("pubsub", deep + PUBSUB, seconds=0.3).problem
    assert problem.startswith("TypeScript's compiler was not done with mine/pubsub.ts after 0 s")


def test_what_breaks_the_server_s_own_code(kit: Kit) -> None:
    """A component can change what types mean elsewhere: the first error there is told."""
    text = f"{PUBSUB}declare global {{ interface Promise<T> {{ mine: T }} }}\n"
    problem = kit.build(
        "pubsub", text + 'declare module "./types.js" { interface History { readonly x: number } }'
    ).problem
    assert problem.startswith("with mine/pubsub.ts, the server no longer compiles: sequencer.ts, line 18: ")


def test_it_is_told_in_french(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our words; the compiler speaks English."""
    refused = build({"store": kit.mine / "x.ts"}, kit.folder / "out", kit.tools).refused
    assert refused is not None
    assert refused.said_in(texts("fr")) == f"{kit.mine / 'x.ts'} n’est pas un fichier lisible"
