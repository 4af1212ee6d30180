// Follows a launch by server-sent events, and goes on to JupyterLab when it is ready.
import { again } from "./again.js";
import { cameBack } from "./history.js";
import { duration } from "./duration.js";

const PATIENCE_SECONDS = 60;
const UNITS = ["bytes", "kB", "MB", "GB", "TB"];

/** A number of bytes in words. */
function bytes(size) {
  let value = size, unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) { value /= 1000; unit += 1; }
  return `${unit && value < 99.95 ? value.toFixed(1) : Math.round(value)} ${UNITS[unit]}`;
}

function go(url) {
  // In the place of this page: who comes back from there comes to where they launched it.
  if (!cameBack()) location.replace(url);
}

function follow(root) {
  const part = (name) => root.querySelector(`[data-${name}]`);
  const since = Date.parse(root.dataset.since);
  const source = new EventSource(root.dataset.events);

  const clock = setInterval(() => {
    const seconds = Math.max(0, Math.floor((Date.now() - since) / 1000));
    part("elapsed").textContent = duration(seconds);
    if (seconds >= PATIENCE_SECONDS) part("patience").hidden = false;
  }, 1000);

  function stop() {
    clearInterval(clock);
    source.close();
  }

  function mark(state) {
    const steps = [...root.querySelectorAll("[data-step]")];
    const at = steps.findIndex((step) => step.dataset.step === state);
    if (at < 0) return;
    steps.forEach((step, index) => {
      step.className = index < at ? "is-done" : index === at ? "is-now" : "is-later";
      if (index === at) step.setAttribute("aria-current", "step");
      else step.removeAttribute("aria-current");
    });
  }

  function place(id, { state, done, of, message }) {
    const row = [...root.querySelectorAll("[data-thing]")].find((each) => each.dataset.thing === id);
    if (!row) return;
    const text = { done: "There", mounted: "There", failed: "Missing" }[state] ?? (of ? `${bytes(done ?? 0)} of ${bytes(of)}` : "");
    row.querySelector("[data-thing-state]").textContent = text;
    row.querySelector("[data-thing-why]").textContent = state === "failed" ? message ?? "" : "";
    row.classList.toggle("is-missing", state === "failed");
  }

  function show({ step, percent, message, starts_in: wait, things }) {
    part("progress").value = percent;
    part("percent").textContent = `${percent} %`;
    if (part("message").textContent !== message) part("message").textContent = message;
    part("estimate").hidden = wait === null;
    if (wait !== null) part("estimate").textContent = `It should begin in about ${duration(Math.round(wait))}.`;
    mark(step);
    for (const [id, said] of Object.entries(things)) place(id, said);
  }

  source.addEventListener("open", () => { part("lost").hidden = true; });
  source.addEventListener("error", () => {
    part("lost").hidden = false;
    // Closed for good means that the portal refused: its page says why.
    if (source.readyState === EventSource.CLOSED) again();
  });
  source.addEventListener("message", (event) => {
    const now = JSON.parse(event.data);
    part("lost").hidden = !now.problem;
    if (!now.problem) show(now);
    if (!now.over) return;
    stop();
    if (now.url) go(now.url);
    else location.reload();
  });
  // A page that the browser kept has a dead stream: load it afresh.
  window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
}

const root = document.querySelector(".launching");
if (root?.dataset.events) follow(root);
else if (root?.dataset.url) go(root.dataset.url);
