// One list of pairs; while something is published, who leaves is only marked. Frames may wait for each other.

import type * as types from "./types.js";

interface Pair {
  readonly room: string;
  readonly member: types.Member;
  isGone?: true;
}

export class PubSub implements types.PubSub {
  static #same(room: string, member: types.Member) {
    return (pair: Pair): boolean => pair.room === room && pair.member === member && !pair.isGone;
  }

  #pairs: Pair[] = [];
  #depth = 0;

  subscribe(room: string, member: types.Member): void {
    if (!this.#pairs.some(PubSub.#same(room, member))) this.#pairs.push({ room, member });
  }

  unsubscribe(room: string, member: types.Member): void {
    const pair = this.#pairs.find(PubSub.#same(room, member));
    if (pair) pair.isGone = true;
    this.#sweep();
  }

  publish(room: string, frame: types.ServerFrame): void {
    this.#depth++;
    try {
      const { length } = this.#pairs; // newcomers are behind that
      for (let at = 0; at < length; at++) {
        const pair = this.#pairs[at];
        if (pair?.room === room && !pair.isGone) pair.member.send(frame);
      }
    } finally {
      this.#depth--;
      this.#sweep();
    }
  }

  members(room: string): types.Member[] {
    return this.#pairs.filter((pair) => pair.room === room && !pair.isGone).map(({ member }) => member);
  }

  rooms(): string[] {
    return [...new Set(this.#pairs.filter((pair) => !pair.isGone).map(({ room }) => room))];
  }

  #sweep(): void {
    if (this.#depth === 0) this.#pairs = this.#pairs.filter(({ isGone }) => !isGone);
  }
}
