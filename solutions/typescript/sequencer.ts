/**
 * The model answer to exercise 2: in each room one thing at a time, around number, save and publish.
 *
 * Why it is correct: numbering, saving and publishing are one critical section for each room. So no number is
 * used twice, none is left out, and messages are published in the order of their numbers. The next number always
 * comes from the store, so a restart changes nothing. A message is published after `save` has ended: what a
 * client has received is never lost.
 *
 * `attach` takes its turn likewise for the end of the replay and for `subscribe`: nothing can be published
 * between the two, so there is no gap, and nothing was published to the member before, so there are no
 * duplicates. A long history is sent *before* its turn, because its reader may be slow.
 *
 * There is only one thread, and still a critical section needs care: at every `await`, other calls go on.
 */

import { randomUUID } from "node:crypto";

import { MAX_PAGE, NEWEST } from "./types.js";
import type * as types from "./types.js";

/** Numbers a room's messages, saves them, and publishes them in order. */
export class Sequencer implements types.Sequencer {
  readonly #store: types.MessageStore;
  readonly #pubsub: types.PubSub;
  readonly #lastTurns = new Map<string, Promise<unknown>>();

  constructor(store: types.MessageStore, pubsub: types.PubSub) {
    this.#store = store;
    this.#pubsub = pubsub;
  }

  /** Number, save, publish: one message at a time in each room. */
  accept(draft: types.Draft): Promise<types.Message> {
    return this.#inTurn(draft.room, async () => {
      const { room, user, content, id } = draft;
      const stored = id === undefined ? undefined : await this.#store.find(room, user, id);
      if (stored !== undefined) return stored;
      const sequence = (await this.#store.last(room)) + 1;
      const message = { id: id ?? randomUUID(), room, user, content, sequence, timestamp: Date.now() };
      await this.#store.save([message]);
      this.#pubsub.publish(room, { type: "message", data: message });
      return message;
    });
  }

  /** Replay all pages but the last before our turn, and the rest in it. */
  async attach(room: string, member: types.Member, since: number | undefined): Promise<void> {
    let after = since;
    while (after !== undefined) {
      const page = await this.history(room, after, MAX_PAGE);
      if (!page.more) break;
      member.send({ type: "history", data: page });
      await member.drain();
      after = page.messages.at(-1)?.sequence;
    }
    await this.#inTurn(room, async () => {
      if (after === undefined) await this.#sendNewest(room, member);
      else await this.#sendRest(room, member, after);
      this.#pubsub.subscribe(room, member);
    });
  }

  async #sendNewest(room: string, member: types.Member): Promise<void> {
    const messages = await this.#store.newest(room, NEWEST);
    const last = await this.#store.last(room);
    member.send({ type: "history", data: { room, messages, last, more: false } });
  }

  async #sendRest(room: string, member: types.Member, since: number): Promise<void> {
    let page = await this.history(room, since, MAX_PAGE);
    member.send({ type: "history", data: page });
    while (page.more) {
      page = await this.history(room, page.messages.at(-1)?.sequence ?? page.last, MAX_PAGE);
      member.send({ type: "history", data: page });
    }
  }

  /** One page of the stored messages of `room` after `since`. */
  async history(room: string, since: number, limit: number): Promise<types.History> {
    const messages = await this.#store.page(room, since, limit);
    const last = await this.#store.last(room);
    const newest = messages.at(-1)?.sequence ?? last;
    return { room, messages, last, more: newest < last };
  }

  /** Do `work` when everything that was asked for before it in this room has ended, well or not. */
  #inTurn<T>(room: string, work: () => Promise<T>): Promise<T> {
    const before = this.#lastTurns.get(room) ?? Promise.resolve();
    const turn = before.then(work, work);
    this.#lastTurns.set(room, turn);
    return turn;
  }
}
