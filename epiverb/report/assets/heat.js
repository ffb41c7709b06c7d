"use strict";
// What a model computes of each token, as heat under the words of a trace: highlights, so that the text stays as it is.
epiverb.heat = (home) => {
  const { byId, data, make } = epiverb;
  const { steps, longest, first, measures, left_out } = data("shades");
  const able = Boolean(globalThis.Highlight && CSS.highlights);
  const choice = byId("heat"), legend = byId("heat-legend");
  choice.append(...measures.map(({ measure, label }) => make("option", { value: measure }, label)));
  byId("heat-choice").hidden = !measures.length || !able;
  byId("heat-left-out").textContent = left_out.length ? `Left out to keep the page small: ${left_out.join(", ")}.` : "";
  let known = null;

  // Two units a character, as `packed` in report/heat.py puts them; `steps` is unknown.
  const unpacked = (text, count) => Array.from({ length: count }, (_, i) => {
    const pair = text.charCodeAt(i >> 1) - first;
    return i % 2 ? Math.floor(pair / (steps + 1)) : pair % (steps + 1);
  });

  // As `units` in report/heat.py cuts it: white, letters, signs, characters that stand alone, pictures.
  const kind = (c) => c <= 32 ? 0
    : (c >= 0x1f000 && c <= 0x1ffff) || (c >= 0x2600 && c <= 0x27bf) || c === 0x200d || c === 0xfe0f ? 4
    : (c >= 0x2e80 && c <= 0xa4cf) || (c >= 0xf900 && c <= 0xfaff) || (c >= 0x20000 && c <= 0x3ffff) ? 3
    : (c >= 48 && c <= 57) || ((c | 32) >= 97 && (c | 32) <= 122) || c > 127 ? 1 : 2;
  const units = () => {
    const found = [];
    let before = 0, run = 0, at = 0, unit = null;
    const step = (own, node, from, to) => {
      if (own !== before || own === 3 || run === longest) {
        unit = own ? { at, startContainer: node, startOffset: from } : null;
        if (unit) found.push(unit);
        run = 0;
      }
      if (unit) Object.assign(unit, { endContainer: node, endOffset: to });
      [before, run, at] = [own, run + 1, at + 1];
    };
    const walker = document.createTreeWalker(home, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      if (node.parentNode.className === "control") { step(0, node, 0, 0); continue; }  // one character, shown by its name
      let from = 0;
      for (const char of node.data) { step(kind(char.codePointAt(0)), node, from, from + char.length); from += char.length; }
    }
    return found;
  };

  const figure = (value) => value.toLocaleString("en", { maximumSignificantDigits: 3 });
  const swatches = (text, ...names) => make("span", { className: "shades", ariaHidden: "true" }, ...names.map((name) => make("i", { className: name }, text)));
  const explain = ({ label, unit, step }, doc, unknown) => {
    if (!doc) return legend.replaceChildren(`No ${label} is known of this trace.`);
    const names = Array.from({ length: steps - 1 }, (_, i) => `heat-${i + 1}`);
    legend.replaceChildren(
      `Highest ${label} of a word's tokens, ${unit}: unshaded below ${figure(step)} `, swatches("", ...names),
      ` full shade from ${figure(step * (steps - 1))}`,
      ...(unknown ? [`; ${unknown.toLocaleString("en")} unknown `, swatches("ab", "heat-unknown")] : []));
  };

  const show = (doc) => {
    for (const name of [...CSS.highlights?.keys() ?? []]) if (name.startsWith("heat-")) CSS.highlights.delete(name);
    const index = measures.findIndex(({ measure }) => measure === choice.value);
    legend.hidden = index < 0;
    known = null;
    if (index < 0 || !able) return;
    const text = doc.heat?.[index] ?? null;
    const found = text === null ? [] : units();
    if (Math.ceil(found.length / 2) !== (text ?? "").length) throw new Error("heat: the text is cut otherwise than it was packed");
    const levels = unpacked(text, found.length);
    const shades = new Map();
    found.forEach((unit, i) => {
      const name = levels[i] === steps ? "unknown" : levels[i];
      if (name !== 0) (shades.get(name) ?? shades.set(name, new Highlight()).get(name)).add(new StaticRange(unit));
    });
    for (const [name, shade] of shades) CSS.highlights.set(`heat-${name}`, shade);
    if (text !== null) known = { levels, found, ...measures[index] };
    explain(measures[index], text !== null, shades.get("unknown")?.size);
  };

  // In words, for whoever steps to a marker: the highest shade of what it covers.
  const told = (mark) => {
    if (!known) return "";
    const from = Number(mark.dataset.start), to = from + Array.from(mark.textContent).length;
    const ends = (i) => known.found[i + 1]?.at ?? Infinity;
    const own = known.found.flatMap((unit, i) => unit.at < to && ends(i) > from && known.levels[i] < steps ? [known.levels[i]] : []);
    if (!own.length) return `, ${known.label} unknown`;
    const most = Math.max(...own);
    const [low, high] = [figure(known.step * most), figure(known.step * (most + 1))];
    return `, ${known.label} ${most === steps - 1 ? `${low} or more` : `${low} to ${high}`} ${known.unit}`;
  };
  const choose = (name) => { choice.value = measures.some(({ measure }) => measure === name) ? name : ""; };
  const next = () => { choice.selectedIndex = (choice.selectedIndex + 1) % choice.length; choice.dispatchEvent(new Event("change")); };
  return { show, told, choose, next, chosen: () => choice.value, changed: (act) => choice.addEventListener("change", act) };
};
