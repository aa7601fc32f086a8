/*
 * The frames of one person, as a list in which one can choose.
 *
 * All rows have the same height: one for each frame, and one for each mark below it. So only the rows that are seen
 * are elements of the page, however many there are, and where they stand is a multiplication.
 */

import { arrange, legible, make, set } from "./dom.js";
import { say } from "./lessonwords.js";
import { tell, seconds } from "./telling.js";

const MARGIN = 8; // rows above and below what is seen
const ARROWS = { out: "→", in: "←" };

export class FrameList {
  /** id: for the elements of the page; chosen: called with the frame that is chosen, or null. */
  constructor(person, { id, chosen, changed }) {
    Object.assign(this, { person, id, chosen, changed });
    this.rows = []; // {key, frame, mark}; the mark is null for the frame itself
    this.taken = 0; // how many frames the person had, in all, when we last looked
    this.selected = null; // the key of a row
    this.isAtEnd = true;
    this.hasHeartbeats = true;
    this.list = make("ol");
    this.box = make("div", { className: "frames", tabIndex: 0, role: "listbox" }, this.list);
    this.box.ariaLabel = say("frames", { name: person.label });
    this.list.role = "presentation";
    this.items = new Map(); // key -> element
    this.newest = make("button", { className: "quiet newest", onclick: () => this.toEnd(), hidden: true });
    this.newest.append(make("span", { ariaHidden: "true" }, "↓ "), say("newest"));
    this.box.onscroll = () => this.scrolled();
    this.box.onkeydown = (event) => this.pressed(event);
    this.list.onclick = ({ target }) => this.choose(Number(target.closest("li")?.dataset.place ?? -1));
    new ResizeObserver(() => this.resized()).observe(this.box);
  }

  /** Pixels of a row: as page.css and the reader's own size of letters make it. */
  get height() {
    this.measured ??= 1.75 * Number.parseFloat(getComputedStyle(document.documentElement).fontSize);
    return this.measured;
  }

  resized() {
    this.measured = null;
    this.changed();
  }

  // What the user does.

  showHeartbeats(hasHeartbeats) {
    this.hasHeartbeats = hasHeartbeats;
    this.rows = [];
    this.taken = this.person.dropped;
    this.items.clear();
    this.changed();
  }

  toEnd() {
    this.isAtEnd = true;
    this.box.focus({ preventScroll: true });
    this.changed();
  }

  scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.box;
    this.isAtEnd = scrollHeight - scrollTop - clientHeight < this.height / 2;
    this.changed();
  }

  pressed(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const { length } = this.rows;
    const place = this.rows.findIndex(({ key }) => key === this.selected);
    const page = Math.floor(this.box.clientHeight / this.height) - 1;
    const steps = {
      ArrowDown: place + 1,
      ArrowUp: place < 0 ? length - 1 : place - 1,
      Home: 0,
      End: length - 1,
    };
    Object.assign(steps, { PageDown: place + page, PageUp: place - page });
    if (event.key === "Escape") return this.choose(-1);
    if (!(event.key in steps) || !length) return;
    event.preventDefault();
    this.choose(Math.max(0, Math.min(length - 1, steps[event.key])));
  }

  /** Choose the row at that place; none if it is -1. */
  choose(place) {
    const row = this.rows[place];
    this.selected = row?.key ?? null;
    if (row) {
      const top = place * this.height;
      const { scrollTop, clientHeight } = this.box;
      if (top < scrollTop) this.box.scrollTop = top;
      else if (top + this.height > scrollTop + clientHeight)
        this.box.scrollTop = top + this.height - clientHeight;
    }
    this.chosen(row?.frame ?? null);
    this.changed();
  }

  // What is shown.

  draw() {
    const { box, height } = this;
    const dropped = this.take();
    const total = this.rows.length * height;
    this.list.style.height = `${total}px`;
    if (this.isAtEnd) box.scrollTop = total;
    else if (dropped) box.scrollTop -= dropped * height; // what one reads stays where it is
    const from = Math.max(0, Math.floor(box.scrollTop / height) - MARGIN);
    const to = Math.min(this.rows.length, Math.ceil((box.scrollTop + box.clientHeight) / height) + MARGIN);
    const old = this.items;
    this.items = new Map();
    for (let place = from; place < to; place += 1) {
      const row = this.rows[place];
      const item = old.get(row.key) ?? this.build(row);
      set(item, { ariaPosInSet: String(place + 1), ariaSetSize: String(this.rows.length) });
      set(item, { ariaSelected: String(row.key === this.selected) });
      if (item.dataset.place !== String(place)) item.dataset.place = place;
      this.items.set(row.key, item);
    }
    this.list.style.paddingTop = `${from * height}px`;
    arrange(this.list, this.rows.length ? [...this.items.values()] : [nothing()]);
    const active = this.items.get(this.selected)?.id ?? "";
    if (box.getAttribute("aria-activedescendant") !== active)
      box.setAttribute("aria-activedescendant", active);
    set(this.newest, { hidden: this.isAtEnd });
  }

  /** Take what is new, and drop what the person has dropped. Returns how many rows that were. */
  take() {
    const { person, rows } = this;
    let dropped = 0;
    while (dropped < rows.length && rows[dropped].key < person.dropped) dropped += 1;
    rows.splice(0, dropped);
    this.taken = Math.max(this.taken, person.dropped);
    for (const frame of person.frames.slice(this.taken - person.dropped)) {
      const key = this.taken;
      this.taken += 1;
      if (frame.type === "heartbeat" && !this.hasHeartbeats && !frame.marks.length) continue;
      if (frame.direction !== "none") rows.push({ key, frame, mark: null });
      frame.marks.forEach((mark, place) => rows.push({ key: key + (place + 1) / 1000, frame, mark }));
    }
    return dropped;
  }

  build({ key, frame, mark }) {
    const item = make("li", { role: "option", id: `${this.id}-${String(key).replace(".", "-")}` });
    if (mark) {
      item.className = `mark ${mark.kind}`;
      item.append(
        make("span", { className: "sign", ariaHidden: "true" }, mark.kind === "breach" ? "✗" : "↳"),
        tell(mark),
      );
      return item;
    }
    const { at, direction, type, gist } = frame;
    const way = say(direction === "out" ? "sent" : "received");
    item.className = direction;
    item.dataset.type = type ?? "";
    item.ariaLabel = `${seconds(at)} s, ${way}: ${type ?? "?"} ${gist}`;
    item.append(
      make("time", {}, seconds(at)),
      make("span", { className: "arrow" }, ARROWS[direction]),
      make("b", {}, legible(type ?? "?")),
      make("bdi", {}, gist),
    );
    return item;
  }
}

const nothing = () =>
  make(
    "li",
    { role: "option", className: "none", ariaDisabled: "true", ariaSelected: "false" },
    say("noFrames"),
  );
