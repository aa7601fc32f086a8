"""Components and servers in TypeScript that are broken on purpose, by the mistakes of that language.

A *component* is a change of a model answer. Like those in Python, it is called directly, and put into the
given server. A *server* is a change of a file of that server, with the model answers in it, as somebody may
make it who writes a whole server.
"""

from __future__ import annotations

import difflib
import shutil
from pathlib import Path

from msgspec.structs import replace

from harness.judged import typescript
from harness.judged.targets import ROOT, Target
from harness.typescript.build import SOLUTIONS
from harness.typescript.components import COMPONENTS
from harness.typescript.tools import PROJECT
from harness.zoo.animal import Animal, keep

_WHY = "only servers in Python can be simulated"
_SOURCES = PROJECT / "src"


def is_ready() -> bool:
    """Whether Node, and what it needs, is installed."""
    return bool(typescript.version())


def changed(animal: Animal) -> str:
    """The text of its file, with the defect in it."""
    text = _original(animal)
    for old, new in animal.changes:
        assert old in text, f"{animal.name}: {old!r} is not there (any more)"
        text = text.replace(old, new)
    return text


def difference(animal: Animal) -> str:
    """The same as a patch: `patch -p1` in the kit's folder makes the animal."""
    old, new = (each.splitlines(keepends=True) for each in (_original(animal), changed(animal)))
    return "".join(difflib.unified_diff(old, new, f"a/{animal.file}", f"b/{animal.file}"))


def target(animal: Animal, folder: Path) -> Target:
    """Build it in a folder. Raises Unclear if Node, or what it needs, is not installed."""
    name = Path(animal.file).name
    if animal.component:
        path = folder / name
        path.write_text(changed(animal), encoding="utf-8")
        return typescript.server({animal.component: str(path)}, animal.name, animal.component, folder)
    project = folder / "project"
    shutil.copytree(_SOURCES, project / "src")
    for each in ("package.json", "tsconfig.json"):
        shutil.copyfile(PROJECT / each, project / each)
    (project / "node_modules").symlink_to(typescript.packages(), target_is_directory=True)
    (project / "src" / name).write_text(changed(animal), encoding="utf-8")
    return replace(typescript.server({}, animal.name, place=folder, project=project), uses={})


def _original(animal: Animal) -> str:
    return (ROOT / animal.file).read_text(encoding="utf-8")


def _component(
    component: str, name: str, step: str, anomaly: str, says: str, *changes: tuple[str, str], also: str = ""
) -> None:
    file = str((SOLUTIONS / COMPONENTS[component].file).relative_to(ROOT))
    _keep(name, step, anomaly, says, file, changes, also, component)


def _server(
    file: str, name: str, step: str, anomaly: str, says: str, *changes: tuple[str, str], also: str = ""
) -> None:
    _keep(name, step, anomaly, says, str((_SOURCES / file).relative_to(ROOT)), changes, also)


def _keep(
    name: str,
    step: str,
    anomaly: str,
    says: str,
    file: str,
    changes: tuple[tuple[str, str], ...],
    also: str,
    component: str = "",
) -> None:
    keep(
        name,
        step,
        anomaly,
        says,
        None,
        also=also,
        worlds=("live",),
        why=_WHY,
        component=component,
        file=file,
        changes=changes,
    )


# --- exercise 1 -----------------------------------------------------------------------------------

_SEND = "    for (const member of this.members(room)) member.send(frame);"

_component(
    "pubsub",
    "rooms_in_a_plain_object",
    "1.3",
    "call_raised",
    "The rooms are the keys of `{}`, which has `constructor` and `__proto__` without anybody's doing.",
    ("new Map<string, Set<types.Member>>()", "{} as Record<string, Set<types.Member>>"),
    ("members = this.#rooms.get(room) ?? new Set();", "members = this.#rooms[room] ?? new Set();"),
    ("this.#rooms.set(room, members.add(member));", "this.#rooms[room] = members.add(member);"),
    ("const members = this.#rooms.get(room);", "const members = this.#rooms[room];"),
    ("this.#rooms.delete(room)", "delete this.#rooms[room]"),
    ("this.#rooms.get(room) ?? []", "this.#rooms[room] ?? []"),
    ("[...this.#rooms.keys()]", "Object.keys(this.#rooms)"),
    also="1.4",
)
_component(
    "pubsub",
    "publish_is_async",
    "1.4",
    "wrong_answer",
    "`publish` is `async`, and sends after an `await`: when the call returns, nothing has been sent.",
    (
        "  publish(room: string, frame: types.ServerFrame): void {\n",
        "  async publish(room: string, frame: types.ServerFrame): Promise<void> {\n"
        "    await Promise.resolve();\n",
    ),
)
_component(
    "pubsub",
    "for_each_is_async",
    "1.4",
    "wrong_delivery",
    "`forEach` with an `async` function waits for none of its calls, each of which sends after an `await`.",
    (
        _SEND,
        "    this.members(room).forEach(async (member) => {\n"
        "      await Promise.resolve();\n"
        "      member.send(frame);\n"
        "    });",
    ),
)
_component(
    "pubsub",
    "publish_waits_with_atomics",
    "1.4",
    "call_blocks",
    "In a room of several, `publish` sleeps for two seconds in `Atomics.wait`: the event loop stands still.",
    (
        _SEND,
        "    const cell = new Int32Array(new SharedArrayBuffer(4));\n"
        "    if (this.members(room).length > 1) Atomics.wait(cell, 0, 0, 2000);\n" + _SEND,
    ),
    also="1.3",
)
_server(
    "outbox.ts",
    "buffers_are_sent",
    "1.1",
    "no_start",
    "`socket.send` is given a Buffer, so the frames are binary.",
    ("{ binary: false }", "{}"),
    also="1.2 1.3 1.4 1.5",
)
_server(
    "protocol.ts",
    "names_are_counted_by_length",
    "1.2",
    "dropped_connection",
    "The limit of a name is compared with `length`, which counts an emoji twice.",
    ("Array.from(text).length <= most", "text.length <= most"),
)
_server(
    "protocol.ts",
    "rooms_are_counted_by_length",
    "1.4",
    "refused",
    "The limit of a room's name is compared with `length`, which counts a letter beyond U+FFFF twice.",
    (
        r"/^(?!\.+$)[\p{L}\p{M}\p{N}_.-]{1,64}$/u;",
        r"{ test: (name: string) => name.length <= 64 && /^(?!\.+$)[\p{L}\p{M}\p{N}_.-]+$/u.test(name) };",
    ),
)
_server(
    "protocol.ts",
    "content_is_counted_by_length",
    "1.4",
    "obeyed_bad_frame",
    "The limit of a content is compared with `length`, which counts neither bytes nor characters.",
    ("Buffer.byteLength(content) <= MAX_CONTENT", "content.length <= MAX_CONTENT"),
)
_server(
    "protocol.ts",
    "half_characters_are_passed_on",
    "1.2",
    "malformed_frame",
    "A lone surrogate, which `JSON.parse` accepts, is stored and sent: `JSON.stringify` writes it again.",
    (
        '  if (LONE_SURROGATE.test(content)) throw new BadFrame("bad_content", '
        '"`content` holds half of a character", id);\n',
        "",
    ),
    also="1.4",
)
_server(
    "session.ts",
    "rejections_are_not_handled",
    "1.2",
    "server_died",
    "An `async` handler of frames catches nothing: an invalid frame ends the server.",
    ("(text) => this.#obey(text)", "(text) => this.#handle(text)"),
    ("  async #obey(text", "  async obey(text"),
    also="1.3 1.4 1.5",
)
_server(
    "server.ts",
    "errors_of_sockets_have_no_handler",
    "1.5",
    "server_died",
    "The event `error` of a WebSocket has no handler, so a frame that is too large ends the server.",
    (
        '    socket.on("error", () => undefined); // ws closes the connection by itself, and then says so\n',
        "",
    ),
    also="1.2 1.3 1.4",
)
_server(
    "session.ts",
    "rooms_of_a_session_in_a_plain_object",
    "1.4",
    "obeyed_bad_frame",
    "The rooms of a session are the keys of `{}`: who has not joined `__proto__` may speak in it.",
    ("if (!this.#rooms.has(room)) {", "if (!this.#rooms.has(room) && !(room in {})) {"),
)
_server(
    "protocol.ts",
    "a_pattern_that_backtracks",
    "1.3",
    "server_hung",
    "The pattern of a room's name backtracks: a long name that does not match blocks the event loop.",
    (r"[\p{L}\p{M}\p{N}_.-]{1,64}$/u", r"(?=.{1,64}$)(?:[\p{L}\p{M}\p{N}_.-]+)+$/su"),
    also="1.4 1.5",
)

_server(
    "session.ts",
    "messages_are_not_awaited",
    "1.4",
    "lost",
    "A message is handled in a promise that nobody waits for: the frames after it overtake it.",
    (
        "        return this.#say(frame);\n",
        "        void this.#attempt(() => this.#say(frame), text);\n        return undefined;\n",
    ),
    (
        "  async #obey(text: string | undefined): Promise<void> {\n"
        "    try {\n      await this.#handle(text);\n",
        "  #obey(text: string | undefined): Promise<void> {\n"
        "    return this.#attempt(() => this.#handle(text), text);\n"
        "  }\n\n"
        "  async #attempt(work: () => Promise<void>, text: string | undefined): Promise<void> {\n"
        "    try {\n"
        "      await work();\n",
    ),
)
_server(
    "outbox.ts",
    "replays_are_buffers",
    "1.2",
    "malformed_frame",
    "Old messages are written by a function of their own, which sends them as binary frames.",
    ("this.#socket.send(frame, AS_TEXT, () => resolve())", "this.#socket.send(frame, () => resolve())"),
    also="1.3 1.4 1.5",
)

# --- exercise 2 -----------------------------------------------------------------------------------

_SAVE = "      await this.#store.save([message]);\n"
_TURN = "    const turn = before.then(work, work);\n"

_component(
    "sequencer",
    "nobody_waits_for_the_save",
    "2.2",
    "published_unsaved",
    "`void` before `save` silences the linter, and nobody waits for the disk.",
    (_SAVE, "      void this.#store.save([message]);\n"),
    also="2.1 2.3 2.4",
)
_component(
    "sequencer",
    "the_chain_stays_rejected",
    "2.1",
    "call_raised",
    "After a save that failed, the chain of promises is rejected for ever, and with it the room.",
    ("before.then(work, work)", "before.then(work)"),
)
_component(
    "sequencer",
    "all_wait_for_the_same_turn",
    "2.2",
    "wrong_number",
    "Between `await` and the new turn is a gap: of two who waited for the same one, both go on.",
    (
        "  #inTurn<T>(room: string, work: () => Promise<T>): Promise<T> {\n"
        "    const before = this.#lastTurns.get(room) ?? Promise.resolve();\n"
        "    const turn = before.then(work, work);\n",
        "  async #inTurn<T>(room: string, work: () => Promise<T>): Promise<T> {\n"
        "    await this.#lastTurns.get(room)?.catch(() => undefined);\n"
        "    const turn = work();\n",
    ),
    also="2.3 2.4",
)
_component(
    "sequencer",
    "ids_are_looked_up_before_the_turn",
    "2.3",
    "retry_new",
    "Between the check of an `id` and the save is an `await`: two with the same `id` are both accepted.",
    (
        "  accept(draft: types.Draft): Promise<types.Message> {\n",
        "  async accept(draft: types.Draft): Promise<types.Message> {\n"
        "    const { room, user, id } = draft;\n"
        "    const known = id === undefined ? undefined : await this.#store.find(room, user, id);\n"
        "    if (known !== undefined) return known;\n",
    ),
    (
        "      const stored = id === undefined ? undefined : await this.#store.find(room, user, id);\n"
        "      if (stored !== undefined) return stored;\n",
        "",
    ),
)
_component(
    "sequencer",
    "timestamps_in_seconds",
    "2.1",
    "wrong_message",
    "`timestamp` is in seconds, as in other languages, and not in milliseconds.",
    ("timestamp: Date.now()", "timestamp: Math.floor(Date.now() / 1000)"),
)
_server(
    "protocol.ts",
    "since_has_32_bits",
    "2.4",
    "history_disorder",
    "`| 0` makes a whole number of `since`, and of a large one another: beyond 31 bits it wraps around.",
    ("return Math.min(value, Number.MAX_SAFE_INTEGER);", "return Math.max(value | 0, least);"),
)

# --- exercise 3 -----------------------------------------------------------------------------------

_component(
    "presence",
    "users_in_a_plain_object",
    "3.1",
    "wrong_answer",
    "The users of a room are the keys of `{}`: one whose name is `__proto__` is not among them.",
    (
        "    const here = [...this.#online().values()].filter((each) => each.room === room);\n"
        "    return here.map(({ presence }) => presence);\n",
        "    const users: Record<string, types.Presence> = {};\n"
        "    for (const { presence, ...each } of this.#online().values()) {\n"
        "      if (each.room === room) users[presence.user] = presence;\n"
        "    }\n"
        "    return Object.values(users);\n",
    ),
    also="3.2",
)
_component(
    "presence",
    "keys_of_presence_collide",
    "3.2",
    "wrong_change",
    "Room and user are joined to one key with `-`, which both may have in them: two users may have the same.",
    ("JSON.stringify([room, user])", "`${room}-${user}`"),
)
_component(
    "presence",
    "a_timer_for_each_connection",
    "3.4",
    "wrong_answer",
    "Each sign of life arms a timer anew that forgets the connection: nobody is told of that.",
    (
        "    if (known) known.seen = now;\n",
        "    if (known) {\n"
        "      known.seen = now;\n"
        "      clearTimeout(this.#timers.get(connection));\n"
        "      const forget = (): void => void this.#connections.delete(connection);\n"
        "      this.#timers.set(connection, setTimeout(forget, this.#offlineTimeout));\n"
        "    }\n",
    ),
    (
        "  readonly #connections = new Map<string, Connection>();\n",
        "  readonly #connections = new Map<string, Connection>();\n"
        "  readonly #timers = new Map<string, NodeJS.Timeout>();\n",
    ),
)
_component(
    "presence",
    "a_clock_of_its_own",
    "3.4",
    "wrong_change",
    "`sweep` asks `Date.now()`, and not the `now` that it is given.",
    ("if (now - seen > ", "if (Date.now() - seen > "),
)
_component(
    "presence",
    "the_timeout_is_taken_for_seconds",
    "3.4",
    "wrong_change",
    "The timeout is multiplied by 1000, although it is in milliseconds already.",
    ("this.#offlineTimeout = offlineTimeout;", "this.#offlineTimeout = offlineTimeout * 1000;"),
)
_server(
    "server.ts",
    "heartbeats_wait_in_their_loop",
    "3.3",
    "missing_heartbeat",
    "The timer is armed again after a loop that waits at each client: the more there are, the rarer it gets.",
    (
        "      setInterval(() => this.#sendHeartbeats(), heartbeatInterval),\n",
        "      setTimeout(() => void this.#sendHeartbeats(), heartbeatInterval),\n",
    ),
    (
        "  #sendHeartbeats(): void {\n"
        '    const frame = { type: "heartbeat" } as const;\n'
        "    for (const session of this.#sessions) session.send(frame);\n",
        "  async #sendHeartbeats(): Promise<void> {\n"
        "    for (const session of this.#sessions) {\n"
        '      session.send({ type: "heartbeat" });\n'
        "      await sleep(50);\n"
        "    }\n"
        "    setTimeout(() => void this.#sendHeartbeats(), this.#hub.config.heartbeatInterval);\n",
    ),
    also="3.4",
)
_server(
    "session.ts",
    "intervals_in_milliseconds",
    "3.1",
    "malformed_frame",
    "`connected` tells the intervals in milliseconds, as the server has them, and not in seconds.",
    ("config.heartbeatInterval / 1000", "config.heartbeatInterval"),
    ("config.offlineTimeout / 1000", "config.offlineTimeout"),
    also="3.2 3.3 3.4",
)

# --- exercise 4 -----------------------------------------------------------------------------------

_WRITE = (
    "      await truncate(this.#file, this.#size); "
    "// cuts off what a crash, or a save that failed, has left\n"
    "      await append(this.#file, lines);\n"
    "      await sync(this.#file); // from the system's memory to the disk\n"
)

_component(
    "store",
    "write_file_empties_the_file",
    "4.4",
    "not_kept",
    "`writeFile` empties the file before it writes: a kill in between loses all messages.",
    (
        _WRITE,
        "      const before = readFileSync(this.#path).subarray(0, this.#size);\n"
        "      await write(this.#path, Buffer.concat([before, lines]));\n",
    ),
    ("const append = promisify(appendFile);\n", "const write = promisify(writeFile);\n"),
    ("const sync = promisify(fsync);\nconst truncate = promisify(ftruncate);\n", ""),
    (
        "appendFile, closeSync, fsync, ftruncate, mkdirSync, openSync, readFileSync",
        "closeSync, mkdirSync, openSync, readFileSync, writeFile",
    ),
    ("  readonly #file: number;\n", "  readonly #file: number;\n  readonly #path: string;\n"),
    (
        "    mkdirSync(dataDir,",
        '    this.#path = join(dataDir, "messages.jsonl");\n    mkdirSync(dataDir,',
    ),
    also="4.3 4.5",
)
_component(
    "store",
    "nobody_waits_for_the_disk",
    "4.3",
    "not_kept",
    "The promise of `append` floats: `save` returns before anything is on the disk.",
    (_WRITE, _WRITE.replace("await append", "void append").replace("await sync", "void sync")),
    also="4.2 4.4 4.5",
)
_component(
    "store",
    "failed_saves_are_swallowed",
    "4.3",
    "not_kept",
    "The chain of saves ends in `catch`, which keeps it going: whoever waits is told that all is well.",
    ("this.#lastSave.then(save, save);", "this.#lastSave.then(save).catch(() => undefined);"),
)
_component(
    "store",
    "numbers_are_sorted_as_text",
    "4.3",
    "not_kept",
    "The numbers of a room are sorted without a function, as texts: 10 comes before 9.",
    (
        "    return messages.slice(start, start + limit);\n",
        "    const page = messages.slice(start, start + limit);\n"
        "    const bySequence = new Map(page.map((message) => [message.sequence, message]));\n"
        "    return [...bySequence.keys()].toSorted().map((number) => bySequence.get(number)!);\n",
    ),
    also="4.2 4.4 4.5",
)
_component(
    "store",
    "numbers_have_32_bits",
    "4.3",
    "not_kept",
    "`| 0` makes a number of what may be undefined, and cuts it to 32 bits.",
    ("this.#rooms.get(room)?.at(-1)?.sequence ?? 0", "this.#rooms.get(room)?.at(-1)?.sequence! | 0"),
    also="4.2 4.4 4.5",
)
