/* The steps of a lesson, beside the people. */

import { make } from "./dom.js";
import { say } from "./lessonwords.js";
import { acts, marked } from "./telling.js";

const WIDE = 960; // pixels of the window from which on there is room for the steps

export class Steps {
  /**
   * steps    [[id, words]], as in lessons.js
   * panels   of all people
   * known    names of people of whom the steps may speak
   * chosen   is called with the panel of a person who does something
   * sized    is called with each thing to press, before it is pressed: it may be so many messages at once
   */
  constructor(steps, { panels, known, chosen, sized }) {
    Object.assign(this, { panels, known, chosen, sized });
    this.items = steps.map(([id, words], place) => this.build(id, words, place + 1));
    const list = make("ol", {}, ...this.items.map(({ item }) => item));
    const details = make("details", { open: innerWidth > WIDE }, make("summary", {}, say("steps")), list);
    this.element = make("aside", { ariaLabel: say("steps") }, details);
    this.drawn = "";
  }

  build(id, words, number) {
    const text = make("p");
    const todo = make("button", { className: "quiet", ariaLabel: say("doStep", { number }) }, say("doIt"));
    const item = make("li", {}, text, todo);
    item.dataset.step = id;
    todo.hidden = !this.canDo(words);
    todo.onclick = () => {
      for (const each of this.items) each.item.removeAttribute("aria-current");
      item.ariaCurrent = "step";
      item.nextElementSibling?.scrollIntoView({ block: "nearest" });
      this.act(words);
    };
    return { item, text, words };
  }

  /** Whether there is something to press, and everybody is here whom a step names. */
  canDo(words) {
    const named = acts(words);
    return named.length > 0 && named.every((act) => this.targets(act) || !this.known.includes(act));
  }

  /** The panels of whom a step names; null if these words are not about people. */
  targets(act) {
    if (act.toLowerCase() === say("everyone").toLowerCase()) return this.panels;
    const panel = this.panels.find(({ person }) => person.label === act);
    return panel ? [panel] : null;
  }

  /** Do a step, as somebody would who presses what it names. */
  act(words) {
    let panels = [];
    for (const act of acts(words)) {
      const named = this.targets(act);
      if (named) {
        panels = named;
        this.chosen(named[0]);
      } else {
        this.sized(act);
        for (const panel of panels) panel.act(act);
      }
    }
  }

  /** Show the steps, with the seconds that the server has told. */
  draw({ interval = "…", timeout = "…" }) {
    const key = `${interval} ${timeout}`;
    if (this.drawn === key) return;
    this.drawn = key;
    for (const { text, words } of this.items) {
      const told = words.replaceAll("{interval}", interval).replaceAll("{timeout}", timeout);
      text.replaceChildren(...marked(told));
    }
  }
}
