/* One person's column: what it can do, its chat, and its frames. */

import { arrange, legible, make, nameTag, paintAvatar, set } from "./dom.js";
import { FrameList } from "./framelist.js";
import { SYSTEM } from "./frames.js";
import { say } from "./lessonwords.js";
import { LIMITS } from "./limits.js";
import { BAD_FRAMES } from "./person.js";
import { seconds, tell } from "./telling.js";
import { locale } from "./texts.js";

const SINCE = ["sinceHave", "sinceNone", "sinceZero", "sinceOther"];

export class Panel {
  /** id: for the elements of the page; burstSize: gives how many messages are sent at once. */
  constructor(person, { id, burstSize, changed }) {
    Object.assign(this, { person, id, burstSize, changed });
    this.said = new Map(); // message -> its line in the chat
    this.list = new FrameList(person, { id, changed, chosen: (frame) => this.inspect(frame) });
    this.buildControls();
    this.element = this.build();
    this.wasMember = false;
  }

  buildControls() {
    const { person } = this;
    const button = (name, onclick) => make("button", { className: "quiet", onclick }, say(name));
    this.buttons = {
      silent: button("silent", () => person.beSilent(true)),
      awake: button("awake", () => person.beSilent(false)),
      cut: button("cut", () => person.cut()),
      connect: button("connect", () => person.connect(this.takeSince())),
      join: button("join", () => person.join(this.takeSince())),
      leave: button("leave", () => person.leave()),
      burst: button("burst", () => person.burst(this.burstSize())),
      twice: button("twice", () => person.sayTwice()),
      again: button("again", () => person.sayAgain()),
      sendBad: button("sendBad", () => person.sendBad(this.bad.value)),
    };
    this.sinceKind = choice("since", SINCE);
    this.sinceNumber = make("input", { type: "number", min: 0, value: 0, ariaLabel: say("sinceNumber") });
    this.sinceKind.onchange = () => this.changed();
    this.bad = choice("badKind", [...BAD_FRAMES.keys()]);
  }

  build() {
    const { person, id } = this;
    const avatar = make("span", { className: "avatar", ariaHidden: "true" });
    paintAvatar(avatar, person.user);
    this.state = make("p", { className: "state" });
    const heading = make("h2", { id: `${id}-name` }, nameTag(person.label));
    const { silent, awake, cut, connect, join, leave, burst, twice, again, sendBad } = this.buttons;
    const controls = make("div", { className: "controls" });
    controls.append(
      row(silent, awake, cut, leave, connect, join, this.sinceKind, this.sinceNumber),
      row(burst, twice, again),
      row(this.bad, sendBad),
    );
    this.chat = make("ol");
    this.lines = make("div", { className: "lines", role: "log", tabIndex: 0 }, this.chat);
    this.lines.ariaLabel = say("chat", { name: person.label });
    this.field = make("input", { autocomplete: "off", ariaLabel: say("message", { name: person.label }) });
    this.send = make("button", { className: "strong" }, say("send"));
    this.form = make("form", {}, this.field, this.send);
    this.form.onsubmit = (event) => {
      event.preventDefault();
      if (this.field.value) person.say(this.field.value);
      else person.sayNext();
      this.field.value = "";
    };
    this.dropped = make("p", { className: "dropped", hidden: true });
    this.detail = make("section", { className: "detail", hidden: true, ariaLabel: say("whole") });
    const frames = make(
      "div",
      { className: "listing" },
      this.dropped,
      this.list.box,
      this.list.newest,
      this.detail,
    );
    const head = make("header", {}, avatar, heading, this.state);
    const panel = make("section", { className: "person", id }, head, controls, this.lines, this.form, frames);
    panel.setAttribute("aria-labelledby", heading.id);
    panel.dataset.person = person.label;
    return panel;
  }

  /** What the person is to tell as `since`; undefined for nothing. Next time, it is again what it has. */
  takeSince() {
    const { highest } = this.person.judge;
    const other = Math.max(0, Number.parseInt(this.sinceNumber.value, 10) || 0);
    const values = { sinceHave: highest || undefined, sinceNone: undefined, sinceZero: 0, sinceOther: other };
    const since = values[this.sinceKind.value];
    this.sinceKind.value = "sinceHave";
    return since;
  }

  /** Press or choose what has these words. Returns whether there is something. */
  act(words) {
    for (const select of [this.bad, this.sinceKind]) {
      const option = [...select.options].find(({ text }) => text === words);
      if (!option) continue;
      select.value = option.value;
      select.onchange?.();
      this.draw();
      return true;
    }
    this.draw();
    const isIt = (button) => button.textContent === words && !button.hidden && !button.disabled;
    const button = [...Object.values(this.buttons), this.send].find(isIt);
    button?.click();
    return button !== undefined;
  }

  // What is shown.

  draw() {
    const { person, buttons } = this;
    const isOpen = person.state === "open";
    const canSend = isOpen && !person.isSilent;
    const shown = {
      silent: isOpen && !person.isSilent,
      awake: isOpen && person.isSilent,
      cut: person.state !== "closed",
      connect: person.state === "closed",
      leave: canSend && person.isMember,
      join: canSend && !person.isMember,
    };
    const focused = document.activeElement;
    for (const [name, isShown] of Object.entries(shown)) set(buttons[name], { hidden: !isShown });
    const isGone = focused?.hidden && this.element.contains(focused); // who pressed it goes on with its neighbour
    if (isGone) focused.parentElement.querySelector(":not([hidden])")?.focus();
    set(this.sinceKind, { hidden: !shown.connect && !shown.join });
    set(this.sinceNumber, { hidden: this.sinceKind.hidden || this.sinceKind.value !== "sinceOther" });
    for (const name of ["burst", "twice", "sendBad"]) set(buttons[name], { disabled: !canSend });
    set(buttons.again, { disabled: !canSend || person.lastId === null });
    set(buttons.burst, { textContent: say("burst", { count: this.burstSize() }) });
    set(this.send, { disabled: !canSend });
    set(this.field, { placeholder: person.nextContent });
    this.drawState();
    this.drawChat();
    set(this.dropped, {
      hidden: person.dropped === 0,
      textContent: say("dropped", {
        count: person.dropped.toLocaleString(locale),
        most: person.frames.length.toLocaleString(locale),
      }),
    });
    this.list.draw();
  }

  drawState() {
    const { state, isSilent, ending, isMember } = this.person;
    let words = say("isConnecting");
    if (state === "open")
      words = say(isSilent ? "isSilent" : "isOpen") + (isMember ? "" : `, ${say("notMember")}`);
    else if (state === "closed") words = endingOf(ending);
    set(this.state, { textContent: words });
    const shown = state === "open" && isSilent ? "silent" : state;
    if (this.state.dataset.state !== shown) this.state.dataset.state = shown;
  }

  drawChat() {
    const shown = this.person.chat.slice(-LIMITS.lessonChat);
    if (shown.at(-1) === this.lastShown) return;
    this.lastShown = shown.at(-1);
    const old = this.said;
    this.said = new Map(shown.map((message) => [message, old.get(message) ?? line(message)]));
    arrange(this.chat, [...this.said.values()]);
    this.lines.scrollTop = this.lines.scrollHeight;
  }

  /** Show a whole frame below the list; none if it is null. */
  inspect(frame) {
    const isShown = frame !== null && frame.direction !== "none";
    set(this.detail, { hidden: !isShown });
    if (!isShown) return;
    const close = make("button", { className: "quiet", onclick: () => this.list.choose(-1) }, say("close"));
    const title = make(
      "h3",
      {},
      `${seconds(frame.at)} s, ${say(frame.direction === "out" ? "sent" : "received")}`,
    );
    const marks = frame.marks.map((mark) => make("p", { className: mark.kind }, tell(mark)));
    const whole = make("pre", { tabIndex: 0, ariaLabel: say("whole") }, wholeOf(frame));
    this.detail.replaceChildren(make("header", {}, title, close), ...marks, whole);
  }
}

function endingOf(ending) {
  if (!ending) return say("isNew");
  if (ending.by === "us") return say("isCut");
  return ending.code === 1006 ? say("isLost") : say("isEnded", { code: ending.code });
}

function line({ user, content, sequence }) {
  const words = make("span", { className: "content", dir: "auto" }, content.slice(0, LIMITS.foldedText));
  if (user === SYSTEM) return make("li", { className: "notice" }, words);
  return make(
    "li",
    {},
    make("span", { className: "number" }, `#${sequence}`),
    " ",
    nameTag(user),
    " ",
    words,
  );
}

/** The JSON of a frame, a field on each line; as it came, where it is none or is not whole. */
function wholeOf({ raw, length }) {
  if (raw === null) return say("binaryFrame", { count: length });
  let shown = raw;
  if (raw.length === length) {
    try {
      shown = JSON.stringify(JSON.parse(raw), null, 2);
    } catch {
      // Not JSON, on purpose or not.
    }
  }
  const words = shown.split("\n").map(legible).join("\n");
  if (raw.length === length) return words;
  return `${words}\n${say("cutFrame", { count: (length - raw.length).toLocaleString(locale) })}`;
}

const row = (...children) => make("div", {}, ...children);

function choice(label, names) {
  const options = names.map((name) => make("option", { value: name }, say(name)));
  return make("select", { ariaLabel: say(label) }, ...options);
}
