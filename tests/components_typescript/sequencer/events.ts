// Driven by events: each room is an emitter that asks for its next job, or a stream of them.

import { EventEmitter, on } from "node:events";
import { Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";

import * as types from "./types.js";

type Job = () => Promise<void>;

class Line extends EventEmitter<{ job: [Job]; done: [] }> {
  readonly #jobs: Job[] = [];
  #isBusy = false;

  constructor() {
    super();
    this.on("job", (job) => {
      this.#jobs.push(job);
      this.#next();
    });
    this.on("done", () => {
      this.#isBusy = false;
      this.#next();
    });
  }

  #next(): void {
    if (this.#isBusy) return;
    const job = this.#jobs.shift();
    if (!job) return;
    this.#isBusy = true;
    job().finally(() => this.emit("done"));
  }
}

export class Sequencer implements types.Sequencer {
  static readonly #uuid = (): string => globalThis.crypto.randomUUID();
  readonly #lines = new Map<string, Line>();
  readonly #all = new EventEmitter();
  #stop = new AbortController();

  constructor(
    private readonly store: types.MessageStore,
    private readonly pubsub: types.PubSub,
  ) {
    void this.#listen();
  }

  accept(draft: types.Draft): Promise<types.Message> {
    return this.#alone(draft.room, async () => {
      const { room, user, content, id = Sequencer.#uuid() } = draft;
      const known = draft.id === undefined ? undefined : await this.store.find(room, user, id);
      if (known) return known;
      const [sequence, timestamp] = [(await this.store.last(room)) + 1, Number(new Date())];
      const message = { id, room, user, content, sequence, timestamp } as const satisfies types.Message;
      await this.store.save(Object.freeze([message]));
      this.pubsub.publish(room, { type: "message", data: message });
      return message;
    });
  }

  async attach(room: string, member: types.Member, since: number | undefined): Promise<void> {
    let [after, isFirst] = [since ?? 0, true];
    if (since !== undefined) {
      const source = Readable.from(this.#pages(room, since), { highWaterMark: 1 });
      const sink = new Writable({
        objectMode: true,
        highWaterMark: 1,
        write: (data: types.History, _encoding, done) => {
          member.send({ type: "history", data });
          after = data.messages.at(-1)?.sequence ?? after;
          (data.more ? member.drain() : Promise.resolve()).then(() => done(), done);
        },
      });
      await pipeline(source, sink);
      isFirst = false;
    }
    return this.#alone(room, async () => {
      if (isFirst) {
        const messages = await this.store.newest(room, types.NEWEST);
        member.send({ type: "history", data: { room, messages, last: await this.store.last(room), more: false } });
      } else {
        for await (const data of this.#pages(room, after)) member.send({ type: "history", data });
      }
      this.pubsub.subscribe(room, member);
    });
  }

  async history(room: string, since: number, limit: number): Promise<types.History> {
    const messages = await this.store.page(room, since, limit);
    const last = await this.store.last(room);
    const [newest] = messages.slice(-1);
    return { room, messages, last, more: newest ? newest.sequence < last : false };
  }

  close(): void {
    this.#stop.abort();
  }

  async *#pages(room: string, since: number): AsyncGenerator<types.History> {
    let page: types.History;
    do {
      page = await this.history(room, since, types.MAX_PAGE);
      if (page.messages.length > 0) yield page;
      since = page.messages.at(-1)?.sequence ?? since;
    } while (page.more);
  }

  async #listen(): Promise<void> {
    for await (const [name, job] of on(this.#all, "job", { signal: this.#stop.signal })) {
      let line = this.#lines.get(name);
      if (!line) this.#lines.set(name, (line = new Line()));
      line.emit("job", job);
    }
  }

  #alone<T>(room: string, work: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#all.emit("job", room, () => work().then(resolve, reject));
    });
  }
}
