// The page of `sertool serve`: a file goes to /predict, sound in pieces to /stream.
"use strict";
const RATE = 16000, PIECE = 8000;
const $ = id => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
let rows = [], running = null;

// a name that turns text around, or steers, is shown as escapes
const plain = text => text.replace(/[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
  one => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);
const say = (text, bad) => {
  $("answer").textContent = plain(text);
  $("answer").className = bad ? "verdict leak" : "verdict good";
};
const made = (name, text) =>
  Object.assign(document.createElement(name), { textContent: plain(text) });
const drawn = (name, attributes) => {
  const one = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) one.setAttribute(key, value);
  return one;
};
const percent = share => `${Math.round(100 * share)} %`;
const values = row => row.numbers ?? row.posterior;
const told = row => row.error ?? (row.numbers
  ? Object.entries(row.numbers).map(([name, x]) => `${name} ${x.toFixed(2)}`).join(", ")
  : row.label ? `${row.label}, ${percent(row.confidence)}`
  : row.posterior ? "not sure enough" : "no speech");

function draw() {
  const known = rows.filter(values), names = known.length ? Object.keys(values(known[0])) : [];
  const all = known.flatMap(row => Object.values(values(row)));
  const low = Math.min(0, ...all), high = Math.max(1, ...all), width = 600, height = 160;
  const end = Math.max(1, ...rows.map(row => row.end ?? 0));
  const picture = drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": "what each window was answered, over time; the table below has the numbers" });
  picture.append(drawn("rect", { width, height, class: "track" }));
  const colour = k => `hsl(${Math.round(360 * k / names.length)} 65% 50%)`;
  names.forEach((name, k) => {
    let line = [];
    const finish = () => {
      if (line.length) picture.append(drawn("polyline", { points: line.join(" "), fill: "none",
        stroke: colour(k), "stroke-width": 3, "data-name": name }));
      line = [];
    };
    for (const row of rows) {  // where nobody speaks a line ends
      if (!values(row)) { finish(); continue; }
      const x = width * (row.start + row.end) / 2 / end;
      const y = height * (1 - (values(row)[name] - low) / (high - low));
      line.push(`${x},${y}`);
      picture.append(drawn("circle", { cx: x, cy: y, r: 4, fill: colour(k) }));
    }
    finish();
  });
  const scale = known.length && known[0].numbers ? [high, low].map(x => x.toFixed(1)) : ["100 %", "0 %"];
  const ends = made("p", `${scale[1]} at the bottom, ${scale[0]} at the top; 0 to ${end.toFixed(1)} s`);
  ends.className = "soft";
  $("curve").replaceChildren(...(rows.length ? [picture, ends] : []));
  $("legend").replaceChildren(...names.map((name, k) => {
    const entry = document.createElement("li"), key = drawn("svg", { width: 20, height: 8, "aria-hidden": true });
    key.append(drawn("rect", { width: 20, height: 8, fill: colour(k) }));
    const last = values(known[known.length - 1])[name];
    entry.append(key, ` ${name} ${known[0].numbers ? last.toFixed(2) : percent(last)}`);
    return entry;
  }));
  const table = document.createElement("table"), head = document.createElement("tr");
  for (const text of ["seconds", "answer"]) {
    head.append(Object.assign(made("th", text), { scope: "col" }));
  }
  table.append(head, ...rows.map(row => {
    const line = document.createElement("tr");
    line.append(made("td", `${row.start.toFixed(1)} to ${row.end.toFixed(1)}`),
      made("td", told(row)));
    return line;
  }));
  $("rows").replaceChildren(...(rows.length ? [table] : []));
}

function opened(rate) {
  rows = [];
  draw();
  const address = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/stream`;
  const socket = new WebSocket(`${address}?sample_rate=${rate}`);
  socket.binaryType = "arraybuffer";
  socket.addEventListener("message", event => {
    const row = JSON.parse(event.data);
    if (row.start === undefined) { say(row.error, true); return; }
    rows.push(row);
    if (running) say(told(row));
    draw();
  });
  return new Promise((done, failed) => {
    socket.addEventListener("open", () => done(socket));
    socket.addEventListener("error", () => failed(new Error("the server does not answer")));
  });
}

const pcm = samples => Int16Array.from(samples, x => Math.max(-1, Math.min(1, x)) * 32767);

async function course(file) {
  const size = await file.arrayBuffer();
  let sound;
  try {
    sound = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(size);
  } catch { return; }  // no format of this browser: the answer is all there is
  const mono = new Float32Array(sound.length);
  for (let k = 0; k < sound.numberOfChannels; k++) {
    sound.getChannelData(k).forEach((x, i) => { mono[i] += x / sound.numberOfChannels; });
  }
  const socket = await opened(RATE);
  for (let i = 0; i < mono.length; i += PIECE) socket.send(pcm(mono.subarray(i, i + PIECE)));
  socket.send(new ArrayBuffer(0));
}

async function predict(file) {
  stop();
  say(`${file.name} …`);
  try {
    const form = new FormData();
    form.append("file", file);
    const answer = await fetch("/predict", { method: "POST", body: form });
    const lines = (await answer.text()).trim().split("\n").map(line => JSON.parse(line));
    const several = lines.length > 1;
    say(`${file.name}: ${several ? `${lines.length} lines` : told(lines[0])}`, !answer.ok);
    if (answer.ok) await course(file);
  } catch (error) { say(`${file.name}: ${error.message}`, true); }
}

const WORKLET = `registerProcessor("pieces", class extends AudioWorkletProcessor {
  process(inputs) { if (inputs[0][0]) this.port.postMessage(inputs[0][0]); return true; }
});`;

async function speak() {
  const sound = await navigator.mediaDevices.getUserMedia({ audio: true });
  const context = new AudioContext();
  const address = URL.createObjectURL(new Blob([WORKLET], { type: "text/javascript" }));
  await context.audioWorklet.addModule(address);
  URL.revokeObjectURL(address);
  const socket = await opened(Math.round(context.sampleRate));
  const node = new AudioWorkletNode(context, "pieces");
  node.port.onmessage = event => {
    if (socket.readyState === WebSocket.OPEN) socket.send(pcm(event.data));
  };
  context.createMediaStreamSource(sound).connect(node);
  const finish = () => {
    node.port.onmessage = null;
    sound.getTracks().forEach(track => track.stop());
    context.close();
    if (socket.readyState === WebSocket.OPEN) socket.send(new ArrayBuffer(0));
  };
  socket.addEventListener("close", () => { if (running === finish) stop(); });
  return finish;
}

function stop() {
  const finish = running;
  running = null;
  $("speak").textContent = "Speak";
  if (finish) finish();
}

$("speak").addEventListener("click", async () => {
  if (running) { stop(); return; }
  say("listening …");
  try {
    running = await speak();
    $("speak").textContent = "Stop";
  } catch (error) { say(`the microphone: ${error.message}`, true); }
});
$("file").addEventListener("change", event => {
  if (event.target.files.length) predict(event.target.files[0]);
});
$("drop").addEventListener("dragover", event => event.preventDefault());
$("drop").addEventListener("drop", event => {
  event.preventDefault();
  if (event.dataTransfer.files.length) predict(event.dataTransfer.files[0]);
});
