// Shows “My servers” afresh when one of them is in another state.

const EVERY_MS = 4000;

const list = document.querySelector("[data-servers]");
const shown = () => Object.fromEntries(
  [...document.querySelectorAll("[data-launch]")].map((row) => [row.dataset.launch, row.dataset.state]),
);

function typing() {
  return document.activeElement?.matches("input, select, textarea");
}

async function look() {
  if (document.hidden || typing()) return;
  try {
    const answer = await fetch(list.dataset.servers, { headers: { Accept: "application/json" } });
    if (!answer.ok) return;
    const { launches } = await answer.json();
    const before = shown();
    const same = launches.length === Object.keys(before).length && launches.every((now) => before[now.id] === now.state);
    if (!same) location.reload();
  } catch {
    // The next look tells.
  }
}

if (list) setInterval(look, EVERY_MS);
