/*
 * The teaching page: several people in one window, and every frame between them and the server.
 *
 * What it shows stands in its address, so that a link to it says all: `/?lesson=ordering` is a lesson,
 * `&people=ada,bob,cyd` says who takes part (one name may come twice: that user has two connections), `#red` is the
 * room, and `&server=ws://127.0.0.1:9000` is another server than the one that this page comes from.
 */

import { chatAddress, isName, roomsInAddress } from "./address.js";
import { OrderBoard, outlook, PresenceBoard } from "./boards.js";
import { make, nameTag, set } from "./dom.js";
import { Findings } from "./findings.js";
import { breach, Ledger } from "./judge.js";
import { LESSONS, lessonOf } from "./lessons.js";
import { say } from "./lessonwords.js";
import { LIMITS } from "./limits.js";
import { Panel } from "./panel.js";
import { Person } from "./person.js";
import { Steps } from "./steps.js";
import { language } from "./texts.js";

const PEOPLE = ["ada", "bob", "cyd", "dan", "eve", "fay"];
const AT_FIRST = 3; // of them
const CHECK = 500; // milliseconds between two looks for what should have happened
const TICK = 100; // milliseconds between two drawings of a countdown
const MOMENT = 2; // seconds: what was told to us may be as old as that
const SIZES = [10, 50, 200]; // messages at once; any server takes 200 of one connection
const OURS = ["lesson", "lang", "people", "server", "user"]; // what the server is not told of the address

export function begin() {
  document.documentElement.lang = language;
  const query = new URLSearchParams(location.search);
  const name = Object.hasOwn(LESSONS, query.get("lesson")) ? query.get("lesson") : "presence";
  const styles = make("link", { rel: "stylesheet", href: "lesson.css" });
  const lesson = new Lesson(name, peopleIn(query), serverIn(query), roomsInAddress()[0] ?? name);
  // It is not shown before it looks as it should.
  styles.onload = styles.onerror = () => {
    document.body.replaceChildren(lesson.element);
    lesson.start();
  };
  document.head.append(styles);
}

function peopleIn(query) {
  const names = (query.get("people") ?? "").split(",").filter(isName).slice(0, LIMITS.lessonPeople);
  return names.length ? names : PEOPLE.slice(0, AT_FIRST);
}

function serverIn(query) {
  const asked = query.get("server");
  if (URL.canParse(asked) && ["ws:", "wss:"].includes(new URL(asked).protocol)) return new URL(asked);
  const address = chatAddress();
  for (const each of OURS) address.searchParams.delete(each);
  return address;
}

class Lesson {
  constructor(name, people, address, room) {
    Object.assign(this, { name, address, room });
    this.began = performance.now();
    this.ledger = new Ledger();
    this.findings = new Findings(() => this.changed());
    this.persons = [];
    this.panels = [];
    this.isDue = false;
    this.board = LESSONS[name].board;
    this.now = () => (performance.now() - this.began) / 1000;
    this.presence = new PresenceBoard(this.persons, this.now);
    this.order = new OrderBoard(this.persons, () => this.findings.count === 0);
    for (const each of people) this.add(each);
    this.chosen = this.persons[0]; // whose panel is shown where there is room for one only
    this.element = this.build(lessonOf(name));
    document.title = `${lessonOf(name).title} · ${say("lessons")}`;
  }

  add(user) {
    const same = this.persons.filter((person) => person.user === user).length;
    const person = new Person({
      user,
      label: same ? `${user} ${same + 1}` : user,
      address: this.address,
      room: this.room,
      ledger: this.ledger,
      silence: (name) => this.silenceOf(name),
      now: this.now,
      changed: () => this.changed(),
      found: (...finding) => this.findings.add(...finding),
    });
    this.persons.push(person);
    const id = `person-${this.persons.length}`;
    this.panels.push(
      new Panel(person, { id, burstSize: () => this.burstSize(), changed: () => this.changed() }),
    );
    return person;
  }

  start() {
    for (const panel of this.panels) panel.list.showHeartbeats(this.heartbeats.checked);
    for (const person of this.persons) person.connect();
    setInterval(() => this.board === "presence" && !document.hidden && this.presence.draw(), TICK);
    setInterval(() => this.check(), CHECK);
    document.addEventListener("visibilitychange", () => {
      this.isDue = false; // a drawing that was asked for does not come while the page is hidden
      this.changed();
    });
    this.changed();
  }

  /**
   * Seconds since a user's last sign of life; null if it may be offline for another reason, or is not ours. What we
   * are told now was so a moment ago: whoever came back since then was silent, or gone.
   */
  silenceOf(user) {
    const now = this.now();
    const own = this.persons.filter((person) => person.user === user);
    if (own.some(({ ending, judge }) => now - Math.max(ending?.at ?? -Infinity, judge.leftAt) < MOMENT))
      return null;
    const silence = outlook(this.persons, user, now)?.silence ?? null;
    const gaps = own.filter(({ lastSign }) => now - lastSign < MOMENT).map(({ lastGap }) => lastGap);
    return silence === null ? null : Math.max(silence, ...gaps);
  }

  /** Look for what should have happened by now. */
  check() {
    for (const person of this.persons) person.check();
    for (const person of this.persons) {
      const { silence, interval, timeout } = outlook(this.persons, person.user, this.now());
      const isLate = silence > timeout + interval + MOMENT;
      if (!isLate || person.lateSign === person.lastSign) continue;
      person.lateSign = person.lastSign; // once for each silence
      const { user } = person;
      const others = this.persons.filter((other) => other.user !== user && other.isMember);
      for (const other of others) {
        if (other.judge.seen.get(user)?.status !== "offline")
          other.remark(breach("tooLate", { user, silence }));
      }
    }
  }

  burstSize() {
    return this.sizes ? Number(this.sizes.value) : SIZES[0];
  }

  // The page.

  build({ title, steps }) {
    this.sizes = make("select", { ariaLabel: say("burstSize"), onchange: () => this.changed() });
    this.sizes.append(...SIZES.map((size) => make("option", { value: size }, String(size))));
    this.heartbeats = make("input", { type: "checkbox", checked: LESSONS[this.name].heartbeats });
    this.heartbeats.onchange = () => {
      for (const panel of this.panels) panel.list.showHeartbeats(this.heartbeats.checked);
    };
    this.boardButtons = ["presence", "order"].map((board) => {
      const onclick = () => {
        this.board = board;
        this.changed();
      };
      return [board, make("button", { className: "quiet", onclick }, say(board))];
    });
    const main = make("main", {}, this.buildTools(), this.presence.element, this.order.element);
    main.append(this.findings.element, this.buildTabs(), this.buildPersons());
    this.steps = new Steps(steps, {
      panels: this.panels,
      known: PEOPLE,
      chosen: ({ person }) => this.choose(person),
      sized: (act) => this.size(act),
    });
    return make("div", { id: "lesson" }, this.buildHead(title), this.steps.element, main);
  }

  buildHead(title) {
    const links = Object.keys(LESSONS).map((name) => {
      const link = make("a", { href: this.linkTo(name) }, lessonOf(name).title);
      if (name === this.name) link.ariaCurrent = "page";
      return make("li", {}, link);
    });
    const nav = make("nav", { ariaLabel: say("lessons") }, make("ul", {}, ...links));
    const copy = make("button", { className: "quiet" }, say("link"));
    copy.onclick = async () => {
      history.replaceState(null, "", this.linkTo(this.name));
      try {
        await navigator.clipboard.writeText(location.href);
        copy.textContent = say("copied");
      } catch {
        copy.textContent = say("inAddress"); // without https, a page may not write there
      }
    };
    const room = make("p", { className: "room-name" }, `${say("room")} `, nameTag(this.room));
    return make("header", { className: "head" }, make("h1", {}, title), nav, room, copy);
  }

  /** The address of a lesson with the people of this one. */
  linkTo(name) {
    const link = new URL(location.href);
    link.searchParams.set("lesson", name);
    link.searchParams.set("people", this.persons.map(({ user }) => user).join(","));
    link.hash = name === this.name && this.room !== name ? encodeURIComponent(this.room) : "";
    return link.href;
  }

  buildTools() {
    const everyone = (name, act) =>
      make("button", { className: "quiet", onclick: () => this.panels.forEach(act) }, say(name));
    const all = make(
      "div",
      { className: "all", role: "group", ariaLabel: say("everyone") },
      make("b", {}, say("everyone")),
    );
    this.burstOfAll = everyone("burst", (panel) => panel.act(panel.buttons.burst.textContent));
    all.append(
      this.burstOfAll,
      this.sizes,
      everyone("connect", (panel) => panel.act(say("connect"))),
    );
    const boards = make("div", { className: "boards" }, ...this.boardButtons.map(([, button]) => button));
    const label = make("label", {}, this.heartbeats, ` ${say("heartbeats")}`);
    return make("div", { className: "tools" }, boards, all, label);
  }

  buildTabs() {
    this.tabs = this.panels.map(({ person, id }) => {
      const tab = make("button", { role: "tab" }, nameTag(person.label));
      tab.setAttribute("aria-controls", id);
      tab.onclick = () => this.choose(person);
      return tab;
    });
    const bar = make("div", { className: "tabs", role: "tablist", ariaLabel: say("people") }, ...this.tabs);
    bar.onkeydown = ({ key }) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
      if (!step) return;
      const place = (this.persons.indexOf(this.chosen) + step + this.persons.length) % this.persons.length;
      this.choose(this.persons[place]);
      this.tabs[place].focus();
    };
    return bar;
  }

  buildPersons() {
    const persons = make("div", { className: "persons" }, ...this.panels.map(({ element }) => element));
    persons.style.setProperty("--people", this.panels.length);
    return persons;
  }

  choose(person) {
    this.chosen = person;
    this.changed();
  }

  /** If these are the words for so many messages at once, let it be so many. */
  size(words) {
    const size = SIZES.find((count) => say("burst", { count }) === words);
    if (size) this.sizes.value = size;
  }

  // What is shown.

  changed() {
    if (this.isDue || !this.element?.isConnected) return;
    this.isDue = true;
    if (document.hidden) setTimeout(() => this.draw(), 1000);
    else requestAnimationFrame(() => this.draw());
  }

  draw() {
    this.isDue = false;
    set(this.presence.element, { hidden: this.board !== "presence" });
    set(this.order.element, { hidden: this.board !== "order" });
    for (const [board, button] of this.boardButtons)
      set(button, { ariaPressed: String(board === this.board) });
    set(this.burstOfAll, { textContent: say("burst", { count: this.burstSize() }) });
    if (this.board === "presence") this.presence.draw();
    else this.order.draw();
    this.findings.draw();
    this.steps.draw(this.persons.find(({ greeting }) => greeting)?.greeting ?? {});
    this.panels.forEach((panel, place) => {
      const isChosen = panel.person === this.chosen;
      panel.element.classList.toggle("chosen", isChosen);
      set(this.tabs[place], { ariaSelected: String(isChosen), tabIndex: isChosen ? 0 : -1 });
      panel.draw();
    });
  }
}
