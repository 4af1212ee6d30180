// The page around an app: progress, colours, full screen, what to say when the connection goes, and the farewell.
(() => {
  "use strict";
  const facts = JSON.parse(document.getElementById("vaas-page").textContent);
  const find = (id) => document.getElementById(id);
  const started = Date.now();
  let ended = "";

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
    if (sheet) sheet.media = dark ? "all" : "not all";
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
  function progress(share, text) {
    const track = find("vaas-track");
    if (!track) return;
    track.setAttribute("aria-valuenow", String(Math.round(share * 100)));
    find("vaas-fill").style.transform = `scaleX(${share})`;
    find("vaas-step").textContent = text;
  }
  const ticking = setInterval(() => {
    const seconds = Math.round((Date.now() - started) / 1000);
    const time = find("vaas-time");
    if (time && seconds >= 5) time.textContent = `${seconds} s`;
  }, 1000);

  function show() {
    clearInterval(ticking);
    find("vaas-loading")?.remove();
    find("rendered_cells").classList.remove("vaas-waiting");
    theme();
    requestAnimationFrame(() => window.dispatchEvent(new Event("resize")));
  }

  // Voilà's own names: its page calls the first for each cell and the second at the end; its script the second again.
  window.voila_process = (cell, cells) => {
    progress(Math.min(0.95, (0.95 * cell) / Math.max(1, cells)), `Preparing… ${cell} of ${cells}`);
  };
  window.voila_finish = () => {
    window.cellLoaded = true;
    if (window.themeLoaded) show();
    else progress(0.97, "Almost there…");
  };
  window.voila_heartbeat = () => {};
  window.update_loading_text = () => {};
  window.display_cells = window.voila_finish;

  // ---- the connection ------------------------------------------------------------------------------------------
  const words = {
    lost: "The connection was lost. Trying to reconnect…",
    revoked: "You can no longer use this app. Ask its owner if you think you should.",
    died: "This session ended. Reload the page to start again.",
    closing: "This session ended. Reload the page to start again.",
    failed: "The page could not be prepared. Reload it to try again.",
  };
  const codes = { 4403: "revoked", 4408: "closing", 4410: "closing" };

  function banner(kind) {
    const place = find("vaas-banner");
    if (!place) return;
    place.hidden = !kind;
    if (!kind) return;
    place.dataset.kind = kind;
    find("vaas-banner-text").textContent = words[kind];
    find("vaas-reconnect").hidden = kind !== "lost";
    find("vaas-reload").hidden = kind === "revoked";
    find("vaas-back").hidden = kind !== "revoked";
  }

  function end(why) {
    ended = words[why] ? why : "closing";
    document.documentElement.classList.add("vaas-ended");
    clearInterval(ticking);
    const step = find("vaas-step");
    if (step) step.textContent = words[ended];
    if (document.readyState === "loading") addEventListener("DOMContentLoaded", () => banner(ended));
    banner(ended);
  }

  const kernel = () => window.jupyterapp?.widgetManager?.kernel;
  let last = "";
  async function reconnect() {
    try {
      const answer = await fetch(last, { redirect: "manual", cache: "no-store" });
      if (answer.status === 404) end("closing");
      else if (answer.ok && kernel()) kernel().reconnect().catch(() => {});
      else if (answer.ok) location.reload();
    } catch {
      // No network yet: the banner stays.
    }
  }

  const Native = window.WebSocket;
  const isKernel = (address) => /\/api\/kernels\/[^/]+\/channels/.test(String(address));
  let open = 0;
  let checking = 0;
  window.WebSocket = class extends Native {
    constructor(address, protocols) {
      if (ended && isKernel(address)) {
        // Over is over: nothing to knock at.
        return Object.assign(new EventTarget(), { readyState: 3, close() {}, send() {} });
      }
      super(address, protocols);
      if (!isKernel(address)) return;
      last = new URL(String(address).replace(/^ws/, "http")).pathname.replace(/\/channels$/, "");
      this.addEventListener("open", () => {
        open += 1;
        this.wasOpen = true;
        clearTimeout(checking);
        if (!ended) banner("");
      });
      this.addEventListener("close", (event) => {
        if (this.wasOpen) open -= 1;
        if (ended || leaving) return;
        if (codes[event.code]) end(codes[event.code]);
        else if (open === 0) {
          // A hiccup is over before anybody could read about it; and a session that is gone will not come back.
          clearTimeout(checking);
          checking = setTimeout(() => {
            if (open > 0 || ended) return;
            banner("lost");
            reconnect();
          }, 1500);
        }
      });
    }
  };

  // ---- leaving -------------------------------------------------------------------------------------------------
  let leaving = false;
  // Voilà says farewell in "beforeunload", which also comes when a download starts or the visitor decides to stay.
  addEventListener("beforeunload", (event) => event.stopImmediatePropagation(), { capture: true });
  addEventListener("pagehide", () => {
    leaving = true;
    navigator.sendBeacon(facts.farewell, facts.token);
  });
  // Back from the browser's memory: what was here has said farewell.
  addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
  });

  // ---- the bar -------------------------------------------------------------------------------------------------
  addEventListener("DOMContentLoaded", () => {
    find("vaas-dark-button").addEventListener("click", () => {
      try { localStorage.setItem("vaas-colours", isDark() ? "light" : "dark"); } catch { /* not remembered */ }
      theme();
    });
    const full = find("vaas-full-button");
    full.hidden = !document.fullscreenEnabled;
    full.addEventListener("click", () => {
      if (document.fullscreenElement) document.exitFullscreen();
      else document.documentElement.requestFullscreen();
    });
    addEventListener("fullscreenchange", () => full.setAttribute("aria-pressed", String(!!document.fullscreenElement)));
    find("vaas-reload").addEventListener("click", () => location.reload());
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
    find("vaas-content").setAttribute("role", "none");
  }).observe(document.documentElement, { childList: true, subtree: true });

  window.vaas = Object.freeze({ end, theme });
})();
