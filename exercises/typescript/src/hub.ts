/** The hub: the four components, and what else all sessions of a server share. */

import { logFailure } from "./failures.js";
import { encode, type AnyServerFrame } from "./protocol.js";
import { PublishObserver } from "./publish-observer.js";
import { Turns } from "./turns.js";
import type { Change, MessageStore, PresenceManager, PubSub, Sequencer } from "./types.js";

/** What a server is told. The intervals are milliseconds; port 0 lets the system choose one. */
export interface Config {
  readonly host: string;
  readonly port: number;
  readonly dataDir: string;
  readonly heartbeatInterval: number;
  readonly offlineTimeout: number;
  /** The folder with the files of the page for browsers. */
  readonly webDir: string;
}

/** How to make each of the four components. The hub knows nothing else of their classes. */
export interface Components {
  readonly PubSub: new () => PubSub;
  readonly Sequencer: new (store: MessageStore, pubsub: PubSub) => Sequencer;
  readonly PresenceManager: new (heartbeatInterval: number, offlineTimeout: number) => PresenceManager;
  readonly MessageStore: new (dataDir: string) => MessageStore;
}

export class Hub {
  readonly config: Config;
  readonly store: MessageStore;
  readonly pubsub: PubSub;
  readonly observer: PublishObserver;
  readonly sequencer: Sequencer;
  readonly presence: PresenceManager;
  readonly turns = new Turns();
  /** Messages that were accepted since the start. */
  accepted = 0;
  readonly #encoded = new WeakMap<AnyServerFrame, Buffer>();

  constructor(config: Config, components: Components) {
    this.config = config;
    this.store = new components.MessageStore(config.dataDir);
    this.pubsub = new components.PubSub();
    this.observer = new PublishObserver(this.pubsub);
    this.sequencer = new components.Sequencer(this.store, this.observer);
    this.presence = new components.PresenceManager(config.heartbeatInterval, config.offlineTimeout);
  }

  /** The time of day in whole milliseconds. It never runs backwards, even if somebody sets the clock. */
  now(): number {
    return Math.floor(performance.timeOrigin + performance.now());
  }

  /** The text of a frame. One that is sent to a thousand members is encoded once. */
  encode(frame: AnyServerFrame): Buffer {
    let bytes = this.#encoded.get(frame);
    if (bytes === undefined) {
      bytes = encode(frame);
      this.#encoded.set(frame, bytes);
    }
    return bytes;
  }

  /** Tell each room's members whose presence changed. */
  publishPresence(changes: readonly Change[]): void {
    for (const { room, presence } of changes) {
      this.pubsub.publish(room, { type: "presence", data: { room, users: [presence], full: false } });
    }
  }

  /** Ask for the newest number of a room, for its first member; then the observer keeps it up to date. */
  async learnNewest(room: string): Promise<void> {
    const { newest } = this.observer;
    if (newest.has(room)) return;
    let last = 0;
    try {
      ({ last } = await this.sequencer.history(room, Number.MAX_SAFE_INTEGER, 1));
    } catch (error) {
      logFailure(`could not ask for the newest number of room ${room}`, error);
    }
    newest.set(room, Math.max(last, newest.get(room) ?? 0)); // while we asked, something may have been published
  }

  /** A room that nobody is in costs no memory. */
  forgetIfEmpty(room: string): void {
    if (this.pubsub.members(room).length === 0) this.observer.newest.delete(room);
  }
}
