// Arrays that are never changed, only replaced; methods are arrow functions in fields.

import type * as types from "./types.js";

const NOBODY: readonly types.Member[] = Object.freeze([]);

export class PubSub implements types.PubSub {
  private all: ReadonlyMap<string, readonly types.Member[]> = new Map();

  subscribe = (room: string, member: types.Member): void => {
    const there = this.of(room);
    if (!there.includes(member)) this.put(room, [...there, member]);
  };

  unsubscribe = (room: string, member: types.Member): void => {
    const at = this.of(room).indexOf(member);
    if (at >= 0) this.put(room, this.of(room).toSpliced(at, 1));
  };

  publish = (room: string, frame: types.ServerFrame): undefined => {
    this.of(room).forEach((member) => member.send(frame));
    return undefined;
  };

  members = (room: string): types.Member[] => Array.from(this.of(room));
  rooms = (): string[] => [...this.all.keys()];

  /** More than is asked for does no harm. */
  count(room?: string): number {
    return room === undefined ? this.all.size : this.of(room).length;
  }

  private of(room: string): readonly types.Member[] {
    return this.all.get(room) ?? NOBODY;
  }

  private put(room: string, members: readonly types.Member[]): void {
    const others = [...this.all].filter(([name]) => name !== room);
    this.all = new Map(members.length > 0 ? [...others, [room, members]] : others);
  }
}
