// Follows the start of an app by server-sent events and goes on to it when it is ready.
import { again } from "./again.js";
import { cameBack } from "./history.js";
import { duration } from "./duration.js";

const PATIENCE_SECONDS = 20;

function follow(root) {
  const part = (name) => root.querySelector(`[data-${name}]`);
  const started = performance.now();
  const source = new EventSource(root.dataset.events);
  let last = part("message").textContent;

  const clock = setInterval(() => {
    const seconds = Math.floor((performance.now() - started) / 1000);
    part("elapsed").textContent = duration(seconds);
    if (seconds >= PATIENCE_SECONDS) part("patience").hidden = false;
  }, 1000);

  function stop() {
    clearInterval(clock);
    source.close();
  }

  function remember(text) {
    const trace = part("trace");
    const line = document.createElement("li");
    line.textContent = text;
    trace.append(line);
    trace.hidden = false;
  }

  function show(state) {
    const percent = Math.max(0, Math.min(100, Math.round(state.progress ?? 0)));
    part("progress").value = percent;
    part("percent").textContent = `${percent} %`;
    if (state.message && state.message !== last) {
      remember(last);
      last = state.message;
      part("message").textContent = last;
    }
  }

  function enter({ action, ticket, query }) {
    const form = part("visit");
    form.action = action;
    form.elements.ticket.value = ticket;
    form.elements.query.value = query ?? "";
    if (cameBack()) {
      form.hidden = false;
      form.querySelector("button").focus();
    } else {
      form.submit();
    }
  }

  function fail({ text, fix, detail }) {
    part("working").hidden = true;
    part("error-text").textContent = text ?? "";
    part("error-fix").textContent = fix ?? "";
    if (detail) {
      part("error-detail").hidden = false;
      part("error-detail").open = true;
      part("error-detail").querySelector("pre").textContent = detail;
    }
    root.classList.add("opening-failed");
    part("failed").hidden = false;
    // What went wrong is at the end of the log.
    const log = part("error-detail").querySelector("pre");
    log.scrollTop = log.scrollHeight;
    document.title = `${root.querySelector("[data-failed] h1").textContent} · VaaS`;
  }

  source.addEventListener("open", () => { part("lost").hidden = true; });
  source.addEventListener("error", () => {
    part("lost").hidden = false;
    // Closed for good means that the portal refused: its page says why.
    if (source.readyState === EventSource.CLOSED) again();
  });
  source.addEventListener("message", (event) => {
    part("lost").hidden = true;
    const state = JSON.parse(event.data);
    if (state.error) {
      stop();
      fail(state.error);
    } else {
      show(state);
      if (state.form) {
        stop();
        enter(state.form);
      }
    }
  });
  // A page that the browser kept while the visitor was in the app has a dead stream: load it afresh.
  window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
}

const root = document.querySelector("[data-opening]");
if (root) follow(root);
