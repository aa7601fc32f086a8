// Written by streams, read by `readline`, lazily: nobody opens a file before it is needed.

import * as fs from "node:fs";
import { once } from "node:events";
import * as readline from "node:readline";
import { finished } from "node:stream/promises";
import { promisify } from "node:util";

import { StoreError } from "./types.js";
import type { Message, MessageStore as Contract } from "./types.js";

const truncate = promisify(fs.truncate);

export class MessageStore implements Contract {
  readonly #file: string;
  readonly #rooms = new Map<string, Message[]>();
  #loaded: Promise<number> | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(private readonly dataDir: string) {
    this.#file = `${dataDir}/messages.txt`;
  }

  async save(messages: readonly Message[]): Promise<void> {
    const turn = this.#turn.then(() => this.#save(messages));
    this.#turn = turn.catch(() => {});
    await turn;
  }

  async page(room: string, since: number, limit: number): Promise<Message[]> {
    await this.#load();
    const all = this.#rooms.get(room) ?? [];
    const from = all.findIndex((message) => message.sequence > since);
    return from < 0 ? [] : all.slice(from, from + limit);
  }

  async newest(room: string, count: number): Promise<Message[]> {
    await this.#load();
    return structuredClone((this.#rooms.get(room) ?? []).slice(-count));
  }

  async last(room: string): Promise<number> {
    const [newest] = await this.newest(room, 1);
    return newest ? newest.sequence : 0;
  }

  async find(room: string, user: string, id: string): Promise<Message | undefined> {
    await this.#load();
    for (const message of this.#rooms.get(room) ?? []) if (message.user === user && message.id === id) return message;
    return;
  }

  async close(): Promise<void> {
    await this.#turn;
  }

  async #save(messages: readonly Message[]): Promise<void> {
    let size = await this.#load();
    if (fs.existsSync(this.#file)) await truncate(this.#file, size);
    const stream = fs.createWriteStream(this.#file, { flags: "a", encoding: "utf8", flush: true, highWaterMark: 1024 });
    const ended = finished(stream);
    ended.catch(() => {});
    for (const message of messages) {
      const line = Buffer.from(`${encodeURIComponent(JSON.stringify(message))}\n`);
      size += line.length;
      if (!stream.write(line)) await Promise.race([once(stream, "drain"), ended]);
    }
    stream.end();
    try {
      await ended;
    } catch (cause) {
      throw new StoreError("not written", { cause });
    }
    this.#loaded = Promise.resolve(size);
    messages.forEach((message) => this.#remember(message));
  }

  #load(): Promise<number> {
    return (this.#loaded ??= this.#read());
  }

  async #read(): Promise<number> {
    await fs.promises.mkdir(this.dataDir, { recursive: true });
    if (!fs.existsSync(this.#file)) return 0;
    let size = 0;
    const input = fs.createReadStream(this.#file, "utf8");
    const lines = readline.createInterface({ input, crlfDelay: Infinity });
    const { size: all } = fs.statSync(this.#file);
    for await (const line of lines) {
      if (size + line.length + 1 > all) break;
      size += line.length + 1;
      this.#remember(JSON.parse(decodeURIComponent(line)));
    }
    return size;
  }

  #remember(message: Message): void {
    const all = this.#rooms.get(message.room);
    if (all) all.push(message);
    else this.#rooms.set(message.room, [message]);
  }
}
