/* The elements of single lines: messages, notices, and what stands between them. */

import { cut, make, nameTag, paintAvatar } from "./dom.js";
import { LIMITS } from "./limits.js";
import { explain, locale, text } from "./texts.js";

const TOGETHER = 5 * 60 * 1000; // ms: what one user says within it stands under one name
const clock = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit" });
const calendar = new Intl.DateTimeFormat(locale, { weekday: "long", day: "numeric", month: "long" });
const days = new WeakMap(); // line -> its day: to work it out takes longer than all else
const unfolded = new WeakSet(); // lines that are shown whole

/** The time of day, as in 14:05. */
export const timeOfDay = (milliseconds) => clock.format(milliseconds);

/** The day of a line, as in “Monday 5 January”. */
export function dayOf(line) {
  if (!days.has(line)) days.set(line, calendar.format(line.timestamp));
  return days.get(line);
}

/** Whether a line goes on with what its user said in the line before, on the same day. */
export function goesOn(line, before) {
  return !before.notice && before.user === line.user && line.timestamp - before.timestamp < TOGETHER;
}

export function day(line) {
  return make("li", { className: "day" }, dayOf(line));
}

export function remark(words) {
  return make("li", { className: "flaw" }, words);
}

export function notice(line) {
  const time = make("time", {}, timeOfDay(line.timestamp));
  return make("li", { className: "notice" }, foldable("bdi", line, line.content), " ", time);
}

export function message(line, isOwn) {
  const avatar = make("span", { className: "avatar", ariaHidden: "true" });
  paintAvatar(avatar, line.user);
  const time = make("time", { dateTime: new Date(line.timestamp).toISOString() }, timeOfDay(line.timestamp));
  const item = make(
    "li",
    { className: isOwn ? "message own" : "message" },
    avatar,
    make("p", { className: "by" }, nameTag(line.user), " ", time),
    foldable("p", line, line.content),
    make("span", { className: "number" }, `#${line.sequence}`),
  );
  item.dataset.sequence = line.sequence;
  if (line.twice) item.append(make("p", { className: "flaw" }, text("twice")));
  return item;
}

/** A message that waits to be sent, or was refused. `client` is asked to say it again or to give it up. */
export function waiting(entry, client) {
  const { id, content, refused } = entry;
  const words = foldable("p", entry, content);
  if (!refused) {
    const sign = make("span", { className: "number" }, text("sending"));
    return make("li", { className: "message waiting" }, words, sign);
  }
  return make(
    "li",
    { className: "message refused" },
    words,
    make("p", { className: "flaw" }, explain(refused)),
    make("button", { className: "quiet", onclick: () => client.sayAgain(id) }, text("sayAgain")),
    make("button", { className: "quiet", onclick: () => client.discard(id) }, text("discard")),
  );
}

/** A text as it was typed; if it is very long or high its beginning, and a button for all of it. */
function foldable(tag, line, content) {
  const element = make(tag, { className: "content", dir: "auto" });
  const short = beginning(content);
  if (short === content) {
    element.append(content);
    return element;
  }
  const show = () => {
    const isOpen = unfolded.has(line);
    const words = text(isOpen ? "fold" : "unfold", { count: content.length.toLocaleString(locale) });
    const properties = { className: "quiet fold", ariaExpanded: String(isOpen), onclick: toggle };
    const button = make("button", properties, words);
    element.replaceChildren(isOpen ? content : `${short}…`, button);
    return button;
  };
  const toggle = () => {
    if (!unfolded.delete(line)) unfolded.add(line);
    show().focus({ preventScroll: true });
  };
  show();
  return element;
}

function beginning(content) {
  const lines = content.split(/\r\n|[\n\r\u2028\u2029]/, LIMITS.foldedLines + 1);
  if (lines.length <= LIMITS.foldedLines) return cut(content, LIMITS.foldedText);
  return cut(lines.slice(0, -1).join("\n"), LIMITS.foldedText);
}
