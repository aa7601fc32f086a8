/**
 * The model answer to exercise 3: store connections, and compute everything else.
 *
 * Why it is correct: it stores only the user, the rooms and the last sign of life of each connection. Who is
 * online in which room is computed from that, before and after each call; the changes are the difference. So the
 * answers to `presence` and the broadcasts can never disagree, and two connections of one user need no special
 * case: the user is online as long as any of them is known.
 *
 * Silence is detected in `sweep`, which forgets the connections that were silent for too long. It compares with
 * the time of the last sign of life of the *client*. What the server itself sends proves nothing.
 *
 * Maps, and not objects with names as their keys: `__proto__` may be the name of a user or a room.
 */

import type * as types from "./types.js";

/** What is known about one connection. */
interface Connection {
  readonly user: string;
  readonly rooms: Set<string>;
  seen: number;
}

/** Records each connection's user and rooms, and when it last showed a sign of life. */
export class PresenceManager implements types.PresenceManager {
  readonly #offlineTimeout: number;
  readonly #connections = new Map<string, Connection>();

  constructor(heartbeatInterval: number, offlineTimeout: number) {
    this.#offlineTimeout = offlineTimeout;
  }

  /** A new connection is in no room, so nothing changes for anybody. */
  connected(connection: string, user: string, now: number): types.Change[] {
    this.#connections.set(connection, { user, rooms: new Set(), seen: now });
    return [];
  }

  /** Only the time of the last sign of life changes. */
  seen(connection: string, now: number): types.Change[] {
    const known = this.#connections.get(connection);
    if (known) known.seen = now;
    return [];
  }

  /** The user becomes online in the room, unless another connection is there already. */
  joined(connection: string, room: string): types.Change[] {
    return this.#changesOf(() => this.#connections.get(connection)?.rooms.add(room));
  }

  /** The user becomes offline in the room, unless another connection is still there. */
  left(connection: string, room: string): types.Change[] {
    return this.#changesOf(() => this.#connections.get(connection)?.rooms.delete(room));
  }

  /** The same as `left`, for all rooms of the connection. */
  lost(connection: string): types.Change[] {
    return this.#changesOf(() => this.#connections.delete(connection));
  }

  /** Forget the connections that were silent for too long. (To delete from a Map in a loop over it is safe.) */
  sweep(now: number): types.Change[] {
    return this.#changesOf(() => {
      for (const [name, { seen }] of this.#connections) {
        if (now - seen > this.#offlineTimeout) this.#connections.delete(name);
      }
    });
  }

  /** The users who are online in the room. */
  inRoom(room: string): types.Presence[] {
    const here = [...this.#online().values()].filter((each) => each.room === room);
    return here.map(({ presence }) => presence);
  }

  /** Whether the connection is still known. */
  isConnected(connection: string): boolean {
    return this.#connections.has(connection);
  }

  /** Who is online in which room, under a key for both. */
  #online(): Map<string, types.Change> {
    const online = new Map<string, types.Change>();
    const connections = [...this.#connections.values()].toSorted((a, b) => a.seen - b.seen);
    for (const { user, rooms, seen } of connections) {
      for (const room of rooms) {
        // Of several connections, the one seen last counts.
        online.set(JSON.stringify([room, user]), { room, presence: { user, status: "online", lastSeen: seen } });
      }
    }
    return online;
  }

  /** Do it; return the differences between before and after. */
  #changesOf(action: () => void): types.Change[] {
    const before = this.#online();
    action();
    const after = this.#online();
    const came = [...after].filter(([key]) => !before.has(key)).map(([, change]) => change);
    const went = [...before].filter(([key]) => !after.has(key)).map(([, change]) => asOffline(change));
    return [...came, ...went];
  }
}

function asOffline({ room, presence }: types.Change): types.Change {
  return { room, presence: { ...presence, status: "offline" } };
}
