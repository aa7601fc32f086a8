/** The pubsub as the sequencer sees it: all calls are passed on, and it is noted which messages went out. */

import type { Draft, Member, PubSub, ServerFrame } from "./types.js";

/** A message that is being accepted, whose sender awaits its own copy. */
export interface Echo {
  readonly key: string;
  /** Whether the message was published since: then the copy is under way, as it is to every member. */
  isUnderWay: boolean;
}

/**
 * Tells two things that the server needs to know of what the sequencer publishes: each room's newest number,
 * which notices carry, and whether a message with an `id` went out to all. One that did not was accepted
 * before: it is a retry, and answered to its sender alone.
 */
export class PublishObserver implements PubSub {
  /** The newest number of each room that somebody is in. */
  readonly newest = new Map<string, number>();
  readonly #pubsub: PubSub;
  readonly #echoes = new Map<string, Set<Echo>>(); // two connections of a user may retry at the same time

  constructor(pubsub: PubSub) {
    this.#pubsub = pubsub;
  }

  publish(room: string, frame: ServerFrame): void {
    if (frame.type === "message") {
      const { user, id, sequence } = frame.data;
      this.newest.set(room, sequence);
      const key = keyOf(room, user, id);
      for (const echo of this.#echoes.get(key) ?? []) echo.isUnderWay = true;
      this.#echoes.delete(key);
    }
    this.#pubsub.publish(room, frame);
  }

  /** This draft is about to be accepted; `stopAwaiting` follows in any case. */
  awaitEcho(draft: Draft): Echo {
    const echo = { key: keyOf(draft.room, draft.user, draft.id), isUnderWay: false };
    const echoes = this.#echoes.get(echo.key) ?? new Set();
    this.#echoes.set(echo.key, echoes.add(echo));
    return echo;
  }

  /** Undo `awaitEcho`. */
  stopAwaiting(echo: Echo): void {
    const echoes = this.#echoes.get(echo.key);
    echoes?.delete(echo);
    if (echoes?.size === 0) this.#echoes.delete(echo.key);
  }

  subscribe(room: string, member: Member): void {
    this.#pubsub.subscribe(room, member);
  }

  unsubscribe(room: string, member: Member): void {
    this.#pubsub.unsubscribe(room, member);
  }

  members(room: string): Member[] {
    return this.#pubsub.members(room);
  }

  rooms(): string[] {
    return this.#pubsub.rooms();
  }
}

/** One string for the three: no two different threes give the same. */
function keyOf(room: string, user: string, id: string | undefined): string {
  return JSON.stringify([room, user, id]);
}
