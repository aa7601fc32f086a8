/**
 * Exercise 1: rooms and their members. Who receives which messages?
 *
 * Fill in the five methods. The interface `PubSub` in types.ts says what they must do. The model answer has
 * about 25 lines.
 */

import type * as types from "./types.js";

/** The members of each room, and how a frame reaches them. */
export class PubSub implements types.PubSub {
  /** From now on `member` receives what is published in `room`. A second call has no effect. */
  subscribe(room: string, member: types.Member): void {}

  /** From now on it no longer does. If it was not subscribed, or the room has no members, do nothing. */
  unsubscribe(room: string, member: types.Member): void {}

  /** Call `member.send(frame)` once for each member of `room`. Members may change meanwhile. */
  publish(room: string, frame: types.ServerFrame): void {}

  /** The members of `room`, each once, as a new array. */
  members(room: string): types.Member[] {
    return [];
  }

  /** The rooms that have members, each once, as a new array. */
  rooms(): string[] {
    return [];
  }
}
