// The trace viewer of one run.
(() => {
  const { byId, data, make, visible, unpack, drawn, verdict, markers, lazyList, chips, keys } = epiverb;
  const facts = data("facts").map(([id, problem, sample, benchmark, group, step, status, correct, words, hits], row) =>
    ({ row, id, problem, sample, benchmark, group, step, status, correct, words, hits }));
  const packed = data("packed");
  const numbered = facts.some((fact) => fact.sample > 0);
  let shown = facts, current = null, marks = [], at = -1;

  const told = (fact) => [fact.group, fact.benchmark, fact.problem && `problem ${fact.problem}`,
    numbered && `sample ${fact.sample + 1}`, fact.step !== null && `step ${fact.step}`]
    .filter(Boolean).join(" · ");
  const grouped = (fact) => [fact.group, fact.benchmark].filter(Boolean).join(" · ");

  const list = lazyList((fact) => {
    const button = make("button", { type: "button", onclick: () => open(fact) }, ...visible(told(fact) || fact.id),
      make("small", {}, `${verdict(fact.correct)} · ${fact.status} · ${markers(fact.hits)}`));
    button.dataset.row = fact.row;
    return button;
  });
  const { count, enabled } = chips(byId("text"));
  const heat = epiverb.heat(byId("text"));
  let doc = null;

  const open = async (fact, marker = null) => {
    current = fact;
    at = -1;
    list.select(fact.row);
    const own = await unpack(packed[fact.row]);
    if (current !== fact) return;
    doc = own;
    byId("name").replaceChildren(...visible(fact.id));
    byId("about").replaceChildren(...visible([told(fact), verdict(fact.correct), fact.status, `${fact.words.toLocaleString("en")} words`,
      markers(fact.hits), doc.answer !== null && `answer ${doc.answer}`, doc.gold !== null && `reference ${doc.gold}`].filter(Boolean).join(" · ")));
    byId("prompt").hidden = doc.prompt === null;
    byId("prompt-text").replaceChildren(...visible(doc.prompt ?? ""));
    const body = drawn(doc);
    marks = body.marks;
    byId("text").replaceChildren(body.nodes);
    heat.show(doc);
    count(doc.hits);
    byId("say").textContent = "";
    byId("text").scrollTop = 0;
    remember();
    if (marker !== null) step(0, marks.findIndex((mark) => Number(mark.dataset.start) === marker));
  };

  const step = (direction, to = null) => {
    let place = to ?? at;
    do { place += to === null ? direction : 0; } while (to === null && marks[place] && !enabled(marks[place]));
    if (!marks[place]) return;
    marks[at]?.classList.remove("here");
    at = place;
    marks[at].classList.add("here");
    marks[at].scrollIntoView({ block: "center" });
    say();
    remember();
  };
  const say = () => { byId("say").textContent = at < 0 ? "" : `${marks[at].title}: ${marks[at].textContent}${heat.told(marks[at])}`; };
  const move = (direction) => {
    const place = shown.indexOf(current) + direction;
    if (shown[place]) open(shown[place]);
  };

  const remember = () => {
    const state = new URLSearchParams({ trace: current.id });
    if (at >= 0) state.set("marker", marks[at].dataset.start);
    if (heat.chosen()) state.set("heat", heat.chosen());
    history.replaceState(null, "", `#${state}`);
  };
  const recall = () => {
    const state = new URLSearchParams(location.hash.slice(1));
    const fact = facts.find((one) => one.id === state.get("trace"));
    if (state.has("heat")) heat.choose(state.get("heat"));
    if (!fact && state.has("trace")) byId("number").textContent += "; the one in the address is not among them";
    if (fact) open(fact, state.has("marker") ? Number(state.get("marker")) : null);
    return Boolean(fact);
  };

  const filter = () => {
    const [verdictOf, statusOf, group, wanted] = ["by-verdict", "by-status", "by-group", "by-text"].map((id) => byId(id).value);
    shown = facts.filter((fact) => (!verdictOf || verdict(fact.correct) === verdictOf) && (!statusOf || fact.status === statusOf)
      && (!group || grouped(fact) === group)
      && (!wanted || `${fact.id} ${told(fact)}`.toLowerCase().includes(wanted.toLowerCase())));
    const order = byId("sort").value;
    if (order) shown.sort((a, b) => (b[order] ?? 0) - (a[order] ?? 0));
    list.show(shown, "No trace fits these filters.");
    byId("number").textContent = `${shown.length} of ${facts.length} traces on this page`;
    if (shown.length && !shown.includes(current)) open(shown[0]);
  };

  const fill = (id, values) => byId(id).append(...values.map((value) => make("option", { value }, value)));
  const distinct = (key) => [...new Set(facts.map(key))].filter(Boolean).sort();
  fill("by-verdict", distinct((fact) => verdict(fact.correct)));
  fill("by-status", distinct((fact) => fact.status));
  fill("by-group", distinct(grouped));
  for (const id of ["by-verdict", "by-status", "by-group", "sort"]) byId(id).addEventListener("change", filter);
  byId("by-text").addEventListener("input", filter);
  keys({ n: () => move(1), p: () => move(-1), j: () => step(1), k: () => step(-1), h: heat.next, "?": () => { byId("keys").open = !byId("keys").open; } });
  heat.changed(() => { if (doc) heat.show(doc); say(); remember(); });
  addEventListener("hashchange", recall);
  filter();
  recall();
})();
