// One FileHandle, opened by a promise that the constructor has begun; lines are read by `readLines`.

import { mkdir, open, type FileHandle } from "node:fs/promises";
import path from "node:path";

import type * as types from "./types.js";

export class MessageStore implements types.MessageStore {
  private readonly messages: types.Message[] = [];
  private readonly ready: Promise<FileHandle>;
  private queue: Promise<void> = Promise.resolve();

  constructor(private readonly dataDir: string) {
    this.ready = this.load();
    this.ready.catch(() => {}); // whoever waits for it is told
  }

  private get file(): string {
    return path.join(this.dataDir, "log.ndjson");
  }

  private async load(): Promise<FileHandle> {
    await mkdir(this.dataDir, { recursive: true });
    const handle = await open(this.file, "a+");
    let size = 0;
    for await (const line of handle.readLines({ start: 0, autoClose: false })) {
      try {
        this.messages.push(JSON.parse(line) as types.Message);
      } catch {
        break; // torn
      }
      size += Buffer.byteLength(line) + 1;
    }
    const { size: all } = await handle.stat();
    if (size > all) await handle.appendFile("\n"); // only the end of the line was torn off
    else if (size < all) await handle.truncate(size);
    await handle.sync();
    return handle;
  }

  async save(messages: readonly types.Message[]): Promise<void> {
    const handle = await this.ready;
    const before = this.queue;
    const mine = (async () => {
      await before.catch(() => {});
      const { size } = await handle.stat();
      try {
        await handle.appendFile(messages.map(toLine).join(""), { encoding: "utf8" });
        await handle.datasync();
      } catch (error) {
        await handle.truncate(size).catch(() => {});
        throw error;
      }
      this.messages.push(...messages);
    })();
    this.queue = mine;
    return mine;
  }

  async page(room: string, since: number, limit: number): Promise<types.Message[]> {
    return (await this.of(room)).filter(({ sequence }) => sequence > since).slice(0, limit);
  }

  async newest(room: string, count: number): Promise<types.Message[]> {
    return (await this.of(room)).slice(-count);
  }

  async last(room: string): Promise<number> {
    return (await this.of(room)).at(-1)?.sequence ?? 0;
  }

  async find(room: string, user: string, id: string): Promise<types.Message | undefined> {
    return (await this.of(room)).find((message) => message.user === user && message.id === id);
  }

  async close(): Promise<void> {
    const handle = await this.ready;
    await this.queue.catch(() => undefined);
    await handle.close();
  }

  private async of(room: string): Promise<types.Message[]> {
    await this.ready;
    return this.messages.filter((message) => message.room === room).sort((a, b) => a.sequence - b.sequence);
  }
}

/** Line separators that JSON leaves as they are would end a line. */
function toLine(message: types.Message): string {
  return `${JSON.stringify(message).replace(/[\u2028\u2029]/g, (end) => `\\u${end.charCodeAt(0).toString(16)}`)}\n`;
}
