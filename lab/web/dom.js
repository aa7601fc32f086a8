/* Small helpers for pages. Texts always go in as text: a message may hold HTML, and must not become any. */

import { LIMITS } from "./limits.js";

/** The first element that matches. */
export const find = (selector) => document.querySelector(selector);

/** A new element with these properties and children (elements and texts). */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** Set properties of an element, but only those that change: what is set is drawn anew, and read out. */
export function set(element, properties) {
  for (const [name, value] of Object.entries(properties)) {
    if (element[name] !== value) element[name] = value;
  }
}

/** Let the children of `parent` be these, in this order, and touch only what has to move. */
export function arrange(parent, children) {
  const wanted = new Set(children);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  let next = parent.firstElementChild;
  for (const child of children) {
    if (child === next) next = next.nextElementSibling;
    else parent.insertBefore(child, next);
  }
}

/** The first characters of a text; half of one is not among them. */
export function cut(text, most) {
  return text.length > most ? text.slice(0, most).replace(/[\ud800-\udbff]$/, "") : text;
}

const UNSEEN = // and what breaks or turns a line; what joins letters and emoji is not among it
  /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff]/gu;

/** A name, or what a server says, on one line: what is not to be seen becomes an escape such as \u202e. */
export function legible(text) {
  const escape = (character) => `\\u${character.codePointAt(0).toString(16).padStart(4, "0")}`;
  return text.replace(UNSEEN, escape);
}

/** The beginning of what a server says. */
export const excerpt = (text) => cut(legible(cut(text, LIMITS.excerpt)), LIMITS.excerpt);

/** A name, which cannot change the direction of what stands around it. */
export const nameTag = (name) => make("bdi", {}, legible(name));

/** The first letter of a name, in its colour. */
export function paintAvatar(element, name) {
  set(element, { textContent: [...legible(name)][0].toUpperCase() });
  paint(element, name);
}

/** Give an element the colour of a name, which is the same wherever the name stands. */
export function paint(element, name) {
  let hue = 0;
  for (const letter of name) hue = (hue * 31 + letter.codePointAt(0)) % 360;
  element.style.setProperty("--hue", hue);
}
