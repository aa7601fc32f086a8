/**
 * Exercise 4: what survives a crash?
 *
 * This store works, but it keeps all messages in memory only. The interface `MessageStore` in types.ts says what
 * it must do. The model answer has about 60 lines.
 */

import type * as types from "./types.js";

/** The messages of all rooms. */
export class MessageStore implements types.MessageStore {
  readonly #dataDir: string;
  readonly #messages: types.Message[] = [];

  /** `dataDir` is the folder for all files. */
  constructor(dataDir: string) {
    this.#dataDir = dataDir;
  }

  /** Resolve when all of `messages` are safe on disk. */
  async save(messages: readonly types.Message[]): Promise<void> {
    this.#messages.push(...messages);
  }

  /** The first `limit` messages of `room` with a sequence above `since`, in ascending order. */
  async page(room: string, since: number, limit: number): Promise<types.Message[]> {
    const newer = this.#inRoom(room).filter((message) => message.sequence > since);
    return newer.slice(0, limit);
  }

  /** The newest `count` messages of `room`, in ascending order. */
  async newest(room: string, count: number): Promise<types.Message[]> {
    return this.#inRoom(room).slice(-count);
  }

  /** The highest sequence number saved in `room`; 0 for a room with none. */
  async last(room: string): Promise<number> {
    return this.#inRoom(room).at(-1)?.sequence ?? 0;
  }

  /** The message that `user` sent in `room` with `id`, or undefined. */
  async find(room: string, user: string, id: string): Promise<types.Message | undefined> {
    return this.#inRoom(room).find((message) => message.user === user && message.id === id);
  }

  /** Close all files. */
  close(): void {}

  #inRoom(room: string): types.Message[] {
    const messages = this.#messages.filter((message) => message.room === room);
    return messages.toSorted((a, b) => a.sequence - b.sequence);
  }
}
