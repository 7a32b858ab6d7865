// The page's state, the questions that follow from a change of it, and what is drawn of the answers.

import { Refusal, ask, get } from "/page/api.js";
import { wire } from "/page/controls.js";
import { Clip, Picture, clipsOf, drawHeatBar } from "/page/draw.js";
import { chosenWeights, confidenceWords, drawTimes, placeWords, showLosses, summary, tokenWords } from "/page/readings.js";

const byId = (id) => document.getElementById(id);
const PICTURES = ["target", "self", "cross", "source", "wrong", "swapped"];
const STAGES = ["clip", "masks", "look", "losses", "attention"];
const FOLLOWS = { clip: ["look"], masks: ["look"], look: ["losses", "attention"], losses: [], attention: [] };

const app = {
  about: null,
  asked: { group: "", moment: 0.5, stride: 4, target: null, source: null, wrong: 1, told: true },
  masks: { seed: 0, ratio: 0.7, masking: "random", masked: new Set(), source_masked: new Set() },
  weighting: { weighting: "trained", temperature: 60 },
  show: { target: "dimmed", rebuilt: "true", grid: false, layer: -1, head: -1 },
  clip: null, look: null, losses: null, attention: null, found: null, place: null,
  frame: 0, token: null, ownToken: false, pictures: {}, thumbs: [],
  due: new Set(), busy: false,
  want, draw, choose, setFrame, complain, goToPeak,
};

/** Marks what has to be asked again; questions run one after the other, the newest wish only. */
function want(stage) {
  if (app.about === null) return;
  app.due.add(stage);
  settle();
}

async function settle() {
  if (app.busy) return;
  app.busy = true;
  byId("error").hidden = true;
  document.querySelector("main").setAttribute("aria-busy", "true");
  const started = performance.now();
  const slow = setTimeout(() => (byId("status").textContent = "working…"), 250);
  try {
    while (app.due.size) {
      const stage = STAGES.find((name) => app.due.has(name));
      app.due.delete(stage);
      await steps[stage]();
      for (const next of FOLLOWS[stage]) app.due.add(next);
      draw();
    }
    byId("status").textContent = `answered in ${((performance.now() - started) / 1000).toFixed(2)} s`;
  } catch (error) {
    app.due.clear();
    complain(error);
    draw();
  }
  clearTimeout(slow);
  app.busy = false;
  document.querySelector("main").setAttribute("aria-busy", "false");
}

function complain(error) {
  const known = error instanceof Refusal;
  byId("error-text").textContent = known ? error.message : `the page failed: ${error.message}`;
  byId("error").hidden = false;
  byId("status").textContent = "";
  if (!known) console.error(error);
}

const question = () => ({
  ...app.asked, masked: [...app.masks.masked], source_masked: [...app.masks.source_masked],
});

const steps = {
  async clip() {
    const { group, moment, stride } = app.asked;
    const clip = await orNothing(ask("clip", { group, moment, stride }), ["clip", "look", "losses", "attention"]);
    Object.assign(app, { look: null, losses: null, attention: null, clip: { ...clip, videos: clipsOf(clip.arrays.frames) } });
    chooseViews(clip.views);
    showViews();
    showMoment();
    if (!app.masks.masked.size) app.due.add("masks");
  },
  async masks() {
    const { seed, ratio, masking } = app.masks;
    const drawn = await ask("masks", { seed, ratio, masking });
    app.masks.masked = new Set(drawn.masked);
    app.masks.source_masked = new Set(drawn.source_masked);
  },
  async look() {
    places += 1; // an answer that is under way is no longer wanted
    app.place = null;
    if (!app.clip) return;
    const look = await orNothing(ask("look", question()), RESTING);
    const clips = Object.entries(look.arrays).filter(([name]) => !name.endsWith("/error"));
    app.look = { ...look, clips: Object.fromEntries(clips.map(([name, array]) => [name, new Clip(array)])) };
    // until somebody chooses a tubelet, the masked one that moves most is asked for
    if (!app.ownToken && look.has_attention) {
      app.token = look.most_moving;
      setFrame(stepOf(app.token) * app.about.tubelet_size[0]);
    }
  },
  async losses() {
    if (!app.look) return;
    app.losses = await orNothing(ask("losses", { ...question(), ...app.weighting }), RESTING);
  },
  async attention() {
    if (app.look?.has_attention && app.token !== null) {
      app.attention = await orNothing(ask("attention", { ...question(), token: app.token }), RESTING);
    } else {
      app.attention = null;
    }
    askPlace();
  },
};

// masks may have been painted on since the pictures were asked for: what is refused for one of these is for all
const RESTING = ["look", "losses", "attention"];

let places = 0; // questions for true places so far

/** Asks where the token really is, beside all else: drawing a performance again for its truth takes seconds. */
async function askPlace() {
  const mine = ++places;
  app.place = null;
  if (!app.attention) return;
  try {
    const place = await ask("place", { ...question(), token: app.token });
    if (mine === places) app.place = place;
    draw();
  } catch (error) {
    if (mine === places) complain(error);
  }
}


/** The answer; where there is none, what rested on the one before must not stay on show. */
async function orNothing(answer, parts) {
  try {
    return await answer;
  } catch (error) {
    for (const part of parts) app[part] = null;
    throw error;
  }
}

/** Keeps target and source where the new group has them. */
function chooseViews(views) {
  const { asked } = app;
  if (!views.includes(asked.target)) asked.target = views[0];
  if (!views.includes(asked.source) || asked.source === asked.target) {
    asked.source = views.find((view) => view !== asked.target) ?? null;
  }
}

/** A view as target or source; the other one changes places with it if it was that. */
function choose(role, view) {
  const { asked } = app;
  const other = role === "target" ? "source" : "target";
  if (asked[other] === view) asked[other] = asked[role];
  asked[role] = view;
  showViews();
  want("look");
}

function setFrame(frame) {
  const count = app.about.num_frames;
  app.frame = ((frame % count) + count) % count;
  byId("frame").value = app.frame;
  draw();
}

function goToPeak() {
  if (app.found) setFrame(stepOf(app.found.token) * app.about.tubelet_size[0]);
}

const stepOf = (token) => Math.floor(token / (app.about.grid[1] * app.about.grid[2]));

// ------------------------------------------------------------------------------------------- what is drawn

function draw() {
  if (!app.about) return;
  const { clip, look, show, token, frame, pictures } = app;
  const views = clip?.views ?? [];
  const [target, source] = ["target", "source"].map((role) => clip?.videos[views.indexOf(app.asked[role])]);
  readAttention();
  const shared = { lines: show.grid };
  const chosen = token === null ? [] : [{ token, faint: true }];
  pictures.target.draw(target, frame, { ...shared, ...targetLayers(), outlines: chosen });
  for (const [id, name] of [["self", "self-view"], ["cross", "cross-view"], ["swapped", "wrong source"]]) {
    const layers = { ...shared, outlines: chosen };
    if (show.rebuilt !== "error") pictures[id].draw(look?.clips[`${name}/${show.rebuilt}`], frame, layers);
    else pictures[id].draw(look?.arrays[`${name}/error`] && target, frame, { ...layers, ...errorLayers(name) });
  }
  const attention = app.found && { heat: { values: app.weights, max: app.found.peak } };
  const peak = app.found ? [{ token: app.found.token, faint: true }] : [];
  const truly = (app.place?.tokens ?? []).map((token) => ({ token, faint: true, truly: true }));
  pictures.source.draw(source, frame, {
    ...shared, hatched: app.masks.source_masked, ...attention, path: app.place?.line, outlines: [...peak, ...truly],
  });
  pictures.wrong.draw(look?.clips["wrong source/clip"], frame, { ...shared, hatched: app.masks.source_masked });
  app.thumbs.forEach((thumb, i) => thumb.draw(clip?.videos[i], frame));
  captions();
  readings();
  keys();
}

function targetLayers() {
  const { masks, show, losses } = app;
  if (show.target === "dimmed") return { hatched: masks.masked };
  if (show.target === "seen") return { greyed: masks.masked };
  if (show.target === "motion" && losses) {
    const values = losses.arrays.weights.data;
    return { heat: { values, max: Math.max(...values) } };
  }
  return {};
}

const ERROR_MAX = 2; // mean squared error in the normalised scale: 1 is that of the tubelet's mean

const errorLayers = (name) => ({ heat: { values: app.look?.arrays[`${name}/error`]?.data ?? [], max: ERROR_MAX } });

function readAttention() {
  const { attention, show, about } = app;
  app.weights = attention && chosenWeights(attention.arrays.weights, show.layer, show.head);
  app.found = attention && summary(app.weights, about.grid);
}

function captions() {
  const { clip, look, asked, about } = app;
  const say = (id, words) => {
    byId(`c-${id}`).textContent = words;
    byId(`c-${id}`).parentElement.title = byId(`c-${id}`).parentElement.textContent.replace(/\s+/g, " ").trim();
  };
  const single = !about.has_cross_view;
  const why = single ? "none: single-view model" : asked.source === null ? "none: one view only" : "";
  const waiting = clip ? "" : "no picture";
  const rebuilt = { true: "true stats", visible: "visible stats", error: "error by token" }[app.show.rebuilt];
  say("target", clip ? `view ${asked.target}` : waiting);
  say("self", look ? rebuilt : "");
  say("cross", why || (look ? rebuilt : ""));
  say("source", clip ? (asked.source === null ? "none: one view only" : `view ${asked.source}`) : waiting);
  say("wrong", why || (look?.wrong_source ?? ""));
  say("swapped", why || (look && !look.arrays["wrong source/true"] ? "none" : look ? rebuilt : ""));
  const known = ["target", "source"].every((role) => clip?.cameras[clip.views.indexOf(asked[role])]);
  byId("told-row").hidden = Boolean(why) || !about.has_rays;
  byId("told").disabled = !known;
  byId("told").checked = known && asked.told;
  byId("told-note").textContent = known ? "" : " (none known of these views)";
  byId("another").hidden = Boolean(why) || !look || asked.group === null || about.num_groups < 3;
  byId("attention").hidden = Boolean(why);
}

function readings() {
  const { about, losses, clip, found, token, masks, look } = app;
  showLosses(losses, about);
  byId("frame-shown").textContent = `frame ${app.frame + 1} of ${about.num_frames}${clip ? `, ${clip.times[app.frame].toFixed(2)} s` : ""}`;
  const share = masks.masked.size / about.num_tokens;
  byId("ratio-shown").textContent = masks.masked.size ? `${masks.masked.size} of ${about.num_tokens} (${(100 * share).toFixed(0)} %)` : "";
  byId("effective").textContent = losses ? `Worth ${losses.effective.toFixed(1)} of ${about.num_tokens} tokens.` : "";
  if (app.weighting.weighting !== "temperature") showTemperature(losses ? losses.temperature : null);
  byId("token").textContent = token === null
    ? "Click a tubelet of the target."
    : `Asked: ${tokenWords(token, about, clip?.times)}, ${masks.masked.has(token) ? "masked" : "visible"}.`;
  const times = found && look;
  byId("confidence").textContent = times ? confidenceWords(found) : "";
  byId("times-note").textContent = times ? `Share of the attention by time step of the source; dashed: even. Peak: ${tokenWords(found.token, about, clip.times)}.` : "";
  byId("place").textContent = times && app.place ? placeWords(app.place, found, about) : "";
  byId("go").hidden = !times;
  byId("times").hidden = !times;
  drawTimes(byId("times"), times ? found : null, Math.floor(app.frame / about.tubelet_size[0]));
}

/** The key's words follow what is on show. */
function keys() {
  const { about, show, found, losses, place } = app;
  byId("key-true").hidden = !place?.tokens?.length;
  byId("key-line").hidden = !place?.line.length;
  const parts = [];
  if (found) parts.push(`attention, 0 to ${(100 * found.peak).toFixed(1)} %`);
  if (show.target === "motion" && losses) {
    const most = Math.max(...losses.arrays.weights.data) * about.num_tokens;
    parts.push(`motion weight, 0 to ${most.toFixed(1)} times even`);
  }
  if (show.rebuilt === "error") parts.push(`error, 0 to ${ERROR_MAX} (mean baseline: 1)`);
  byId("heat-shown").textContent = parts.join("; ") || "weights, from 0 to the largest";
  byId("statistics").textContent = about.statistics[show.rebuilt] ?? "Mean squared error of each masked tubelet, in the model's normalised scale.";
}

/** The slider follows the temperature in use, which a training may set clip by clip; uniform weights have none. */
function showTemperature(temperature) {
  byId("temperature-shown").textContent = temperature === null ? "none" : temperature.toPrecision(3);
  if (temperature !== null) byId("temperature").value = Math.log10(temperature);
}

function showMoment() {
  const { clip } = app;
  const end = clip.times.at(-1);
  byId("moment-shown").textContent = `${clip.times[0].toFixed(2)} to ${end.toFixed(2)} s of ${clip.duration.toFixed(2)} s`;
}

function showViews() {
  const strip = byId("views");
  strip.replaceChildren();
  app.thumbs = app.clip.views.map((view) => {
    const [item, canvas, side, name] = ["div", "canvas", "div", "div"].map((tag) => document.createElement(tag));
    item.className = "view";
    name.className = "name";
    name.textContent = `view ${view}`;
    name.title = name.textContent;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `View ${view}`);
    side.append(name, ...(app.clip.views.length > 1 ? ["target", "source"] : []).map((role) => roleButton(role, view)));
    item.append(canvas, side);
    strip.append(item);
    return new Picture(canvas, app.about);
  });
  if (!app.clip.synchronised) strip.append("The manifest says that these views are not synchronised.");
}

function roleButton(role, view) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = role;
  button.setAttribute("aria-pressed", String(app.asked[role] === view));
  button.setAttribute("aria-label", `View ${view} as ${role}`);
  button.addEventListener("click", () => choose(role, view));
  return button;
}

async function start() {
  const about = await get("/api/model");
  const size = `${about.num_frames} frames of ${about.image_size} x ${about.image_size} pixels`;
  const tokens = `${about.num_tokens} tubelets of ${about.tubelet_size.join(" x ")}`;
  byId("model").textContent = `${about.title}: ${(about.parameters / 1e6).toFixed(1)} M parameters, ${size}, ${tokens}`;
  app.about = about;
  Object.assign(app.masks, { ratio: about.mask_ratio, masking: about.masking });
  Object.assign(app.asked, { stride: about.frame_stride });
  if (about.fps) byId("stride-of").textContent = `frames at ${about.fps} a second`;
  app.weighting.temperature = about.temperature;
  for (const id of PICTURES) app.pictures[id] = new Picture(byId(`p-${id}`), about);
  drawHeatBar(byId("heat"), about.heat);
  await wire(app);
}

start().catch((error) => {
  complain(error);
  document.querySelector("main").setAttribute("aria-busy", "false");
});
