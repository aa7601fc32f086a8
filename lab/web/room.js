/*
 * What one room looks like, worked out from the server's frames. There is no socket here and no page.
 *
 * The server numbers the messages of a room 1, 2, 3 and so on (rule N of the protocol). So a message that
 * comes twice is known by its number, and one that is missing by the hole that it leaves. It is the same with
 * the past: what was said before the oldest message that we have is a hole in front of it.
 */

export const PAGE = 100; // messages: the most that the server sends at once
const SYSTEM = "system"; // says who comes and goes; these notices have no number of their own

export class Room {
  constructor(name) {
    this.name = name;
    this.checked = true; // whether the server still knows what we know of the room
    this.joined = false; // whether the server has let us in, on the present connection
    this.lines = []; // messages and notices in the order in which they are shown
    this.people = new Map(); // user -> {user, status, lastSeen}
    this.seen = null; // the highest number that the user has looked at
    this.asked = null; // the hole {after, before} that the server was asked to fill
    this.lost = new Set(); // the numbers before which the server turned out to have nothing more
    this.forgotten = 0; // how many messages the server once had and has no longer
  }

  get messages() {
    return this.lines.filter((line) => !line.notice);
  }

  /** The number of the first message that we have; 0 if there is none. */
  get oldest() {
    return this.lines.find((line) => !line.notice)?.sequence ?? 0;
  }

  /** The number of the last message that we have; 0 if there is none. */
  get newest() {
    return this.lines.findLast((line) => !line.notice)?.sequence ?? 0;
  }

  /** The highest number up to which nothing is missing: from there on we ask when we come back. */
  get since() {
    return this.hole?.after ?? this.newest;
  }

  /** The first hole between the messages that may still be filled: {after, before}, or null. */
  get hole() {
    let after = this.oldest;
    for (const { sequence } of this.messages) {
      if (sequence > after + 1 && !this.lost.has(sequence)) return { after, before: sequence };
      after = sequence;
    }
    return null;
  }

  /** The page in front of the oldest message, as a hole; null at the room's beginning. */
  get past() {
    const before = this.oldest;
    if (before <= 1 || this.lost.has(before)) return null;
    return { after: Math.max(0, before - 1 - PAGE), before };
  }

  /** How many messages others wrote since the user looked. */
  unread(user) {
    const news = (line) => !line.notice && line.sequence > this.seen && line.user !== user;
    return this.seen === null ? 0 : this.lines.filter(news).length;
  }

  /** Put a message or a notice in its place, unless it is there. */
  add(message) {
    const line = { ...message, notice: message.user === SYSTEM, twice: false };
    // A notice carries the number of the message that it follows.
    const comesAfter = (each) =>
      each.sequence > line.sequence || (each.sequence === line.sequence && each.notice && !line.notice);
    let place = this.lines.length;
    while (place > 0 && comesAfter(this.lines[place - 1])) place -= 1;
    for (let i = place - 1; !line.notice && this.lines[i]?.sequence === line.sequence; i -= 1) {
      if (this.lines[i].id === line.id && this.lines[i].user === line.user) return;
      line.twice = true; // another message under a number that is taken: the server is at fault
    }
    this.lines.splice(place, 0, line);
  }

  /** Take a page of history, which is also the answer to what we asked. */
  takePage(messages) {
    for (const message of messages) this.add(message);
    const { after, before } = this.asked ?? {};
    if (before && !messages.some(({ sequence }) => sequence > after && sequence < before)) {
      this.lost.add(before);
    }
    this.asked = null;
  }

  /** Take a list of who is here; whoever is missing from a full one is offline. */
  takePeople(users, full) {
    if (full) for (const person of this.people.values()) person.status = "offline";
    for (const person of users) this.people.set(person.user, { ...person });
  }

  /** The connection is gone, and with it our membership and what we asked. What we know stays. */
  disconnected() {
    this.joined = false;
    this.asked = null;
  }

  /** The server has lost its messages and counts anew: what we have does not fit to what will come. */
  forget() {
    this.forgotten = this.newest;
    this.lines = [];
    this.lost.clear();
    this.seen = 0;
  }
}
