/* The page: shows what the client knows, and tells it what the user does. */

import { arrange, find, make, paintAvatar } from "./dom.js";
import { Log, timeOfDay } from "./log.js";
import { explain, locale, text } from "./texts.js";

const AT_THE_END = 40; // pixels from the end of the log that count as being there
const REDRAW = 16; // milliseconds between two drawings, at the least

export class View {
  /**
   * client    what is shown
   * room      the name of the room to show first; null for none
   * onJoin    is called when the user wants to join a room, and onName when it wants another name
   */
  constructor(client, { room, onJoin, onName }) {
    this.client = client;
    this.room = room;
    this.drafts = new Map(); // room -> what is typed there and not yet said
    this.log = new Log(find("#log ol"), client);
    this.due = false;
    this.isAtEnd = true;
    this.listen(onJoin, onName);
  }

  listen(onJoin, onName) {
    const { client } = this;
    const log = find("#log");
    find("#hurry").onclick = () => client.hurry();
    find("#me").onclick = onName;
    find("#join").onclick = find("#nowhere button").onclick = onJoin;
    find("#trouble button").onclick = () => {
      client.trouble = null;
      this.draw();
    };
    find("#skip").onclick = (event) => {
      event.preventDefault();
      this.focus();
    };
    find("#older").onclick = () => client.older(this.room);
    find("#newest").onclick = () => {
      this.goToEnd();
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
    log.onscroll = () => {
      this.isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < AT_THE_END;
      this.changed();
    };
    // A keyboard that comes up on a telephone, or a larger text field, takes room from the log's end.
    new ResizeObserver(() => this.isAtEnd && this.goToEnd()).observe(log);
    document.addEventListener("visibilitychange", () => this.changed());
  }

  // What the user does.

  /** Show another room, or none (null). */
  open(name) {
    const field = find("#text");
    this.drafts.set(this.room, field.value);
    this.room = name;
    field.value = this.drafts.get(name) ?? "";
    this.isAtEnd = true;
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
  }

  say() {
    const field = find("#text");
    if (field.value.trim() === "") return;
    const refused = this.client.say(this.room, field.value);
    this.client.trouble = refused ? { code: refused } : null;
    if (!refused) field.value = "";
    field.focus();
    this.isAtEnd = true;
    this.draw();
  }

  togglePeople() {
    const isOpen = find("#people").classList.toggle("open");
    find("#who").ariaExpanded = isOpen;
  }

  goToEnd() {
    const log = find("#log");
    log.scrollTop = log.scrollHeight;
  }

  // What is shown.

  /** Something changed: draw it soon, and only once for whatever else changes until then. */
  changed() {
    if (this.due) return;
    this.due = true;
    setTimeout(() => this.draw(), REDRAW);
  }

  draw() {
    this.due = false;
    const room = this.client.rooms.get(this.room);
    this.drawConnection();
    this.drawTrouble();
    find("#nowhere").hidden = room !== undefined;
    find("#room").hidden = room === undefined;
    find("#people").hidden = find("#who").hidden = room === undefined;
    if (room) {
      this.drawLog(room);
      this.drawPeople(room);
      if (room.seen !== null && this.isAtEnd && !document.hidden) room.seen = Math.max(room.seen, room.newest);
    }
    this.drawRooms();
  }

  drawConnection() {
    const { user, tries } = this.client;
    // The attempts to come back are one state to look at, however many there are.
    const state = this.client.state === "connecting" && tries > 0 ? "waiting" : this.client.state;
    const hurry = find("#hurry");
    const sign = find("#connection");
    const words = text(state);
    sign.dataset.state = state;
    // Only what changes is read out, so it may not be written again and again.
    if (sign.firstElementChild.textContent !== words) sign.firstElementChild.textContent = words;
    if (state !== "waiting" && hurry === document.activeElement) this.focus();
    hurry.hidden = state !== "waiting";
    find("#me bdi").textContent = user;
    find("#me").ariaLabel = `${user}: ${text("change")}`;
    paintAvatar(find("#me .avatar"), user);
  }

  drawTrouble() {
    const { trouble } = this.client;
    const words = trouble ? explain(trouble) : "";
    find("#trouble").hidden = trouble === null;
    if (find("#trouble p").textContent !== words) find("#trouble p").textContent = words;
  }

  drawRooms() {
    const { rooms, user } = this.client;
    const list = find("#rooms ul");
    const old = new Map([...list.children].map((item) => [item.dataset.room, item]));
    let total = 0;
    const items = [...rooms.values()].map((room) => {
      const item = old.get(room.name) ?? this.roomItem(room.name);
      const [enter] = item.children;
      const unread = room.unread(user);
      total += unread;
      const isShown = room.name === this.room;
      if (isShown && !enter.ariaCurrent) requestAnimationFrame(() => item.scrollIntoView({ block: "nearest" }));
      enter.ariaCurrent = isShown ? "true" : null;
      const [, badge] = enter.children;
      badge.hidden = unread === 0;
      badge.textContent = unread;
      badge.ariaLabel = text("unread", { count: unread });
      return item;
    });
    arrange(list, items);
    document.title = (total ? `(${total}) ` : "") + text("title");
  }

  roomItem(name) {
    const item = make(
      "li",
      {},
      make(
        "button",
        { className: "room", onclick: () => this.open(name) },
        make("bdi", {}, name),
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

  drawLog(room) {
    const log = find("#log");
    const older = find("#older");
    const first = log.querySelector("ol > .message");
    const height = log.scrollHeight;
    const isOther = find("#room h2 bdi").textContent !== room.name;
    find("#room h2 bdi").textContent = room.name;
    log.ariaLabel = text("messages", { room: room.name });
    log.ariaBusy = String(room.asked !== null || isOther); // the past is not read out as if it were news
    if (isOther) this.changed();
    find("#text").ariaLabel = text("message", { room: room.name });
    find("#text").placeholder = text("message", { room: room.name });

    this.log.show(room);
    if (older.contains(document.activeElement) && !room.past) log.focus();
    older.hidden = room.past === null;
    older.textContent = text(room.asked ? "loading" : "older");
    find("#top").textContent = topOf(room);

    const isEarlier = first?.isConnected && first !== log.querySelector("ol > .message");
    if (this.isAtEnd || isOther) this.goToEnd();
    else if (isEarlier) log.scrollTop += log.scrollHeight - height; // what one reads stays where it is
    find("#newest").hidden = this.isAtEnd;
  }

  drawPeople(room) {
    const order = ["online", "away", "offline"];
    const people = [...room.people.values()].sort(
      (a, b) => order.indexOf(a.status) - order.indexOf(b.status) || a.user.localeCompare(b.user, locale),
    );
    const here = people.filter((person) => person.status !== "offline").length;
    const isNow = this.client.state === "online"; // else it is what we knew last
    find("#here").textContent = text(isNow ? "here" : "wasHere");
    find("#who").textContent = text(isNow ? "hereCount" : "wasHereCount", { count: here });
    const list = find("#people ul");
    list.replaceChildren(...people.map((person) => personItem(person, person.user === this.client.user)));
  }
}

function topOf(room) {
  if (room.past) return "";
  if (room.oldest) return text("beginning");
  return text(room.joined ? "silence" : "joining");
}

function personItem({ user, status, lastSeen }, isMe) {
  const words = {
    online: text("isOnline"),
    away: text("away"),
    offline: text("offline", { time: timeOfDay(lastSeen) }),
  };
  const avatar = make("span", { className: "avatar", ariaHidden: "true" });
  paintAvatar(avatar, user);
  const name = make("bdi", {}, user);
  const item = make("li", {}, avatar, name, make("span", { className: "status" }, words[status]));
  if (isMe) name.after(make("span", { className: "you" }, ` (${text("you")})`));
  item.dataset.status = status;
  return item;
}
