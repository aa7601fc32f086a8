/* Small helpers for pages. Texts always go in as text: a message may hold HTML, and must not become any. */

/** The first element that matches. */
export const find = (selector) => document.querySelector(selector);

/** A new element with these properties and children (elements and texts). */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** Let the children of `parent` be these, in this order, and move only what has to move. */
export function arrange(parent, children) {
  children.forEach((child, place) => {
    if (parent.children[place] !== child) parent.insertBefore(child, parent.children[place] ?? null);
  });
  while (parent.children.length > children.length) parent.lastElementChild.remove();
}

/** The first letter of a name on a colour of its own, the same wherever the name stands. */
export function paintAvatar(element, name) {
  let hue = 0;
  for (const letter of name) hue = (hue * 31 + letter.codePointAt(0)) % 360;
  element.textContent = [...name][0].toUpperCase();
  element.style.setProperty("--hue", hue);
}
