/**
 * The model answer to exercise 1: a Map from each room to the Set of its members.
 *
 * Why it is correct: a member is in a room's Set at most once, so it gets each frame once. `publish` iterates
 * over a copy, because members may come and go while frames are being sent, and a loop over a Set also visits
 * what is added meanwhile. `send` only puts the frame into a queue, so all members are sent one frame before any
 * member is sent the next: two frames reach all members in the same order.
 *
 * A Map, and not an object with the rooms as its keys: `__proto__` may be the name of a room.
 */

import type * as types from "./types.js";

/** The members of each room, in the order in which they subscribed. */
export class PubSub implements types.PubSub {
  readonly #rooms = new Map<string, Set<types.Member>>();

  /** To add a member that is there already changes nothing. */
  subscribe(room: string, member: types.Member): void {
    const members = this.#rooms.get(room) ?? new Set();
    this.#rooms.set(room, members.add(member));
  }

  /** Remove a member from the Set, and an empty room from the Map. */
  unsubscribe(room: string, member: types.Member): void {
    const members = this.#rooms.get(room);
    members?.delete(member);
    if (members?.size === 0) this.#rooms.delete(room);
  }

  /** Iterate over a copy: the Set itself may change meanwhile. */
  publish(room: string, frame: types.ServerFrame): void {
    for (const member of this.members(room)) member.send(frame);
  }

  /** A copy, which the caller may keep. */
  members(room: string): types.Member[] {
    return [...(this.#rooms.get(room) ?? [])];
  }

  /** Only rooms with members are in the Map. */
  rooms(): string[] {
    return [...this.#rooms.keys()];
  }
}
