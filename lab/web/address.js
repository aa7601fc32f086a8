/* What stands in the address of the page: the server, names and rooms. */

import { LIMITS } from "./limits.js";

const MAX_NAME = 64; // characters

export const isText = (value) => typeof value === "string";
export const isName = (name) =>
  isText(name) && name !== "system" && name !== "" && [...name].length <= MAX_NAME;
export const isRoom = (name) =>
  isText(name) && /^[\p{L}\p{M}\p{N}_.-]{1,64}$/u.test(name) && !/^\.+$/.test(name);

/** The rooms behind the `#`. */
export function roomsInAddress() {
  const names = location.hash.slice(1).split(",").map(decode).filter(isRoom);
  return [...new Set(names)].slice(0, LIMITS.rooms);
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return ""; // a lone `%`: no room has such a name
  }
}

/** Where the chat is: at the page's own address, by ws: or, behind https, by wss:. */
export function chatAddress() {
  const address = new URL(location.href);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  address.hash = "";
  return address;
}
