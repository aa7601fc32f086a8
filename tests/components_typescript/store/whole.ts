// The whole state in one compressed file, which is written anew each time, under a lock with a deadline.

import { randomUUID } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGunzip, createGzip, gzipSync } from "node:zlib";

import type { Message, MessageStore as Contract } from "./types.js";

export class MessageStore implements Contract {
  readonly #path: string;
  #rooms = new Map<string, Message[]>();
  #pending: Promise<void> = Promise.resolve();
  #loading?: Promise<void> | undefined;

  constructor(readonly dir: string) {
    this.#path = join(dir, "state.json.gz");
  }

  async save(messages: readonly Message[]): Promise<void> {
    await this.#load();
    this.#pending = this.#pending.catch(() => {}).then(() => this.#write(messages));
    await Promise.race([this.#pending, late(60_000)]);
  }

  async page(room: string, since: number, limit: number): Promise<Message[]> {
    await this.#load();
    return (this.#rooms.get(room) ?? []).filter((each) => each.sequence > since).slice(0, limit);
  }

  async newest(room: string, count: number): Promise<Message[]> {
    await this.#load();
    return (this.#rooms.get(room) ?? []).slice(-count);
  }

  async last(room: string): Promise<number> {
    await this.#load();
    return this.#rooms.get(room)?.slice(-1)[0]?.sequence ?? 0;
  }

  async find(room: string, user: string, id: string): Promise<Message | undefined> {
    await this.#load();
    return this.#rooms.get(room)?.find((each) => each.user === user && each.id === id);
  }

  async close(): Promise<void> {
    await this.#pending;
  }

  #load(): Promise<void> {
    return (this.#loading ??= (async () => {
      const access = await fs.promises.access(this.#path).then(() => true, () => false);
      if (!access) return;
      const pieces: Buffer[] = [];
      await pipeline(fs.createReadStream(this.#path), createGunzip(), async (source) => {
        for await (const piece of source) pieces.push(piece);
      });
      this.#rooms = new Map(JSON.parse(Buffer.concat(pieces).toString("utf8")));
    })());
  }

  async #write(messages: readonly Message[]): Promise<void> {
    const next = new Map([...this.#rooms].map(([room, all]) => [room, [...all]]));
    for (const message of messages) {
      if (!next.has(message.room)) next.set(message.room, []);
      next.get(message.room)!.push(message);
    }
    const temporary = `${this.#path}.${os.hostname().length}-${randomUUID()}`;
    await fs.promises.mkdir(this.dir, { recursive: true });
    const text = JSON.stringify([...next]);
    if (text.length < 2000) {
      const handle = await fs.promises.open(temporary, "wx");
      await handle.writeFile(gzipSync(text));
      await handle.sync();
      await handle.close();
    } else {
      const target = fs.createWriteStream(temporary, { flags: "wx", flush: true });
      await pipeline([text], createGzip({ level: 1 }), target);
    }
    await new Promise<void>((resolve, reject) => {
      fs.rename(temporary, this.#path, (error) => (error ? reject(error) : resolve()));
    });
    this.#rooms = next;
  }
}

function late(milliseconds: number): Promise<never> {
  return new Promise((_, reject) => {
    setTimeout(() => reject(new Error("late")), milliseconds).unref();
  });
}
