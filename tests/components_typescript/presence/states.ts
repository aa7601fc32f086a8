// An immutable state, reduced by actions; `away` is one of the changes, told by `sweep` and by a sign of life.

import type { Change, Presence, PresenceManager as Contract, Status } from "./types.js";

interface Connection {
  readonly user: string;
  readonly rooms: readonly string[];
  readonly seen: number;
}

type State = { readonly connections: ReadonlyMap<string, Connection>; readonly now: number };

export class PresenceManager implements Contract {
  #state: State = { connections: new Map(), now: 0 };
  #shown = new Map<string, Change>();
  readonly #interval: number;
  readonly #timeout: number;

  constructor(...[interval, timeout]: [number, number]) {
    [this.#interval, this.#timeout] = [interval, timeout];
  }

  connected(connection: string, user: string, now: number) {
    return this.#go(now, connection, () => ({ user, rooms: [], seen: now }));
  }

  seen(connection: string, now: number) {
    return this.#go(now, connection, (known) => known && { ...known, seen: now });
  }

  joined(connection: string, room: string, now: number) {
    return this.#go(now, connection, (known) => known && { ...known, rooms: [...new Set([...known.rooms, room])] });
  }

  left(connection: string, room: string, now: number) {
    return this.#go(now, connection, (known) => known && { ...known, rooms: known.rooms.filter((each) => each !== room) });
  }

  lost(connection: string, now: number) {
    return this.#go(now, connection, () => undefined);
  }

  sweep(now: number): Change[] {
    const entries = [...this.#state.connections].filter(([, { seen }]) => now - seen <= this.#timeout);
    this.#state = { connections: new Map(entries), now };
    return this.#changes();
  }

  inRoom(room: string): Presence[] {
    const all = structuredClone([...this.#compute().values()]);
    return all.filter((each) => each.room === room).map(({ presence }) => presence);
  }

  isConnected(connection: string): boolean {
    return this.#state.connections.has(connection);
  }

  #go(now: number, name: string, change: (known: Connection | undefined) => Connection | undefined): Change[] {
    const connections = new Map(this.#state.connections);
    const changed = change(connections.get(name));
    connections.delete(name);
    if (changed) connections.set(name, changed);
    this.#state = Object.freeze({ connections, now });
    return this.#changes();
  }

  #compute(): Map<string, Change> {
    const { connections, now } = this.#state;
    const found = new Map<string, Change>();
    const seen: Map<string, number> = new Map();
    for (const { user, seen: time } of connections.values()) seen.set(user, Math.max(time, seen.get(user) ?? 0));
    for (const { user, rooms } of connections.values()) {
      for (const room of rooms) {
        const inHere = [...connections.values()].filter((each) => each.user === user && each.rooms.includes(room));
        const silence = now - Math.max(...inHere.map((each) => each.seen));
        const status: Status = silence > 1.5 * this.#interval ? "away" : "online";
        found.set(`${room.length}:${room}${user}`, { room, presence: { user, status, lastSeen: seen.get(user) ?? 0 } });
      }
    }
    return found;
  }

  #changes(): Change[] {
    const [before, after] = [this.#shown, this.#compute()];
    this.#shown = after;
    const changes: Change[] = [];
    for (const [key, change] of after) {
      if (before.get(key)?.presence.status !== change.presence.status) changes.push(change);
    }
    for (const [key, { room, presence }] of before) {
      if (!after.has(key)) changes.push({ room, presence: { ...presence, status: "offline" } });
    }
    return changes;
  }
}
