// One fsync for several callers; the log is written anew in the background once it is long.

import { EventEmitter, once } from "node:events";
import * as fs from "node:fs/promises";
import { join } from "node:path";

import type * as types from "./types.js";

interface Asked {
  readonly messages: readonly types.Message[];
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
}

const LONG = 40;

export class MessageStore implements types.MessageStore {
  readonly #index = new Map<string, Map<number, types.Message>>();
  readonly #events = new EventEmitter();
  #log: fs.FileHandle | undefined;
  #asked: Asked[] = [];
  #isWorking = false;
  #lines = 0;
  #size = 0;

  readonly #opened = this.#open();

  constructor(private readonly folder: string) {
    this.#opened.catch(() => {});
  }

  save(messages: readonly types.Message[]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#asked.push({ messages, resolve, reject });
      if (!this.#isWorking) {
        this.#isWorking = true;
        setImmediate(() => void this.#work());
      }
    });
  }

  async page(room: string, since: number, limit: number): Promise<types.Message[]> {
    return (await this.#all(room)).filter((message) => message.sequence > since).slice(0, limit);
  }

  async newest(room: string, count: number): Promise<types.Message[]> {
    return (await this.#all(room)).slice(-count);
  }

  async last(room: string): Promise<number> {
    await this.#opened;
    return Math.max(0, ...(this.#index.get(room)?.keys() ?? []));
  }

  async find(room: string, user: string, id: string): Promise<types.Message | undefined> {
    return (await this.#all(room)).find((each) => each.id === id && each.user === user);
  }

  async close(): Promise<void> {
    await this.#opened;
    if (this.#isWorking) await once(this.#events, "idle");
    await this.#log?.close();
  }

  // `this.folder` is there when this goes on after its first await.
  async #open(): Promise<void> {
    await Promise.resolve();
    await fs.mkdir(this.folder, { recursive: true });
    await fs.rm(join(this.folder, "new"), { force: true });
    this.#log = await fs.open(join(this.folder, "log"), "a+");
    const bytes = await fs.readFile(this.#log);
    this.#size = bytes.lastIndexOf("\n") + 1;
    for (const line of bytes.subarray(0, this.#size).toString().split("\n").slice(0, -1)) this.#learn(JSON.parse(line));
  }

  async #work(): Promise<void> {
    await this.#opened.catch(() => {});
    while (this.#asked.length > 0) {
      const asked = this.#asked.splice(0, this.#asked.length);
      const lines = asked.flatMap(({ messages }) => messages.map((message) => Buffer.from(`${JSON.stringify(message)}\n`)));
      try {
        await this.#log!.truncate(this.#size);
        const owed = lines.reduce((sum, { length }) => sum + length, 0);
        const { bytesWritten } = await this.#log!.writev(lines);
        if (bytesWritten < owed) throw new Error(`wrote ${bytesWritten} of ${owed} bytes`);
        await this.#log!.datasync();
        this.#size += owed;
      } catch (error) {
        asked.forEach(({ reject }) => reject(error));
        continue;
      }
      for (const { messages, resolve } of asked) {
        messages.forEach((message) => this.#learn(message));
        process.nextTick(resolve);
      }
      if (this.#lines > LONG) await this.#rewrite().catch(() => {});
    }
    this.#isWorking = false;
    this.#events.emit("idle");
  }

  async #rewrite(): Promise<void> {
    const name = join(this.folder, "new");
    const lines = [...this.#index.values()].flatMap((room) => [...room.values()]).map((each) => `${JSON.stringify(each)}\n`);
    await fs.writeFile(name, lines);
    const next = await fs.open(name, "a+");
    await next.sync();
    await fs.rename(name, join(this.folder, "log"));
    const directory = await fs.open(this.folder);
    await directory.sync().finally(() => directory.close());
    const old = this.#log;
    [this.#log, this.#lines, this.#size] = [next, -10_000, (await next.stat()).size];
    await old?.close();
  }

  #learn(message: types.Message): void {
    this.#lines += 1;
    const room = this.#index.get(message.room) ?? new Map<number, types.Message>();
    this.#index.set(message.room, room.set(message.sequence, message));
  }

  async #all(room: string): Promise<types.Message[]> {
    await this.#opened;
    return [...(this.#index.get(room)?.values() ?? [])].sort((one, other) => one.sequence - other.sequence);
  }
}
