// A loop for each room, over a queue that is an async iterator: messages and joins come out in order.

import { randomBytes } from "node:crypto";
import { setImmediate as turn, setTimeout as pause } from "node:timers/promises";

import type * as types from "./types.js";

type Job = () => Promise<void>;

class Queue<T> implements AsyncIterable<T> {
  readonly #items: T[] = [];
  #wake: (() => void) | null = null;

  push(item: T): void {
    this.#items.push(item);
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncIterator<T> {
    for (;;) {
      while (this.#items.length > 0) yield this.#items.shift()!;
      await new Promise<void>((resolve) => (this.#wake = resolve));
      this.#wake = null;
    }
  }
}

/** A promise that can be settled from outside. */
class Deferred<T> extends Promise<T> {
  static override get [Symbol.species](): PromiseConstructor {
    return Promise;
  }

  resolve!: (value: T | PromiseLike<T>) => void;
  reject!: (reason?: unknown) => void;

  constructor() {
    let both: [(value: T | PromiseLike<T>) => void, (reason?: unknown) => void] | undefined;
    super((resolve, reject) => (both = [resolve, reject]));
    [this.resolve, this.reject] = both!;
  }
}

export class Sequencer implements types.Sequencer {
  readonly #queues: { [room: string]: Queue<Job> } = Object.create(null);
  readonly #last = new Map<string, number>();
  #newest = 0;

  constructor(
    readonly store: types.MessageStore,
    readonly pubsub: types.PubSub,
    protected readonly pageSize = 100,
  ) {}

  accept(draft: types.Draft): Promise<types.Message> {
    return this.#enqueued(draft.room, () => this.#accept(draft));
  }

  async attach(room: string, member: types.Member, since: number | undefined): Promise<void> {
    await turn();
    let at = since ?? 0;
    if (since !== undefined) at = await this.#replay(room, member, since, () => member.drain());
    await this.#enqueued(room, async () => {
      if (since === undefined) {
        const messages = await this.store.newest(room, 50);
        const last = messages.at(-1)?.sequence ?? 0;
        if (last > 0) member.send({ type: "history", data: { room, messages, last, more: false } });
      } else {
        await this.#replay(room, member, at, async () => {});
      }
      this.pubsub.subscribe(room, member);
    });
  }

  async history(room: string, since: number, limit: number): Promise<types.History> {
    await pause(1);
    const messages = await this.store.page(room, since, limit);
    const last = await this.store.last(room);
    return { room, messages, last, more: (messages.at(-1)?.sequence ?? Infinity) < last };
  }

  async #replay(room: string, member: types.Member, since: number, wait: () => Promise<void>): Promise<number> {
    for (;;) {
      const data = await this.history(room, since, this.pageSize);
      if (data.messages.length === 0) return since;
      member.send({ type: "history", data });
      since = data.messages.at(-1)?.sequence ?? since;
      if (!data.more) return since;
      await wait();
    }
  }

  async #accept({ room, user, content, id }: types.Draft): Promise<types.Message> {
    const known = id === undefined ? undefined : await this.store.find(room, user, id);
    if (known) return known;
    const sequence = (this.#last.get(room) ?? (await this.store.last(room))) + 1;
    while (Date.now() <= this.#newest) await turn(); // each has a time of its own
    const timestamp = (this.#newest = Date.now());
    const message = { id: id ?? randomBytes(12).toString("base64url"), room, user, content, sequence, timestamp };
    try {
      await this.store.save([message]);
    } catch (error) {
      this.#last.delete(room);
      throw error;
    }
    this.#last.set(room, sequence);
    this.pubsub.publish(room, { type: "message", data: message });
    return message;
  }

  #enqueued<T>(room: string, work: () => Promise<T>): Promise<T> {
    const result = new Deferred<T>();
    const queue = (this.#queues[room] ??= this.#started());
    queue.push(() => work().then(result.resolve, result.reject));
    return result;
  }

  #started(): Queue<Job> {
    const queue = new Queue<Job>();
    void (async () => {
      for await (const job of queue) await job();
    })();
    return queue;
  }
}
