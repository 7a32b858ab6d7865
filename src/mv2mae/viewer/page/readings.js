// Losses, attention over time, and their figures in words.

const byId = (id) => document.getElementById(id);
const NAMES = { mean: "mean baseline", "self-view": "self-view", "cross-view": "cross-view", "wrong source": "wrong source" };

/** Bars of the losses: weighted as asked for, and all masked tokens the same. */
export function showLosses(losses, about) {
  const area = byId("losses");
  area.replaceChildren();
  byId("gain").textContent = "";
  if (!losses) return;
  const colours = { mean: "#8a8a8a", "self-view": about.colours[0], "cross-view": about.colours[1], "wrong source": about.colours[3] };
  for (const [kind, title] of [
    ["weighted", "weighted by motion (Equation 2)"],
    ["plain", "every masked token the same (Equation 1)"],
  ]) {
    const heading = document.createElement("h2");
    heading.textContent = title;
    area.append(heading);
    const values = losses[kind];
    const most = Math.max(...Object.values(values), 1e-9);
    for (const [name, value] of Object.entries(values)) area.append(lossRow(name, value, value / most, colours[name], kind));
  }
  byId("gain").textContent = gainWords(losses.weighted);
}

function lossRow(name, value, share, colour, kind) {
  const row = document.createElement("div");
  row.className = "loss";
  row.dataset.loss = `${kind}/${name}`;
  const [label, bar, fill, shown] = ["b", "div", "i", "output"].map((tag) => document.createElement(tag));
  label.textContent = NAMES[name];
  bar.className = "bar";
  fill.style.width = `${100 * share}%`;
  fill.style.background = colour;
  bar.append(fill);
  shown.textContent = value.toFixed(3);
  row.append(label, bar, shown);
  return row;
}

function gainWords(values) {
  const [mean, self, cross, wrong] = ["mean", "self-view", "cross-view", "wrong source"].map((name) => values[name]);
  const percent = (from, to) => `${Math.abs((100 * (from - to)) / from).toFixed(1)} %`;
  const below = (from, to) => `${percent(from, to)} ${to <= from ? "below" : "above"}`;
  if (cross === undefined) return `Self-view is ${below(mean, self)} the mean baseline.`;
  const against = wrong === undefined ? "" : ` With the right source it is ${below(wrong, cross)} that with the wrong one.`;
  return `Cross-view is ${below(mean, cross)} the mean baseline.${against}`;
}

/** The weights [n] of one block and head, or the mean over all of either (index -1). */
export function chosenWeights({ data, shape: [layers, heads, n] }, layer, head) {
  const sum = new Float32Array(n);
  const range = (chosen, count) => (chosen < 0 ? [...Array(count).keys()] : [chosen]);
  const [ls, hs] = [range(layer, layers), range(head, heads)];
  for (const l of ls) for (const h of hs) for (let i = 0; i < n; i++) sum[i] += data[(l * heads + h) * n + i];
  return sum.map((value) => value / (ls.length * hs.length));
}

/** Peak, its token, how many tokens can be looked at, and the share of each time step with that of even attention. */
export function summary(weights, grid) {
  const perStep = grid[1] * grid[2];
  let [peak, token, count] = [-1, 0, 0];
  const steps = Array.from({ length: grid[0] }, () => ({ share: 0, even: 0 }));
  weights.forEach((value, i) => {
    if (Number.isNaN(value)) return;
    count += 1;
    steps[Math.floor(i / perStep)].share += value;
    steps[Math.floor(i / perStep)].even += 1;
    if (value > peak) [peak, token] = [value, i];
  });
  for (const step of steps) step.even /= count;
  return { peak, token, count, steps };
}

const FLAT = 1.5; // a peak below so many times even attention points nowhere

/** The peak against even attention over all tokens that can be looked at. */
export function confidenceWords({ peak, count }) {
  const times = peak * count;
  const flat = times < FLAT ? " All but even: the peak says little." : "";
  return `Peak ${(100 * peak).toFixed(1)} %: ${times.toFixed(1)} times even attention over the ${count} visible tokens.${flat}`;
}

/** How far the peak lies from where the source has what was asked for, by true depth. */
export function placeWords({ tokens, seen }, found, about) {
  if (tokens === null) return "";
  if (!tokens.length) return "Truth: what it shows lies outside of the source's picture.";
  const [, rows, columns] = about.grid;
  const spot = (token) => [Math.floor(token / (rows * columns)), Math.floor((token % (rows * columns)) / columns), token % columns];
  const [time, row, column] = spot(found.token);
  const away = Math.min(...tokens.map(spot).map(([, r, c]) => Math.max(Math.abs(r - row), Math.abs(c - column))));
  const moment = spot(tokens[0])[0] === time ? "" : ", at another moment";
  const where = away ? `${away} tubelet${away === 1 ? "" : "s"} from it` : "on it";
  return `Truth: the source sees ${Math.round(100 * seen)} % of it; the peak lies ${where}${moment}.`;
}

/** Where a token lies, in words. */
export function tokenWords(token, about, times) {
  const [, rows, columns] = about.grid;
  const [step, place] = [Math.floor(token / (rows * columns)), token % (rows * columns)];
  const first = step * about.tubelet_size[0];
  const last = first + about.tubelet_size[0] - 1;
  const seconds = times ? ` (${times[first].toFixed(2)} to ${times[last].toFixed(2)} s)` : "";
  return `frames ${first + 1} to ${last + 1}${seconds}, row ${Math.floor(place / columns) + 1}, column ${(place % columns) + 1}`;
}

/** Bars over the source's time steps; the step on show is marked, a dashed line shows even attention. */
export function drawTimes(canvas, found, step) {
  const ratio = devicePixelRatio;
  const [width, height] = [canvas.clientWidth * ratio, canvas.clientHeight * ratio];
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, width, height);
  if (!found) return;
  const style = getComputedStyle(document.documentElement);
  const [ink, soft, accent] = ["--ink", "--soft", "--accent"].map((name) => style.getPropertyValue(name));
  const [foot, head] = [14 * ratio, 14 * ratio];
  const most = Math.max(...found.steps.map(({ share, even }) => Math.max(share, even)));
  const scale = (height - foot - head) / most;
  const wide = width / found.steps.length;
  context.font = `${10.5 * ratio}px system-ui, sans-serif`;
  context.textAlign = "center";
  found.steps.forEach(({ share, even }, i) => {
    const left = i * wide + 2 * ratio;
    const top = height - foot - share * scale;
    context.fillStyle = i === step ? accent : soft;
    context.fillRect(left, top, wide - 4 * ratio, share * scale);
    const line = height - foot - even * scale;
    context.setLineDash([3 * ratio, 2 * ratio]);
    context.strokeStyle = ink;
    context.lineWidth = ratio;
    context.beginPath();
    context.moveTo(left - ratio, line);
    context.lineTo(left + wide - 3 * ratio, line);
    context.stroke();
    context.setLineDash([]);
    context.fillStyle = ink;
    const words = wide > 28 * ratio ? `${Math.round(100 * share)} %` : `${Math.round(100 * share)}`;
    context.fillText(words, left + wide / 2 - 2 * ratio, Math.min(top, line) - 3 * ratio);
    context.fillText(String(i + 1), left + wide / 2 - 2 * ratio, height - 3 * ratio);
  });
}
