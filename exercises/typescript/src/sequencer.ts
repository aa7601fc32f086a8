/**
 * Exercise 2: one order for all. Which number does a message get, and who receives it when?
 *
 * Correct `accept` and `attach`. The interface `Sequencer` in types.ts says what they must do. The model answer
 * has about 65 lines.
 */

import { randomUUID } from "node:crypto";

import type * as types from "./types.js";

/** Numbers a room's messages, saves them, and publishes them in order. */
export class Sequencer implements types.Sequencer {
  readonly #store: types.MessageStore;
  readonly #pubsub: types.PubSub;

  constructor(store: types.MessageStore, pubsub: types.PubSub) {
    this.#store = store;
    this.#pubsub = pubsub;
  }

  /**
   * Number the draft, save it, then publish it in its room, and return the message.
   *
   * If the save fails, reject: nothing is published, and the number is free again. In this stub, every message
   * has number 1, nothing is saved, and a repeated `id` is not detected.
   */
  async accept(draft: types.Draft): Promise<types.Message> {
    const message = { ...draft, id: draft.id ?? randomUUID(), sequence: 1, timestamp: Date.now() };
    this.#pubsub.publish(draft.room, { type: "message", data: message });
    return message;
  }

  /**
   * Send `member` the messages that it missed, then subscribe it, without a gap and without duplicates.
   *
   * In this stub, no missed message is sent.
   */
  async attach(room: string, member: types.Member, since: number | undefined): Promise<void> {
    this.#pubsub.subscribe(room, member);
  }

  /** One page of the stored messages of `room` after `since`. This method is complete. */
  async history(room: string, since: number, limit: number): Promise<types.History> {
    const messages = await this.#store.page(room, since, limit);
    const last = await this.#store.last(room);
    const newest = messages.at(-1)?.sequence ?? last;
    return { room, messages, last, more: newest < last };
  }
}
