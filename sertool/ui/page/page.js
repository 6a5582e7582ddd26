"use strict";
(() => {
const $ = (id) => document.getElementById(id);
const make = (name, attributes = {}, ...children) => {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) node.setAttribute(key, "");
    else if (value !== false && value !== null) node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
};
const drawn = (name, attributes, text) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
};

// --- dark and light, copying ---
const root = document.documentElement;
const kept = { get() { try { return localStorage.getItem("sertool-theme"); } catch { return null; } },
  set(value) { try { localStorage.setItem("sertool-theme", value); } catch { /* not kept */ } } };
const dark = () => root.dataset.theme
  ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
const theme = $("theme");
const name = () => { theme.textContent = dark() ? "Light" : "Dark";
  theme.setAttribute("aria-label", `Change to the ${dark() ? "light" : "dark"} theme`); };
if (kept.get()) root.dataset.theme = kept.get();
theme.hidden = false;
name();
theme.addEventListener("click", () => {
  root.dataset.theme = dark() ? "light" : "dark";
  kept.set(root.dataset.theme);
  name();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", name);
for (const node of document.querySelectorAll(".script")) node.hidden = false;
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  for (const node of folded) node.open = true;
});
addEventListener("afterprint", () => { for (const node of folded) node.open = false; });
const copy = async (button, text) => {
  const before = button.textContent;
  try { await navigator.clipboard.writeText(text); button.textContent = "Copied"; } catch {
    const area = make("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    button.textContent = document.execCommand("copy") ? "Copied" : "Select and copy";
    area.remove();
    button.focus();
  }
  setTimeout(() => { button.textContent = before; }, 1500);
};
for (const line of document.querySelectorAll(".commands li")) {
  line.append(make("button", { type: "button", class: "copy",
    "aria-label": `Copy the line of ${line.dataset.stage}` }, "Copy"));
}
document.addEventListener("click", (event) => {
  const one = event.target.closest(".copy"), all = event.target.closest(".copyall");
  if (one) copy(one, one.previousElementSibling.textContent);
  if (all) copy(all, [...all.parentElement.querySelectorAll("code")]
    .map((code) => code.textContent + "\n").join(""));
});

// --- the recordings ---
if (!$("data") || !$("list")) return;
const data = JSON.parse($("data").textContent);
const classes = data.classes, folder = data.folder;
const ids = [];
for (let i = 0, before = ""; i < data.ids.length; i += 2) {
  before = before.slice(0, data.ids[i]) + data.ids[i + 1];
  ids.push(before);
}
const WHOLE = 20, LIKELIEST = 10, SHOWN = 100;
const each = classes.length <= WHOLE ? 2 * classes.length : 6 * Math.min(LIKELIEST, classes.length);
const shares = (text, i) => {  // [class, thousandths], in their order
  const own = text.slice(i * each, (i + 1) * each), found = [];
  if (classes.length <= WHOLE) {
    for (let k = 0; k < classes.length; k++) found.push([k, parseInt(own.slice(2 * k, 2 * k + 2), 36)]);
  } else {
    for (let k = 0; k < own.length; k += 6) {
      found.push([parseInt(own.slice(k, k + 4), 36), parseInt(own.slice(k + 4, k + 6), 36)]);
    }
  }
  return found;
};
const sure = (i) => data.said[i] < 0 ? -1 : (shares(data.p, i).find(([k]) => k === data.said[i]) || [0, 0])[1];
const certain = ids.map((_, i) => sure(i));
const wrong = (i) => data.truth !== undefined && data.truth[i] !== data.said[i];
const order = ids.map((_, i) => i);
if (data.truth) order.sort((a, b) => wrong(b) - wrong(a) || certain[b] - certain[a] || a - b);
const wanted = { truth: -1, said: -1, who: -1, text: "", sound: false };
const list = $("list"), detail = $("detail"), controls = $("controls");
let found = order, shown = 0, opener = null, current = -1;

const fits = (i) => (wanted.truth < 0 || data.truth[i] === wanted.truth)
  && (wanted.said < 0 || data.said[i] === wanted.said || heard(i, wanted.said))
  && (wanted.who < 0 || data.who[i] === wanted.who)
  && (!wanted.sound || i in data.clips)
  && (!wanted.text || ids[i].toLowerCase().includes(wanted.text));
const heard = (i, k) => data.windows && data.windows[i]
  && data.windows[i].some((_, w) => likeliest(data.courses[i], w) === k);
const per = (n) => (n / 1000).toFixed(3);
const label = (i) => {
  if (data.numbers && data.numbers[i]) {
    return data.numbers[i].map(([field, value]) => `${field} ${value ?? "–"}`).join(", ");
  }
  if (data.windows && data.windows[i] && data.said[i] < 0) return summary(i);
  const said = data.said[i] < 0 ? (data.notes || {})[i] || "–" : classes[data.said[i]];
  return data.truth ? `${classes[data.truth[i]]} → ${said}` : said;
};
const likeliest = (text, k) => {
  const own = shares(text, k);
  const best = own.reduce((a, b) => (b[1] > a[1] ? b : a), [-1, 0]);
  return best[0];
};
const summary = (i) => {
  const counts = new Map();
  data.windows[i].forEach((_, k) => {
    const best = likeliest(data.courses[i], k);
    counts.set(best, (counts.get(best) || 0) + 1);
  });
  return [...counts].sort((a, b) => b[1] - a[1])
    .map(([k, n]) => `${k < 0 ? "no speech" : classes[k]} ${n}`).join(", ");
};
const row = (i) => {
  const right = make("span", {}, i in data.clips ? "♪ " : "", certain[i] < 0 ? "" : per(certain[i]));
  const button = make("button", { type: "button", "data-i": i },
    make("span", {}, ids[i]),
    make("span", { class: "said" }, make("span", wrong(i) ? { class: "wrong" } : {}, label(i)), right));
  return make("li", {}, button);
};
const more = make("button", { type: "button", id: "more" }, "Show more");
const extend = () => {
  const next = found.slice(shown, shown + SHOWN);
  shown += next.length;
  more.closest("li")?.remove();
  list.append(...next.map(row));
  if (shown < found.length) list.append(make("li", {}, more));
  mark();
};
const mark = () => {
  for (const button of list.querySelectorAll("[data-i]")) {
    button.setAttribute("aria-current", String(Number(button.dataset.i) === current));
  }
};
const refresh = () => {
  found = order.filter(fits);
  shown = 0;
  list.replaceChildren();
  extend();
  const sound = found.filter((i) => i in data.clips).length;
  $("count").textContent = `${found.length} of ${ids.length}`
    + (Object.keys(data.clips).length ? `, ${sound} with sound (♪)` : "");
  for (const cell of document.querySelectorAll(".matrix [data-truth]")) {
    cell.setAttribute("aria-pressed", String(Number(cell.dataset.truth) === wanted.truth
      && Number(cell.dataset.said) === wanted.said));
  }
};
const choice = (key, words, names) => {
  const select = make("select", {}, make("option", { value: -1 }, "all"),
    ...names.map((each, k) => make("option", { value: k }, each || "unknown")));
  select.addEventListener("change", () => { wanted[key] = Number(select.value); refresh(); });
  controls.append(make("label", {}, words, select));
  return select;
};
const selects = {};
if (data.truth) selects.truth = choice("truth", "truth", classes);
if (classes.length) selects.said = choice("said", data.truth ? "recognised as" : "label", classes);
if (data.speakers) selects.who = choice("who", "speaker", data.speakers);
const search = make("input", { type: "search", size: 16 });
search.addEventListener("input", () => { wanted.text = search.value.toLowerCase(); refresh(); });
controls.append(make("label", {}, "name has", search));
if (Object.keys(data.clips).length) {
  const only = make("input", { type: "checkbox" });
  only.addEventListener("change", () => { wanted.sound = only.checked; refresh(); });
  controls.append(make("label", {}, "with sound", only));
}
refresh();

list.addEventListener("click", (event) => {
  if (event.target === more) {
    const at = shown;
    extend();
    list.querySelectorAll("[data-i]")[at]?.focus();
    return;
  }
  const button = event.target.closest("[data-i]");
  if (button) open(Number(button.dataset.i), true);
});
list.addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step) {
    const all = [...list.querySelectorAll("button")];
    const next = all[all.indexOf(document.activeElement) + step];
    if (next) { next.focus(); event.preventDefault(); }
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  if (detail.contains(document.activeElement)) list.querySelector('[aria-current="true"]')?.focus();
  else if (list.contains(document.activeElement) && opener) opener.focus();
});

// --- the cells of the matrix ---
const cells = [...document.querySelectorAll(".matrix button[data-truth]")];
cells.forEach((cell, k) => { cell.tabIndex = k ? -1 : 0; });
const only = (cell) => cells.forEach((one) => { one.tabIndex = one === cell ? 0 : -1; });
for (const cell of cells) {
  cell.addEventListener("click", () => {
    only(cell);
    opener = cell;
    wanted.truth = Number(cell.dataset.truth);
    wanted.said = Number(cell.dataset.said);
    selects.truth.value = wanted.truth;
    selects.said.value = wanted.said;
    refresh();
    $("recordings").scrollIntoView();
    const first = found.find((i) => i in data.clips) ?? found[0];
    if (first !== undefined) open(first, false);
    list.querySelector("button")?.focus({ preventScroll: true });
  });
  cell.addEventListener("keydown", (event) => {
    const [down, right] = { ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1],
      ArrowLeft: [0, -1] }[event.key] || [0, 0];
    if (!down && !right) return;
    event.preventDefault();
    let at = [Number(cell.dataset.truth), Number(cell.dataset.said)];
    for (let k = 0; k < classes.length; k++) {
      at = [at[0] + down, at[1] + right];
      const next = cells.find((one) => one.dataset.truth === String(at[0]) && one.dataset.said === String(at[1]));
      if (next) { only(next); next.focus(); return; }
    }
  });
}

// --- one recording ---
const open = (i, move) => {
  current = i;
  mark();
  const facts = make("dl");
  const fact = (words, value) => { if (value) facts.append(make("dt", {}, words), make("dd", {}, value)); };
  if (data.truth) fact("truth", classes[data.truth[i]]);
  if (data.said[i] >= 0) {
    fact(data.truth ? "recognised as" : "label", `${classes[data.said[i]]} (${per(certain[i])})`);
  }
  fact("note", (data.notes || {})[i]);
  if (data.who) fact("speaker", data.speakers[data.who[i]] || "unknown");
  if (data.numbers && data.numbers[i]) {
    for (const [field, said, truth] of data.numbers[i]) {
      fact(field, `${said ?? "–"}` + (truth === null ? "" : ` (truth ${truth})`));
    }
  }
  detail.replaceChildren(make("h3", {}, ids[i]), facts);
  if (i in data.clips) detail.append(...sound(i));
  if (data.windows && data.windows[i]) detail.append(...course(i));
  if (data.said[i] >= 0) detail.append(posterior(i));
  detail.hidden = false;
  if (move) {
    detail.focus({ preventScroll: true });
    if (detail.getBoundingClientRect().bottom > innerHeight || detail.getBoundingClientRect().top < 0) {
      detail.scrollIntoView({ block: "nearest" });
    }
  }
};
const posterior = (i) => {
  const body = make("tbody");
  for (const [k, share] of shares(data.p, i)) {
    const fill = make("div", { class: "fill" });
    fill.style.width = `${share / 10}%`;
    const truth = data.truth && data.truth[i] === k;
    body.append(make("tr", truth ? { class: "true" } : {},
      make("th", { scope: "row" }, classes[k] + (truth ? " (truth)" : "")),
      make("td", { class: "wide" }, make("div", { class: "track" }, fill)),
      make("td", { class: "number" }, per(share))));
  }
  return make("table", { class: "shares" }, make("caption", {}, "Posterior"), body);
};
const sound = (i) => {
  const clip = data.clips[i], file = String(i).padStart(5, "0");
  const source = clip.mp3 ? `data:audio/mpeg;base64,${clip.mp3}` : `${folder}/${file}.mp3`;
  const audio = make("audio", { controls: true, preload: "metadata", src: source });
  const picture = clip.mp3 ? spectrogram(clip) : make("img", { src: `${folder}/${file}.png`, alt: "" });
  const cursor = make("i");
  const box = make("div", { class: "sound", role: "img",
    "aria-label": `Spectrogram, ${clip.seconds.toFixed(1)} s, up to ${clip.top / 1000} kHz` }, picture, cursor);
  const follow = () => {
    cursor.style.left = `${100 * Math.min(1, audio.currentTime / clip.seconds)}%`;
    if (!audio.paused) requestAnimationFrame(follow);
  };
  audio.addEventListener("play", follow);
  audio.addEventListener("seeked", follow);
  picture.addEventListener("click", (event) => {
    audio.currentTime = clip.seconds * event.offsetX / picture.clientWidth;
  });
  const part = clip.whole - clip.seconds > 0.05
    ? `The first ${clip.seconds.toFixed(1)} of ${clip.whole.toFixed(1)} s. ` : "";
  return [audio, box, make("p", { class: "soft" },
    `${part}${clip.seconds.toFixed(2)} s, 0 to ${clip.top / 1000} kHz on a mel scale; a click seeks.`)];
};
const STOPS = [[0, 0, 4], [59, 15, 112], [140, 41, 129], [222, 73, 104], [254, 159, 109], [252, 253, 191]];
const colour = (share) => {  // along magma
  const at = share * (STOPS.length - 1), k = Math.min(STOPS.length - 2, Math.floor(at));
  return STOPS[k].map((low, c) => low + (STOPS[k + 1][c] - low) * (at - k));
};
const LEVELS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const spectrogram = (clip) => {
  const frames = clip.bands.length / clip.n;
  const canvas = make("canvas", { width: frames, height: clip.n });
  const pen = canvas.getContext("2d"), image = pen.createImageData(frames, clip.n);
  for (let t = 0; t < frames; t++) {
    for (let b = 0; b < clip.n; b++) {
      const level = LEVELS.indexOf(clip.bands[t * clip.n + b]) / 63;
      image.data.set([...colour(level), 255], 4 * ((clip.n - 1 - b) * frames + t));
    }
  }
  pen.putImageData(image, 0, 0);
  return canvas;
};

// --- labels over time ---
const course = (i) => {
  const spans = data.windows[i], text = data.courses[i];
  const end = Math.max(...spans.map((span) => span[1])), width = 600, height = 130;
  const svg = drawn("svg", { class: "course", viewBox: `0 0 ${width} ${height + 14}`,
    preserveAspectRatio: "none", role: "img", "aria-label": "Labels over time" });
  const used = new Set();
  spans.forEach(([from, to], k) => {
    const own = shares(text, k), best = likeliest(text, k);
    const x = width * from / end, w = Math.max(1, width * (to - from) / end - 0.5);
    if (best < 0) {
      svg.append(drawn("rect", { x, y: height - 4, width: w, height: 4, class: "track" }));
      return;
    }
    used.add(best);
    const share = own.find(([c]) => c === best)[1] / 1000;
    const bar = drawn("rect", { x, y: height * (1 - share), width: w, height: height * share,
      fill: tone(best), "fill-opacity": 0.85 });
    bar.append(drawn("title", {}, `${from}–${to} s: ${classes[best]} ${share.toFixed(3)}`));
    svg.append(bar);
  });
  const legend = make("p", { class: "soft" });
  for (const k of [...used].sort((a, b) => a - b)) {
    const key = make("span", { class: "key" });
    key.style.background = tone(k);
    legend.append(key, classes[k]);
  }
  const rows = spans.slice(0, 500).map(([from, to], k) => {
    const best = likeliest(text, k);
    const share = best < 0 ? "" : per(shares(text, k).find(([c]) => c === best)[1]);
    return make("tr", {}, make("th", { scope: "row" }, `${from}–${to} s`),
      make("td", {}, best < 0 ? "no speech" : classes[best]), make("td", { class: "number" }, share));
  });
  return [make("p", {}, `${spans.length} windows, 0 to ${end} s`), svg, legend,
    make("details", {}, make("summary", {}, "Numbers"), make("table", {}, make("tbody", {}, ...rows)))];
};
const tone = (k) => `hsl(${Math.round(200 + 137.508 * k) % 360} 55% ${45 + 12 * (k % 2)}%)`;
})();
