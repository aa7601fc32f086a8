/**
 * The model answer to exercise 4: an append-only file, with one line of JSON for each message.
 *
 * Why it is correct: `save` ends after `fsync`, so what was saved is on the disk itself, and the sequencer
 * publishes only after that. A process that is killed while it writes leaves an incomplete line at the end, of a
 * message that no client has received; the next start cuts it off. Everything else in the file is unchanged,
 * because nothing is ever overwritten.
 *
 * Saves wait for each other, so that the lines of two calls never mix. Reading is fast because the messages are
 * also kept in memory, by room. A room's name is only ever a key in a Map, and never a path: no name can lead to
 * another file, and `__proto__` is a name like any other.
 */

import { appendFile, closeSync, fsync, ftruncate, mkdirSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

import type * as types from "./types.js";

const append = promisify(appendFile);
const sync = promisify(fsync);
const truncate = promisify(ftruncate);
const NEWLINE = 10; // the byte; in JSON it stands nowhere else

/** The messages of all rooms, in `messages.jsonl`. */
export class MessageStore implements types.MessageStore {
  readonly #rooms = new Map<string, types.Message[]>();
  readonly #byId = new Map<string, types.Message>();
  readonly #file: number;
  #size = 0; // bytes of the file that are whole lines
  #lastSave: Promise<void> = Promise.resolve();

  constructor(dataDir: string) {
    mkdirSync(dataDir, { recursive: true });
    this.#file = openSync(join(dataDir, "messages.jsonl"), "a+");
    const bytes = readFileSync(this.#file);
    for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, this.#size)) {
      const message: types.Message = JSON.parse(bytes.toString("utf8", this.#size, end));
      this.#remember(message);
      this.#size = end + 1;
    }
  }

  /** Append and sync, when the saves before this one have ended; only then can the messages be read. */
  save(messages: readonly types.Message[]): Promise<void> {
    const save = async (): Promise<void> => {
      const lines = Buffer.from(messages.map((message) => `${JSON.stringify(message)}\n`).join(""));
      await truncate(this.#file, this.#size); // cuts off what a crash, or a save that failed, has left
      await append(this.#file, lines);
      await sync(this.#file); // from the system's memory to the disk
      this.#size += lines.length;
      for (const message of messages) this.#remember(message);
    };
    this.#lastSave = this.#lastSave.then(save, save);
    return this.#lastSave;
  }

  #remember(message: types.Message): void {
    const messages = this.#rooms.get(message.room) ?? [];
    this.#rooms.set(message.room, messages);
    messages.push(message);
    this.#byId.set(JSON.stringify([message.room, message.user, message.id]), message);
  }

  /** The array is sorted by number. Most clients ask for what is near its end, so we look from there. */
  async page(room: string, since: number, limit: number): Promise<types.Message[]> {
    const messages = this.#rooms.get(room) ?? [];
    const start = messages.findLastIndex((message) => message.sequence <= since) + 1;
    return messages.slice(start, start + limit);
  }

  /** The end of the array. */
  async newest(room: string, count: number): Promise<types.Message[]> {
    return (this.#rooms.get(room) ?? []).slice(-count);
  }

  /** The number of the last message in the array. */
  async last(room: string): Promise<number> {
    return this.#rooms.get(room)?.at(-1)?.sequence ?? 0;
  }

  /** Look it up in the index that is kept beside the arrays. */
  async find(room: string, user: string, id: string): Promise<types.Message | undefined> {
    return this.#byId.get(JSON.stringify([room, user, id]));
  }

  /** Nothing is being saved any more when this is called. */
  close(): void {
    closeSync(this.#file);
  }
}
