/* The rules that were broken: how often, and the last times. */

import { arrange, legible, make, set } from "./dom.js";
import { say } from "./lessonwords.js";
import { LIMITS } from "./limits.js";
import { seconds, tell } from "./telling.js";
import { locale } from "./texts.js";

export class Findings {
  /** changed: is called when there is something new to show. */
  constructor(changed) {
    this.count = 0;
    this.last = []; // {person, frame, mark}, the newest one at the end
    this.items = new Map(); // each of these -> its line
    this.drawn = "";
    this.words = make("span", { role: "status" });
    this.list = make("ol", { tabIndex: 0, ariaLabel: say("findings") });
    this.element = make("details", { className: "findings" }, make("summary", {}, this.words), this.list);
    this.element.ontoggle = changed;
  }

  add(person, frame, mark) {
    this.count += 1;
    this.last.push({ person, frame, mark });
    this.last.splice(0, this.last.length - LIMITS.lessonFindings);
  }

  draw() {
    const { count, last, element } = this;
    const key = `${count} ${element.open}`;
    if (this.drawn === key) return;
    this.drawn = key;
    element.dataset.found = count > 0;
    set(this.words, { textContent: this.summary() });
    if (!element.open) return;
    const old = this.items;
    this.items = new Map(last.map((each) => [each, old.get(each) ?? make("li", {}, line(each))]));
    const older = count - last.length;
    const note = older ? [make("li", {}, say("older", { count: older.toLocaleString(locale) }))] : [];
    arrange(this.list, [...[...this.items.values()].reverse(), ...note]);
  }

  summary() {
    if (!this.count) return say("noFindings");
    const count = this.count.toLocaleString(locale);
    return `${say(this.count === 1 ? "findingOne" : "findingMany", { count })} · ${line(this.last.at(-1))}`;
  }
}

const line = ({ person, frame, mark }) => `${seconds(frame.at)} s, ${legible(person.label)}: ${tell(mark)}`;
