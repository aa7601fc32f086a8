"""A small project in TypeScript: the interfaces as they are, and a server and components of a few lines."""

from __future__ import annotations

import shutil
import textwrap
from pathlib import Path

from harness.typescript.build import Build, build
from harness.typescript.tools import PROJECT, Tools

SERVER = """
    import { MessageStore } from "./store.js";
    import { PresenceManager } from "./presence.js";
    import { PubSub } from "./pub-sub.js";
    import { Sequencer } from "./sequencer.js";

    export class Server {
      readonly store = new MessageStore("data");
      readonly pubsub = new PubSub();
      readonly presence = new PresenceManager(1, 2);
      readonly sequencer = new Sequencer(this.store, this.pubsub);
    }
"""
INDEX = """
    import { Server } from "./server.js";

    const { pubsub } = new Server();
    pubsub.publish("red", { type: "heartbeat" });
"""
PUBSUB = """
    import type { Member, PubSub as Owed, ServerFrame } from "./types.js";

    export class PubSub implements Owed {
      subscribe(room: string, member: Member): void {}
      unsubscribe(room: string, member: Member): void {}
      publish(room: string, frame: ServerFrame): void {}
      members(room: string): Member[] { return []; }
      rooms(): string[] { return []; }
    }
"""
SEQUENCER = """
    import type { Draft, History, Member, Message, MessageStore, PubSub } from "./types.js";

    export class Sequencer {
      constructor(private readonly store: MessageStore, private readonly pubsub: PubSub) {}

      async accept(draft: Draft): Promise<Message> {
        const { room, user, content } = draft;
        const message = { id: "1", room, user, content, sequence: 1, timestamp: 1 };
        await this.store.save([message]);
        return message;
      }

      async attach(room: string, member: Member, since: number | undefined): Promise<void> {
        this.pubsub.subscribe(room, member);
      }

      async history(room: string, since: number, limit: number): Promise<History> {
        return { room, messages: await this.store.page(room, since, limit), last: 0, more: false };
      }
    }
"""
PRESENCE = """
    import type { Change, Presence } from "./types.js";

    export class PresenceManager {
      constructor(heartbeatInterval: number, offlineTimeout: number) {}
      connected(connection: string, user: string, now: number): Change[] { return []; }
      seen(connection: string, now: number): Change[] { return []; }
      joined(connection: string, room: string, now: number): Change[] { return []; }
      left(connection: string, room: string, now: number): Change[] { return []; }
      lost(connection: string, now: number): Change[] { return []; }
      sweep(now: number): Change[] { return []; }
      inRoom(room: string, now: number): Presence[] { return []; }
      isConnected(connection: string): boolean { return true; }
    }
"""
STORE = """
    import type { Message } from "./types.js";

    export class MessageStore {
      constructor(dataDir: string) {}
      async save(messages: readonly Message[]): Promise<void> {}
      async page(room: string, since: number, limit: number): Promise<Message[]> { return []; }
      async newest(room: string, count: number): Promise<Message[]> { return []; }
      async last(room: string): Promise<number> { return 0; }
      async find(room: string, user: string, id: string): Promise<Message | undefined> { return undefined; }
      close(): void {}
    }
"""
_MODEL = {"pub-sub": PUBSUB, "sequencer": SEQUENCER, "presence": PRESENCE, "store": STORE}


def write(path: Path, text: str) -> Path:
    """Write a file of source code, without the margin of the text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
    return path


class Kit:
    """The project in a folder, and what a student has written beside it, in `mine`."""

    def __init__(self, folder: Path, tools: Tools) -> None:
        self.folder, self.mine = folder, folder / "mine"
        project = folder / "kit"
        for name, text in (("server", SERVER), ("index", INDEX)):
            write(project / "src" / f"{name}.ts", text)
        for name in ("src/types.ts", "package.json", "tsconfig.json"):
            shutil.copyfile(PROJECT / name, project / name)
        (project / "node_modules").symlink_to(tools.packages.resolve())
        for name, text in _MODEL.items():
            write(folder / "solutions" / f"{name}.ts", text)
        self.tools = Tools(tools.node, project)

    def build(self, name: str, text: str, /, seconds: float = 20.0, **modules: str) -> Build:
        """Build the server with one component of the student's, which imports these modules of his."""
        path = write(self.mine / f"{name}.ts", text)
        for module, source in modules.items():
            write(self.mine / f"{module}.ts", source)
        return self.build_files({name: path}, seconds)

    def build_files(self, files: dict[str, Path], seconds: float = 20.0) -> Build:
        """Build the server with these components of the student's."""

        def shown(path: Path) -> str:
            return str(path.relative_to(self.folder))

        solutions = self.folder / "solutions"
        return build(
            files, self.folder / "out", self.tools, shown=shown, solutions=solutions, seconds=seconds
        )
