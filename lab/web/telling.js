/* Puts marks, times and steps into words, or into elements. */

import { cut, excerpt, legible, make } from "./dom.js";
import { say } from "./lessonwords.js";
import { language, text } from "./texts.js";

const LONGEST = 40; // characters of a type that a server has invented
const tenths = new Intl.NumberFormat(language, { minimumFractionDigits: 1, maximumFractionDigits: 1 });

/** Seconds, with one digit behind the point. */
export const seconds = (value) => tenths.format(value);

/** What a mark says. */
export function tell({ name, values, more }) {
  const shown = Object.entries(values).map(([place, value]) => [place, show(value)]);
  const words = say(name, values.flaw ? { why: why(values.flaw) } : Object.fromEntries(shown));
  return more ? say("more", { text: words, count: more }) : words;
}

function show(value) {
  if (typeof value === "string") return legible(cut(value, LONGEST));
  if (typeof value === "number") return Number.isInteger(value) ? String(value) : seconds(value);
  return "";
}

/** A text with `**…**` and `` `…` ``, as elements. */
export function marked(words) {
  return words.split(/(\*\*.+?\*\*|`.+?`)/).map((part) => {
    if (part.startsWith("**")) return make("strong", {}, part.slice(2, -2));
    return part.startsWith("`") ? make("code", {}, part.slice(1, -1)) : part;
  });
}

/** What is to be pressed or chosen in a step, in this order: names of people and words on buttons. */
export const acts = (words) => [...words.matchAll(/\*\*(.+?)\*\*/g)].map(([, act]) => act);

/** Why a frame cannot be read. */
function why({ name, values }) {
  return text(
    name,
    Object.fromEntries(Object.entries(values).map(([place, value]) => [place, excerpt(value)])),
  );
}
