// The page around an app: progress, colours, full screen, what to say when the connection goes, and the farewell.
(() => {
  "use strict";
  const facts = JSON.parse(document.getElementById("vaas-page").textContent);
  const find = (id) => document.getElementById(id);
  const started = Date.now();
  let ended = "";

  // A page that is back in a moment shows no progress for that moment.
  const returns = `vaas-left:${location.pathname}`;
  try {
    if (started - Number(sessionStorage.getItem(returns)) < 5000) document.documentElement.classList.add("vaas-returns");
    sessionStorage.removeItem(returns);
  } catch { /* nothing was remembered */ }

  // ---- colours -------------------------------------------------------------------------------------------------
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const remembered = () => {
    try { return localStorage.getItem("vaas-colours"); } catch { return null; }
  };
  const isDark = () => (remembered() ? remembered() === "dark" : prefersDark.matches);

  function theme() {
    const dark = isDark();
    document.documentElement.classList.toggle("vaas-is-dark", dark);
    const sheet = find("vaas-dark");
    if (sheet) {
      // Who never looks at dark pages need not load their colours.
      if (dark) sheet.href ||= sheet.dataset.href;
      sheet.media = dark ? "all" : "not all";
    }
    const body = document.body;
    if (!body) return;
    body.classList.toggle("theme-dark", dark);
    body.classList.toggle("theme-light", !dark);
    body.dataset.jpThemeLight = String(!dark);
    body.dataset.jpThemeName = dark ? "JupyterLab Dark" : "JupyterLab Light";
    find("vaas-dark-button")?.setAttribute("aria-pressed", String(dark));
    // Vuetify reads the body once, at its start; later it wants to be told.
    document.querySelectorAll(".v-application").forEach((root) => {
      const vuetify = root.__vue__?.$vuetify;
      if (vuetify) vuetify.theme.dark = dark;
    });
  }
  prefersDark.addEventListener("change", theme);

  // ---- progress ------------------------------------------------------------------------------------------------
  const LONG_SECONDS = 20;
  const STUCK_SECONDS = 60;
  const SILENT_SECONDS = 30;
  let finished = false;
  let shown = false;
  let stepStarted = started;
  let heard = started;

  function progress(share, text) {
    const track = find("vaas-track");
    heard = stepStarted = Date.now();
    if (!track) return;
    track.setAttribute("aria-valuenow", String(Math.round(share * 100)));
    find("vaas-fill").style.transform = `scaleX(${share})`;
    find("vaas-step").textContent = text;
    note("");
  }
  // Read aloud, so it says something seldom.
  function note(text) {
    const place = find("vaas-note");
    if (place && place.textContent !== text) place.textContent = text;
  }
  const since = (moment) => Math.round((Date.now() - moment) / 1000);
  const ticking = setInterval(() => {
    const time = find("vaas-time");
    if (time && since(started) >= 5) time.textContent = `${since(started)} s`;
    if (!finished && since(stepStarted) >= LONG_SECONDS) {
      note("This step takes longer than usual. You can leave the page open.");
    }
    if (!finished && since(heard) >= SILENT_SECONDS) {
      heard = Date.now();
      isThere().then((there) => { if (!there && !finished && !leaving) end("cut"); });
    }
  }, 1000);

  // A browser does not tell a page that the rest of it will not come. The server says something every ten seconds,
  // unless it is busy with sending one large piece: then it knows the page's kernel.
  async function isThere() {
    try {
      const { kernelId } = JSON.parse(find("jupyter-config-data").textContent);
      const options = { cache: "no-store", redirect: "manual", signal: AbortSignal.timeout(10000) };
      return (await fetch(`${location.pathname}api/kernels/${kernelId}`, options)).status === 200;
    } catch {
      return false;
    }
  }

  function show() {
    clearInterval(ticking);
    shown = true;
    restarts.forget();
    find("vaas-loading")?.remove();
    find("rendered_cells").classList.remove("vaas-waiting");
    theme();
    requestAnimationFrame(() => window.dispatchEvent(new Event("resize")));
  }

  const share = (cell, cells) => Math.min(0.95, (0.95 * cell) / Math.max(1, cells));
  // Called when a cell begins; and, by Voilà's name for it, when its output is here.
  const runs = (cell, cells) => progress(share(cell - 1, cells), `Preparing… ${cell} of ${cells}`);
  window.voila_process = (cell, cells) => progress(share(cell, cells), `Preparing… ${cell} of ${cells}`);
  // Called at the end of the page, and again by Voilà's script when its widgets are there.
  window.voila_finish = () => {
    finished = true;
    window.cellLoaded = true;
    if (window.themeLoaded) show();
    else progress(0.97, "Almost there…");
  };
  window.voila_heartbeat = () => { heard = Date.now(); };
  window.update_loading_text = () => {};
  window.display_cells = window.voila_finish;
  addEventListener("DOMContentLoaded", () => {
    if (!finished && !ended && !leaving) end("cut");
  });
  addEventListener("load", () => setTimeout(() => {
    if (!shown && !ended && !leaving) end("stalled");
  }, STUCK_SECONDS * 1000));

  // ---- starting again ------------------------------------------------------------------------------------------
  const restarts = {
    most: 2,
    key: `vaas-restarts:${location.pathname}`,
    // Where nothing can be remembered nothing starts by itself: it might for ever.
    take() {
      try {
        const made = Number(sessionStorage.getItem(this.key)) || 0;
        if (made >= this.most) return false;
        sessionStorage.setItem(this.key, String(made + 1));
        return sessionStorage.getItem(this.key) === String(made + 1);
      } catch { return false; }
    },
    forget() {
      try { sessionStorage.removeItem(this.key); } catch { /* nothing was remembered */ }
    },
  };
  const again = () => {
    restarts.forget();
    location.reload();
  };

  // ---- the connection ------------------------------------------------------------------------------------------
  const words = {
    lost: "The connection was lost. Trying to reconnect…",
    revoked: "You can no longer use this app. Ask its owner if you think you should.",
    died: "This session ended unexpectedly. The app may have needed more memory than it is allowed.",
    closing: "This session ended. Reload the page to start again.",
    failed: "The page could not be prepared. Try again; if it stays like this, tell the owner of this app.",
    cut: "The connection broke before the page was complete.",
    restarting: "This page got stuck. It starts again by itself…",
    stalled: "This page got stuck, and starting it again did not help. Try again later, or tell the owner of this app.",
    greedy: "This app used more memory or more processes than it may, so it was stopped. Tell the owner of this app.",
    flooded: "This app put out far more than a page can hold, so it was stopped. Tell the owner of this app.",
    unprepared: "A part of this app could not be prepared. Reload the page to try again; if it stays like this, tell the owner of this app.",
    memory: "This app needs more memory than it may have. What you did last was not finished. Try something smaller, or start over.",
    slow: "A part of this page took too long and could not be stopped. Try again; if it stays like this, tell the owner of this app.",
  };
  const codes = {
    4403: "revoked", 4408: "closing", 4410: "closing", 4411: "stalled", 4412: "flooded", 4413: "slow", 4414: "failed", 4415: "greedy",
  };

  // What is said of a page that goes on; it stays until somebody has read it.
  let notice = "";
  function banner(end) {
    const kind = end || notice;
    const place = find("vaas-banner");
    if (!place) return;
    place.hidden = !kind;
    if (!kind) return;
    place.dataset.kind = kind;
    find("vaas-banner-text").textContent = words[kind];
    find("vaas-reconnect").hidden = kind !== "lost";
    find("vaas-reload").hidden = kind === "revoked" || kind === "restarting" || kind === "memory";
    find("vaas-over").hidden = kind !== "memory";
    find("vaas-close").hidden = kind !== notice;
    find("vaas-back").hidden = kind !== "revoked";
  }

  // In place of the progress, while there is no page yet that a banner could stand above.
  function reason(kind) {
    const card = find("vaas-why");
    if (!card) return false;
    for (const id of ["vaas-track", "vaas-step", "vaas-time", "vaas-note"]) find(id).hidden = true;
    find("vaas-why-text").textContent = words[kind];
    find("vaas-again").hidden = kind === "revoked" || kind === "restarting";
    find("vaas-about").hidden = kind === "restarting";
    card.hidden = false;
    return true;
  }

  function end(why) {
    if (ended) return;
    ended = words[why] ? why : "closing";
    if (ended === "stalled" && restarts.take()) {
      ended = "restarting";
      setTimeout(() => location.reload(), 2500);
    }
    document.documentElement.classList.add("vaas-ended");
    clearInterval(ticking);
    if (reason(ended)) return;
    if (document.readyState === "loading") addEventListener("DOMContentLoaded", () => banner(ended));
    banner(ended);
  }

  const kernel = () => window.jupyterapp?.widgetManager?.kernel;
  const { watcher } = window.vaasConnection;
  async function reconnect() {
    try {
      const answer = await fetch(watcher.path, { redirect: "manual", cache: "no-store", signal: AbortSignal.timeout(10000) });
      if (answer.status === 404) end("closing");
      else if (answer.ok && kernel()) kernel().reconnect().catch(() => {});
      else if (answer.ok) location.reload();
    } catch {
      // No network yet: the banner stays.
    }
  }

  let open = 0;
  let checking = 0;
  const AGAIN_MS = 5000;
  function look() {
    if (open > 0 || ended) return;
    banner("lost");
    reconnect();
    checking = setTimeout(look, AGAIN_MS);
  }
  function tell(kind) {
    if (ended || !words[kind]) return;
    notice = kind;
    if (find("vaas-banner")) banner("");
    else addEventListener("DOMContentLoaded", () => { if (!ended) banner(""); });
  }
  watcher.told = tell;
  watcher.over = () => Boolean(ended);
  watcher.opened = () => {
    open += 1;
    clearTimeout(checking);
    if (!ended) banner("");
  };
  watcher.closed = (code, wasOpen) => {
    if (wasOpen) open -= 1;
    if (ended || leaving) return;
    if (codes[code]) end(codes[code]);
    else if (open === 0) {
      // A hiccup is over before anybody could read about it; and a session that is gone will not come back.
      clearTimeout(checking);
      checking = setTimeout(look, 1500);
    }
  };

  // ---- leaving -------------------------------------------------------------------------------------------------
  let leaving = false;
  // Voilà says farewell in "beforeunload", which also comes when a download starts or the visitor decides to stay.
  // A browser asks for the page anew right after it, and tells this one only when the answer is there: so this one says
  // for a moment, in a cookie, which page it is that is loaded again.
  const here = `path=${location.pathname}; samesite=lax${location.protocol === "https:" ? "; secure" : ""}`;
  addEventListener("beforeunload", (event) => {
    event.stopImmediatePropagation();
    if (ended || over) return;
    document.cookie = `vaas-return=${facts.token}; max-age=5; ${here}`;
    setTimeout(() => { document.cookie = `vaas-return=; max-age=0; ${here}`; }, 200);
  }, { capture: true });
  // Who comes back soon, as by a reload, finds the page as it was, unless it had ended or is to start over.
  let over = false;
  addEventListener("pagehide", () => {
    leaving = true;
    navigator.sendBeacon(facts.farewell, ended || over ? `${facts.token} over` : facts.token);
    try { sessionStorage.setItem(returns, String(Date.now())); } catch { /* it comes with its progress then */ }
  });
  const startOver = () => {
    over = true;
    location.reload();
  };
  // Back from the browser's memory: what was here has said farewell.
  addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
  });

  // ---- launching -----------------------------------------------------------------------------------------------
  // Where a copy goes on from here. The server asks the kernel what the widgets hold; where it cannot be told, the copy
  // begins as ever.
  const GIVE_MS = 12000;
  async function onward(launch) {
    try {
      const options = { method: "POST", body: facts.token, redirect: "manual", signal: AbortSignal.timeout(GIVE_MS) };
      const { launch: there } = await (await fetch(facts.give, options)).json();
      return there.split("?")[0] === launch.split("?")[0] ? there : launch;
    } catch {
      return launch;
    }
  }
  async function launches(event) {
    const link = event.currentTarget;
    // In another tab this page stays, and its visitor with it.
    const elsewhere = event.ctrlKey || event.metaKey || event.shiftKey || event.altKey;
    if (!facts.give || ended || elsewhere) return;
    event.preventDefault();
    if (link.ariaBusy === "true") return;
    link.ariaBusy = "true";
    const there = await onward(link.href);
    link.ariaBusy = "false";
    location.assign(there);
  }

  // ---- the bar -------------------------------------------------------------------------------------------------
  addEventListener("DOMContentLoaded", () => {
    find("vaas-dark-button").addEventListener("click", () => {
      try { localStorage.setItem("vaas-colours", isDark() ? "light" : "dark"); } catch { /* not remembered */ }
      theme();
    });
    find("vaas-over-button").addEventListener("click", startOver);
    find("vaas-launch")?.addEventListener("click", launches);
    const full = find("vaas-full-button");
    full.hidden = !document.fullscreenEnabled;
    full.addEventListener("click", () => {
      if (document.fullscreenElement) document.exitFullscreen();
      else document.documentElement.requestFullscreen();
    });
    addEventListener("fullscreenchange", () => full.setAttribute("aria-pressed", String(!!document.fullscreenElement)));
    find("vaas-reload").addEventListener("click", () => (notice && !ended ? startOver() : again()));
    find("vaas-over").addEventListener("click", startOver);
    find("vaas-close").addEventListener("click", () => {
      notice = "";
      banner("");
    });
    find("vaas-reconnect").addEventListener("click", reconnect);
    addEventListener("online", () => { if (!find("vaas-banner").hidden && !ended) reconnect(); });
    theme();
  });

  // Voilà's script takes the cells out of <main> into a shell of its own, which is the main part from then on.
  new MutationObserver((_, observer) => {
    const shell = document.querySelector("body > .jp-LabShell");
    if (!shell) return;
    observer.disconnect();
    shell.setAttribute("role", "main");
    find("vaas-content").hidden = true;
  }).observe(document.documentElement, { childList: true, subtree: true });

  window.vaas = Object.freeze({ again, end, runs, theme });
})();
