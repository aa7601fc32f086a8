// Counters in memory, a promise for each id that is under way, and deadlines that never come.

import { AsyncLocalStorage } from "node:async_hooks";
import { performance } from "node:perf_hooks";

import { MAX_PAGE, NEWEST } from "./types.js";
import type { Draft, History, Member, Message, MessageStore, PubSub, Sequencer as Contract, ServerFrame } from "./types.js";

interface Room {
  tail: Promise<unknown>;
  last?: number | undefined;
  readonly underWay: Map<string, Promise<Message>>;
}

const LONG = 120_000;

export class Sequencer implements Contract {
  private readonly rooms: Map<string, Room> = new Map();
  private readonly context = new AsyncLocalStorage<Draft>();
  private readonly began = performance.now();
  private readonly clock = Date.now();

  constructor(
    private store: MessageStore,
    private pubsub: PubSub,
  ) {}

  async accept(draft: Draft): Promise<Message> {
    const room = this.room(draft.room);
    if (!draft.id) return this.context.run(draft, () => this.numbered(room));
    const key = JSON.stringify([draft.user, draft.id]);
    const same = room.underWay.get(key);
    if (same) return same;
    const found = this.context.run(draft, () => this.numbered(room)).finally(() => room.underWay.delete(key));
    room.underWay.set(key, found);
    return found;
  }

  async attach(room: string, member: Member, since: number | undefined): Promise<void> {
    const told = (data: History): ServerFrame => ({ type: "history", data });
    if (since !== undefined) {
      for (let page; (page = await this.history(room, since, MAX_PAGE)).more; since = page.messages.at(-1)!.sequence) {
        member.send(told(page));
        await member.drain();
      }
    }
    const after = since;
    await this.exclusive(this.room(room), async () => {
      if (after === undefined) {
        const messages = await this.store.newest(room, NEWEST);
        const last = await this.store.last(room);
        member.send(told({ room, messages: Object.freeze(messages.slice()), last, more: false }));
      } else {
        let page: History;
        let at = after;
        do {
          page = await this.history(room, at, MAX_PAGE);
          if (page.messages.length) member.send(told(page));
          at = page.messages.at(-1)?.sequence ?? at;
        } while (page.more);
      }
      this.pubsub.subscribe(room, member);
    });
  }

  history = async (room: string, since: number, limit: number): Promise<History> => {
    const messages = await this.within(this.store.page(room, since, limit));
    const last = await this.within(this.store.last(room));
    return { room, messages, last, more: messages.length > 0 && messages.at(-1)!.sequence < last };
  };

  private numbered(room: Room): Promise<Message> {
    return this.exclusive(room, async () => {
      const { user, content, id, room: name } = this.context.getStore()!;
      if (id !== undefined) {
        const known = await this.within(this.store.find(name, user, id));
        if (known !== undefined) return known;
      }
      room.last ??= await this.within(this.store.last(name));
      const message = { id: id ?? crypto.randomUUID(), room: name, user, content, sequence: room.last + 1, timestamp: this.now() };
      try {
        await this.within(this.store.save([message]));
      } catch (reason) {
        room.last = undefined; // whatever became of it, the store knows
        throw reason;
      }
      room.last++;
      this.pubsub.publish(name, { type: "message", data: message });
      return message;
    });
  }

  private now(): number {
    return Math.trunc(this.clock + performance.now() - this.began);
  }

  private exclusive<T>(room: Room, work: () => Promise<T>): Promise<T> {
    const result = room.tail.then(work);
    room.tail = result.catch(() => undefined);
    return result;
  }

  private async within<T>(work: Promise<T>): Promise<T> {
    const signal = AbortSignal.timeout(LONG);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(reject, LONG, new Error("late")).unref();
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    });
    late.catch(() => {});
    try {
      return await Promise.race([work, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  private room(name: string): Room {
    let room = this.rooms.get(name);
    if (!room) this.rooms.set(name, (room = { tail: Promise.resolve(), underWay: new Map() }));
    return room;
  }
}
