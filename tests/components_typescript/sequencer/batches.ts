// What is asked for in one moment is saved in one go: gathered by microtasks, immediates and timers.

import { EventEmitter, once } from "node:events";
import { promisify } from "node:util";

import { MAX_PAGE, NEWEST, type Draft, type History, type Member, type Message, type MessageStore, type PubSub, type Sequencer as Contract } from "./types.js";

const WAITS = [
  () => new Promise<void>((resolve) => queueMicrotask(resolve)),
  () => new Promise<void>((resolve) => process.nextTick(resolve)),
  () => new Promise((resolve) => setImmediate(resolve)),
  promisify(setImmediate),
  () => promisify(setTimeout)(0),
];

interface Asked {
  readonly draft: Draft;
  resolve(message: Message): void;
  reject(reason: unknown): void;
}

class Room extends EventEmitter {
  asked: Asked[] = [];
  joins: Array<() => Promise<void>> = [];
  isWorking = false;
}

export class Sequencer implements Contract {
  #rooms = new Map<string, Room>();
  #turn = 0;
  readonly #store: MessageStore;
  readonly #pubsub: PubSub;

  constructor(store: MessageStore, pubsub: PubSub) {
    this.#store = store;
    this.#pubsub = pubsub;
  }

  accept(draft: Draft): Promise<Message> {
    const room = this.#room(draft.room);
    return new Promise((resolve, reject) => {
      room.asked.push({ draft, resolve, reject });
      void this.#work(draft.room, room);
    });
  }

  async attach(name: string, member: Member, since: number | undefined): Promise<void> {
    let page = since === undefined ? undefined : await this.history(name, since, MAX_PAGE);
    while (page?.more) {
      member.send({ type: "history", data: page });
      since = page.messages.at(-1)?.sequence ?? page.last;
      await member.drain();
      page = await this.history(name, since, MAX_PAGE);
    }
    const room = this.#room(name);
    const ticket = Symbol("join");
    const ended = once(room, ticket);
    room.joins.push(async () => {
      if (since === undefined) {
        const messages = await this.#store.newest(name, NEWEST);
        member.send({ type: "history", data: { room: name, messages, last: messages.at(-1)?.sequence ?? 0, more: false } });
      } else {
        for (let more = true, after = since; more; ) {
          const rest = await this.history(name, after, MAX_PAGE);
          if (rest.messages.length > 0) member.send({ type: "history", data: rest });
          after = rest.messages.at(-1)?.sequence ?? after;
          more = rest.more;
        }
      }
      this.#pubsub.subscribe(name, member);
      room.emit(ticket);
    });
    void this.#work(name, room);
    await ended;
  }

  async history(room: string, since: number, limit: number): Promise<History> {
    const messages = await this.#store.page(room, since, limit);
    const last = Math.max(await this.#store.last(room), 0);
    return { room, messages, last, more: (messages.at(-1)?.sequence ?? last) < last };
  }

  #room(name: string): Room {
    const room = this.#rooms.get(name) ?? new Room().setMaxListeners(0);
    this.#rooms.set(name, room);
    return room;
  }

  async #work(name: string, room: Room): Promise<void> {
    if (room.isWorking) return;
    room.isWorking = true;
    try {
      await WAITS[this.#turn++ % WAITS.length]!();
      while (room.asked.length > 0 || room.joins.length > 0) {
        const [asked, joins] = [room.asked.splice(0), room.joins.splice(0)];
        if (asked.length > 0) await this.#save(name, asked);
        for (const join of joins) await join();
      }
    } finally {
      room.isWorking = false;
    }
  }

  async #save(name: string, asked: Asked[]): Promise<void> {
    const made: Message[] = [];
    const answers: Array<[Asked, Message]> = [];
    try {
      let sequence = await this.#store.last(name);
      for (const each of asked) {
        const { id, user, content, room } = each.draft;
        const same = (message: Message) => message.user === user && message.id === id;
        const known = id === undefined ? undefined : (made.find(same) ?? (await this.#store.find(name, user, id)));
        const message = known ?? { id: id ?? globalThis.crypto.randomUUID(), room, user, content, sequence: ++sequence, timestamp: Date.now() };
        if (!known) made.push(message);
        answers.push([each, message]);
      }
      if (made.length > 0) await this.#store.save(made);
    } catch (error) {
      asked.forEach(({ reject }) => reject(error));
      return;
    }
    for (const data of made) this.#pubsub.publish(name, { type: "message", data });
    for (const [{ resolve }, message] of answers) resolve(message);
  }
}
