"use strict";
// T tokens. A weight is stored as a byte, 255 times its square root; row i of a matrix has whom token i attends to.
const { tokens, layers, heads, picture } = JSON.parse(document.getElementById("about").textContent);
const T = tokens.length;
const MEAN = "mean";
const BLUE = [60, 130, 220];
const HEAT = picture ? [255, 80, 0] : BLUE; // a picture is grey under it
const LABELLED = 40; // with more tokens, names beside the matrix cannot be read
const byId = (id) => document.getElementById(id);
const state = { layer: layers[0], head: MEAN, token: 0, held: false };
const stored = new Map(); // layer -> bytes of all its heads
let shown = null; // the matrix on the page
let options = [];

// a notebook's theme is not that of the browser: its text is light where it is dark
const frame = frameOrNull();
if (frame) {
  const [r, g, b] = getComputedStyle(frame).color.match(/[\d.]+/g).map(Number);
  document.documentElement.style.colorScheme = r + g + b > 382 ? "dark" : "light";
}

function frameOrNull() {
  try {
    return window.frameElement;
  } catch {
    return null; // some notebooks keep what they show apart
  }
}

function make(name, text, parent) {
  const element = document.createElement(name);
  element.textContent = text;
  if (parent) parent.append(element);
  return element;
}

async function unpacked(source) {
  const packed = Uint8Array.from(atob(source.textContent), (character) => character.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  source.remove();
  return bytes;
}

async function bytesOf(layer) {
  if (!stored.has(layer)) stored.set(layer, await unpacked(document.querySelector(`.weights[data-layer="${layer}"]`)));
  return stored.get(layer);
}

// a grey picture, and over it a cell for each patch
async function drawPicture() {
  const { width, height } = picture;
  const bytes = await unpacked(byId("pixels"));
  const image = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) image.data.set([...bytes.subarray(3 * i, 3 * i + 3), 255], 4 * i);
  const canvas = byId("seen");
  Object.assign(canvas, { width, height });
  canvas.getContext("2d").putImageData(image, 0, 0);
}

function weightsOf(bytes, head) {
  const found = new Float32Array(T * T);
  const chosen = head === MEAN ? heads.map((_, place) => place) : [heads.indexOf(head)];
  for (const place of chosen) {
    const start = place * T * T;
    for (let i = 0; i < T * T; i++) found[i] += bytes[start + i] ** 2;
  }
  const scale = 1 / (65025 * chosen.length);
  for (let i = 0; i < T * T; i++) found[i] *= scale;
  return found;
}

function draw(canvas, weights) {
  canvas.width = canvas.height = T;
  const image = new ImageData(T, T);
  // not the largest of all: where one token takes most, the others would hardly be seen
  const step = Math.ceil((T * T) / 20000);
  const sample = weights.filter((_, i) => i % step === 0).sort();
  const full = Math.max(sample[Math.floor(0.995 * (sample.length - 1))], 1e-9);
  for (let i = 0; i < T * T; i++) {
    image.data.set(BLUE, 4 * i);
    image.data[4 * i + 3] = 255 * Math.sqrt(weights[i] / full);
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

// two digits are what a byte holds
function said(weight) {
  return weight >= 0.0001 ? weight.toPrecision(2) : weight ? "< 0.0001" : "0";
}

function largestOf(values) {
  return values.reduce((most, value) => Math.max(most, value), 1e-9);
}

function fill(table, values) {
  const order = values.map((value, i) => [value, i]).sort((a, b) => b[0] - a[0]).slice(0, 6);
  table.replaceChildren(
    ...order.map(([value, i]) => {
      const row = make("tr", "");
      make("td", said(value), row);
      make("td", tokens[i], row);
      make("td", `at ${i}`, row).className = "dim";
      return row;
    }),
  );
  return order;
}

function showToken() {
  const { token } = state;
  const from = Array.from(shown.subarray(token * T, token * T + T));
  const to = Array.from({ length: T }, (_, i) => shown[i * T + token]);
  const [mostFrom, mostTo] = [largestOf(from), largestOf(to)];
  options.forEach((option, i) => {
    option.style.background = `rgba(${HEAT},${(0.75 * Math.sqrt(from[i] / mostFrom)).toFixed(3)})`;
    option.style.borderBottomColor = `rgba(225,130,20,${Math.sqrt(to[i] / mostTo).toFixed(3)})`;
    option.title = `${i}: attended to ${said(from[i])}, attends ${said(to[i])}`;
    option.ariaSelected = i === token;
    option.tabIndex = i === token ? 0 : -1;
  });
  const [strongest] = fill(byId("from"), from);
  fill(byId("to"), to);
  byId("row").style.cssText = `top:${(100 * token) / T}%;height:${100 / T}%`;
  byId("column").style.cssText = `left:${(100 * token) / T}%;width:${100 / T}%`;
  const where = `Layer ${state.layer}, ${state.head === MEAN ? "mean of heads" : `head ${state.head}`}`;
  byId("said").textContent =
    `${where}: token ${token}, ${tokens[token]}, attends most to ${tokens[strongest[1]]} (${said(strongest[0])})` +
    (state.held ? "; held" : "");
  publish();
}

// the state is in the address, which can be shared, and on the document, for tests
function publish() {
  const { layer, head, token } = state;
  Object.assign(document.documentElement.dataset, { layer, head, token });
  try {
    history.replaceState(null, "", `#layer=${layer}&head=${head}&token=${token}`);
  } catch {} // inside a notebook there is no address
}

async function showMatrix() {
  byId("layer").value = state.layer;
  byId("head").value = state.head;
  const layer = state.layer;
  const bytes = await bytesOf(layer);
  if (layer !== state.layer) return; // another was chosen meanwhile
  shown = weightsOf(bytes, state.head);
  draw(byId("matrix"), shown);
  showToken();
  for (const button of byId("heads").children) {
    button.ariaPressed = button.value === String(state.head);
    if (button.dataset.layer !== String(layer)) {
      draw(button.firstChild, weightsOf(bytes, button.value === MEAN ? MEAN : Number(button.value)));
      button.dataset.layer = layer;
    }
  }
}

function choose(changes) {
  Object.assign(state, changes);
  return showMatrix().catch(fail);
}

function point(token, held = state.held) {
  state.token = token;
  state.held = held;
  if (shown) showToken();
}

function fail(error) {
  byId("said").textContent = `The weights cannot be shown: ${error}. A browser of 2023 or later is needed.`;
  document.documentElement.dataset.error = error;
}

function fromAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  const number = (name, known, otherwise) => (known.includes(Number(given.get(name) ?? NaN)) ? Number(given.get(name)) : otherwise);
  state.layer = number("layer", layers, state.layer);
  state.head = given.get("head") === MEAN ? MEAN : number("head", heads, state.head);
  state.token = number("token", [...tokens.keys()], state.token);
}

function moved(event) {
  const line = picture && state.token >= picture.before ? picture.across : 1;
  const steps = { ArrowRight: 1, ArrowDown: line, ArrowLeft: -1, ArrowUp: -line, Home: -T, End: T };
  if (event.key in steps) {
    point(Math.min(T - 1, Math.max(0, state.token + steps[event.key])));
    options[state.token].focus();
  } else if (event.key === "Enter" || event.key === " ") point(state.token, !state.held);
  else if (event.key === "Escape") point(state.token, false);
  else return;
  event.preventDefault();
}

function cellAt(event) {
  const box = byId("matrix").getBoundingClientRect();
  const at = (part) => Math.min(T - 1, Math.max(0, Math.floor(part * T)));
  return [at((event.clientY - box.top) / box.height), at((event.clientX - box.left) / box.width)];
}

function build() {
  for (const layer of layers) make("option", layer, byId("layer"));
  for (const head of [MEAN, ...heads]) {
    make("option", head, byId("head"));
    const button = make("button", "", byId("heads"));
    button.append(make("canvas", ""), String(head));
    button.value = head;
    button.ariaLabel = head === MEAN ? "mean of heads" : `head ${head}`;
    button.onclick = () => choose({ head });
  }
  byId("picture").hidden = !picture;
  document.body.classList.toggle("on-picture", Boolean(picture));
  if (picture) byId("patches").style.gridTemplate = `repeat(${picture.down}, 1fr) / repeat(${picture.across}, 1fr)`;
  options = tokens.map((token, i) => {
    const patch = picture && i >= picture.before;
    const option = make("span", patch ? "" : token || "‹empty›", byId(patch ? "patches" : "tokens"));
    option.className = patch ? "patch" : "token";
    option.role = "option";
    option.onmouseenter = () => state.held || point(i);
    option.onclick = () => point(i, !(state.held && state.token === i));
    return option;
  });
  if (T <= LABELLED) for (const side of ["rows", "columns"]) for (const token of tokens) make("span", token, byId(side));
  byId("square").style.maxWidth = `${Math.min(600, Math.max(240, T * 28))}px`;
  byId("columns").style.maxWidth = byId("square").style.maxWidth;
  byId("tokens").onkeydown = byId("patches").onkeydown = moved;
  byId("layer").onchange = (event) => choose({ layer: Number(event.target.value) });
  byId("head").onchange = (event) => choose({ head: event.target.value === MEAN ? MEAN : Number(event.target.value) });
  byId("matrix").onmousemove = (event) => {
    const [i, j] = cellAt(event);
    byId("cell").textContent = `${tokens[i]} (${i}) → ${tokens[j]} (${j}): ${said(shown[i * T + j])}`;
    if (!state.held) point(i);
  };
  byId("matrix").onclick = (event) => point(cellAt(event)[0], true);
}

build();
fromAddress();
addEventListener("hashchange", () => {
  fromAddress();
  choose({});
});
if (picture) drawPicture().catch(fail);
choose({}).then(() => {
  if (frame) frame.style.height = `${Math.min(900, document.documentElement.scrollHeight + 4)}px`;
  document.documentElement.dataset.ready = Math.round(performance.now());
});
