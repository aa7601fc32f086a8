/* Shows one room's messages: from a Room and the outbox to the list on the page. */

import { arrange, make, paintAvatar } from "./dom.js";
import { explain, locale, text } from "./texts.js";

const TOGETHER = 5 * 60 * 1000; // ms: what one user says within it stands under one name
const clock = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit" });
const calendar = new Intl.DateTimeFormat(locale, { weekday: "long", day: "numeric", month: "long" });

/** The time of day, as in 14:05. */
export const timeOfDay = (milliseconds) => clock.format(milliseconds);

export class Log {
  /** list: the <ol>; client: whose messages wait, and who is asked to say a refused one again. */
  constructor(list, client) {
    this.list = list;
    this.client = client;
    this.items = new Map(); // key -> the element that shows it
    this.room = null;
  }

  /** Show a room as it is now. Elements that are there already stay, and keep focus and selection. */
  show(room) {
    if (room !== this.room) this.items.clear();
    this.room = room;
    const before = this.items;
    this.items = new Map();
    const keep = (key, build) => {
      const item = before.get(key) ?? build();
      this.items.set(key, item);
      return item;
    };
    this.showForgotten(room, keep);
    this.showLines(room, keep);
    for (const entry of this.client.outbox) {
      if (entry.room === room.name) this.showWaiting(entry, keep);
    }
    arrange(this.list, [...this.items.values()]);
  }

  showForgotten({ forgotten }, keep) {
    if (forgotten) keep(`forgotten ${forgotten}`, () => remark(text("forgotten", { count: forgotten })));
  }

  showLines(room, keep) {
    let day = null;
    let last = null; // the message before
    let by = null; // who wrote it, unless a day or a notice begins in between
    for (const line of room.lines) {
      if (calendar.format(line.timestamp) !== day) {
        day = calendar.format(line.timestamp);
        by = null;
        keep(`day ${line.id}`, () => make("li", { className: "day" }, day));
      }
      if (line.notice) {
        by = null;
        keep(`notice ${line.id}`, () => notice(line));
        continue;
      }
      if (last && line.sequence > last.sequence + 1 && room.lost.has(line.sequence)) {
        by = null;
        this.showHole(last.sequence + 1, line.sequence - 1, keep);
      }
      const item = keep(`message ${line.sequence} ${line.id} ${line.user}`, () => this.message(line));
      const goesOn = by === line.user && line.timestamp - last.timestamp < TOGETHER;
      item.classList.toggle("goes-on", goesOn);
      last = line;
      by = line.user;
    }
  }

  showHole(from, to, keep) {
    const name = from === to ? "gapOne" : "gap";
    keep(`hole ${from} ${to}`, () => remark(text(name, { from, to })));
  }

  message(line) {
    const avatar = make("span", { className: "avatar", ariaHidden: "true" });
    paintAvatar(avatar, line.user);
    const time = make("time", { dateTime: new Date(line.timestamp).toISOString() }, timeOfDay(line.timestamp));
    const item = make(
      "li",
      { className: "message" },
      avatar,
      make("p", { className: "by" }, make("bdi", {}, line.user), " ", time),
      make("p", { className: "content", dir: "auto" }, line.content),
      make("span", { className: "number" }, `#${line.sequence}`),
    );
    item.dataset.sequence = line.sequence;
    item.classList.toggle("own", line.user === this.client.user);
    if (line.twice) item.append(make("p", { className: "flaw" }, text("twice")));
    return item;
  }

  showWaiting(entry, keep) {
    const { id, content, refused } = entry;
    keep(`waiting ${id} ${refused ? "refused" : ""}`, () => {
      const item = make(
        "li",
        { className: refused ? "message refused" : "message waiting" },
        make("p", { className: "content", dir: "auto" }, content),
      );
      if (refused) {
        item.append(
          make("p", { className: "flaw" }, explain(refused)),
          make("button", { className: "quiet", onclick: () => this.client.sayAgain(id) }, text("sayAgain")),
          make("button", { className: "quiet", onclick: () => this.client.discard(id) }, text("discard")),
        );
      } else {
        item.append(make("span", { className: "number" }, text("sending")));
      }
      return item;
    });
  }
}

function notice(line) {
  const time = timeOfDay(line.timestamp);
  return make("li", { className: "notice" }, make("bdi", {}, line.content), " ", make("time", {}, time));
}

function remark(words) {
  return make("li", { className: "flaw" }, words);
}
