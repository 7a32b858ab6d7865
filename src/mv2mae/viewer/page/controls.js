// Inputs of the page: what they change, and which questions follow.

import { Refusal, get, send } from "/page/api.js";

const byId = (id) => document.getElementById(id);
const YOURS = "\u0000yours"; // no group of a manifest is called this

/** Connects all controls and asks for the first group. */
export async function wire(app) {
  wireGroups(app);
  wireFiles(app);
  wireMasks(app);
  wireWeights(app);
  wireShow(app);
  wireTime(app);
  for (const id of ["target", "source"]) wirePointer(app, id);
  wireKeys(app);
  byId("error-close").addEventListener("click", () => (byId("error").hidden = true));
  byId("go").addEventListener("click", app.goToPeak);
  byId("another").addEventListener("click", () => {
    app.asked.wrong += 1;
    app.want("look");
  });
  addEventListener("resize", app.draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", app.draw);
  const first = await listGroups("");
  openGroup(app, first);
}

// ------------------------------------------------------------------------------------------------ groups

let yours = null; // the views of the dropped files

async function listGroups(search) {
  const { groups, total } = await get(`/api/groups?search=${encodeURIComponent(search)}`);
  const list = byId("groups");
  const before = list.value;
  list.replaceChildren();
  if (yours) list.append(new Option("your files", YOURS));
  for (const { name, views, label } of groups) {
    const option = new Option(name, name);
    option.title = `${name}: ${views} view${views === 1 ? "" : "s"}${label === null ? "" : `, class ${label}`}`;
    list.append(option);
  }
  if ([...list.options].some((option) => option.value === before)) list.value = before;
  byId("groups-note").textContent = groups.length < total ? `the first ${groups.length} of ${total.toLocaleString("en")}` : `${total.toLocaleString("en")} group${total === 1 ? "" : "s"}`;
  return groups[0]?.name;
}

function openGroup(app, value) {
  byId("groups").value = value;
  app.asked.group = value === YOURS ? null : value;
  app.asked.wrong = 1;
  app.want("clip");
}

function wireGroups(app) {
  byId("groups").addEventListener("change", (event) => openGroup(app, event.target.value));
  let waiting;
  byId("search").addEventListener("input", (event) => {
    clearTimeout(waiting);
    waiting = setTimeout(() => listGroups(event.target.value).catch(app.complain), 150);
  });
}

// ----------------------------------------------------------------------------------------- files of one's own

function wireFiles(app) {
  byId("choose-files").addEventListener("click", () => byId("files").click());
  byId("files").addEventListener("change", async (event) => {
    await takeFiles(app, [...event.target.files]);
    event.target.value = ""; // so that the same files can be chosen again
  });
  addEventListener("dragover", (event) => {
    event.preventDefault();
    byId("dropping").hidden = ![...event.dataTransfer.types].includes("Files");
  });
  addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) byId("dropping").hidden = true;
  });
  addEventListener("drop", (event) => {
    event.preventDefault();
    byId("dropping").hidden = true;
    if (event.dataTransfer.files.length) takeFiles(app, [...event.dataTransfer.files]);
  });
}

async function takeFiles(app, files) {
  const bar = byId("upload");
  byId("error").hidden = true;
  try {
    const limit = app.about.max_upload_bytes;
    const tooLarge = files.find((file) => file.size > limit);
    if (files.length !== 2) throw new Refusal(`${files.length} file${files.length === 1 ? "" : "s"} came; drop two videos of one performance, one from each camera`);
    if (tooLarge) throw new Refusal(`${tooLarge.name} has ${megabytes(tooLarge.size)} MB; at most ${megabytes(limit)} MB are taken; cut or scale it`);
    bar.hidden = false;
    byId("status").textContent = "sending and checking the files…";
    const { views } = await send(files, (share) => (bar.value = share));
    yours = views;
    await listGroups(byId("search").value);
    openGroup(app, YOURS);
  } catch (error) {
    app.complain(error);
  }
  bar.hidden = true;
}

const megabytes = (bytes) => (bytes / 2 ** 20).toLocaleString("en", { maximumFractionDigits: 1 });

// ------------------------------------------------------------------------------------------ masks and weights

function wireMasks(app) {
  const { masks } = app;
  byId("ratio").value = masks.ratio;
  byId("masking").value = masks.masking;
  byId("ratio").addEventListener("input", (event) => {
    masks.ratio = Number(event.target.value);
    app.want("masks");
  });
  byId("masking").addEventListener("change", (event) => {
    masks.masking = event.target.value;
    app.want("masks");
  });
  byId("redraw").addEventListener("click", () => redraw(app));
}

function redraw(app) {
  app.masks.seed += 1;
  app.want("masks");
}

function wireWeights(app) {
  const { weighting } = app;
  const slider = byId("temperature");
  const take = () => {
    weighting.temperature = 10 ** Number(slider.value);
    byId("temperature-shown").textContent = weighting.temperature.toPrecision(3);
    app.want("losses");
  };
  slider.value = Math.log10(weighting.temperature);
  byId("weighting").title = `in the training: ${app.about.weighting}`;
  byId("weighting").addEventListener("change", (event) => {
    weighting.weighting = event.target.value;
    take();
  });
  slider.addEventListener("input", () => {
    weighting.weighting = byId("weighting").value = "temperature";
    take();
  });
}

function wireShow(app) {
  const { show, about } = app;
  const follow = (id, event, change) => byId(id).addEventListener(event, ({ target }) => {
    change(target);
    app.draw();
  });
  follow("target-layer", "change", (input) => (show.target = input.value));
  follow("rebuilt-layer", "change", (input) => (show.rebuilt = input.value));
  follow("grid", "change", (input) => (show.grid = input.checked));
  follow("layer", "change", (input) => (show.layer = Number(input.value)));
  follow("head", "change", (input) => (show.head = Number(input.value)));
  byId("told").addEventListener("change", (event) => {
    app.asked.told = event.target.checked;
    app.want("look");
  });
  for (const [id, count] of [["layer", about.layers], ["head", about.heads]]) {
    byId(id).append(new Option("mean of all", -1));
    for (let i = 0; i < count; i++) byId(id).append(new Option(`${i + 1} of ${count}`, i));
    byId(id).value = show[id]; // the mean: no block is the one that matches in every model
  }
}

// ----------------------------------------------------------------------------------------------------- time

let playing = null; // the running timer

function wireTime(app) {
  const { about, asked } = app;
  byId("frame").max = about.num_frames - 1;
  byId("frame").addEventListener("input", (event) => app.setFrame(Number(event.target.value)));
  byId("back").addEventListener("click", () => app.setFrame(app.frame - 1));
  byId("forward").addEventListener("click", () => app.setFrame(app.frame + 1));
  byId("play").addEventListener("click", () => play(app));
  byId("moment").addEventListener("input", (event) => {
    asked.moment = Number(event.target.value);
    app.want("clip");
  });
  byId("stride").value = asked.stride;
  byId("stride").addEventListener("change", (event) => {
    asked.stride = Number(event.target.value);
    app.want("clip");
  });
  byId("times").addEventListener("click", (event) => {
    const step = Math.floor((event.offsetX / event.target.clientWidth) * about.grid[0]);
    app.setFrame(step * about.tubelet_size[0]);
  });
}

/** Plays in real time, or stops. */
function play(app) {
  const button = byId("play");
  if (playing !== null) {
    clearTimeout(playing);
    playing = null;
  } else {
    const next = () => {
      app.setFrame(app.frame + 1);
      const times = app.clip?.times ?? [0, 0.1];
      const seconds = (times.at(-1) - times[0]) / (times.length - 1) || 0.1;
      playing = setTimeout(next, (1000 * seconds) / Number(byId("speed").value));
    };
    next();
  }
  button.textContent = playing === null ? "▶ play" : "■ stop";
  button.setAttribute("aria-label", playing === null ? "Play" : "Stop");
}

// -------------------------------------------------------------------------------------------- pointer and keys

function wirePointer(app, id) {
  const picture = app.pictures[id];
  const name = id === "target" ? "masked" : "source_masked";
  let painted = false;
  const touch = (event) => {
    const tool = document.querySelector("input[name=tool]:checked").value;
    const token = picture.tokenAt(event, app.frame);
    if (tool === "look") {
      if (id === "target" && event.type === "pointerdown") ask(app, token);
      return;
    }
    if (!paint(app, name, token, tool === "mask")) return;
    painted = true;
    app.draw();
  };
  picture.canvas.addEventListener("pointerdown", (event) => {
    if (!app.clip || event.button !== 0) return;
    picture.canvas.setPointerCapture(event.pointerId);
    touch(event);
  });
  picture.canvas.addEventListener("pointermove", (event) => event.buttons === 1 && app.clip && touch(event));
  picture.canvas.addEventListener("pointerup", () => {
    if (painted) app.want("look");
    painted = false;
  });
}

function ask(app, token) {
  app.token = token;
  app.ownToken = true;
  app.draw();
  app.want("attention");
}

/** Masks or unmasks a token of target or source, or its place at all times; tells whether that changed anything. */
function paint(app, name, token, masked) {
  const [steps, rows, columns] = app.about.grid;
  const place = token % (rows * columns);
  const tokens = byId("through").checked ? Array.from({ length: steps }, (_, t) => t * rows * columns + place) : [token];
  const other = tokens.filter((one) => app.masks[name].has(one) !== masked);
  for (const one of other) app.masks[name][masked ? "add" : "delete"](one);
  return other.length > 0;
}

function wireKeys(app) {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.target.closest("input, select, button")) return;
    const act = {
      " ": () => play(app),
      ArrowLeft: () => (event.shiftKey ? move(app, 0, -1) : app.setFrame(app.frame - 1)),
      ArrowRight: () => (event.shiftKey ? move(app, 0, 1) : app.setFrame(app.frame + 1)),
      ArrowUp: () => event.shiftKey && move(app, -1, 0),
      ArrowDown: () => event.shiftKey && move(app, 1, 0),
      m: () => toggle(app),
      r: () => redraw(app),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
}

/** Moves the chosen tubelet over the frame on show. */
function move(app, down, right) {
  const [, rows, columns] = app.about.grid;
  const place = app.token === null ? 0 : app.token % (rows * columns);
  const within = (value, count) => Math.min(count - 1, Math.max(0, value));
  const row = within(Math.floor(place / columns) + down, rows);
  const column = within((place % columns) + right, columns);
  ask(app, (Math.floor(app.frame / app.about.tubelet_size[0]) * rows + row) * columns + column);
}

function toggle(app) {
  if (app.token === null) return;
  paint(app, "masked", app.token, !app.masks.masked.has(app.token));
  app.want("look");
}
