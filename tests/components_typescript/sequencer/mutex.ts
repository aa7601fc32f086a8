// A mutex for each room, with a queue of those who wait. Replays are read in small pages.

import * as crypto from "node:crypto";

import * as types from "./types.js";

class Mutex {
  #waiting: Array<() => void> = [];
  #isTaken = false;

  async acquire(): Promise<() => void> {
    if (this.#isTaken) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#isTaken = true;
    let isDone = false;
    return () => {
      if (isDone) return;
      isDone = true;
      const next = this.#waiting.shift();
      if (next) next();
      else this.#isTaken = false;
    };
  }

  async run<T>(work: () => T | Promise<T>): Promise<Awaited<T>> {
    const release = await this.acquire();
    try {
      return await work();
    } finally {
      release();
    }
  }
}

const SMALL = 20;

export class Sequencer implements types.Sequencer {
  private readonly rooms = new Map<string, Mutex>();

  constructor(
    private readonly store: types.MessageStore,
    private readonly pubsub: types.PubSub,
  ) {}

  async accept(draft: types.Draft): Promise<types.Message> {
    return await this.mutex(draft.room).run(async () => {
      if (draft.id != null) {
        const known = await this.store.find(draft.room, draft.user, draft.id);
        if (known) return known;
      }
      const message: types.Message = {
        ...draft,
        id: draft.id ?? crypto.randomUUID(),
        sequence: 1 + (await this.store.last(draft.room)),
        timestamp: new Date().getTime(),
      };
      await this.store.save([message]);
      this.pubsub.publish(draft.room, { type: "message", data: message });
      return message;
    });
  }

  async attach(room: string, member: types.Member, since?: number): Promise<void> {
    if (since === undefined) {
      return this.mutex(room).run(async () => {
        const [messages, last] = await Promise.all([this.store.newest(room, types.NEWEST), this.store.last(room)]);
        member.send({ type: "history", data: { room, messages, last, more: false } });
        this.pubsub.subscribe(room, member);
      });
    }
    let newest = since;
    for await (const page of this.pages(room, since)) {
      newest = page.messages.at(-1)!.sequence;
      member.send({ type: "history", data: page });
      if (page.more) await member.drain();
    }
    await this.mutex(room).run(async () => {
      for await (const page of this.pages(room, newest)) member.send({ type: "history", data: page });
      this.pubsub.subscribe(room, member);
    });
  }

  async history(room: string, since: number, limit: number): Promise<types.History> {
    const found = await this.store.page(room, since, limit);
    const last = await this.store.last(room);
    return { room, messages: found, last, more: last > (found[found.length - 1]?.sequence ?? since) };
  }

  private async *pages(room: string, since: number): AsyncGenerator<types.History, void, undefined> {
    for (let more = true; more; ) {
      const page = await this.history(room, since, SMALL);
      if (page.messages.length === 0) return;
      yield page;
      since = page.messages.at(-1)?.sequence ?? since;
      more = page.more;
    }
  }

  private mutex(room: string): Mutex {
    let mutex = this.rooms.get(room);
    if (mutex === undefined) this.rooms.set(room, (mutex = new Mutex()));
    return mutex;
  }
}
