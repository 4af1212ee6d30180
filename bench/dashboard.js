// Runs before every page that is measured: tells when the field of the search takes keys, when the first results can be
// seen, and of each key when its results have been painted. Milliseconds as the page itself counts them.
(() => {
  "use strict";
  const found = { field: 0, results: 0, keys: [] };
  window.dashboardMeasured = found;
  let pressed = null;

  const isSeen = (part) => Boolean(part && part.getClientRects().length);
  // The page is there once what says that it loads is gone.
  const isLoading = () => isSeen(document.getElementById("vaas-loading"));
  const model = () => { const page = document.querySelector(".dv"); return page && page.__vue__; };

  // The results of what was typed are in the page, all that it needs: no answer is awaited any more.
  function isAnswered(text) {
    const page = model();
    return Boolean(page && page.answer.q === text && page.answer.state === "ok");
  }

  // A frame is painted before the next task that was asked for in it.
  function painted(then) {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => then(performance.now());
    channel.port2.postMessage(null);
  }

  addEventListener("input", (event) => {
    if (event.target.matches(".dv input[type=search]")) pressed = { at: event.timeStamp, text: event.target.value };
  }, { capture: true });

  function look() {
    const field = document.querySelector(".dv input[type=search]");
    if (!found.field && isSeen(field) && !field.disabled && !isLoading()) found.field = performance.now();
    if (!found.results && !isLoading() && isSeen(document.querySelector(".dv [data-title]"))) {
      found.results = -1;
      painted((now) => { found.results = now; });
    }
    if (pressed && isAnswered(pressed.text)) {
      const key = pressed;
      pressed = null;
      painted((now) => found.keys.push({ text: key.text, ms: now - key.at }));
    }
    requestAnimationFrame(look);
  }
  requestAnimationFrame(look);
})();
