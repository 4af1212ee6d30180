/* Keeps the place in line by asking where it is, shows when it changes, and opens the app when it is its turn.
   Each question is held by the server until there is news: tabs in the background get it as soon as others, since
   browsers slow timers there, not answers. Whoever asks no more has left. */
"use strict";
(() => {
  const script = document.currentScript;
  const title = document.title;
  let position = Number(script.dataset.position);

  const pause = (ms) => new Promise((done) => setTimeout(done, ms));

  function say(id, text) {
    const element = document.getElementById(id);
    if (element.textContent !== text) element.textContent = text;
  }

  function show(answer) {
    position = answer.position;
    say("place", answer.place);
    say("estimate", answer.estimate);
    document.title = position > 0 ? `(${position}) ${title}` : title;
  }

  /* Tells whether there is nothing left to ask. */
  async function ask() {
    const answer = await fetch(`${script.dataset.ask}?known=${position}`, { signal: AbortSignal.timeout(30000) });
    if (answer.ok) show(await answer.json());
    else if (answer.status !== 404) throw new Error(`status ${answer.status}`);
    // With 404 the visit is over: the way in knows why.
    return !answer.ok || position === 0;
  }

  async function wait() {
    const lost = document.getElementById("lost");
    for (;;) {
      try {
        if (await ask()) break;
        lost.hidden = true;
        // Without a place there is nothing that an answer could be held for.
        if (position < 0) await pause(10000);
      } catch {
        lost.hidden = false;
        await pause(3000);
      }
    }
    location.reload();
  }

  show({ position, place: document.getElementById("place").textContent, estimate: document.getElementById("estimate").textContent });
  wait();
})();
