/*
 * What is remarkable about the frames of one person: rules of the protocol that are broken, where they are.
 *
 * There is no socket here and no page. Frames go in, in the order in which they were sent and received; out come
 * marks: {kind, name, values}, of which `name` is that of a text in lessons.js. The kind is "breach" if no server
 * may do this, and "note" if it may but one should look.
 */

import { read, SYSTEM } from "./frames.js";

const REMEMBERED = 20_000; // numbers and ids: what is older is forgotten, and not missed
const LONGEST = 128; // characters of an id or a type: no right one is longer
const IN_FLIGHT = 1; // seconds in which frames may come that were sent before the server had read our `leave`
const FORGIVEN = 0.25; // seconds that a frame may take to us: what looks that much too early is not

/** A Map that forgets what was put in first. */
class Memory extends Map {
  set(key, value) {
    if (this.size >= REMEMBERED && !this.has(key)) this.delete(this.keys().next().value);
    return super.set(key, value);
  }
}

/** Which message the server gave which number, as the first person was told who heard of it. */
export class Ledger extends Memory {
  /** Returns whether somebody was told of another message under this number. */
  contradicts({ sequence, id }) {
    if (!this.has(sequence)) this.set(sequence, id);
    return this.get(sequence) !== id;
  }
}

export class Judge {
  /**
   * room      what the lesson is about
   * ledger    shared by all persons
   * silence   gives the seconds since a user's last sign of life; null if this page does not know
   */
  constructor({ room, ledger, silence }) {
    this.room = room;
    this.ledger = ledger;
    this.silence = silence;
    this.user = ""; // who we are, as the server says
    this.timeout = Infinity; // seconds of silence after which somebody is offline
    this.highest = 0; // the highest number that we ever had: what one tells as `since`
    this.last = null; // the number that the next one must follow; null if any may come
    this.replays = false; // whether a join without `since` may bring again what we had
    this.isMember = false;
    this.leftAt = -Infinity; // seconds
    this.had = new Memory(); // number -> id
    this.own = new Memory(); // id of a message of ours -> the number that it came back with
    this.sent = new Memory(); // id -> how often we sent it
    this.seen = new Map(); // user -> {status, lastSeen, at}: what we were told
  }

  /** We enter the room, and have all up to `since`; undefined if we do not say. */
  join(since) {
    this.isMember = true;
    this.last = since ?? null;
    this.replays = since === undefined;
    this.seen.clear();
  }

  leave(at) {
    this.isMember = false;
    this.leftAt = at;
    this.seen.clear();
  }

  say(id) {
    this.sent.set(id, (this.sent.get(id) ?? 0) + 1);
  }

  /** Take a frame of the server. Returns {type, data, marks, numbers: [{number, user, kind}]}. */
  hear(received, at) {
    const { type, data, flaw } = read(received);
    const marks = [];
    const numbers = [];
    if (flaw) marks.push(breach("unreadable", { flaw }));
    else if (data === null) marks.push(breach("unknownType", { type: type.slice(0, LONGEST) }));
    if (data?.room !== undefined && this.isForeign(data.room, at)) {
      marks.push(breach("foreign", { room: data.room }));
    } else if (type === "message" && data) {
      this.number([data], marks, numbers);
    } else if (type === "history" && data) {
      if (this.isMember && data.last !== null && data.last < (this.last ?? 0)) {
        marks.push(breach("forgot", { last: data.last, had: this.last }));
      }
      this.number(data.messages, marks, numbers);
      if (data.messages.length) this.replays = false;
    } else if (type === "presence" && data) {
      this.meet(data, marks, at);
    }
    return { type, data, marks, numbers };
  }

  isForeign(room, at) {
    if (room !== this.room) return true;
    return !this.isMember && at - this.leftAt > IN_FLIGHT;
  }

  /** Look at the numbers of messages. Of what happens to many in one frame, the first is told, and how many. */
  number(messages, marks, numbers) {
    const told = new Map(); // name -> mark
    for (const message of messages) {
      if (message.user === SYSTEM) continue;
      const mark = this.look(message);
      numbers.push({ number: message.sequence, user: message.user, kind: mark?.kind ?? "right" });
      if (!mark) continue;
      const first = told.get(mark.name);
      if (first) first.more += 1;
      else told.set(mark.name, mark);
    }
    marks.push(...told.values());
  }

  look({ sequence: number, id: whole, user }) {
    const { last } = this;
    const id = whole.slice(0, LONGEST);
    const known = this.had.get(number);
    const before = user === this.user ? this.own.get(id) : undefined;
    if (user === this.user && before === undefined) this.own.set(id, number);
    const differs = this.ledger.contradicts({ sequence: number, id });
    this.had.set(number, id);
    this.highest = Math.max(this.highest, number);
    this.last = Math.max(last ?? 0, number);
    if (before !== undefined && before !== number) return breach("storedTwice", { number, before });
    if (known !== undefined && known !== id) return breach("reused", { number });
    if (differs) return breach("differs", { number });
    if (last === null || number === last + 1) {
      if (!this.replays) return null;
      return known === id ? note("comesAgain", { number }) : null;
    }
    if (number > last + 1) {
      const [from, to] = [last + 1, number - 1];
      return breach(from === to ? "gapOne" : "gap", { number, last, from, to });
    }
    if (known === undefined) return breach("late", { number, last });
    if (user === this.user && this.sent.get(id) > 1) return note("retry", { number });
    return breach("repeated", { number, last });
  }

  meet({ users, full }, marks, at) {
    const isFull = full ?? users.some(({ user }) => user === this.user);
    if (isFull) {
      const listed = new Set(users.map(({ user }) => user));
      if (this.isMember && !listed.has(this.user)) marks.push(breach("notListed", { user: this.user }));
      for (const [user, { status }] of this.seen) {
        if (!listed.has(user) && status !== "offline")
          this.seen.set(user, { status: "offline", lastSeen: null, at });
      }
    }
    for (const { user, status, lastSeen } of users) {
      const silence = this.silence(user);
      if (status === "offline" && silence !== null && silence < this.timeout - FORGIVEN) {
        marks.push(breach("tooSoon", { user, silence, timeout: this.timeout }));
      }
      if (this.seen.get(user)?.status !== status) this.seen.set(user, { status, lastSeen, at });
      else this.seen.get(user).lastSeen = lastSeen;
    }
  }
}

export const breach = (name, values) => ({ kind: "breach", name, values, more: 0 });
const note = (name, values) => ({ kind: "note", name, values, more: 0 });
