/* Who is in a room, in the order in which they are shown: who is here, by name, and then who has just gone. */

import { LIMITS } from "./limits.js";
import { locale } from "./texts.js";

const collator = new Intl.Collator(locale);
const MANY = 100; // changes at once after which to sort again is quicker than to put each in its place

/** Who is here comes before who is away; names that the language takes for equal have an order all the same. */
function compare(a, b) {
  if (a.status !== b.status) return a.status === "online" ? -1 : 1;
  return collator.compare(a.user, b.user) || (a.user < b.user ? -1 : Number(a.user > b.user));
}

export class People {
  constructor() {
    this.most = LIMITS.names;
    this.isCut = false; // whether there are more than we keep
    this.here = new Map(); // user -> {user, status, lastSeen}
    this.gone = new Map(); // likewise, with `since`: in the order in which they went
    this.sorted = []; // who is here; null if it has to be sorted anew
    this.version = 0; // is another one after each change
  }

  /** Take a list of changes, or of everybody: whoever is missing from a full one is offline. */
  take(users, isFull) {
    this.version += 1;
    if (isFull || users.length > MANY) this.sorted = null;
    if (isFull) {
      const listed = new Set(users.map(({ user }) => user));
      for (const person of this.here.values()) if (!listed.has(person.user)) this.drop(person);
      this.isCut = false;
    }
    for (const person of users) {
      if (person.status === "offline") this.drop(person);
      else this.put(person);
    }
    this.tidy();
  }

  put(person) {
    const old = this.here.get(person.user);
    if (!old && this.here.size >= this.most) {
      this.isCut = true;
      return;
    }
    this.unsort(old);
    this.gone.delete(person.user);
    this.here.set(person.user, person);
    this.sorted?.splice(this.placeOf(person), 0, person);
  }

  drop(person) {
    this.unsort(this.here.get(person.user));
    this.here.delete(person.user);
    this.gone.delete(person.user); // so that it comes last
    this.gone.set(person.user, { ...person, status: "offline", since: Date.now() });
    if (this.gone.size > LIMITS.gone) this.gone.delete(this.gone.keys().next().value);
  }

  /** Forget who has been gone for long. */
  tidy() {
    for (const { user, since } of this.gone.values()) {
      if (Date.now() - since < LIMITS.goneFor) return;
      this.gone.delete(user);
      this.version += 1;
    }
  }

  unsort(person) {
    if (person) this.sorted?.splice(this.placeOf(person), 1);
  }

  /** Where a person stands in `sorted`, or would stand. */
  placeOf(person) {
    let [low, high] = [0, this.sorted?.length ?? 0];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (compare(this.sorted[middle], person) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The first of them, at most as many as that; of those who are gone, the last one first. */
  first(count) {
    this.sorted ??= [...this.here.values()].sort(compare);
    return [...this.sorted.slice(0, count), ...[...this.gone.values()].reverse()].slice(0, count);
  }

  get size() {
    return this.here.size + this.gone.size;
  }
}
