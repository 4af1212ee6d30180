// Follows the check of a draft, then brings its result into the page without losing what was typed meanwhile.
import { again } from "./again.js";
import { duration } from "./duration.js";

const RETRY_MS = 1000;
/** What is done before the notebook runs: copying what belongs to a run's result, making its environment. */
const PREPARING = ["copying", "environment"];

/** Show how far the check is, then its result, and what comes a little later: how the app will open. */
function follow(section, done = false) {
  const part = (name) => section.querySelector(`[data-check-${name}]`);
  const started = performance.now();
  // Whether something is done before it starts: it starts when that is done.
  let prepared = false;
  const source = new EventSource(section.dataset.events);
  const clock = setInterval(() => {
    if (!done) part("time").textContent = `${duration(Math.floor((performance.now() - started) / 1000))} so far.`;
  }, 1000);

  function lost(isLost) {
    if (!done) part("lost").hidden = !isLost;
  }

  function show({ stage, text, percent, cell, cells }) {
    const bar = part("progress");
    if (cell && cells) {
      bar.max = cells;
      bar.value = cell;
    } else if (stage === "copying") {
      bar.max = 100;
      bar.value = percent;
    } else {
      bar.removeAttribute("value");
    }
    part("text").textContent =
      PREPARING.includes(stage) ? `${text}…`
      : stage === "finishing" ? "Looking at the result…"
      : cell && cells ? `Running cell ${cell} of ${cells}…`
      : "Starting…";
  }

  source.addEventListener("open", () => lost(false));
  source.addEventListener("error", () => {
    lost(true);
    // Closed for good means that the portal refused: its page says why.
    if (!done && source.readyState === EventSource.CLOSED) again();
  });
  // One after the other: what comes later would be overwritten by what was asked for earlier.
  let work = Promise.resolve();
  source.addEventListener("message", (event) => {
    lost(false);
    const { state, progress, report, over } = JSON.parse(event.data);
    if (over) source.close();
    if (state !== "done" && (state === "running" || prepared)) show(progress ?? {});
    prepared ||= PREPARING.includes(progress?.stage);
    if (state !== "done") return;
    clearInterval(clock);
    const first = !done;
    done = true;
    work = work.then(async () => {
      if (first) await result();
      else if (report?.opens) await swap(["opens"]);
      if (over) document.querySelector("[data-awaited]")?.replaceChildren();
    });
  });
}

/** Put the server's new parts of this page in place of the old ones: all, or those that are named. */
async function swap(names = null) {
  let fresh;
  try {
    const response = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (!response.ok) throw new Error(response.statusText);
    fresh = new DOMParser().parseFromString(await response.text(), "text/html");
  } catch {
    if (!names) again();
    return;
  }
  for (const old of document.querySelectorAll("[data-swap]")) {
    if (names && !names.includes(old.dataset.swap)) continue;
    const next = fresh.querySelector(`[data-swap="${old.dataset.swap}"]`);
    if (next) old.replaceWith(document.adoptNode(next));
  }
}

async function result() {
  await swap();
  const section = document.querySelector("[data-draft]");
  if (section && section.dataset.draft !== "done") {
    setTimeout(() => follow(section), RETRY_MS);
    return;
  }
  preview();
  const verdict = document.querySelector("#check h3");
  if (verdict) {
    document.title = `${verdict.textContent} · VaaS`;
    const status = document.createElement("p");
    status.className = "sr";
    status.setAttribute("role", "status");
    document.getElementById("check").append(status);
    // A live region speaks only what changes after it is there.
    setTimeout(() => { status.textContent = `The check is done. ${verdict.textContent}.`; }, 100);
  }
}

function preview() {
  const form = document.querySelector("form[data-preview]");
  if (!form) return;
  form.submit();
  form.hidden = true;
}

/** End the preview when one goes on: its app ends too, and half loaded it would only complain. */
function leave({ target }) {
  const frame = document.querySelector("iframe[name=preview]");
  if (!target.matches("[data-preview]")) frame?.contentWindow.location.replace("about:blank");
}

/** Ask for people and groups only when they are chosen. */
function audience(form) {
  const whom = form.querySelector("[data-whom]");
  if (!whom) return;
  const update = () => {
    whom.hidden = form.querySelector("[name=audience]:checked")?.value !== "people";
  };
  form.addEventListener("change", (event) => {
    if (event.target.name !== "audience") return;
    update();
  });
  update();
}

const section = document.querySelector("[data-draft]");
if (section && section.dataset.draft !== "done") follow(section);
else {
  preview();
  if (document.querySelector("[data-awaited]")) follow(section, true);
}

const form = document.querySelector("form[data-publish]");
if (form) {
  form.hidden = false;
  audience(form);
}
addEventListener("submit", leave);
