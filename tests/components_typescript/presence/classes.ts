// Objects of classes with getters, made plain when they leave; changes are generated.

import type * as types from "./types.js";

class User {
  readonly connections = new Set<Connection>();
  #seen = -Infinity;

  constructor(readonly name: string) {}

  get lastSeen(): number {
    return this.#seen;
  }

  set lastSeen(time: number) {
    this.#seen = Math.max(this.#seen, time);
  }

  isIn(room: string): boolean {
    for (const each of this.connections) if (each.rooms.has(room)) return true;
    return false;
  }

  shownAs(status: types.Status): types.Presence {
    return Object.freeze({ user: this.name, status, lastSeen: this.lastSeen });
  }
}

class Connection {
  readonly rooms = new Set<string>();
  #last: number;

  constructor(
    readonly user: User,
    now: number,
  ) {
    this.#last = now;
    user.connections.add(this);
    user.lastSeen = now;
  }

  get last(): number {
    return this.#last;
  }

  shows(now: number): void {
    this.user.lastSeen = this.#last = now;
  }
}

export class PresenceManager implements types.PresenceManager {
  protected readonly users: Map<string, User>;
  protected readonly connections: Map<string, Connection>;

  constructor(
    protected readonly heartbeatInterval: number,
    protected readonly offlineTimeout: number,
  ) {
    this.users = new Map();
    this.connections = new Map();
  }

  connected(connection: string, user: string, now: number): types.Change[] {
    let known = this.users.get(user);
    if (!known) this.users.set(user, (known = new User(user)));
    this.connections.set(connection, new Connection(known, now));
    return new Array<types.Change>();
  }

  seen(connection: string, now: number): types.Change[] {
    this.connections.get(connection)?.shows(now);
    return [];
  }

  joined(connection: string, room: string): types.Change[] {
    const found = this.connections.get(connection);
    if (!found) return [];
    const wasIn = found.user.isIn(room);
    found.rooms.add(room);
    return wasIn ? [] : [{ room, presence: found.user.shownAs("online") }];
  }

  left(connection: string, room: string): types.Change[] {
    const found = this.connections.get(connection);
    return found ? [...this.leaving(found, [room])] : [];
  }

  lost(connection: string): types.Change[] {
    return [...this.forgetting([connection])];
  }

  sweep(now: number): types.Change[] {
    const silent = [...this.connections].filter(([, { last }]) => now - last > this.offlineTimeout);
    return [...this.forgetting(silent.map(([name]) => name))];
  }

  inRoom(room: string): types.Presence[] {
    const found: types.Presence[] = [];
    this.users.forEach((user) => user.isIn(room) && found.push(user.shownAs("online")));
    return found;
  }

  isConnected(connection: string): boolean {
    return !!this.connections.get(connection);
  }

  private *leaving(connection: Connection, rooms: Iterable<string>): Generator<types.Change> {
    for (const room of [...rooms]) {
      if (connection.rooms.delete(room) && !connection.user.isIn(room)) {
        yield { room, presence: connection.user.shownAs("offline") };
      }
    }
  }

  private *forgetting(names: readonly string[]): Generator<types.Change> {
    for (const name of names) {
      const found = this.connections.get(name);
      if (!found) continue;
      this.connections.delete(name);
      found.user.connections.delete(found);
      yield* this.leaving(found, found.rooms);
      if (found.user.connections.size === 0) this.users.delete(found.user.name);
    }
  }
}
