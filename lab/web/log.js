/*
 * Shows one room's messages, from a Room and the outbox to the list on the page.
 *
 * However many there are, only those near what is looked at are elements of the page: a window over the lines,
 * some screens high. It is moved when one comes near one of its ends. Elements are kept as long as they are in
 * it, and so keep focus and selection. What one reads stays where it is, whatever is added or taken away above;
 * who is at the end stays at the end.
 */

import { arrange, find, set } from "./dom.js";
import { LIMITS } from "./limits.js";
import * as lines from "./lines.js";
import { text } from "./texts.js";

const AT_THE_END = 40; // pixels from the end of the log that count as being there
const LOWEST = 24; // pixels: the height of a line at the least
const MARGIN = 60; // lines in the window above and below what is looked at, and a screen more

export class Log {
  /** client: whose messages wait, and who is asked for more; changed: called to have the log shown again. */
  constructor(client, changed) {
    this.client = client;
    this.changed = changed;
    this.box = find("#log");
    this.list = find("#log ol");
    this.room = null;
    this.isAtEnd = true;
    this.restart();
    this.box.onscroll = () => this.scrolled();
    this.list.onclick = () => this.scrolled(); // what was unfolded may have moved the end away
    this.box.onkeydown = (event) => this.pressed(event);
    // A keyboard that comes up on a telephone, a larger text field or a narrower window changes what fits.
    new ResizeObserver(() => this.restore()).observe(this.box);
    find("#older").onclick = () => client.older(this.room);
  }

  restart() {
    this.rows = new Map(); // line, or entry of the outbox -> what shows it: {item, before, key}
    this.lineOf = new WeakMap(); // element -> line or entry
    this.all = []; // the lines, and then the entries
    this.edges = [null, null]; // the first and the last one in the window
    this.hasFirst = this.hasLast = true; // whether these were the first and the last of all
    this.mark = null; // what is read: the first element that is seen, and where it stands
    this.top = 0; // where we have scrolled to
  }

  // What the user does.

  toEnd() {
    this.letGo();
    this.isAtEnd = true;
    this.changed();
  }

  /** Nobody reads any more what is in the middle of the room. */
  letGo() {
    if (!this.room) return;
    this.room.held = false;
    this.client.skip(this.room);
  }

  toStart() {
    this.isAtEnd = this.hasLast = false;
    this.edges = [null, null];
    arrange(this.list, []); // nothing is being read then
    this.changed();
  }

  pressed(event) {
    if (event.target !== this.box || event.altKey || event.shiftKey) return;
    if (event.key === "Home") this.toStart();
    else if (event.key === "End") this.toEnd();
    else return;
    event.preventDefault();
  }

  scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.box;
    const wentUp = scrollTop < this.top - 1; // then a few pixels are enough to stop following
    const below = scrollHeight - scrollTop - clientHeight;
    this.isAtEnd = this.hasLast && !this.room?.ahead && below < (wentUp ? 2 : AT_THE_END);
    this.top = scrollTop;
    this.remember();
    this.changed();
  }

  // What is shown.

  show(room) {
    const isOther = room !== this.room;
    if (isOther) {
      this.letGo();
      this.room = room;
      this.isAtEnd = true;
      this.restart();
    }
    this.remember();
    const waiting = this.client.outbox.filter((entry) => entry.room === room.name);
    this.all = waiting.length ? [...room.lines, ...waiting] : room.lines;
    const [from, to] = this.window();
    this.hasFirst = from === 0;
    this.hasLast = to === this.all.length;
    const isPast = isOther || (!this.isAtEnd && this.edges[0] !== (this.all[from] ?? null));
    this.edges = [this.all[from] ?? null, this.all[to - 1] ?? null];

    // What comes into the window from the past is not read out as if it were news.
    const ariaBusy = String(isPast || room.asked !== null);
    set(this.box, { ariaLabel: text("messages", { room: room.name }), ariaBusy });
    if (isPast) this.changed();
    const hadFocus = this.list.contains(document.activeElement);
    arrange(this.list, this.elements(from, to));
    this.showTop();
    if (hadFocus && !this.list.contains(document.activeElement)) this.box.focus({ preventScroll: true });
    this.restore();
    room.held = !this.isAtEnd;
    if (this.hasLast && !this.isAtEnd) this.client.newer(room);
    set(find("#newest"), { hidden: this.isAtEnd });
  }

  /** The lines of the window: [the first one's place, the place behind the last one]. */
  window() {
    const { all } = this;
    const reach = MARGIN + Math.ceil(this.box.clientHeight / LOWEST);
    if (this.isAtEnd) return this.stretch(Math.max(0, all.length - 2 * reach), all.length);
    let [first, last] = this.edges.map((line) => all.lastIndexOf(line));
    if (this.hasFirst) first = 0; // who asks for older messages gets them, and may ask again
    const [seen, below] = [0, this.box.clientHeight].map((height) =>
      all.lastIndexOf(this.lineOf.get(this.itemAt(this.box.scrollTop + height))),
    );
    const isNear = (here, edge, end) => edge !== end && Math.abs(here - edge) < reach / 2;
    const stays = first >= 0 && last >= first && last - first < 5 * reach;
    if (stays && !isNear(seen, first, 0) && !isNear(below, last, all.length - 1)) return [first, last + 1];
    const middle = Math.max(0, seen);
    return this.stretch(Math.max(0, middle - reach), Math.min(all.length, Math.max(middle, below) + 1 + reach));
  }

  /** These lines, and those through which a selection goes: who copies a passage wants all of it. */
  stretch(from, to) {
    const selection = getSelection();
    if (selection.isCollapsed || !this.list.contains(selection.anchorNode)) return [from, to];
    const [first, last] = this.edges.map((line) => this.all.lastIndexOf(line));
    const wider = [Math.min(from, first < 0 ? from : first), Math.max(to, last + 1)];
    return wider[1] - wider[0] > LIMITS.selected ? [from, to] : wider;
  }

  elements(from, to) {
    const old = this.rows;
    this.rows = new Map();
    const found = [];
    const { forgotten } = this.room;
    if (from === 0 && forgotten) {
      const remark = old.get(forgotten) ?? lines.remark(text("forgotten", { count: forgotten }));
      this.rows.set(forgotten, remark);
      found.push(remark);
    }
    for (let place = from; place < to; place += 1) {
      const line = this.all[place];
      const row = old.get(line) ?? { item: this.build(line), before: [], key: "" };
      this.rows.set(line, row);
      if (line.sequence !== undefined) this.connect(row, line, this.all[place - 1] ?? null);
      found.push(...row.before, row.item);
    }
    return found;
  }

  build(line) {
    const isEntry = line.sequence === undefined;
    const item = isEntry
      ? lines.waiting(line, this.client)
      : line.notice
        ? lines.notice(line)
        : lines.message(line, line.user === this.client.user);
    this.lineOf.set(item, line);
    return item;
  }

  /** Show what stands between a line and the one before: a new day, or numbers that are missing. */
  connect(row, line, before) {
    const isNewDay = !before || lines.dayOf(before) !== lines.dayOf(line);
    const isLater = line.sequence > this.room.oldest && !line.notice && !line.twice;
    const after = isLater ? this.room.lost.get(line.sequence) : undefined;
    const key = `${isNewDay} ${after}`;
    if (key !== row.key) {
      row.key = key;
      row.before = isNewDay ? [lines.day(line)] : [];
      if (after !== undefined) row.before.push(missing(after + 1, line.sequence - 1));
    }
    const goesOn = row.before.length === 0 && lines.goesOn(line, before);
    if (row.item.classList.contains("goes-on") !== goesOn) row.item.classList.toggle("goes-on", goesOn);
  }

  showTop() {
    const { room, hasFirst } = this;
    const older = find("#older");
    const isHidden = !hasFirst || room.past === null;
    if (isHidden && older.contains(document.activeElement)) this.box.focus({ preventScroll: true });
    set(older, { hidden: isHidden, textContent: text(room.asked ? "loading" : "older") });
    set(find("#top"), { textContent: hasFirst ? topOf(room) : "" });
  }

  // Where one reads.

  /** The line of the list that stands at that height. */
  itemAt(height) {
    const items = this.list.children;
    let [low, high] = [0, items.length];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (items[middle].offsetTop <= height) low = middle;
      else high = middle;
    }
    let item = items[low];
    while (item && !this.lineOf.has(item)) item = item.nextElementSibling; // a new day, or numbers that are missing
    return item;
  }

  /** Note what is read now: the first line that is seen, and how far below the upper edge it begins. */
  remember() {
    const item = this.itemAt(this.box.scrollTop);
    this.mark = item ? { item, height: this.heightOf(item) } : null;
  }

  /** Pixels from the upper edge of what is seen, with their fraction. */
  heightOf(item) {
    return item.getBoundingClientRect().top - this.box.getBoundingClientRect().top;
  }

  /** Scroll to the end, or so that what was read stands where it stood. */
  restore() {
    const { box, mark } = this;
    if (this.isAtEnd) box.scrollTop = box.scrollHeight;
    else if (mark?.item.isConnected) box.scrollTop += this.heightOf(mark.item) - mark.height;
    this.top = box.scrollTop;
  }
}

function missing(from, to) {
  return lines.remark(text(from === to ? "gapOne" : "gap", { from, to }));
}

function topOf(room) {
  if (room.past || (room.asked && !room.oldest)) return "";
  if (room.oldest) return text("beginning");
  return text(room.joined ? "silence" : "joining");
}
