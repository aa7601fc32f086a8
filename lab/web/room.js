/*
 * What one room looks like, worked out from the server's frames. There is no socket here and no page.
 *
 * The server numbers the messages of a room 1, 2, 3 and so on (rule N of the protocol). So a message that
 * comes twice is known by its number, and one that is missing by the hole that it leaves. It is the same with
 * the past: what was said before the oldest message that we have is a hole in front of it.
 *
 * A room has only so much memory. If it is used up the oldest lines are dropped, and belong to the past again.
 * As long as somebody reads there (`held`), nothing is dropped: then it is the newest messages that wait on the
 * server, and are a hole behind those that we have.
 */

import { SYSTEM } from "./frames.js";
import { LIMITS } from "./limits.js";
import { People } from "./people.js";

export const PAGE = 100; // messages: the most that the server sends at once
const TWINS = 1000; // messages under one number among which a repeated one is known

const weightOf = (line) => LIMITS.line + line.content.length;

export class Room {
  constructor(name) {
    this.name = name;
    this.checked = true; // whether the server still knows what we know of the room
    this.entered = false; // whether we have asked to be let in, on the present connection
    this.joined = false; // whether the server has let us in
    this.people = new People();
    this.seen = null; // the highest number that the user has looked at
    this.unread = 0; // how many messages others have said since then
    this.asked = null; // the hole {after, before} that the server was asked to fill
    this.forgotten = 0; // how many messages the server once had and has no longer
    this.held = false; // whether somebody reads here, and not at the end
    this.most = LIMITS.memory; // the weight from which on there is no more memory
    this.clear();
  }

  clear() {
    this.lines = []; // messages and notices in the order in which they are shown
    this.weight = 0; // of all lines
    this.oldest = 0; // the number of the first message that we have; 0 if there is none
    this.newest = 0; // the number of the last one
    this.ahead = 0; // the highest number of those that wait on the server because we are full; 0 if none does
    this.dropped = 0; // the highest number that we had and dropped
    this.holes = new Map(); // a number -> the one that we have before it, if what is between may still be had
    this.lost = new Map(); // likewise, if the server turned out to have nothing between them
    this.asked = null;
  }

  /** The highest number up to which nothing is missing: from there on we ask when we come back. */
  get since() {
    let since = this.newest;
    for (const after of this.holes.values()) since = Math.min(since, after);
    return since;
  }

  /** A hole between the messages that may still be filled: {after, before}, or null. */
  get hole() {
    for (const [before, after] of this.holes) return { after, before };
    return null;
  }

  /** The page in front of the oldest message, as a hole; null at the room's beginning. */
  get past() {
    const before = this.oldest;
    if (before <= 1 || this.lost.has(before)) return null;
    return { after: Math.max(0, before - 1 - PAGE), before };
  }

  /** The page behind the newest message, as a hole; null if we have all that was said. */
  get next() {
    return this.ahead > this.newest ? { after: this.newest, before: this.newest + 1 + PAGE } : null;
  }

  /** Take a message or a notice that is said now. Returns whether it is a new one. */
  hear(message) {
    const isNew = this.isFull(message) ? this.leaveThere(message) : this.add(message);
    this.trim();
    return isNew;
  }

  /** Take a page of history, which is also the answer to what we asked. Returns the new messages. */
  takePage(messages) {
    const { after, before } = this.asked ?? {};
    const isAsked = ({ sequence }) => sequence > after && sequence < before;
    const added = messages.filter((message) => {
      if (isAsked(message)) return this.add(message);
      if (message.sequence !== null && message.sequence <= this.dropped) return false;
      return this.isFull(message) ? this.leaveThere(message) : this.add(message);
    });
    if (before && !messages.some(isAsked)) this.giveUp(after, before);
    if (this.newest >= this.ahead) this.ahead = 0;
    this.asked = null;
    this.trim();
    return added;
  }

  /** There is nothing in this hole. */
  giveUp(after, before) {
    if (before > this.newest) {
      this.ahead = 0;
    } else {
      this.lost.set(before, this.holes.get(before) ?? after);
      this.holes.delete(before);
    }
  }

  /** Whether a message has to wait, lest what is read now be dropped for it. */
  isFull({ sequence }) {
    return this.held && (sequence ?? Infinity) > this.newest && (this.ahead > 0 || this.weight > this.most);
  }

  leaveThere({ sequence }) {
    this.ahead = Math.max(this.ahead, sequence ?? 0);
    return true;
  }

  /** Put a message or a notice in its place. Returns false if it is there. */
  add(message) {
    const line = { ...message, notice: message.user === SYSTEM, twice: false };
    line.sequence ??= this.newest;
    const place = this.placeOf(line);
    for (let i = place - 1; !line.notice && this.lines[i]?.sequence === line.sequence; i -= 1) {
      if (this.lines[i].id === line.id && this.lines[i].user === line.user) return false;
      line.twice = true; // another message under a number that is taken: the server is at fault
      if (place - i > TWINS) break;
    }
    this.lines.splice(place, 0, line);
    this.weight += weightOf(line);
    if (!line.notice && !line.twice) this.note(line.sequence, place);
    return true;
  }

  /** Where a line belongs. A notice carries the number of the message that it follows. */
  placeOf({ sequence, notice }) {
    let [low, high] = [0, this.lines.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      const each = this.lines[middle];
      if (each.sequence > sequence || (each.sequence === sequence && each.notice && !notice)) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** Note which holes a message of that number makes or fills. */
  note(number, place) {
    if (this.oldest === 0) {
      this.oldest = this.newest = number;
    } else if (number > this.newest) {
      if (number > this.newest + 1) this.holes.set(number, this.newest);
      this.newest = number;
    } else if (number < this.oldest) {
      const gaps = this.lost.has(this.oldest) ? this.lost : this.holes;
      if (number < this.oldest - 1) gaps.set(this.oldest, number);
      else gaps.delete(this.oldest);
      this.oldest = number;
      this.dropped = Math.min(this.dropped, number - 1);
    } else {
      let next = place + 1;
      while (this.lines[next]?.notice) next += 1;
      this.split(number, this.lines[next].sequence);
    }
  }

  /** A message came into the hole before that number: there is one on each of its sides now, or none. */
  split(number, before) {
    for (const gaps of [this.holes, this.lost]) {
      const after = gaps.get(before);
      if (after === undefined) continue;
      gaps.delete(before);
      if (after < number - 1) gaps.set(number, after);
      if (number < before - 1) gaps.set(before, number);
    }
  }

  /** Drop the oldest lines if there is no more memory: a tenth, so that it is seldom done. */
  trim() {
    if (this.held || this.weight <= this.most) return;
    let count = 0;
    while (this.weight > 0.9 * this.most && count < this.lines.length - 1) {
      this.weight -= weightOf(this.lines[count]);
      count += 1;
    }
    const isMessage = (line) => !line.notice;
    const dropped = this.lines.splice(0, count);
    let first = this.lines.find(isMessage);
    if (!first && (first = dropped.findLast(isMessage))) {
      this.lines.unshift(first); // one is kept: from it on we ask
      this.weight += weightOf(first);
    }
    if (!first) return;
    this.oldest = first.sequence;
    this.dropped = this.oldest - 1;
    for (const gaps of [this.holes, this.lost]) {
      for (const before of gaps.keys()) if (before <= this.oldest) gaps.delete(before);
    }
    if (this.asked?.before <= this.oldest) this.asked = null;
  }

  /** The connection is gone, and with it our membership and what we asked. What we know stays. */
  disconnected() {
    this.entered = this.joined = false;
    this.asked = null;
  }

  /** The server has lost its messages and counts anew: what we have does not fit to what will come. */
  forget() {
    this.forgotten = this.newest;
    this.clear();
    this.seen = this.unread = 0;
  }
}
