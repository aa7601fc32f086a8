/**
 * Exercise 3: who is online in a room?
 *
 * Fill in the methods. The interface `PresenceManager` in types.ts says what they must do. Do not read a clock
 * here: `now` is an argument, in whole milliseconds. Each call returns exactly what it has changed. The model answer
 * has about 65 lines.
 */

import type * as types from "./types.js";

/** Records each connection's user and rooms, and when it last showed a sign of life. */
export class PresenceManager implements types.PresenceManager {
  readonly #offlineTimeout: number;

  /** Both are milliseconds. */
  constructor(heartbeatInterval: number, offlineTimeout: number) {
    this.#offlineTimeout = offlineTimeout;
  }

  /** A new connection of `user`, which counts as a sign of life; it is in no room yet. */
  connected(connection: string, user: string, now: number): types.Change[] {
    return [];
  }

  /** The connection showed a sign of life. */
  seen(connection: string, now: number): types.Change[] {
    return [];
  }

  /** The connection entered a room. `seen` was called before, with the same `now`. */
  joined(connection: string, room: string, now: number): types.Change[] {
    return [];
  }

  /** The connection left a room. `seen` was called before, with the same `now`. */
  left(connection: string, room: string, now: number): types.Change[] {
    return [];
  }

  /** The connection ended: forget it, and no other. */
  lost(connection: string, now: number): types.Change[] {
    return [];
  }

  /** Forget every connection that was silent for longer than `offlineTimeout`, and no other. */
  sweep(now: number): types.Change[] {
    return [];
  }

  /** All users who are in `room` and not offline, each once. */
  inRoom(room: string, now: number): types.Presence[] {
    return [];
  }

  /** False once the connection was lost or timed out: the server then closes it. */
  isConnected(connection: string): boolean {
    return true;
  }
}
