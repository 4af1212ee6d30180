// Follows a run by server-sent events: the cell that it is at, and its log as it grows; then shows the result.
import { again } from "./again.js";

//: Longer logs lose their beginning here, as they do in the portal.
const MOST = 200_000;

function follow(section) {
  const part = (name) => document.querySelector(`[data-run-${name}]`);
  const source = new EventSource(section.dataset.events);

  function lost(isLost) {
    part("lost").hidden = !isLost;
  }

  function write({ log, fresh }) {
    if (log === undefined) return;
    const pre = part("log");
    const atEnd = pre.scrollHeight - pre.scrollTop - pre.clientHeight < 40;
    pre.textContent = (fresh ? log : pre.textContent + log).slice(-MOST);
    part("silent").hidden = Boolean(pre.textContent);
    if (atEnd) pre.scrollTop = pre.scrollHeight;
  }

  function show({ words, cell, of }) {
    const bar = part("progress");
    if (of) {
      bar.max = of;
      // The one that is running is not done yet.
      bar.value = Math.max((cell ?? 0) - 1, 0);
    }
    if (part("text").textContent !== words) part("text").textContent = words;
  }

  source.addEventListener("open", () => lost(false));
  source.addEventListener("error", () => {
    lost(true);
    // Closed for good means that the portal refused: its page says why.
    if (source.readyState === EventSource.CLOSED) again();
  });
  source.addEventListener("message", async (event) => {
    lost(false);
    const told = JSON.parse(event.data);
    write(told);
    if (told.over) {
      source.close();
      await result();
    } else {
      show(told);
      if (told.state !== section.dataset.run) {
        section.dataset.run = told.state;
        document.querySelector(".run-state").replaceWith(await state());
      }
    }
  });
}

async function fresh() {
  const response = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!response.ok) throw new Error(response.statusText);
  return new DOMParser().parseFromString(await response.text(), "text/html");
}

/** Return the line about its state as the portal says it now. */
async function state() {
  try {
    return document.adoptNode((await fresh()).querySelector(".run-state"));
  } catch {
    return document.querySelector(".run-state");
  }
}

/** Put the page as it is now in the place of this one, and say so to who cannot see it. */
async function result() {
  let next;
  try {
    next = (await fresh()).querySelector("[data-swap]");
  } catch {
    again();
    return;
  }
  const old = document.querySelector("[data-swap]");
  const held = old.contains(document.activeElement);
  old.replaceWith(document.adoptNode(next));
  // Who stood in what is gone goes on from the beginning of the page's own part.
  if (held) document.getElementById("main").focus({ preventScroll: true });
  const word = document.querySelector(".run-state .badge").textContent;
  document.title = `${word}: ${document.querySelector("h1").textContent} · VaaS`;
  const status = document.createElement("p");
  status.className = "sr";
  status.setAttribute("role", "status");
  document.querySelector("[data-swap]").append(status);
  // A live region speaks only what changes after it is there.
  setTimeout(() => { status.textContent = `The run has ended: ${word}.`; }, 100);
  atTheEnd();
}

/** What matters of a log is at its end. */
function atTheEnd() {
  const log = document.querySelector("[data-run-log]");
  log.scrollTop = log.scrollHeight;
}

atTheEnd();
const section = document.querySelector("[data-run]");
if (section) follow(section);
