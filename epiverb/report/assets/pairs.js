// The same problem in two runs: texts that scroll together, and a strip of the markers of each.
(() => {
  const { CATEGORIES, byId, data, make, visible, unpack, drawn, verdict, number, markers, lazyList, chips, keys } = epiverb;
  const { runs, files, here, problems } = data("facts");
  const packed = data("packed");
  const samples = (list) => list.map(([sample, correct, status, words, hits]) => ({ sample, correct, status, words, hits }));
  const facts = problems.map(([benchmark, problem, page, prompt, ...sides], row) =>
    ({ row, benchmark, problem, page, prompt, sides: sides.map(samples), key: benchmark === null ? problem : `${benchmark}/${problem}` }));
  const single = facts.every((fact) => fact.sides.every((side) => side.length <= 1));
  let of = 1, shown = [], current = null, active = 0, found = null;

  // What happened to a problem from the base to the run.
  const mean = (values) => values.length ? values.reduce((a, b) => a + b, 0) / values.length : null;
  const rate = (side) => mean(side.filter((one) => one.correct !== null).map((one) => Number(one.correct)));
  const dense = (side) => mean(side.map((one) => one.hits));
  const change = (fact) => {
    const [base, run] = [fact.sides[0], fact.sides[of]];
    return { right: [rate(base), rate(run)], hits: [dense(base), dense(run)], words: Math.max(0, ...[...base, ...run].map((one) => one.words)) };
  };
  const graded = ({ right: [base, run] }) => base !== null && run !== null;
  const OUTCOMES = {
    fixed: [single ? "fixed: wrong → right" : "fixed: right more often", (c) => graded(c) && c.right[1] > c.right[0]],
    broken: [single ? "broken: right → wrong" : "broken: right less often", (c) => graded(c) && c.right[1] < c.right[0]],
    right: [single ? "right in both" : "always right in both", (c) => c.right[0] === 1 && c.right[1] === 1],
    wrong: [single ? "wrong in both" : "never right in both", (c) => c.right[0] === 0 && c.right[1] === 0],
    unknown: ["not graded", (c) => !graded(c)],
  };
  const MARKERS = {
    lost: ["lost its markers: half or fewer", ({ hits: [base, run] }) => base > 0 && run <= base / 2],
    gone: ["lost all its markers", ({ hits: [base, run] }) => base > 0 && run === 0],
    gained: ["gained markers: twice or more", ({ hits: [base, run] }) => run > 0 && run >= 2 * base],
    first: ["gained its first markers", ({ hits: [base, run] }) => run > 0 && base === 0],
  };

  const share = (side, value) => {
    const known = side.filter((one) => one.correct !== null);
    if (value === null) return "not graded";
    return single ? verdict(value === 1) : `${known.filter((one) => one.correct).length}/${known.length}`;
  };
  const outcome = (fact) => {
    const { right } = change(fact);
    const text = `${share(fact.sides[0], right[0])} → ${share(fact.sides[of], right[1])}`;
    return single || right.includes(null) ? text : `${text} right`;
  };
  const told = (fact) => [fact.benchmark, `problem ${fact.problem}`].filter(Boolean).join(" · ");

  const list = lazyList((fact) => {
    const { hits, right } = change(fact);
    const moved = right.includes(null) || right[0] === right[1] ? "" : right[1] > right[0] ? "fixed" : "broken";
    const button = make("button", { type: "button", onclick: () => open(fact) }, ...visible(told(fact)),
      ...(fact.prompt ? [make("span", { className: "excerpt" }, ...visible(fact.prompt))] : []),
      make("small", { className: moved }, `${moved ? `${moved}: ` : ""}${outcome(fact)}`),
      make("small", {}, `${number(hits[0])} → ${number(hits[1])} markers${single ? "" : " a trace"}`));
    button.dataset.row = fact.row;
    return button;
  });

  // The two sides: heading, sample, text, strip.
  const SVG = (tag, attributes) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    return node;
  };
  const side = (index) => {
    const title = make("h4", { id: `side-${index}` });
    const pick = make("select", {});
    const label = make("label", {}, "Sample ", pick);
    const about = make("p", { className: "quiet" });
    const text = make("div", { className: "text", tabIndex: 0 });
    text.setAttribute("role", "region");
    text.setAttribute("aria-labelledby", `side-${index}`);
    const strip = make("button", { type: "button", className: "strip" });
    const name = make("span", {});
    const pane = make("section", { className: "pane" }, make("div", { className: "head" }, title, label), about, text);
    byId("panes").append(pane);
    byId("strips").append(name, strip);
    const self = { index, title, pick, label, about, text, strip, name, pane, marks: [], at: -1, sample: 0, doc: null };
    pick.addEventListener("change", () => { self.sample = Number(pick.value); load(self).then(remember); });
    text.addEventListener("scroll", () => follow(self));
    for (const event of ["pointerdown", "focusin"]) pane.addEventListener(event, () => activate(index));
    strip.addEventListener("click", (event) => {
      const box = strip.getBoundingClientRect();
      activate(index);
      if (event.detail) scrollTo(self, (event.clientX - box.left) / box.width, true);
    });
    return self;
  };
  const sides = [side(0), side(1)];
  const { count, enabled, on } = chips(byId("trace"), () => sides.forEach((self) => self.doc && draw(self)));
  const activate = (index) => {
    active = index;
    sides.forEach((one) => one.pane.classList.toggle("active", one.index === index));
  };

  // A lane a category that is shown: places tell categories apart, not colours alone.
  const LANE = 10;
  const draw = (self) => {
    const { doc, length } = self;
    const lanes = CATEGORIES.map((_, category) => category).filter(on);
    const height = LANE * Math.max(lanes.length, 1);
    const svg = SVG("svg", { viewBox: `0 0 1000 ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" });
    const place = (offset) => 1000 * offset / Math.max(length, 1);
    if (doc.loop !== null) svg.append(SVG("rect", { x: place(doc.loop), y: 0, width: 1000 - place(doc.loop), height, class: "in-loop" }));
    lanes.forEach((category, lane) => {
      const lines = doc.hits.filter((hit) => hit[2] === category).map((hit) => `M${place(hit[0]).toFixed(1)} ${LANE * lane + 1}v${LANE - 2}`);
      if (lines.length) svg.append(SVG("path", { d: lines.join(""), class: `c${category}` }));
    });
    if (doc.thinking[1] !== null && doc.thinking[1] < length) svg.append(SVG("path", { d: `M${place(doc.thinking[1])} 0v${height}`, class: "end" }));
    self.view = SVG("rect", { x: 0, y: 0, width: 1000, height, class: "view" });
    svg.append(self.view);
    self.strip.replaceChildren(svg);
    const counts = CATEGORIES.map((name, category) => [name, doc.hits.filter((hit) => hit[2] === category).length]).filter((pair) => pair[1]);
    self.strip.setAttribute("aria-label", `Markers of ${runName(self)} along the trace: ${counts.map(([name, n]) => `${n} ${name}`).join(", ") || "none"}. Click to go there.`);
    look(self);
  };
  const runName = (self) => runs[self.index ? of : 0];
  const room = (self) => Math.max(self.text.scrollHeight - self.text.clientHeight, 0);
  const look = (self) => {
    if (!self.view) return;
    const whole = Math.max(self.text.scrollHeight, 1);
    self.view.setAttribute("x", 1000 * self.text.scrollTop / whole);
    self.view.setAttribute("width", room(self) ? 1000 * self.text.clientHeight / whole : 0);
  };

  // One side follows the other to the same share of its length; `expected` tells its own scrolling from the reader's.
  const together = () => byId("together").getAttribute("aria-pressed") === "true";
  const follow = (self) => {
    look(self);
    if (self.expected !== undefined && Math.abs(self.text.scrollTop - self.expected) < 2) { self.expected = undefined; return; }
    self.expected = undefined;
    if (together() && room(self)) put(sides[1 - self.index], self.text.scrollTop / room(self));
  };
  const put = (self, share) => {
    const top = Math.round(share * room(self));
    if (Math.abs(self.text.scrollTop - top) < 1) return;
    self.expected = top;
    self.text.scrollTop = top;
  };
  const scrollTo = (self, place) => {
    self.text.scrollTop = place * self.text.scrollHeight - self.text.clientHeight / 2;
  };
  byId("together").addEventListener("click", () => {
    byId("together").setAttribute("aria-pressed", !together());
    if (together()) follow(sides[active]);
  });

  const load = async (self) => {
    const fact = current, slot = self.index ? of : 0;
    const own = fact.sides[slot];
    self.sample = Math.min(self.sample, Math.max(own.length - 1, 0));
    self.at = -1;
    self.pick.replaceChildren(...own.map((one, i) => make("option", { value: i, selected: i === self.sample },
      `${one.sample + 1}: ${verdict(one.correct)}, ${markers(one.hits)}`)));
    self.label.hidden = own.length < 2;
    self.title.replaceChildren(...visible(runName(self)));
    self.name.replaceChildren(...visible(runName(self)));
    const one = own[self.sample];
    const doc = one ? await unpack(packed[fact.row][slot][self.sample]) : { prompt: null, response: "", thinking: [null, null], loop: null, answer: null, gold: null, hits: [] };
    if (current !== fact || slot !== (self.index ? of : 0)) return;
    self.doc = doc;
    const body = drawn(doc);
    Object.assign(self, { marks: body.marks, length: body.length });
    self.about.replaceChildren(...(one ? [make("b", { className: one.correct === null ? "" : one.correct ? "fixed" : "broken" }, verdict(one.correct)),
      ...visible(["", one.status, `${one.words.toLocaleString("en")} words`, `${markers(one.hits)}${doc.loop === null ? "" : " before its loop"}`,
        doc.answer !== null && `answer ${doc.answer}`, doc.gold !== null && `reference ${doc.gold}`].filter((part) => part !== false).join(" · "))]
      : ["This run has no trace of the problem."]));
    self.text.replaceChildren(body.nodes);
    self.expected = 0;
    self.text.scrollTop = 0;
    draw(self);
    highlight();
    if (sides.every((each) => each.doc)) count(...sides.map((each) => each.doc.hits));
  };

  const open = async (fact, state = null) => {
    if (fact.page !== here) { location.href = `${files[fact.page]}#${address(fact)}`; return; }
    current = fact;
    const wanted = (key) => Number(state?.get(key) ?? 1) - 1;
    sides[0].sample = Math.max(0, fact.sides[0].findIndex((one) => one.sample === wanted("base")));
    sides[1].sample = Math.max(0, fact.sides[of].findIndex((one) => one.sample === wanted("run")));
    list.select(fact.row);
    byId("name").replaceChildren(...visible(`${told(fact)}: ${outcome(fact)}`));
    await Promise.all(sides.map(load));
    if (current !== fact) return;
    // Runs may be shown different prompts (a hint, a solution): then both are told.
    const asked = sides.filter((self) => self.doc.prompt !== null);
    const differ = new Set(asked.map((self) => self.doc.prompt)).size > 1;
    byId("prompt").hidden = !asked.length;
    byId("prompt-text").replaceChildren(...(differ ? asked : asked.slice(0, 1)).flatMap((self, index) =>
      [...(differ ? [make("b", {}, `${index ? "\n\n" : ""}${runName(self)}\n`)] : []), ...visible(self.doc.prompt)]));
    byId("prompt").querySelector("summary").textContent = differ ? "Prompts (they differ)" : "Prompt";
    byId("say").textContent = "";
    activate(state?.get("side") === "run" ? 1 : state ? 0 : active);
    if (state?.has("marker")) step(0, sides[active].marks.findIndex((mark) => mark.dataset.start === state.get("marker")));
    remember();
  };

  const step = (direction, to = null) => {
    const self = sides[active];
    let place = to ?? self.at;
    do { place += to === null ? direction : 0; } while (to === null && self.marks[place] && !enabled(self.marks[place]));
    const mark = self.marks[place];
    if (!mark) { byId("say").textContent = `No ${direction < 0 ? "earlier" : "further"} marker in ${runName(self)}; s goes to the other side.`; return; }
    self.marks[self.at]?.classList.remove("here");
    self.at = place;
    mark.classList.add("here");
    self.text.scrollTop += mark.getBoundingClientRect().top - self.text.getBoundingClientRect().top - self.text.clientHeight / 2;
    byId("say").textContent = `${runName(self)}, ${mark.title}: ${mark.textContent}`;
    remember();
  };
  const move = (direction) => {
    const place = shown.indexOf(current) + direction;
    if (shown[place]) open(shown[place]);
  };

  const address = (fact) => {
    const state = new URLSearchParams({ problem: fact.key });
    if (runs.length > 2) state.set("of", runs[of]);
    if (fact === current) {
      ["base", "run"].forEach((key, index) => {
        const one = fact.sides[index ? of : 0][sides[index].sample];
        if (one && one.sample) state.set(key, one.sample + 1);
      });
      const self = sides[active];
      if (active) state.set("side", "run");
      if (self.at >= 0) state.set("marker", self.marks[self.at].dataset.start);
    }
    return state;
  };
  const remember = () => { if (current) history.replaceState(null, "", `#${address(current)}`); };
  const recall = () => {
    const state = new URLSearchParams(location.hash.slice(1));
    const chosen = runs.indexOf(state.get("of"), 1);
    if (chosen > 0 && chosen !== of) { byId("of").value = of = chosen; options(); filter(false); }
    const fact = facts.find((one) => one.key === state.get("problem"));
    if (!fact && state.has("problem")) byId("number").textContent += "; the one in the address is not among them";
    if (fact) open(fact, state);
    return Boolean(fact);
  };

  // Text is searched when somebody searches: the traces of this page are unpacked once, in the background.
  let texts = null;
  const readAll = async () => {
    texts = new Map();
    for (const [row, own] of Object.entries(packed)) {
      const docs = await Promise.all(own.flat().map(unpack));
      texts.set(Number(row), docs.map((doc) => `${doc.prompt ?? ""}\n${doc.response}`).join("\n").toLowerCase());
    }
  };
  const search = async () => {
    const wanted = byId("by-text").value.toLowerCase();
    if (wanted.length > 2 && !texts) { byId("number").textContent = "reading the traces …"; await readAll(); }
    if (byId("by-text").value.toLowerCase() !== wanted) return;
    found = wanted ? (fact) => `${fact.key} ${told(fact)} ${fact.prompt ?? ""}`.toLowerCase().includes(wanted)
      || Boolean(wanted.length > 2 && texts?.get(fact.row)?.includes(wanted)) : null;
    filter();
    highlight();
  };
  const highlight = () => {
    if (!globalThis.Highlight || !CSS.highlights) return;
    CSS.highlights.delete("found");
    const wanted = byId("by-text").value.toLowerCase();
    if (wanted.length < 3) return;
    const ranges = [];
    for (const self of sides) {
      const walker = document.createTreeWalker(self.text, NodeFilter.SHOW_TEXT);
      for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        const text = node.data.toLowerCase();
        for (let at = text.indexOf(wanted); at >= 0 && text.length === node.data.length; at = text.indexOf(wanted, at + wanted.length)) {
          const range = new Range();
          range.setStart(node, at);
          range.setEnd(node, at + wanted.length);
          ranges.push(range);
        }
      }
    }
    CSS.highlights.set("found", new Highlight(...ranges));
  };

  const filter = (openFirst = true) => {
    const [result, moved] = [OUTCOMES[byId("by-outcome").value], MARKERS[byId("by-markers").value]];
    shown = facts.filter((fact) => {
      if (!fact.sides[of].length) return false;
      const c = change(fact);
      return (!result || result[1](c)) && (!moved || moved[1](c)) && (!found || found(fact));
    });
    const order = { lost: (c) => c.hits[1] - c.hits[0], gained: (c) => c.hits[0] - c.hits[1], words: (c) => -c.words }[byId("sort").value];
    if (order) shown.sort((a, b) => order(change(a)) - order(change(b)));
    list.show(shown, "No problem fits these filters.");
    const elsewhere = shown.filter((fact) => fact.page !== here).length;
    byId("number").textContent = `${shown.length} of ${facts.length} problems${elsewhere ? `, ${elsewhere} of them on other pages` : ""}`;
    if (shown.includes(current)) list.select(current.row);
    else if (openFirst) { const first = shown.find((fact) => fact.page === here); if (first) open(first); }
  };
  // The choices tell how many problems each would show.
  const options = () => {
    const own = facts.filter((fact) => fact.sides[of].length).map(change);
    for (const [id, choices] of [["by-outcome", OUTCOMES], ["by-markers", MARKERS]]) {
      const kept = byId(id).value;
      byId(id).replaceChildren(make("option", { value: "" }, "all"), ...Object.entries(choices).map(([value, [text, fits]]) => {
        const n = own.filter(fits).length;
        return make("option", { value, disabled: !n }, `${text} (${n})`);
      }));
      byId(id).value = kept;
    }
  };

  runs.slice(1).forEach((name, index) => byId("of").append(make("option", { value: index + 1 }, ...visible(name))));
  byId("of-label").hidden = runs.length < 3;
  byId("of").addEventListener("change", () => {
    of = Number(byId("of").value);
    options();
    filter();
    if (current && shown.includes(current)) open(current);
  });
  for (const id of ["by-outcome", "by-markers", "sort"]) byId(id).addEventListener("change", () => filter());
  let waiting = 0;
  byId("by-text").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(search, 200); });
  keys({ n: () => move(1), p: () => move(-1), j: () => step(1), k: () => step(-1), s: () => { activate(1 - active); sides[active].text.focus({ preventScroll: true }); remember(); }, "?": () => { byId("keys").open = !byId("keys").open; } });
  addEventListener("hashchange", recall);
  addEventListener("resize", () => sides.forEach(look));
  activate(0);
  options();
  const asked = new URLSearchParams(location.hash.slice(1)).has("problem");
  filter(!asked);
  if (asked && !recall()) filter();
})();
