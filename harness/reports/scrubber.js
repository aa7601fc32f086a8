// Makes scrubbers of the diagrams that stand before this script in the page: a slider, what is told of its moment,
// and what each client has seen by then. All text comes from the JSON beside a diagram, and stays text.
(() => {
  "use strict";
  const SVG = "http://www.w3.org/2000/svg";

  const element = (tag, className = "", text = "") => {
    const made = document.createElement(tag);
    made.className = className;
    made.textContent = text;
    return made;
  };

  const shape = (tag, className, attributes) => {
    const made = document.createElementNS(SVG, tag);
    made.setAttribute("class", className);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  };

  // What lies after the moment is veiled, and its row is marked.
  const overlay = (svg, data) => {
    const { width, height } = svg.viewBox.baseVal;
    const row = shape("rect", "row", { x: 0, width, height: data.row });
    const pointer = shape("polygon", "pointer", {});
    const veil = shape("rect", "veil", { x: 0, width });
    svg.append(row, pointer, veil);
    return (step) => {
      const is_row = "rank" in step;
      const middle = data.top + (is_row ? step.rank : -1) * data.row;
      const y = middle - data.row / 2;
      const end = middle + data.row / 2;
      row.setAttribute("y", y);
      pointer.setAttribute("points", `2,${middle - 6} 11,${middle} 2,${middle + 6}`);
      row.setAttribute("visibility", is_row ? "visible" : "hidden");
      pointer.setAttribute("visibility", is_row ? "visible" : "hidden");
      veil.setAttribute("y", end);
      veil.setAttribute("height", Math.max(height - end, 0));
      return { x: step.x ?? width / 2, y: middle };
    };
  };

  // The names of the lanes stay in sight when the figure is scrolled down.
  const heads = (figure, svg, data) => {
    const group = shape("g", "heads", { visibility: "hidden" });
    group.append(shape("rect", "", { width: svg.viewBox.baseVal.width, height: 24 }));
    for (const [name, x] of data.heads) {
      const text = shape("text", "", { x, y: 16, "text-anchor": "middle" });
      text.textContent = name;
      group.append(text);
    }
    svg.append(group);
    const follow = () => {
      const y = figure.scrollTop / scaleOf(svg);
      group.setAttribute("visibility", y > 34 ? "visible" : "hidden");
      group.setAttribute("transform", `translate(0 ${y})`);
    };
    figure.addEventListener("scroll", follow);
  };

  const scaleOf = (svg) => svg.getBoundingClientRect().width / svg.viewBox.baseVal.width || 1;

  // Scroll a figure, and nothing else, so that a place of its drawing can be seen.
  const reveal = (figure, svg, { x, y }) => {
    const scale = scaleOf(svg);
    figure.scrollTop = y * scale - figure.clientHeight * 0.6;
    const left = x * scale - figure.scrollLeft;
    if (left < 150 || left > figure.clientWidth - 150) figure.scrollLeft = x * scale - figure.clientWidth / 2;
  };

  const fresh = (data) =>
    data.lanes.map(() => ({
      is: data.texts.not_connected,
      rooms: data.rooms.map(() => ({ lines: [], left: 0, missing: "", present: "" })),
    }));

  // What each client has seen by a step; `isNew` marks what came in it.
  const viewAt = (data, number) => {
    const clients = fresh(data);
    data.steps.slice(0, number + 1).forEach((step, place) => {
      for (const change of step.seen) {
        const client = clients[change.lane];
        client.is = change.is ?? client.is;
        for (const { room, lines = [], left = 0, missing, present } of change.rooms ?? []) {
          const known = client.rooms[room];
          known.left += left;
          known.lines.push(...lines.map((line) => ({ line, isNew: place === number && number > 0 })));
          known.left += Math.max(known.lines.length - data.lines, 0);
          known.lines = known.lines.slice(-data.lines);
          known.missing = missing ?? known.missing;
          known.present = present ?? known.present;
        }
      }
    });
    return clients;
  };

  const message = ({ line: [number, said, mark], isNew }) => {
    const item = element("li", isNew ? "new" : "");
    item.append(element("b", "", number), ` ${said}`);
    if (mark) item.append(" ", element("em", "mark", mark));
    return item;
  };

  const roomOf = (room, name, data) => {
    const { texts } = data;
    const pieces = [];
    if (data.rooms.length > 1) pieces.push(element("h5", "", name));
    if (room.left) pieces.push(element("p", "soft", `… ${texts.earlier.replace("{count}", room.left)}`));
    const list = element("ul");
    list.append(...room.lines.map(message));
    pieces.push(room.lines.length ? list : element("p", "soft", texts.nothing));
    if (room.missing) pieces.push(element("p", "mark", `${texts.missing} ${room.missing}`));
    if (room.present) pieces.push(element("p", "", `${texts.present} ${room.present}`));
    return pieces;
  };

  const window_ = (client, name, data) => {
    const made = element("div", "client");
    const head = element("p", "name");
    head.append(element("b", "", name), " ", element("span", "soft", client.is));
    made.append(head);
    client.rooms.forEach((room, number) => {
      const isKnown = room.lines.length || room.left || room.missing || room.present;
      if (isKnown || data.rooms.length === 1) made.append(...roomOf(room, data.rooms[number], data));
    });
    return made;
  };

  // Returns what scrolls its figure, which needs a layout: one for all, when all are made.
  const start = (root) => {
    const figure = root.querySelector("figure");
    const svg = figure?.querySelector("svg");
    const stored = root.querySelector("script[type='application/json']");
    if (!svg || !stored) return () => {};
    const data = JSON.parse(stored.textContent);
    const { texts } = data;
    const last = data.steps.length - 1;
    const show = overlay(svg, data);
    heads(figure, svg, data);

    const slider = element("input");
    Object.assign(slider, { type: "range", min: 0, max: last, step: 1, value: data.start });
    const label = element("label");
    label.append(element("span", "", texts.moment), slider);
    const count = element("span", "count");
    const button = (sign, name, by) => {
      const made = element("button", "", sign);
      made.type = "button";
      made.setAttribute("aria-label", name);
      made.addEventListener("click", () => go(Number(slider.value) + by)());
      return made;
    };
    const back = button("◀", texts.previous, -1);
    const forth = button("▶", texts.next, 1);
    const controls = element("div", "controls");
    controls.append(back, label, forth, count);
    const told = element("div", "told");
    told.setAttribute("aria-live", "polite");
    const seen = element("div", "seen");
    const after = element("div", "after");
    after.append(element("p", "heading", texts.seen), seen, ...data.notes.map((note) => element("p", "soft", note)));

    const go = (wanted) => {
      const number = Math.min(Math.max(wanted, 0), last);
      const step = data.steps[number];
      slider.value = number;
      slider.setAttribute("aria-valuetext", `${number} / ${last}`);
      count.textContent = `${number} / ${last}`;
      back.disabled = number === 0;
      forth.disabled = number === last;
      told.replaceChildren(...step.told.map((line, place) => element("p", place < step.odd ? "mark" : "", line)));
      seen.replaceChildren(...viewAt(data, number).map((each, lane) => window_(each, data.lanes[lane], data)));
      const place = show(step);
      return () => reveal(figure, svg, place);
    };
    slider.addEventListener("input", () => go(Number(slider.value))());
    // JupyterLab takes keys for its own commands, and takes the focus away at each key that it sees.
    root.dataset.lmSuppressShortcuts = "true";
    slider.addEventListener("keydown", (event) => event.stopPropagation());
    figure.before(controls, told);
    figure.after(after);
    root.classList.add("live");
    return go(data.start);
  };

  const made = [...document.querySelectorAll(".chatlab-scrubber:not(.live)")].map(start);
  for (const scroll of made) scroll();
})();
