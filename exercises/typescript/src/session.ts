/**
 * A session: one connection of one user, from the greeting to the goodbye.
 *
 * It is two things at once:
 *
 * - the reader of what its client sends: its Inbox gives it one frame after the other, and waits for each to be
 *   obeyed. While one is awaited, the other sessions go on;
 * - a member of rooms: something that frames can be sent to.
 *
 * A session decides nothing that is a component's: who hears a message, which number it gets, who counts as
 * present, and what is stored.
 */

import { randomUUID } from "node:crypto";
import type { Socket } from "node:net";

import type { WebSocket } from "ws";

import { attempt, logFailure } from "./failures.js";
import type { Hub } from "./hub.js";
import { Inbox } from "./inbox.js";
import { ConnectionGone, Outbox } from "./outbox.js";
import { BadFrame, encodeHistory, parse, SYSTEM, type AnyServerFrame, type Frame } from "./protocol.js";
import { RateLimit } from "./rate-limit.js";
import type { Draft, Member, Message } from "./types.js";

/** Rooms that a connection may be in. */
const MAX_ROOMS = 1000;
/** Milliseconds for which a replay waits at least for a reader that takes nothing: networks stutter. */
const LEAST_PATIENCE = 4000;
/** Milliseconds that a client has for its part of the closing handshake. */
const CLOSE_TIMEOUT = 5000;

/** One connection of one user. */
export class Session implements Member {
  readonly id = randomUUID();
  readonly user: string;
  /** Fulfilled when the connection has ended and the session has left all rooms. It never rejects. */
  readonly ended: Promise<void>;
  readonly #hub: Hub;
  readonly #socket: WebSocket;
  readonly #inbox: Inbox;
  readonly #outbox: Outbox;
  readonly #rooms = new Set<string>();
  readonly #rate = new RateLimit();
  #isOver = false; // the session has left all rooms

  /** `user` is the name that the client asked for. `tcp` is the socket under the WebSocket. */
  constructor(hub: Hub, socket: WebSocket, tcp: Socket, user: string | undefined) {
    this.#hub = hub;
    this.#socket = socket;
    this.#inbox = new Inbox(socket, hub.turns, (text) => this.#obey(text));
    this.#outbox = new Outbox(socket, hub.turns, () => {
      this.disconnect(1013, "you read too slowly: come back with `since`");
    });
    this.user = user ?? `user_${this.id.slice(0, 8)}`;
    tcp.on("data", () => this.noteSignOfLife()); // any byte is one: of pings, pongs and bad frames, too
    this.ended = new Promise((resolve) => {
      socket.once("close", () => {
        this.#outbox.close();
        // What the client said before it went is handled before it is seen to leave.
        void this.#inbox.done().then(() => this.end()).then(resolve);
      });
    });
    this.#greet();
  }

  #greet(): void {
    const { presence, config } = this.#hub;
    attempt(`could not note the connection of ${this.user}`, () => {
      this.#hub.publishPresence(presence.connected(this.id, this.user, this.#hub.now()));
    });
    const heartbeatInterval = config.heartbeatInterval / 1000;
    const offlineTimeout = config.offlineTimeout / 1000;
    this.send({ type: "connected", data: { clientId: this.id, user: this.user, heartbeatInterval, offlineTimeout } });
  }

  // A member of rooms.

  /** Queue a frame for the client; see `Member`. */
  send(frame: AnyServerFrame): void {
    if (frame.type === "history") this.#outbox.postReplay(encodeHistory(frame.data));
    else this.#outbox.post(this.#hub.encode(frame));
  }

  /** Wait for the client; see `Member`. */
  drain(): Promise<void> {
    return this.#outbox.drained();
  }

  // The end.

  /** Close the connection, by force if the client does not answer. A second call changes nothing. */
  disconnect(code: number, reason: string): void {
    if (this.#outbox.isClosed) return;
    this.#inbox.close();
    this.#outbox.close();
    this.#socket.close(code, reason);
    const timer = setTimeout(() => this.#socket.terminate(), CLOSE_TIMEOUT);
    this.#socket.once("close", () => clearTimeout(timer));
  }

  /** Cut the connection. */
  terminate(): void {
    this.#inbox.close();
    this.#outbox.close();
    this.#socket.terminate();
  }

  /**
   * Leave every room and be forgotten. A second call changes nothing.
   *
   * The order matters: the session is taken out of all rooms before it is announced in any, so that it is told
   * nothing of its own departure. Each step is attempted, whatever a component has done in another.
   */
  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const { pubsub, presence } = this.#hub;
    for (const room of this.#rooms) {
      attempt(`could not unsubscribe ${this.user} from ${room}`, () => pubsub.unsubscribe(room, this));
    }
    attempt(`could not note that a connection of ${this.user} ended`, () => {
      this.#hub.publishPresence(presence.lost(this.id, this.#hub.now()));
    });
    for (const room of this.#rooms) {
      attempt(`could not tell ${room} that ${this.user} left`, () => this.#afterLeaving(room));
    }
  }

  // What the server's regular duties ask.

  /** The client is there: it has sent something. */
  noteSignOfLife(): void {
    attempt(`could not note a sign of life of ${this.user}`, () => {
      this.#hub.publishPresence(this.#hub.presence.seen(this.id, this.#hub.now()));
    });
  }

  /** Whether the client may have sent something that we chose not to read. */
  get isLeftUnread(): boolean {
    return this.#inbox.isHeld;
  }

  /** Disconnect a client that lets a replay wait and takes nothing of it. */
  checkPatience(): void {
    if (this.#outbox.stalledFor > Math.max(this.#hub.config.offlineTimeout, LEAST_PATIENCE)) {
      this.disconnect(1013, "you do not read: come back with `since`");
    }
  }

  // Frames.

  /** Do what one frame asks for. One that cannot be obeyed is answered, and changes nothing. Never rejects. */
  async #obey(text: string | undefined): Promise<void> {
    try {
      await this.#handle(text);
    } catch (error) {
      if (error instanceof BadFrame) {
        this.send({ type: "error", data: { code: error.code, message: error.message, id: error.id } });
      } else if (!(error instanceof ConnectionGone)) {
        logFailure(`could not obey ${this.user}, who sent ${text?.slice(0, 200)}`, error);
        const message = "that went wrong on our side (the server's log says why); try again later";
        this.send({ type: "error", data: { code: "unavailable", message } });
      }
    }
  }

  async #handle(text: string | undefined): Promise<void> {
    if (text === undefined) throw new BadFrame("bad_json", "send text frames, not binary ones");
    const frame = parse(text);
    switch (frame.type) {
      case "message":
        return this.#say(frame);
      case "join":
        return this.#join(frame);
      case "leave":
        return this.#leave(frame.room);
      case "presence":
        return this.#sendPresence(frame.room);
      case "history":
        return this.#sendHistory(frame);
      case "heartbeat":
        return undefined; // it was noticed as a sign of life when its bytes came
    }
  }

  /**
   * Have a message accepted. Its sender hears it like every member: that copy is the *echo*.
   *
   * A message with an `id` may be sent again. If it was accepted before, it is not published again, and no
   * echo comes. Then its sender, who asks since it lost the echo, is told alone.
   */
  async #say({ room, content, id }: Frame<"message">): Promise<void> {
    this.#rate.take(id);
    if (!this.#rooms.has(room)) {
      throw new BadFrame("not_joined", `join the room \`${room}\` before you speak in it`, id);
    }
    const draft = { room, user: this.user, content, id };
    const echo = this.#hub.observer.awaitEcho(draft);
    try {
      const message = await this.#accept(draft);
      if (id !== undefined && !echo.isUnderWay) this.send({ type: "message", data: message });
    } finally {
      this.#hub.observer.stopAwaiting(echo);
    }
  }

  async #accept(draft: Draft): Promise<Message> {
    try {
      const message = await this.#hub.sequencer.accept(draft);
      this.#hub.accepted += 1;
      return message;
    } catch (error) {
      logFailure(`could not accept a message of ${draft.user} in ${draft.room}`, error);
      const reason = "the message could not be accepted (the server's log says why); send it again later";
      throw new BadFrame("unavailable", reason, draft.id);
    }
  }

  /**
   * Become a member. What the steps do, and why they stand in this order:
   *
   * 1. `attach`: the sequencer replays the past and subscribes us. Live messages come from here on.
   * 2. See if we are the user's first connection in the room, before the next `await`: of several that join at
   *    once, each sees those that were subscribed before it, so just one is first.
   * 3. Note that we are in the room. From now on `end` leaves it, and the client may speak in it.
   * 4. Learn the room's newest number, which the announcement carries.
   * 5. Wait for our turn: what follows takes time in a full room.
   * 6. Tell the room's members that the user is online, if that is news.
   * 7. Answer with the list of everybody, which has this user in it after step 6.
   * 8. Announce the user, if it was not there before.
   * 9. Wait until the client has taken its replay, before its next frame is handled.
   */
  async #join({ room, since }: Frame<"join">): Promise<void> {
    this.#rate.take();
    if (this.#rooms.has(room)) return this.#joinAgain(room);
    if (this.#rooms.size >= MAX_ROOMS) {
      throw new BadFrame("bad_request", `you are in ${MAX_ROOMS} rooms, which is the most; leave one first`);
    }
    await this.#attach(room, since); // 1
    const isFirst = !this.#hasTwinIn(room); // 2
    this.#rooms.add(room); // 3
    await this.#hub.learnNewest(room); // 4
    await this.#hub.turns.next(); // 5
    if (this.#isOver) return; // `end` has left the room meanwhile
    const now = this.#hub.now();
    this.#hub.publishPresence(this.#hub.presence.seen(this.id, now));
    this.#hub.publishPresence(this.#hub.presence.joined(this.id, room, now)); // 6
    this.#sendPresence(room); // 7
    if (isFirst) this.#announce(room, "joined"); // 8
    await this.drain(); // 9
  }

  /** It is answered again, and nothing changes. */
  #joinAgain(room: string): void {
    this.#hub.pubsub.subscribe(room, this); // nor does this change anything: twice is the same as once
    this.#sendPresence(room);
  }

  /** Have the sequencer replay the past and subscribe us; and undo that if it fails or we are gone by then. */
  async #attach(room: string, since: number | undefined): Promise<void> {
    try {
      await this.#hub.sequencer.attach(room, this, since);
      if (this.#outbox.isClosed) throw new ConnectionGone();
    } catch (error) {
      const what = `could not unsubscribe ${this.user} from ${room}`;
      attempt(what, () => this.#hub.pubsub.unsubscribe(room, this));
      throw error;
    }
  }

  async #leave(room: string): Promise<void> {
    this.#rate.take();
    await this.#hub.turns.next(); // what follows takes time in a full room
    if (!this.#rooms.delete(room)) throw new BadFrame("not_joined", `you are not in the room \`${room}\``);
    this.#hub.pubsub.unsubscribe(room, this);
    const now = this.#hub.now();
    this.#hub.publishPresence(this.#hub.presence.seen(this.id, now));
    this.#hub.publishPresence(this.#hub.presence.left(this.id, room, now));
    this.#afterLeaving(room);
  }

  /** Announce that the user left, unless another of its connections stays in the room. */
  #afterLeaving(room: string): void {
    if (!this.#hasTwinIn(room)) this.#announce(room, "left");
    this.#hub.forgetIfEmpty(room);
  }

  #sendPresence(room: string): void {
    const users = this.#hub.presence.inRoom(room, this.#hub.now());
    this.send({ type: "presence", data: { room, users, full: true } });
  }

  async #sendHistory({ room, since, limit }: Frame<"history">): Promise<void> {
    const history = await this.#hub.sequencer.history(room, since, limit);
    await this.#hub.turns.next();
    const [page] = encodeHistory(history); // the first frame: if it does not hold all, its `more` says so
    if (page) this.#outbox.postReplay([page].values());
    await this.drain(); // who asks for much must also read it
  }

  // Notices.

  /** Whether another connection of the same user is in the room. */
  #hasTwinIn(room: string): boolean {
    const members = this.#hub.pubsub.members(room);
    return members.some((each) => each instanceof Session && each.user === this.user && each !== this);
  }

  /** Tell the room that this user came or went. A notice is not stored, and has no number of its own. */
  #announce(room: string, what: "joined" | "left"): void {
    const sequence = this.#hub.observer.newest.get(room) ?? 0;
    const words = { id: randomUUID(), room, user: SYSTEM, content: `${this.user} ${what}` };
    this.#hub.pubsub.publish(room, { type: "message", data: { ...words, sequence, timestamp: Date.now() } });
  }
}
