// Arrays, sorted when they are needed; what was shown last is kept as text, and compared.

import type { Change, Presence, PresenceManager as Contract, Status } from "./types.js";

type Connection = { name: string; user: string; seen: number; rooms: string[] };

export class PresenceManager implements Contract {
  private connections: Connection[] = [];
  private last = new Map<string, number>(); // each user's last sign of life
  private before: Array<[room: string, user: string]> = [];

  constructor(
    private readonly interval: number,
    private readonly timeout: number,
    readonly label: string = "presence",
  ) {
    if (interval > timeout) throw new RangeError(this.label);
  }

  connected(name: string, user: string, now: number): Change[] {
    this.connections = this.connections.filter((each) => each.name !== name);
    this.connections.push({ name, user, seen: now, rooms: [] });
    return this.changes();
  }

  seen(connection: string, now: number): Change[] {
    const found = this.connections.find(({ name }) => name === connection);
    if (found !== undefined) found.seen = now;
    return [];
  }

  joined(connection: string, room: string, now: number): Change[] {
    this.seen(connection, now);
    const found = this.connections.find(({ name }) => name === connection);
    if (found && found.rooms.indexOf(room) === -1) found.rooms = found.rooms.concat(room);
    return this.changes();
  }

  left(connection: string, room: string, now: number): Change[] {
    this.seen(connection, now);
    const found = this.connections.find(({ name }) => name === connection);
    if (found) found.rooms = found.rooms.filter((each) => each !== room);
    return this.changes();
  }

  lost(connection: string, now: number): Change[] {
    this.seen(connection, now); // its last sign of life
    this.remember();
    this.connections = this.connections.filter(({ name }) => name !== connection);
    return this.changes();
  }

  sweep(now: number): Change[] {
    this.remember();
    this.connections = this.connections.filter(({ seen }) => now - seen <= this.timeout);
    return this.changes();
  }

  inRoom(room: string, _now?: number): Presence[] {
    this.remember();
    return this.pairs()
      .filter(([each]) => each === room)
      .map(([, user]) => this.presence(user, "online"));
  }

  isConnected(connection: string): boolean {
    return this.connections.some(({ name }) => name === connection);
  }

  private remember(): void {
    for (const { user, seen } of this.connections) this.last.set(user, Math.max(seen, this.last.get(user) ?? 0));
  }

  private pairs(): Array<[string, string]> {
    const all = this.connections.flatMap(({ user, rooms }) => rooms.map((room) => JSON.stringify([room, user])));
    return [...new Set(all)].sort().map((pair) => JSON.parse(pair) as [string, string]);
  }

  private presence(user: string, status: Status): Presence {
    return { user, status, lastSeen: this.last.get(user) ?? 0 };
  }

  private changes(): Change[] {
    this.remember();
    const [before, after] = [this.before, this.pairs()];
    this.before = after;
    const isIn = (pairs: Array<[string, string]>, [room, user]: [string, string]) =>
      pairs.some(([r, u]) => r === room && u === user);
    return [
      ...after.filter((pair) => !isIn(before, pair)).map(([room, user]) => ({ room, presence: this.presence(user, "online") })),
      ...before.filter((pair) => !isIn(after, pair)).map(([room, user]) => ({ room, presence: this.presence(user, "offline") })),
    ];
  }
}
