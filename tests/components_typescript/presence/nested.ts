// Maps in Maps: in each room the users, of each of them the connections.

import type * as types from "./types.js";

const Shown = { ONLINE: "online", OFFLINE: "offline" } as const satisfies Record<string, types.Status>;

export class PresenceManager implements types.PresenceManager {
  readonly #rooms = new Map<string, Map<string, Set<string>>>();
  readonly #users = new Map<string, string>();
  readonly #times = new Map<string, number>();
  readonly #newest = new Map<string, number>();
  readonly #timeout: number;

  constructor(heartbeatInterval: number, offlineTimeout: number) {
    this.#timeout = offlineTimeout;
  }

  connected(connection: string, user: string, now: number): types.Change[] {
    this.#users.set(connection, user);
    return this.seen(connection, now);
  }

  seen(connection: string, now: number): types.Change[] {
    const user = this.#users.get(connection);
    if (user !== undefined) {
      this.#times.set(connection, now);
      this.#newest.set(user, now);
    }
    return [];
  }

  joined(connection: string, room: string): types.Change[] {
    const user = this.#users.get(connection);
    if (user === undefined) return [];
    if (!this.#rooms.has(room)) this.#rooms.set(room, new Map());
    const users = this.#rooms.get(room)!;
    const known = users.get(user);
    users.set(user, (known ?? new Set()).add(connection));
    return known ? [] : [this.#change(room, user, Shown.ONLINE)];
  }

  left(connection: string, room: string): types.Change[] {
    const user = this.#users.get(connection);
    const users = this.#rooms.get(room);
    const connections = user === undefined ? undefined : users?.get(user);
    if (user === undefined || !connections?.delete(connection) || connections.size > 0) return [];
    users?.delete(user);
    if (users?.size === 0) this.#rooms.delete(room);
    return [this.#change(room, user, Shown.OFFLINE)];
  }

  lost(connection: string): types.Change[] {
    const changes = [...this.#rooms.keys()].flatMap((room) => this.left(connection, room));
    this.#users.delete(connection);
    this.#times.delete(connection);
    return changes;
  }

  sweep(now: number): types.Change[] {
    const silent = [...this.#times].filter(([, seen]) => seen < now - this.#timeout).sort(([, a], [, b]) => a - b);
    return silent.map(([connection]) => this.lost(connection)).flat();
  }

  inRoom(room: string): types.Presence[] {
    const users = this.#rooms.get(room)?.keys() ?? [];
    return Array.from(users, (user) => ({ ...this.#change(room, user, Shown.ONLINE).presence }));
  }

  isConnected = (connection: string): boolean => this.#users.has(connection);

  #change(room: string, user: string, status: types.Status): types.Change {
    return { room, presence: { user, status, lastSeen: this.#newest.get(user) ?? 0 } };
  }
}
