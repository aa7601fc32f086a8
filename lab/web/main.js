/*
 * Starts the chat: who, and in which rooms. With `?lesson` in the address it is the teaching page instead, whose
 * modules are not loaded otherwise.
 *
 * Both stand in the address of the page, as in `/?user=ada#red,blue`, so that it can be kept and passed on.
 * What is not there is taken from the last visit, and the name is asked for otherwise.
 */

import { chatAddress, isName, isRoom, isText, roomsInAddress } from "./address.js";
import { Client } from "./client.js";
import { find } from "./dom.js";
import { LIMITS } from "./limits.js";
import { keep, recall } from "./memory.js";
import { ask } from "./question.js";
import { language, text } from "./texts.js";
import { View } from "./view.js";

/** The rooms that the server names, so that those who come for the first time find them. */
const OFFERED = find("meta[name=rooms]").content.split(",").filter(isRoom);
const START_ROOM = OFFERED[0] ?? "general";

/** The rooms of the last visit. (Other pages of this address may have kept something else under that key.) */
function roomsOfLastVisit() {
  const names = recall("localStorage", "rooms", null);
  return Array.isArray(names) ? names.filter(isRoom).slice(0, LIMITS.rooms) : [START_ROOM];
}

/** What this tab has not yet sent: [{id, room, content}]. */
function unsent(key) {
  const entries = recall("sessionStorage", key, []);
  const isEntry = (entry) => isText(entry?.id) && isText(entry.content) && isRoom(entry.room);
  return Array.isArray(entries) ? entries.filter(isEntry) : [];
}

function askForName(value, wrong = "", mayCancel = false) {
  return ask({
    title: text("nameTitle"),
    label: text("nameLabel"),
    hint: text("nameHint"),
    agree: text("go"),
    value,
    wrong,
    mayCancel,
    check: (name) => (isName(name) ? null : text("badName")),
  });
}

function askForRoom() {
  return ask({
    title: text("joinRoom"),
    label: text("roomLabel"),
    hint: text("roomHint"),
    agree: text("join"),
    check: (name) => (isRoom(name) ? null : text("badRoom")),
  });
}

/** Come again under another name, as if the page had been opened with it. */
function comeAs(name) {
  const address = new URL(location.href);
  address.searchParams.set("user", name);
  history.replaceState(null, "", address);
  location.reload();
}

async function main() {
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-text]")) {
    element.textContent = text(element.dataset.text);
  }
  const known = new URLSearchParams(location.search).get("user") ?? recall("localStorage", "user", "");
  const user = isName(known) ? known : await askForName(isText(known) ? known : "", known && text("badName"));
  start(user, location.hash ? roomsInAddress() : roomsOfLastVisit());
}

function start(user, rooms) {
  const waiting = `outbox of ${user}`; // kept for this tab alone, in case that the page is loaded anew
  let view = null;
  let isDue = false;
  const save = () => {
    isDue = false;
    keep("sessionStorage", waiting, client.outbox);
    remember(client);
  };
  const client = new Client({
    address: chatAddress(),
    user,
    outbox: unsent(waiting),
    changed: () => view?.changed(),
    toKeep: () => {
      if (!isDue) queueMicrotask(save); // once, for all that is done in one go
      isDue = true;
    },
    turnedAway: async () => comeAs(await askForName(user, text("bad_name"))),
  });
  const enter = (name) => {
    const refused = client.join(name);
    client.trouble = refused ? { code: refused } : null;
    view.open(refused ? view.room : name);
  };
  view = new View(client, {
    room: rooms[0] ?? null,
    offered: OFFERED,
    onEnter: enter,
    onJoin: async () => {
      const name = await askForRoom();
      if (name !== null) enter(name);
    },
    onName: async () => {
      const name = await askForName(client.user, "", true);
      if (name !== null && name !== client.user) comeAs(name);
    },
  });
  for (const name of rooms) client.join(name);
  client.start();
  find("#app").hidden = false;
  view.draw();
  view.focus();

  addEventListener("online", () => client.hurry());
  document.addEventListener("visibilitychange", () => document.hidden || client.hurry());
  addEventListener("hashchange", () => follow(client, view));
}

/** The user changed the rooms in the address. */
function follow(client, view) {
  const wanted = roomsInAddress();
  for (const name of client.rooms.keys()) if (!wanted.includes(name)) client.leave(name);
  for (const name of wanted) client.join(name);
  if (!wanted.includes(view.room)) view.open(wanted.at(-1) ?? null);
}

/** Write name and rooms into the address, and keep them for the next visit. */
function remember(client) {
  const rooms = [...client.rooms.keys()];
  const address = new URL(location.href);
  address.searchParams.set("user", client.user);
  address.hash = rooms.map(encodeURIComponent).join(",");
  if (address.href !== location.href) history.replaceState(null, "", address);
  keep("localStorage", "user", client.user);
  keep("localStorage", "rooms", rooms);
}

if (new URLSearchParams(location.search).has("lesson")) import("./lesson.js").then(({ begin }) => begin());
else main();
