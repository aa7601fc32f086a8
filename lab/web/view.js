/* The page: shows what the client knows, and tells it what the user does. */

import { arrange, excerpt, find, legible, make, nameTag, paintAvatar, set } from "./dom.js";
import { LIMITS } from "./limits.js";
import { timeOfDay } from "./lines.js";
import { Log } from "./log.js";
import { explain, explainFlaw, locale, text } from "./texts.js";

const HIDDEN = 1000; // milliseconds between two drawings of a page that nobody sees, for its title

export class View {
  /**
   * client    what is shown
   * room      the name of the room to show first; null for none
   * offered   names of rooms that are shown to be joined
   * onEnter   is called with the name of one of them, if the user wants to join it, onJoin if it wants to join a
   *           room that it has to name, and onName if it wants another name
   */
  constructor(client, { room, offered, onEnter, onJoin, onName }) {
    this.client = client;
    this.room = room;
    this.offeredItems = new Map(offered.map((name) => [name, offeredItem(name, onEnter)]));
    find("#offered").ariaLabel = text("offered");
    this.drafts = new Map(); // room -> what is typed there and not yet said
    this.log = new Log(client, () => this.changed());
    this.isDue = false;
    this.cost = 0; // milliseconds that the last drawing took
    this.roomItems = new Map(); // room -> its entry in the list
    this.personItems = new Map(); // person -> its entry
    this.shownNames = LIMITS.shownNames;
    this.drawnPeople = ""; // what the list of people was made of
    this.listen(onJoin, onName);
  }

  listen(onJoin, onName) {
    const { client } = this;
    find("#hurry").onclick = () => client.hurry();
    find("#me").onclick = onName;
    find("#join").onclick = find("#nowhere button").onclick = onJoin;
    find("#trouble button").onclick = () => {
      client.trouble = null;
      this.draw();
    };
    find("#unreadable button").onclick = () => {
      client.unreadable = null;
      this.draw();
    };
    find("#more").onclick = () => {
      this.shownNames += LIMITS.shownNames;
      this.draw();
    };
    find("#skip").onclick = (event) => {
      event.preventDefault();
      this.focus();
    };
    find("#newest").onclick = () => {
      this.log.toEnd();
      this.focus();
    };
    find("#who").onclick = () => this.togglePeople();
    find("#say").onsubmit = (event) => {
      event.preventDefault();
      this.say();
    };
    find("#text").onkeydown = (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.say();
    };
    // A drawing that was asked for while the page was seen does not come when it is hidden.
    document.addEventListener("visibilitychange", () => {
      this.isDue = false;
      this.changed();
    });
  }

  // What the user does.

  /** Show another room, or none (null). */
  open(name) {
    const field = find("#text");
    this.drafts.set(this.room, field.value);
    this.room = name;
    field.value = this.drafts.get(name) ?? "";
    this.shownNames = LIMITS.shownNames;
    if (name === this.log.room?.name) this.log.toEnd();
    this.draw();
    this.focus();
  }

  /** Put the cursor where one goes on: to the text field, or to the button that joins a room. */
  focus() {
    find(this.room === null ? "#nowhere button" : "#say textarea").focus();
  }

  leave(name) {
    const names = [...this.client.rooms.keys()];
    const neighbour = names[names.indexOf(name) + 1] ?? names[names.indexOf(name) - 1] ?? null;
    this.client.leave(name);
    this.open(name === this.room ? neighbour : this.room);
    this.drafts.delete(name);
  }

  say() {
    const field = find("#text");
    if (field.value.trim() === "") return;
    const refused = this.client.say(this.room, field.value);
    this.client.trouble = refused ? { code: refused } : null;
    if (!refused) field.value = "";
    field.focus();
    this.log.toEnd();
    this.draw();
  }

  togglePeople() {
    const isOpen = find("#people").classList.toggle("open");
    find("#who").ariaExpanded = isOpen;
  }

  // What is shown.

  /** Something changed: draw it soon, and only once for whatever else changes until then. */
  changed() {
    if (this.isDue) return;
    this.isDue = true;
    // After a drawing, what comes in has as much time as the drawing took, however much comes in.
    if (document.hidden) setTimeout(() => this.draw(), HIDDEN);
    else setTimeout(() => requestAnimationFrame(() => this.draw()), this.cost);
  }

  draw() {
    this.isDue = false;
    const start = performance.now();
    this.drawAll();
    this.cost = performance.now() - start;
  }

  drawAll() {
    const room = this.client.rooms.get(this.room);
    this.drawConnection();
    this.drawTrouble();
    find("#nowhere").hidden = room !== undefined;
    find("#room").hidden = room === undefined;
    find("#people").hidden = find("#who").hidden = room === undefined;
    if (room) {
      this.drawRoom(room);
      this.drawPeople(room);
    }
    this.drawRooms();
  }

  drawConnection() {
    const { user, tries } = this.client;
    // The attempts to come back are one state to look at, however many there are.
    const state = this.client.state === "connecting" && tries > 0 ? "waiting" : this.client.state;
    const hurry = find("#hurry");
    const sign = find("#connection");
    sign.dataset.state = state;
    set(sign.firstElementChild, { textContent: text(state) });
    if (state !== "waiting" && hurry === document.activeElement) this.focus();
    hurry.hidden = state !== "waiting";
    const name = legible(user);
    if (find("#me bdi").textContent === name) return;
    find("#me bdi").textContent = name;
    find("#me").ariaLabel = `${name}: ${text("change")}`;
    paintAvatar(find("#me .avatar"), user);
  }

  drawTrouble() {
    const { trouble, unreadable } = this.client;
    find("#trouble").hidden = trouble === null;
    set(find("#trouble p"), { textContent: trouble ? explain(trouble) : "" });
    // It is read out once. The number of those that follow stands beside it, and is not.
    find("#unreadable").hidden = unreadable === null;
    set(find("#unreadable p"), { textContent: unreadable ? explainFlaw(unreadable.flaw) : "" });
    set(find("#unreadable code"), { textContent: excerpt(unreadable?.received ?? "") });
    const count = unreadable && unreadable.count > 1 ? unreadable.count.toLocaleString(locale) : "";
    set(find("#unreadable span"), { textContent: count && text("unreadableCount", { count }) });
  }

  drawRooms() {
    const old = this.roomItems;
    this.roomItems = new Map();
    let total = 0;
    for (const room of this.client.rooms.values()) {
      const item = old.get(room) ?? this.roomItem(room.name);
      this.roomItems.set(room, item);
      total += room.unread;
      const [enter] = item.children;
      const isShown = room.name === this.room;
      if (isShown && !enter.ariaCurrent) requestAnimationFrame(() => item.scrollIntoView({ block: "nearest" }));
      set(enter, { ariaCurrent: isShown ? "true" : null });
      const count = String(room.unread);
      set(enter.lastChild, { hidden: count === "0", textContent: count, ariaLabel: text("unread", { count }) });
    }
    if (old.size !== this.roomItems.size || [...old.keys()].some((room) => !this.roomItems.has(room))) {
      arrange(find("#rooms ul"), [...this.roomItems.values()]);
    }
    const others = [...this.offeredItems].filter(([name]) => !this.client.rooms.has(name));
    arrange(find("#offered"), others.map(([, item]) => item));
    set(document, { title: (total ? `(${total}) ` : "") + text("title") });
  }

  roomItem(name) {
    const item = make(
      "li",
      {},
      make(
        "button",
        { className: "room", onclick: () => this.open(name) },
        nameTag(name),
        make("span", { className: "badge", role: "img" }),
      ),
      make(
        "button",
        { className: "leave", ariaLabel: text("leave", { room: name }), onclick: () => this.leave(name) },
        "×",
      ),
    );
    item.dataset.room = name;
    return item;
  }

  drawRoom(room) {
    set(find("#room h2"), { title: room.name });
    set(find("#room h2 bdi"), { textContent: room.name });
    const words = text("message", { room: room.name });
    set(find("#text"), { ariaLabel: words, placeholder: words });
    this.log.show(room);
    if (room.seen === null || !this.log.isAtEnd || document.hidden) return;
    room.seen = Math.max(room.seen, room.newest);
    room.unread = 0;
  }

  drawPeople({ people, name }) {
    const { state, user } = this.client;
    people.tidy();
    const drawn = [name, people.version, this.shownNames, state, user].join();
    if (drawn === this.drawnPeople) return;
    this.drawnPeople = drawn;
    const here = people.here.size.toLocaleString(locale) + (people.isCut ? "+" : "");
    const isNow = state === "online"; // else it is what we knew last
    set(find("#here"), { textContent: text(isNow ? "here" : "wasHere") });
    set(find("#who"), { textContent: text(isNow ? "hereCount" : "wasHereCount", { count: here }) });
    const shown = people.first(this.shownNames);
    const old = this.personItems;
    this.personItems = new Map();
    for (const person of shown) {
      this.personItems.set(person, old.get(person) ?? personItem(person, person.user === user));
    }
    arrange(find("#people ul"), [...this.personItems.values()]);
    const count = Math.min(people.size - shown.length, LIMITS.shownNames);
    set(find("#more"), { hidden: count === 0, textContent: text("morePeople", { count }) });
  }
}

function offeredItem(name, onEnter) {
  return make("li", {}, make("button", { className: "room", onclick: () => onEnter(name) }, nameTag(name)));
}

function personItem({ user, status, lastSeen }, isMe) {
  const words = {
    online: text("isOnline"),
    away: text("away"),
    offline: lastSeen === null ? text("offline") : text("offlineSince", { time: timeOfDay(lastSeen) }),
  };
  const avatar = make("span", { className: "avatar", ariaHidden: "true" });
  paintAvatar(avatar, user);
  const name = nameTag(user);
  const item = make("li", {}, avatar, name, make("span", { className: "status" }, words[status]));
  if (isMe) name.after(make("span", { className: "you" }, ` (${text("you")})`));
  item.dataset.status = status;
  return item;
}
