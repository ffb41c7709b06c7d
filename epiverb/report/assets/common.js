"use strict";
// What both pages share: theme, text made safe to show, traces unpacked and drawn. All text from traces enters the page
// through text nodes; nothing is ever parsed as HTML.
const epiverb = (() => {
  const CATEGORIES = ["uncertainty", "reconsideration", "verification", "alternative", "booster", "procedural"];
  const EPISTEMIC = 4;
  const byId = (id) => document.getElementById(id);
  const data = (id) => JSON.parse(byId(id).textContent);
  const make = (tag, properties = {}, ...children) => {
    const node = Object.assign(document.createElement(tag), properties);
    node.append(...children);
    return node;
  };

  // Light or dark: the reader's system decides until the button does.
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const paint = (theme) => { root.dataset.theme = theme; byId("theme").textContent = theme === "dark" ? "Light" : "Dark"; };
  paint(dark.matches ? "dark" : "light");
  dark.addEventListener("change", () => paint(dark.matches ? "dark" : "light"));
  byId("theme").addEventListener("click", () => paint(root.dataset.theme === "dark" ? "light" : "dark"));

  // Controls and bidirectional overrides are shown by name: they must not act. Joiners (200c, 200d) stay: scripts and emoji need them.
  const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/gu;
  const visible = (text) => {
    const parts = [];
    let last = 0;
    for (const match of text.matchAll(CONTROL)) {
      parts.push(text.slice(last, match.index));
      const code = match[0].codePointAt(0);
      const name = code < 32 ? String.fromCodePoint(0x2400 + code) : `\\u${code.toString(16).padStart(4, "0")}`;
      parts.push(make("span", { className: "control", title: "control character" }, name));
      last = match.index + match[0].length;
    }
    parts.push(text.slice(last));
    return parts;
  };

  const unpack = async (text) => {
    const bytes = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
    return JSON.parse(await new Response(stream).text());
  };

  // Offsets are code points; JavaScript counts UTF-16 units, which differ beyond the basic plane only.
  const slicer = (text) => {
    if (!/[\ud800-\udfff]/.test(text)) return (a, b) => text.slice(a, b);
    const points = Array.from(text);
    return (a, b) => points.slice(a, b).join("");
  };

  // Where two hits overlap, the second begins where the first ends: every hit is to be seen.
  const apart = (hits) => {
    let reached = 0;
    return hits.map(([start, end, category]) => {
      const from = Math.max(start, reached);
      reached = Math.max(reached, end);
      return { start, from, end, category };
    }).filter((hit) => hit.from < hit.end);
  };

  // A response as nodes, and the marks in it in order.
  const drawn = (doc) => {
    const slice = slicer(doc.response);
    const length = Array.from(doc.response).length;
    const [opened, closed] = doc.thinking;
    const loop = doc.loop ?? length;
    const edges = new Set([0, length, loop, opened ?? 0, closed ?? 0]);
    const spans = apart(doc.hits);
    for (const hit of spans) { edges.add(hit.from); edges.add(hit.end); }
    const order = [...edges].sort((a, b) => a - b);
    const nodes = document.createDocumentFragment();
    const parts = { thinking: make("span", { className: "thinking" }), answer: make("span", { className: opened === null ? "" : "answer" }) };
    const looped = make("span", { className: "loop", title: "a loop that lasts to the end" });
    const marks = [];
    let next = 0;
    for (let i = 0; i + 1 < order.length; i++) {
      const [a, b] = [order[i], order[i + 1]];
      while (next < spans.length && spans[next].end <= a) next++;
      const hit = next < spans.length && spans[next].from <= a ? spans[next] : null;
      const text = visible(slice(a, b));
      let node = make("span", {}, ...text);
      if (hit) {
        node = make("mark", { className: `c${hit.category}`, title: CATEGORIES[hit.category] }, ...text);
        node.dataset.start = hit.start;
        if (a === hit.from) marks.push(node);
      }
      const home = a >= loop ? looped : opened !== null && a < closed ? parts.thinking : parts.answer;
      home.append(node);
    }
    nodes.append(parts.thinking, parts.answer, looped);
    return { nodes, marks, length };
  };

  const verdict = (correct) => correct === null ? "not graded" : correct ? "right" : "wrong";
  const number = (value) => value.toLocaleString("en", { maximumFractionDigits: 1 });
  const markers = (count) => `${number(count)} marker${count === 1 ? "" : "s"}`;

  // Scrolls the list only: scrollIntoView would move the page away from what is being read.
  const reveal = (button) => {
    const list = byId("list");
    const top = button.getBoundingClientRect().top - list.getBoundingClientRect().top + list.scrollTop;
    if (top < list.scrollTop) list.scrollTop = top;
    else if (top + button.offsetHeight > list.scrollTop + list.clientHeight) list.scrollTop = top + button.offsetHeight - list.clientHeight;
  };

  // A list that draws what fits and more on scrolling, so that a thousand entries stay quick.
  const lazyList = (entry) => {
    const list = byId("list");
    let rows = [], count = 0;
    const draw = (most) => {
      for (; count < Math.min(most, rows.length); count++) list.append(make("li", {}, entry(rows[count])));
    };
    list.addEventListener("scroll", () => {
      if (list.scrollTop + list.clientHeight > list.scrollHeight - 200) draw(count + 100);
    });
    const show = (shown, none) => {
      rows = shown;
      count = 0;
      list.replaceChildren();
      draw(100);
      if (!rows.length) list.append(make("li", { className: "quiet none" }, none));
    };
    const select = (row) => {
      draw(rows.findIndex((one) => one.row === row) + 1);
      for (const button of list.querySelectorAll("button")) {
        const here = Number(button.dataset.row) === row;
        button.setAttribute("aria-current", here);
        if (here) reveal(button);
      }
    };
    return { show, select };
  };

  // The chips are the legend, too: each shows how its category is marked, and how often in what is open.
  const chips = (home, changed = () => {}) => {
    CATEGORIES.forEach((name, index) => {
      const sample = make("mark", { className: `c${index}`, ariaHidden: "true" }, "ab");
      const button = make("button", { type: "button", className: `chip c${index}` }, sample, index < EPISTEMIC ? name : `${name} (control)`, make("small", {}));
      const show = (on) => {
        button.setAttribute("aria-pressed", on);
        home.classList.toggle(`off${index}`, !on);
      };
      button.addEventListener("click", () => { show(button.getAttribute("aria-pressed") !== "true"); changed(); });
      show(index < EPISTEMIC);
      byId("chips").append(button);
    });
    const count = (...traces) => [...byId("chips").querySelectorAll("small")].forEach((small, index) => {
      small.textContent = traces.map((hits) => hits.filter((hit) => hit[2] === index).length).join(" → ");
    });
    const on = (category) => !home.classList.contains(`off${category}`);
    const enabled = (mark) => on(mark.className[1]);
    return { count, enabled, on };
  };

  const keys = (bound) => {
    addEventListener("keydown", (event) => {
      if (event.target.matches("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
      if (bound[event.key]) { event.preventDefault(); bound[event.key](); }
    });
    for (const button of document.querySelectorAll("[data-key]")) button.addEventListener("click", () => bound[button.dataset.key]());
  };

  return { CATEGORIES, EPISTEMIC, byId, data, make, visible, unpack, drawn, verdict, number, markers, lazyList, chips, keys };
})();
