// Frames on canvases, and what is laid over them: hatching, weights, a grid, outlines.

const CASING = "rgb(0 0 0 / 0.85)";

/** One clip [t, h, w, 3] as canvases, one a frame, made when first shown; grey ones for laying weights over. */
export class Clip {
  constructor({ data, shape }) {
    [this.data, [this.t, this.h, this.w]] = [data, shape];
    this.made = { colour: [], grey: [] };
  }

  frame(index, kind = "colour") {
    return (this.made[kind][index] ??= this.paint(index, kind === "grey"));
  }

  paint(index, grey) {
    const canvas = new OffscreenCanvas(this.w, this.h);
    const context = canvas.getContext("2d");
    const image = context.createImageData(this.w, this.h);
    const count = this.w * this.h;
    for (let i = 0, from = index * count * 3; i < count; i++, from += 3) {
      let [r, g, b] = [this.data[from], this.data[from + 1], this.data[from + 2]];
      if (grey) r = g = b = 0.299 * r + 0.587 * g + 0.114 * b;
      image.data.set([r, g, b, 255], 4 * i);
    }
    context.putImageData(image, 0, 0);
    return canvas;
  }
}

/** The clips of all views from one array [v, t, h, w, 3]. */
export function clipsOf({ data, shape: [v, ...rest] }) {
  const size = rest.reduce((a, b) => a * b, 1);
  return Array.from({ length: v }, (_, i) => new Clip({ data: data.subarray(i * size, (i + 1) * size), shape: rest }));
}

/** A canvas that shows one frame of a clip and layers over it, in tokens of a grid [t, rows, columns]. */
export class Picture {
  constructor(canvas, about) {
    this.canvas = canvas;
    this.grid = about.grid;
    this.tubeletFrames = about.tubelet_size[0];
    this.heat = about.heat;
    this.mark = about.mark;
    this.trueMark = about.true_mark;
  }

  /**
   * layers: {hatched: Set, greyed: Set, heat: {values, max}, lines: bool, path: [[x, y]] in shares of the picture,
   * outlines: [{token, faint, truly}]}
   */
  draw(clip, frame, layers = {}) {
    const { canvas } = this;
    const side = Math.max(1, Math.round(canvas.clientWidth * devicePixelRatio));
    if (canvas.width !== side || canvas.height !== side) canvas.width = canvas.height = side;
    const context = (this.context = canvas.getContext("2d"));
    context.clearRect(0, 0, side, side);
    canvas.dataset.shown = clip ? "picture" : "nothing";
    if (!clip) return;
    context.imageSmoothingEnabled = false;
    context.drawImage(clip.frame(frame, layers.heat ? "grey" : "colour"), 0, 0, side, side);
    const step = Math.floor(frame / this.tubeletFrames);
    this.each(step, (token, box) => {
      if (layers.heat) this.tint(token, box, layers.heat);
      if (layers.greyed?.has(token)) this.fill(box, "rgb(128 128 128)");
      if (layers.hatched?.has(token)) this.hatch(box);
    });
    if (layers.lines) this.lines();
    if (layers.path?.length) this.path(layers.path);
    for (const outline of layers.outlines ?? []) this.outline(outline, step);
  }

  each(step, visit) {
    const [, rows, columns] = this.grid;
    for (let place = 0; place < rows * columns; place++) visit(step * rows * columns + place, this.box(place));
  }

  /** Left, top, width, height of a place of the frame, in pixels of the canvas. */
  box(place) {
    const [, rows, columns] = this.grid;
    const [row, column] = [Math.floor(place / columns), place % columns];
    const [x, y] = [(column * this.canvas.width) / columns, (row * this.canvas.height) / rows].map(Math.round);
    const right = Math.round(((column + 1) * this.canvas.width) / columns);
    const bottom = Math.round(((row + 1) * this.canvas.height) / rows);
    return [x, y, right - x, bottom - y];
  }

  fill(box, style) {
    this.context.fillStyle = style;
    this.context.fillRect(...box);
  }

  tint(token, box, { values, max }) {
    const value = values[token];
    if (Number.isNaN(value)) return;
    const at = 3 * Math.round(255 * Math.min(1, Math.max(0, value / (max || 1))));
    this.fill(box, `rgb(${this.heat[at]} ${this.heat[at + 1]} ${this.heat[at + 2]} / 0.62)`);
  }

  hatch([x, y, w, h]) {
    const { context } = this;
    this.fill([x, y, w, h], "rgb(120 120 120 / 0.55)");
    context.save();
    context.beginPath();
    context.rect(x, y, w, h);
    context.clip();
    context.beginPath();
    const gap = Math.max(4, Math.round(5 * devicePixelRatio));
    // lines of one family over the whole picture, so that neighbours join
    for (let c = x + y - ((x + y) % gap); c < x + y + w + h + gap; c += gap) {
      context.moveTo(c - y, y);
      context.lineTo(c - y - h, y + h);
    }
    context.strokeStyle = "rgb(235 235 235 / 0.5)";
    context.lineWidth = Math.max(1, devicePixelRatio);
    context.stroke();
    context.restore();
  }

  lines() {
    const { context, canvas } = this;
    const [, rows, columns] = this.grid;
    context.beginPath();
    for (let i = 1; i < columns; i++) {
      const x = Math.round((i * canvas.width) / columns) + 0.5;
      context.moveTo(x, 0);
      context.lineTo(x, canvas.height);
    }
    for (let i = 1; i < rows; i++) {
      const y = Math.round((i * canvas.height) / rows) + 0.5;
      context.moveTo(0, y);
      context.lineTo(canvas.width, y);
    }
    context.lineWidth = 1;
    context.strokeStyle = "rgb(255 255 255 / 0.45)";
    context.stroke();
  }

  /** A thin line through points of the picture. */
  path(points) {
    const { context, canvas } = this;
    context.save();
    for (const [style, width] of [[CASING, 2.5], [this.trueMark, 1.2]]) {
      context.strokeStyle = style;
      context.lineWidth = width * devicePixelRatio;
      context.beginPath();
      points.forEach(([x, y], i) => context[i ? "lineTo" : "moveTo"](x * canvas.width, y * canvas.height));
      context.stroke();
    }
    context.restore();
  }

  /** An outline at the token's own time; at others a dashed one shows only the place. True places stand outside. */
  outline({ token, faint, truly }, step) {
    const [, rows, columns] = this.grid;
    const around = truly ? 4 * devicePixelRatio : 0;
    const [x, y, w, h] = this.box(token % (rows * columns));
    const here = Math.floor(token / (rows * columns)) === step;
    if (!here && !faint) return;
    const { context } = this;
    const width = 2 * devicePixelRatio;
    context.save();
    for (const [style, thick] of [[CASING, width * 2], [truly ? this.trueMark : this.mark, width]]) {
      const dashes = truly ? [6, 4] : [3, 3];
      if (!here || (truly && style !== CASING)) context.setLineDash(dashes.map((length) => length * devicePixelRatio));
      context.strokeStyle = style;
      context.lineWidth = here ? thick : thick / 2;
      context.strokeRect(x - around, y - around, w + 2 * around, h + 2 * around);
    }
    context.restore();
  }

  /** The token under a pointer event at a frame. */
  tokenAt(event, frame) {
    const [, rows, columns] = this.grid;
    const box = this.canvas.getBoundingClientRect();
    const place = (offset, size, count) => Math.min(count - 1, Math.max(0, Math.floor((offset / size) * count)));
    const row = place(event.clientY - box.top, box.height, rows);
    const column = place(event.clientX - box.left, box.width, columns);
    return (Math.floor(frame / this.tubeletFrames) * rows + row) * columns + column;
  }
}

/** The colour map as a bar. */
export function drawHeatBar(canvas, heat) {
  const context = canvas.getContext("2d");
  for (let x = 0; x < canvas.width; x++) {
    const at = 3 * Math.round((255 * x) / (canvas.width - 1));
    context.fillStyle = `rgb(${heat[at]} ${heat[at + 1]} ${heat[at + 2]})`;
    context.fillRect(x, 0, 1, canvas.height);
  }
}
