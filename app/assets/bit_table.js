// Shows the steps of a bitwise convolution one by one, and says which bit was pressed. It computes nothing: every number
// and sentence arrives in `data`, which `app/views/bit_table.py` describes.

const PLAY_MS = 1100;
const SIDES = ["activation", "weight"];

export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  const root = parentElement.querySelector(".root");
  const table = (root.table ??= { done: data.rows.length, timer: null });
  table.flip = (name) => setTriggerValue("flip", name);
  table.data = data;
  for (const [name, colour] of Object.entries(data.colours)) root.style.setProperty(`--${name}`, colour);
  const form = JSON.stringify([data.rows.length, data.channels.length, data.heads.length]);
  if (table.form !== form) {
    table.form = form;
    table.done = data.rows.length;
    build(root, table);
  }
  table.done = Math.min(table.done, data.rows.length);
  paint(root, table);
  return () => pause(table);
}

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// ---- the elements, made once

function build(root, table) {
  const { data } = table;
  const kernel = Math.round(Math.sqrt(data.rows.length));
  root.style.setProperty("--kernel", kernel);
  root.style.setProperty("--numbers", data.heads.length);
  const bar = make("div", { class: "bar", role: "group", "aria-label": "Steps" });
  table.buttons = {};
  for (const [name, text, act] of [
    ["step", "Step", () => go(root, table, table.done % data.rows.length + 1)],
    ["play", "Play", () => (table.timer ? stop(root, table) : play(root, table))],
    ["reset", "Reset", () => go(root, table, 0)],
    ["all", "All steps", () => go(root, table, data.rows.length)],
  ]) {
    const button = (table.buttons[name] = make("button", { type: "button", class: name }, text));
    button.onclick = () => {
      if (name !== "play") pause(table);
      act();
    };
    bar.append(button);
  }
  const said = make("p", { class: "said", "aria-live": "polite" });
  const head = make("tr", {}, make("th", { scope: "col" }));
  for (const name of ["activation", "weight", "joined"]) head.append(make("th", { scope: "col", class: name }));
  for (const _ of data.heads) head.append(make("th", { scope: "col", class: "number" }));
  const body = make("tbody");
  data.rows.forEach((row, tap) => body.append(buildRow(root, table, tap, kernel)));
  root.replaceChildren(bar, said, make("table", {}, make("thead", {}, head), body));
  body.onkeydown = (event) => move(event, root);
}

function buildRow(root, table, tap, kernel) {
  const { data } = table;
  const squares = data.rows.map((_, i) => make("i", i === tap ? { class: "here" } : {}));
  const goTo = make("button", { type: "button", class: "go" }, ...squares);
  goTo.onclick = () => {
    pause(table);
    go(root, table, tap + 1);
  };
  const row = make("tr", {}, make("th", { scope: "row" }, goTo));
  for (const side of [...SIDES, "joined"]) {
    const word = make("span", { class: "word" });
    data.channels.forEach((_, channel) => {
      const bit = make(side === "joined" ? "span" : "button", { class: "bit" });
      if (side !== "joined") {
        bit.type = "button";
        bit.tabIndex = -1;
        bit.dataset.at = `${tap},${SIDES.indexOf(side) * data.channels.length + channel}`;
        bit.onclick = () => {
          const fixed = side === "activation" && table.data.rows[tap].fixed;
          if (!fixed) table.flip(`${side},${tap},${channel}`);
        };
      }
      word.append(bit);
    });
    row.append(make("td", { class: `bits ${side}` }, make("span", { class: "short" }), word));
  }
  for (const _ of data.heads) row.append(make("td", { class: "number" }, make("span", { class: "short" }), make("b")));
  return row;
}

// ---- what they show

function paint(root, table) {
  const { data, done } = table;
  const all = (selector, within = root) => [...within.querySelectorAll(selector)];
  all("thead th").forEach((cell, i) => (cell.textContent = ["Tap", ...data.words, ...data.heads][i]));
  root.querySelector("table").setAttribute("aria-label", data.label);
  all("tbody tr").forEach((element, tap) => {
    const row = data.rows[tap];
    element.classList.toggle("done", tap < done);
    element.classList.toggle("now", tap === done - 1);
    element.classList.toggle("padded", row.fixed);
    if (tap === done - 1) element.setAttribute("aria-current", "step");
    else element.removeAttribute("aria-current");
    const goTo = element.querySelector(".go");
    goTo.setAttribute("aria-label", row.name);
    goTo.title = row.name;
    [...SIDES, "joined"].forEach((side, s) => {
      element.querySelector(`.${side} .short`).textContent = data.words[s];
      all(`.${side} .bit`, element).forEach((bit, channel) => paintBit(bit, data, row, side, channel));
    });
    all("td.number", element).forEach((cell, i) => {
      cell.firstChild.textContent = data.heads[i];
      cell.lastChild.textContent = row.numbers[i];
    });
  });
  root.querySelector(".said").textContent = done ? data.rows[done - 1].said : data.start;
  table.buttons.play.textContent = table.timer ? "Pause" : "Play";
  table.buttons.reset.disabled = done === 0;
  table.buttons.all.disabled = done === data.rows.length;
  if (!root.querySelector(".bit[tabindex='0']")) root.querySelector("button.bit").tabIndex = 0;
}

function paintBit(bit, data, row, side, channel) {
  const value = row[side][channel];
  bit.textContent = value;
  bit.classList.toggle("one", value === 1);
  if (side === "joined") return;
  const fixed = row.fixed && side === "activation";
  bit.classList.toggle("fixed", fixed);
  bit.classList.toggle("turned", row.turned.includes(`${side},${channel}`));
  const means = fixed ? "padding" : data.means[side][value];
  bit.setAttribute("aria-label", `${side}, ${row.name}, channel ${data.channels[channel]}: bit ${value}, ${means}`);
  bit.setAttribute("aria-disabled", fixed);
  bit.title = `channel ${data.channels[channel]}: ${means}` + (fixed ? "" : "; press to flip");
}

// ---- stepping

function go(root, table, done) {
  table.done = done;
  paint(root, table);
}

function play(root, table) {
  if (table.done === table.data.rows.length) table.done = 0;
  table.timer = setInterval(() => {
    table.done += 1;
    if (table.done >= table.data.rows.length) pause(table);
    paint(root, table);
  }, PLAY_MS);
  paint(root, table);
}

function stop(root, table) {
  pause(table);
  paint(root, table);
}

function pause(table) {
  clearInterval(table.timer);
  table.timer = null;
}

// Arrow keys go from bit to bit, Home and End to the ends of a row; Tab enters the bits once and leaves them.
function move(event, root) {
  const from = event.target.dataset.at?.split(",").map(Number);
  if (!from) return;
  const [tap, at] = from;
  const last = root.querySelectorAll(`[data-at^='${tap},']`).length - 1;
  const [row, bit] = {
    ArrowLeft: [tap, at - 1], ArrowRight: [tap, at + 1], ArrowUp: [tap - 1, at], ArrowDown: [tap + 1, at],
    Home: [tap, 0], End: [tap, last],
  }[event.key] ?? [];
  if (row === undefined) return;
  event.preventDefault();
  const to = root.querySelector(`[data-at='${row},${bit}']`);
  if (!to || !to.offsetParent) return;
  event.target.tabIndex = -1;
  to.tabIndex = 0;
  to.focus();
}
