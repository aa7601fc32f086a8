/* What concerns all persons: who is there, as each was told; and the numbers, as each received them. */

import { arrange, legible, make, nameTag, paint, set } from "./dom.js";
import { say } from "./lessonwords.js";
import { seconds } from "./telling.js";
import { timeOfDay } from "./lines.js";

const AWAY = 1.5; // heartbeat intervals of silence after which a server may show somebody as away
const MANY = 20; // users in the table who are not of this page

/**
 * What a user's silence means, by what this page knows: it sent the user's frames, so it knows when the last one
 * was. {name, values} of a text; `silence` in seconds, or null if there is no countdown.
 */
export function outlook(persons, user, now) {
  const own = persons.filter((person) => person.user === user);
  if (!own.length) return null;
  const open = own.filter((person) => person.state === "open");
  const inRoom = open.filter((person) => person.isMember);
  if (!open.length) {
    const ends = own.map(({ ending }) => ending?.at).filter((at) => at !== undefined);
    if (!ends.length) return { name: "isConnecting", values: {}, silence: null };
    return { name: "gone", values: { ago: seconds(now - Math.max(...ends)) }, silence: null };
  }
  if (!inRoom.length) return { name: "notHere", values: {}, silence: null };
  const silence = now - Math.max(...inRoom.map(({ lastSign }) => lastSign));
  const { interval, timeout } = inRoom[0].greeting;
  const isLate = silence > 1.2 * interval || inRoom.every(({ isSilent }) => isSilent);
  const away = AWAY * interval - silence;
  const values = {
    silence: seconds(silence),
    left: seconds(silence < timeout ? timeout - silence : timeout + interval - silence),
    away: seconds(Math.max(0, away)),
    late: seconds(silence - timeout - interval),
  };
  let name = "signAgo";
  if (silence > timeout + interval) name = "overdue";
  else if (silence > timeout) name = "due";
  else if (isLate) name = away > 0 && AWAY * interval < timeout ? "countdownAway" : "countdown";
  return { name, values, silence, interval, timeout };
}

/** A table: for each user the countdown, and the status that each person was told. */
export class PresenceBoard {
  constructor(persons, now) {
    Object.assign(this, { persons, now });
    this.rows = new Map(); // user -> {row, words, bar, cells}
    this.columns = "";
    this.head = make("tr");
    this.body = make("tbody");
    const table = make("table", {}, make("thead", {}, this.head), this.body);
    table.ariaLabel = say("presence");
    this.intervals = make("p", { className: "intervals" });
    const more = make("details", {}, make("summary", {}, say("limits")), make("p", {}, say("limitsText")));
    const scroll = make(
      "div",
      { className: "wide", tabIndex: 0, role: "region", ariaLabel: say("presence") },
      table,
    );
    this.element = make(
      "div",
      { className: "board presence" },
      scroll,
      make("div", { className: "fine" }, this.intervals, more),
    );
  }

  draw() {
    const columns = this.persons.map(({ label }) => label).join("\n");
    if (columns !== this.columns) {
      this.columns = columns;
      this.rows.clear();
      this.head.replaceChildren(
        make("th", { scope: "col" }, say("who")),
        make("th", { scope: "col" }, say("signs")),
        ...this.persons.map(({ label }) =>
          make("th", { scope: "col" }, say("toldTo", { name: legible(label) })),
        ),
      );
    }
    const users = this.users();
    for (const user of users) if (!this.rows.has(user)) this.rows.set(user, this.build(user));
    arrange(
      this.body,
      users.map((user) => this.rows.get(user).row),
    );
    for (const user of users) this.drawRow(user);
    this.drawIntervals();
  }

  /** Those of this page first, and then the others of whom somebody was told. */
  users() {
    const own = new Set(this.persons.map(({ user }) => user));
    const others = new Set(this.persons.flatMap(({ judge }) => [...judge.seen.keys()]));
    return [...own, ...[...others].filter((user) => !own.has(user)).slice(0, MANY)];
  }

  build(user) {
    const words = make("span");
    const bar = make("span", { className: "bar", ariaHidden: "true" }, make("i"), make("i"), make("i"));
    const cells = this.persons.map(() => make("td", { className: "status" }));
    const row = make(
      "tr",
      {},
      make("th", { scope: "row" }, nameTag(user)),
      make("td", {}, bar, words),
      ...cells,
    );
    row.dataset.user = user;
    return { row, words, bar, cells };
  }

  drawRow(user) {
    const { words, bar, cells, row } = this.rows.get(user);
    const now = this.now();
    const seen = outlook(this.persons, user, now);
    const told = this.persons.map((person) => (person.isMember ? person.judge.seen.get(user) : undefined));
    set(words, { textContent: seen ? say(seen.name, seen.values) : elsewhere(told) });
    const stage = seen?.name ?? "elsewhere";
    if (row.dataset.stage !== stage) row.dataset.stage = stage;
    set(bar, { hidden: seen?.silence == null });
    if (!bar.hidden) drawBar(bar, seen);
    cells.forEach((cell, place) => {
      const status = told[place]?.status ?? "none";
      if (cell.dataset.status !== status) cell.dataset.status = status;
      set(cell, { textContent: status === "none" ? "–" : say(status) });
      set(cell, { title: told[place] ? `${seconds(told[place].at)} s` : say("nothingTold") });
    });
  }

  drawIntervals() {
    const greeting = this.persons.find((person) => person.greeting)?.greeting;
    if (!greeting) return;
    const { interval, timeout, isTold } = greeting;
    const words = say(isTold ? "intervals" : "assumed", { interval, timeout });
    set(this.intervals, { textContent: timeout > 20 ? `${words} ${say("slow")}` : words });
  }
}

/** Somebody of whom this page knows only what it was told. */
function elsewhere(told) {
  const last = Math.max(0, ...told.map((each) => each?.lastSeen ?? 0));
  return last ? say("elsewhere", { time: timeOfDay(last) }) : say("noClock");
}

/** How long the silence is, of all that can be; with marks where away and offline begin. */
function drawBar(bar, { silence, interval, timeout }) {
  const whole = timeout + interval;
  const [filled, away, offline] = bar.children;
  filled.style.transform = `scaleX(${Math.min(1, silence / whole)})`;
  away.style.left = `${(100 * AWAY * interval) / whole}%`;
  offline.style.left = `${(100 * timeout) / whole}%`;
}

/** For each person the numbers, as they came. */
export class OrderBoard {
  constructor(persons, isRight) {
    Object.assign(this, { persons, isRight });
    this.rows = new Map(); // person -> {item, list, chips, drawn}
    this.verdict = make("p", { className: "verdict" });
    this.list = make("ul", { className: "numbers" });
    this.element = make("div", { className: "board order" }, this.list, this.verdict);
  }

  draw() {
    for (const person of this.persons) {
      if (!this.rows.has(person)) this.rows.set(person, build(person));
      drawNumbers(this.rows.get(person), person.numbers);
    }
    arrange(
      this.list,
      this.persons.map((person) => this.rows.get(person).item),
    );
    const [words, isRight] = this.judge();
    set(this.verdict, { textContent: words });
    this.verdict.dataset.right = isRight;
  }

  judge() {
    const newest = this.persons.map(({ judge }) => judge.highest);
    const last = Math.max(0, ...newest);
    if (!this.isRight()) return [say("different"), "no"];
    if (!last) return [say("nothingYet"), ""];
    const least = Math.min(...newest);
    if (least === last) return [say("same", { last }), "yes"];
    const { label } = this.persons[newest.indexOf(least)];
    return [say("behind", { name: legible(label), least, last }), ""];
  }
}

function build(person) {
  const list = make("ol", { tabIndex: 0, ariaLabel: say("numbersOf", { name: person.label }) });
  list.role = "list";
  const item = make("li", {}, make("b", {}, nameTag(person.label)), list);
  item.dataset.person = person.label;
  return { item, list, chips: new Map() };
}

function drawNumbers(row, numbers) {
  if (row.drawn === numbers.at(-1)) return;
  row.drawn = numbers.at(-1);
  const old = row.chips;
  row.chips = new Map(numbers.map((each) => [each, old.get(each) ?? chip(each)]));
  arrange(row.list, [...row.chips.values()]);
  row.list.scrollLeft = row.list.scrollWidth;
}

function chip({ number, user, kind }) {
  const item = make("li", { className: kind, title: legible(user) }, String(number));
  paint(item, user);
  return item;
}
