// The live page: makes calls and draws what two kinds of event streams tell of them and of the deployment.
"use strict";

const MAX_STREAMS = 4; // a browser keeps six connections to a host: one is the deployment's, one stays free
const MAX_ROWS = 60;
const LINGER = 4000; // milliseconds that an ended call stays in the picture
const RETRY = 2000; // milliseconds until a client app is asked again that refused to tell of the deployment

const KINDS = { sync: "call and wait", async: "call and carry on", cpu: "compute" };
const ENDED = { done: "done", lost: "lost", refused: "refused", late: "too late", failed: "failed",
  cancelled: "cancelled", cut: "out of sight" };

const part = (id) => document.getElementById(id);
const still = matchMedia("(prefers-reduced-motion: reduce)");
const calls = new Map(); // by their request ids; the oldest first
const streams = new Set(); // requests whose answers are being read
const boxes = { apps: new Map(), replicas: new Map() }; // list items, by the names of processes
let thisApp = "";
let clock = 0;

// Events, as a request's answer brings them (the browser's own EventSource cannot POST)

async function* eventsOf(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const events = (text + value).split("\n\n");
    text = events.pop();
    for (const event of events) {
      const data = event.split("\n").filter((line) => line.startsWith("data: ")).map((line) => line.slice(6));
      if (data.length) yield JSON.parse(data.join("\n"));
    }
  }
}

// Calls

async function make(kind, count) {
  if (streams.size >= MAX_STREAMS) {
    announce(`${MAX_STREAMS} requests are under way. Wait until one has ended.`);
    return;
  }
  const stream = { kind, begun: performance.now(), abort: new AbortController(), calls: new Set() };
  streams.add(stream);
  showControls();
  let trouble = "the connection to client-app ended";
  try {
    const body = new URLSearchParams({ kind, count });
    const response = await fetch("/live/calls", { method: "POST", body, signal: stream.abort.signal });
    if (!response.ok) throw new Error(`client-app answered ${response.status}`);
    announce(count > 1 ? `${count} calls are on their way.` : `A call is on its way: ${KINDS[kind]}.`);
    for await (const told of eventsOf(response)) hear(stream, told);
  } catch (error) {
    trouble = error.message;
  }
  streams.delete(stream);
  const end = stream.abort.signal.aborted ? "cancelled" : "cut";
  for (const call of stream.calls) if (!(call.state in ENDED)) change(call, { state: end });
  announce(lastWords(stream, trouble));
  showControls();
}

function lastWords(stream, trouble) {
  if (stream.calls.size) return summary(stream.calls);
  if (stream.abort.signal.aborted) return "Cancelled before client-app told of any call.";
  return `No calls were made: ${trouble}.`;
}

function hear(stream, told) {
  let call = calls.get(told.id);
  if (!call) {
    call = { n: calls.size ? [...calls.values()].at(-1).n + 1 : 1, begun: stream.begun, answered: performance.now() };
    calls.set(told.id, call);
    stream.calls.add(call);
    Object.assign(call, told, { row: newRow(call, told), token: newToken(call, told) });
    forgetOldRows();
    startClock();
  }
  change(call, told);
}

function change(call, told) {
  Object.assign(call, told);
  if (call.state in ENDED && !call.ended) {
    call.ended = performance.now();
    setTimeout(leavePicture, LINGER, call);
  }
  drawRow(call);
  drawToken(call);
}

function summary(of) {
  const ends = {};
  for (const call of of) ends[ENDED[call.state]] = (ends[ENDED[call.state]] ?? 0) + 1;
  const words = Object.entries(ends).map(([end, count]) => `${count} ${end}`).join(", ");
  const why = [...of].some((call) => call.state === "cut") ? "The connection to client-app ended. " : "";
  return why + (of.size > 1 ? `${of.size} calls: ${words}.` : `Call ${[...of][0].n}: ${words.slice(2)}.`);
}

function cancel() {
  for (const stream of streams) if (stream.kind !== "async") stream.abort.abort();
}

// A call's row

function element(name, className, parent) {
  const made = document.createElement(name);
  made.className = className;
  parent?.append(made);
  return made;
}

function newRow(call, told) {
  const row = element("li", "call");
  element("b", "number", row).textContent = `${call.n}`;
  const what = element("span", "what", row);
  element("span", "", what).textContent = KINDS[told.kind];
  element("code", "", what).textContent = told.id;
  row.bar = element("progress", "", row);
  row.bar.setAttribute("aria-label", `Call ${call.n}`);
  row.age = element("span", "age", row);
  row.where = element("code", "where", row);
  row.outcome = element("span", "outcome", row);
  part("calls").prepend(row);
  part("none").hidden = true;
  return row;
}

function drawRow(call) {
  const { row } = call;
  row.dataset.state = call.state;
  row.bar.value = call.state === "done" ? 1 : call.fraction;
  row.where.textContent = call.replica;
  row.outcome.textContent = outcome(call);
  drawAge(call);
}

function outcome(call) {
  const page = call.kind === "async" ? `The page was there after ${Math.round(call.answered - call.begun)} ms. ` : "";
  if (call.state === "waiting") return `${page}at ${call.client_app}`;
  if (call.state === "working") return page + call.note;
  if (call.state === "done" && call.kind === "async") return `${page}The response arrived at ${call.client_app}: ${call.note}`;
  return page + [ENDED[call.state], call.state === "cancelled" || call.state === "cut" ? "" : call.note].filter(Boolean).join(": ");
}

function drawAge(call) {
  call.row.age.textContent = `${(((call.ended ?? performance.now()) - call.begun) / 1000).toFixed(1)} s`;
}

function startClock() {
  clock ||= setInterval(() => {
    const going = [...calls.values()].filter((call) => !call.ended);
    going.forEach(drawAge);
    if (!going.length) clock = clearInterval(clock) ?? 0;
  }, 100);
}

function forgetOldRows() {
  for (const [id, call] of calls) {
    if (calls.size <= MAX_ROWS) return;
    if (call.ended) {
      call.row.remove();
      calls.delete(id);
    }
  }
}

// A call's token in the picture

function newToken(call, told) {
  const token = element("span", `token ${told.kind}`, part("browser"));
  token.textContent = `${call.n}`;
  return token;
}

function drawToken(call) {
  call.token.dataset.state = call.state;
  call.token.style.setProperty("--done", call.state === "done" ? 1 : call.fraction);
  if (call.ended !== undefined && !call.token.isConnected) return;
  move(call.token, placeOf(call));
}

function placeOf(call) {
  const app = box("apps", call.client_app).tokens;
  if (call.state === "working") return boxes.replicas.get(call.replica)?.tokens ?? app;
  return call.state === "waiting" || call.kind === "async" ? app : part("browser");
}

function leavePicture(call) {
  call.token.remove();
  keepKnownApps();
}

function move(token, place) {
  if (token.parentElement === place) return;
  const from = token.getBoundingClientRect();
  place.append(token);
  if (still.matches) return;
  const to = token.getBoundingClientRect();
  const path = [{ transform: `translate(${from.x - to.x}px, ${from.y - to.y}px)` }, { transform: "none" }];
  token.animate(path, { duration: 500, easing: "ease-in-out" });
}

// The deployment

function box(list, name) {
  let item = boxes[list].get(name);
  if (!item) {
    item = element("li", "box", part(list));
    element("code", "", item).textContent = name;
    item.note = element("p", "note", item);
    item.tokens = element("div", "tokens", item);
    item.tokens.setAttribute("aria-hidden", "true");
    boxes[list].set(name, item);
  }
  return item;
}

function drawBox(list, name, state, note) {
  const item = box(list, name);
  item.dataset.state = state;
  item.note.textContent = note;
}

function drawDeployment({ client_app, replicas }) {
  if (thisApp) drawBox("apps", thisApp, "", ""); // it may be another one that tells now
  thisApp = client_app;
  drawBox("apps", thisApp, "ready", "tells you this");
  keepKnownApps();
  for (const { endpoint, name, state, load } of replicas) {
    drawBox("replicas", name || endpoint, state, state === "ready" ? `${load} in hand` : state);
  }
  keepOnly("replicas", replicas.map(({ endpoint, name }) => name || endpoint));
  for (const call of calls.values()) if (call.state === "working") drawToken(call);
}

function drawUnknown() { // what was told last may hold no longer
  if (thisApp) drawBox("apps", thisApp, "unknown", "not known");
  for (const name of boxes.replicas.keys()) drawBox("replicas", name, "unknown", "not known");
}

function keepKnownApps() { // nobody tells of the other ones, so the calls they have are all the page knows of them
  const shown = [...calls.values()].filter((call) => call.token.isConnected);
  keepOnly("apps", [thisApp, ...shown.map((call) => call.client_app)]);
}

function keepOnly(list, names) {
  for (const [name, item] of boxes[list]) {
    if (names.includes(name)) continue;
    boxes[list].delete(name);
    part("browser").append(...item.tokens.children);
    item.remove();
  }
}

let deployment = null;

function watchDeployment() {
  deployment?.close();
  deployment = null;
  drawUnknown();
  if (document.hidden) return; // who does not look costs nothing
  deployment = new EventSource("/live/deployment");
  deployment.addEventListener("deployment", (event) => drawDeployment(JSON.parse(event.data)));
  deployment.addEventListener("error", () => {
    drawUnknown();
    if (deployment?.readyState === EventSource.CLOSED) setTimeout(watchDeployment, RETRY);
  });
}

// The controls

function announce(text) {
  part("announcement").textContent = text;
}

function showControls() {
  part("cancel").setAttribute("aria-disabled", `${![...streams].some((stream) => stream.kind !== "async")}`);
}

for (const button of document.querySelectorAll("[data-kind]")) {
  button.addEventListener("click", () => make(button.dataset.kind, Number(button.dataset.count ?? 1)));
}
part("cancel").addEventListener("click", cancel);
document.addEventListener("visibilitychange", watchDeployment);
watchDeployment();
