// Runs before every page that is measured: tells when somebody clicked, when something was painted, when the slider
// could be seen, and when the label had an answer. Milliseconds since the epoch, as the browser itself counts them.
(() => {
  "use strict";
  const at = (moment) => performance.timeOrigin + moment;
  const tell = (what, moment) => window.measured && window.measured(what, moment, location.href);

  addEventListener("click", (event) => tell("click", at(event.timeStamp)), { capture: true });
  new PerformanceObserver((list) => {
    for (const entry of list.getEntriesByName("first-contentful-paint")) tell("paint", at(entry.startTime));
  }).observe({ type: "paint", buffered: true });

  let seen = false;
  function look() {
    if (!seen && document.querySelector(".noUi-handle")?.getClientRects().length) {
      seen = true;
      tell("slider", at(performance.now()));
    }
    const labels = seen ? [...document.querySelectorAll(".widget-label")] : [];
    if (labels.some((label) => /^row [1-9]/.test(label.textContent))) tell("answer", at(performance.now()));
    else requestAnimationFrame(look);
  }
  requestAnimationFrame(look);
})();
