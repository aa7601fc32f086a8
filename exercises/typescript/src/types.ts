/**
 * The frames that cross the wire, what each of the four components owes, and the few plain values that pass
 * between them.
 *
 * The server (`server.ts`) knows its components by these interfaces alone, so each of them can be replaced by
 * another: by yours. A component imports this module and what Node has, and never sees a socket.
 *
 * Each sentence below is owed. `chatlab check` calls a component directly and holds it to them, whatever the
 * server around it would hide. What is said to be an array is an array, never undefined. Two instances of a
 * class have nothing in common: what one was told is nothing to the other. All times are milliseconds, as
 * `Date.now()` tells them, and what happens "at the same time" happens in one thread, between two `await`s.
 */

// --- limits ---------------------------------------------------------------------------------------

/** Messages in one page of history, at most. */
export const MAX_PAGE = 100;
/** Messages that a join without `since` is answered with. */
export const NEWEST = 50;

// --- from the server to the client: the frames that components deal with --------------------------

/** A chat message with its number in the room; `timestamp` in whole milliseconds since the Unix epoch. */
export interface Message {
  readonly id: string;
  readonly room: string;
  readonly user: string;
  readonly content: string;
  readonly sequence: number;
  readonly timestamp: number;
}

/** Stored messages in rising order. `last` is the room's newest number; `more` says that newer ones follow. */
export interface History {
  readonly room: string;
  readonly messages: readonly Message[];
  readonly last: number;
  readonly more: boolean;
}

/** How present a user is. */
export type Status = "online" | "away" | "offline";

/** One user's presence in one room; `lastSeen` in whole milliseconds since the Unix epoch. */
export interface Presence {
  readonly user: string;
  readonly status: Status;
  readonly lastSeen: number;
}

/** What a component may send to a member: exactly the object that goes over the wire as JSON. */
export type ServerFrame =
  | { readonly type: "message"; readonly data: Message }
  | { readonly type: "history"; readonly data: History }
  | {
      readonly type: "presence";
      readonly data: { readonly room: string; readonly users: readonly Presence[]; readonly full: boolean };
    }
  | { readonly type: "heartbeat" };

// --- what passes between components ---------------------------------------------------------------

/**
 * What a user wants to say, before it has a number.
 *
 * `id` is the client's own; with it the same words may be sent again after a lost connection. It is undefined
 * where the client gave none: the message then gets an id that nobody else has.
 */
export interface Draft {
  readonly room: string;
  readonly user: string;
  readonly content: string;
  readonly id?: string | undefined;
}

/** A user's presence became another in one room. */
export interface Change {
  readonly room: string;
  readonly presence: Presence;
}

/** One connection, as the components see it: something that frames can be sent to. */
export interface Member {
  /** Queue a frame; returns at once, and frames arrive in the order of the calls. */
  send(frame: ServerFrame): void;
  /** Wait until what was queued has mostly been read. Rejects once the connection is gone. */
  drain(): Promise<void>;
}

// --- the four components --------------------------------------------------------------------------

/** Who hears what (exercise 1). */
export interface PubSub {
  /** From now on `member` hears what is published in `room`. Twice is the same as once. */
  subscribe(room: string, member: Member): void;

  /** From now on it does not. Nothing happens if it did not before, nor in a room that nobody is in. */
  unsubscribe(room: string, member: Member): void;

  /**
   * Send `frame` to each member of `room` once; in a room that nobody is in, nothing happens.
   *
   * Two frames reach every member in the order of the two calls. Members may come and go while a frame is
   * being published: a member's `send` may end in `subscribe` or `unsubscribe`, of itself or of others. Those
   * may hear this frame or not; everybody else hears it.
   */
  publish(room: string, frame: ServerFrame): void;

  /** The members of `room`, each once, in any order: an array of the caller's own, if need be empty. */
  members(room: string): Member[];

  /** The rooms that have members, each once, likewise; a room that everybody left is not among them. */
  rooms(): string[];
}

/** The store cannot do what it should. The text says why, and what the server's owner can do. */
export class StoreError extends Error {
  override readonly name = "StoreError";
}

/**
 * What survives (exercise 4). Made with `new MessageStore(dataDir)`; it may create files there only.
 *
 * The folder may not exist yet. The constructor may read it with the functions of `node:fs` that end in
 * `Sync`, or the methods may wait for a promise that it has begun.
 *
 * It keeps what it is told, under the number it is told: numbering is the sequencer's duty. Any room, user, id
 * and content comes back as it was, and rooms are kept apart by their exact names. Where the disk fails, a
 * method may reject, best with a StoreError: the client is then told that the server is `unavailable`. What it
 * may not is return as if all was well. So it may for a room whose name is too long for that of a file. What a
 * store tells after it has rejected is not judged.
 *
 * Whatever ended the process before, a new store on the same folder tells all that was saved. What was being
 * saved at that moment it tells whole, or not at all, also where the end of what was written is torn.
 */
export interface MessageStore {
  /**
   * Resolve when all of `messages` are safe on disk: a SIGKILL after that loses none of them.
   *
   * From then on the other methods tell them; before that, only what is on disk already, since it may be shown
   * to a client. `messages` may be of several rooms. Callers run concurrently, also for one room; those are
   * called in the order of their numbers.
   */
  save(messages: readonly Message[]): Promise<void>;

  /** The first `limit` messages of `room` with a sequence above `since`, in rising order. */
  page(room: string, since: number, limit: number): Promise<Message[]>;

  /** The newest `count` messages of `room`, in rising order. */
  newest(room: string, count: number): Promise<Message[]>;

  /** The highest sequence number saved in `room`; 0 for a room with none. */
  last(room: string): Promise<number>;

  /**
   * The message that `user` said in `room` under `id`, if there is one.
   *
   * The same `id` of another user, or in another room, is another message.
   */
  find(room: string, user: string, id: string): Promise<Message | undefined>;

  /** Close all files. Nothing is called after it, nor while a save is under way. */
  close(): void | Promise<void>;
}

/** One order for all (exercise 2). Made with `new Sequencer(store, pubsub)`. */
export interface Sequencer {
  /**
   * Number the draft, save it, then publish it in its room, and return the message.
   *
   * A room's messages are numbered 1, 2, 3, … and go on from what the store holds. Nobody receives a message
   * that is not saved yet, and everybody receives them in the order of their numbers. Callers run
   * concurrently. If the store already has a message of this user, room and `id`, that one is returned, and
   * nothing is saved or published; of several callers with the same one, only one is accepted.
   *
   * If the store refuses to save, this rejects, nothing is published, and the number is free again. The
   * message's `timestamp` is the time of day, in whole milliseconds since the Unix epoch.
   */
  accept(draft: Draft): Promise<Message>;

  /**
   * Send `member` what it missed, then subscribe it: no message is left out and none comes twice.
   *
   * What it missed are all messages after `since`, in `history` frames of at most 100 messages each; or,
   * where `since` is undefined, the newest 50 in one frame. An empty frame may be left out. A replay waits for
   * its reader (`member.drain`) after each page that others follow, and nobody else waits for either, neither
   * in `accept` nor in `attach`. If the member's connection ends meanwhile, `drain` rejects, and so may this.
   */
  attach(room: string, member: Member, since: number | undefined): Promise<void>;

  /**
   * One page of the stored messages of `room` after `since`, `limit` of them at the most.
   *
   * `last` is the room's newest number, and `more` tells whether newer messages follow.
   */
  history(room: string, since: number, limit: number): Promise<History>;
}

/**
 * Who is here (exercise 3). Made with `new PresenceManager(heartbeatInterval, offlineTimeout)`.
 *
 * It has no clock and no timer: `now` is an argument everywhere, in whole milliseconds since the Unix epoch,
 * and never runs backwards; the two intervals are milliseconds, too. A connection is named by a string; a user
 * may hold several at once. A user is online in a room while at least one of its connections there has shown a
 * sign of life within the last `offlineTimeout` milliseconds. Each call returns what it changed, each user once
 * in each room, and nothing that stayed the same. A connection that is not known (any more) changes nothing,
 * in any call.
 *
 * `lastSeen` is the time of the user's last sign of life, on whichever connection. `away` may be shown instead
 * of `online` after one and a half intervals of silence.
 */
export interface PresenceManager {
  /** A connection of `user` begins, which is a sign of life; it is in no room yet. */
  connected(connection: string, user: string, now: number): Change[];

  /** The connection showed a sign of life. */
  seen(connection: string, now: number): Change[];

  /** The connection entered a room. `seen` or `connected` was called before, with the same `now`. */
  joined(connection: string, room: string, now: number): Change[];

  /** The connection, which is in the room, left it, likewise. */
  left(connection: string, room: string, now: number): Change[];

  /** The connection ended: it is forgotten, and no other one is. That may count as its last sign of life. */
  lost(connection: string, now: number): Change[];

  /**
   * Forget every connection that was silent for longer than `offlineTimeout`, and no other one.
   *
   * Called several times an interval.
   */
  sweep(now: number): Change[];

  /**
   * Everybody who is in `room` and not offline, each user once, in any order.
   *
   * It agrees with the changes that were returned. Who has been silent for too long, or for long enough to be
   * `away`, and was not swept since, may be shown either way.
   */
  inRoom(room: string, now: number): Presence[];

  /** False once the connection was lost or timed out: the server then closes it. */
  isConnected(connection: string): boolean;
}
