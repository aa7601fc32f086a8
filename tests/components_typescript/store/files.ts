// A file for each message in a folder of a hashed name, moved into place when it is whole; all questions read the disk.

import { createHash } from "node:crypto";
import { promises as fs } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import type { Message, MessageStore as Contract } from "./types.js";

const hash = (text: string): string => createHash("sha256").update(text).digest("hex");
const key = (user: string, id: string): string => hash(JSON.stringify([user, id])).slice(0, 12);

export class MessageStore implements Contract {
  #made = new Map<string, Promise<string>>();
  #saves: Promise<unknown> = Promise.resolve();

  constructor(readonly dataDir: string) {}

  async save(messages: readonly Message[]): Promise<void> {
    const work = async (): Promise<void> => {
      await sleep(0);
      const folders = new Set<string>();
      for (const message of messages) {
        const folder = await (this.#made.get(message.room) ?? this.#make(message.room));
        const name = join(folder, `${String(message.sequence).padStart(16, "0")}-${key(message.user, message.id)}`);
        await fs.writeFile(`${name}.tmp`, JSON.stringify(message), { flag: "w" });
        await sync(`${name}.tmp`);
        await fs.rename(`${name}.tmp`, `${name}.json`);
        folders.add(folder);
      }
      await Promise.all([...folders].map((folder) => sync(folder)));
    };
    const done = this.#saves.then(work, work);
    this.#saves = done.catch(() => {});
    await done;
  }

  page = async (room: string, since: number, limit: number): Promise<Message[]> => {
    const names = (await this.#names(room)).filter((name) => parseInt(name) > since);
    return Promise.all(names.slice(0, limit).map((name) => this.#read(room, name)));
  };

  async newest(room: string, count: number): Promise<Message[]> {
    const names = (await this.#names(room)).reverse().slice(0, count);
    return (await Promise.all(names.map((name) => this.#read(room, name)))).reverse();
  }

  async last(room: string): Promise<number> {
    return (await this.#names(room)).map((name) => Number.parseInt(name, 10)).reduce((a, b) => Math.max(a, b), 0);
  }

  async find(room: string, user: string, id: string): Promise<Message | undefined> {
    for (const name of (await this.#names(room)).filter((each) => each.endsWith(`-${key(user, id)}.json`))) {
      const message = await this.#read(room, name);
      if (message.user === user && message.id === id) return message;
    }
    return undefined;
  }

  close(): void {}

  #make(room: string): Promise<string> {
    const made = (async () => {
      const folder = join(this.dataDir, hash(room));
      const first = await fs.mkdir(folder, { recursive: true });
      if (first !== undefined) await sync(this.dataDir);
      return folder;
    })();
    this.#made.set(room, made);
    made.catch(() => this.#made.delete(room));
    return made;
  }

  async #names(room: string): Promise<string[]> {
    try {
      const entries = await fs.readdir(join(this.dataDir, hash(room)), { withFileTypes: true });
      const files = entries.filter((entry) => entry.isFile() && entry.name.endsWith(".json"));
      return files.map(({ name }) => name).sort();
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
      throw error;
    }
  }

  async #read(room: string, name: string): Promise<Message> {
    return JSON.parse(await fs.readFile(join(this.dataDir, hash(room), name), "utf-8"));
  }
}

async function sync(name: string): Promise<void> {
  const handle = await fs.open(name, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
