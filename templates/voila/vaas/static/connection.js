// The websocket between the page and its kernel: opened before Voilà asks for one, with the first questions of the
// widgets answered from the state that came with the page, if the server says that nothing has changed since.
(() => {
  "use strict";
  const V1 = "v1.kernel.websocket.jupyter.org";
  const CONTROL = "jupyter.widget.control";
  const CONNECT_MS = 20000;
  // Until then, what the kernel says waits for the widgets that it is meant for.
  const HELD_MS = 5000;
  const Native = window.WebSocket;
  const watcher = { over: () => false, opened() {}, closed() {}, told() {} };
  const isKernel = (address) => /\/api\/kernels\/[^/]+\/channels/.test(String(address));
  const hex = (byte) => byte.toString(16).padStart(2, "0");
  const random = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), hex).join("");
  // One for the page: what a kernel says while the connection is lost is kept for who comes back under the same name.
  const session = random();

  // ---- frames of Jupyter's binary protocol, and the state, which is made like them ----------------------------------
  const encoder = new TextEncoder();
  const decoder = new TextDecoder();
  const json = (bytes) => JSON.parse(decoder.decode(bytes));
  function split(buffer) {
    const view = new DataView(buffer);
    const number = (at) => Number(view.getBigUint64(8 * at, true));
    const offsets = Array.from({ length: number(0) }, (_, at) => number(at + 1));
    return offsets.slice(0, -1).map((from, at) => new Uint8Array(buffer, from, offsets[at + 1] - from));
  }
  function join(parts) {
    const offsets = [8 * (parts.length + 2)];
    for (const part of parts) offsets.push(offsets.at(-1) + part.length);
    const whole = new Uint8Array(offsets.at(-1));
    const view = new DataView(whole.buffer);
    view.setBigUint64(0, BigInt(offsets.length), true);
    offsets.forEach((offset, at) => view.setBigUint64(8 * (at + 1), BigInt(offset), true));
    parts.forEach((part, at) => whole.set(part, offsets[at]));
    return whole.buffer;
  }

  // ---- a websocket as Voilà sees it -------------------------------------------------------------------------------
  class Line extends EventTarget {
    constructor(address, protocols) {
      super();
      const url = new URL(address, location.href);
      url.searchParams.set("session_id", session);
      this.path = url.pathname;
      this.desk = null;
      this.taken = false;
      this.native = new Native(url, protocols);
      this.native.binaryType = "arraybuffer";
      // A proxy may take the question and never answer.
      const patience = setTimeout(() => { if (this.native.readyState === 0) this.close(); }, CONNECT_MS);
      this.native.onopen = () => {
        clearTimeout(patience);
        this.wasOpen = true;
        watcher.opened();
        if (this.taken) this.tell(new Event("open"));
      };
      this.native.onmessage = ({ data }) => {
        const notice = typeof data === "string" && this.protocol === V1 && JSON.parse(data).notice;
        if (notice) watcher.told(notice);
        else if (this.desk) this.desk.hear(data);
        else this.deliver(data);
      };
      this.native.onerror = () => { if (this.taken) this.tell(new Event("error")); };
      this.native.onclose = ({ code, reason, wasClean }) => {
        clearTimeout(patience);
        if (early === this) early = null;
        if (this.taken) this.tell(new CloseEvent("close", { code, reason, wasClean }));
        watcher.closed(code, this.wasOpen);
      };
    }
    // From now on somebody listens.
    take() {
      this.taken = true;
      if (this.native.readyState === 1) queueMicrotask(() => this.tell(new Event("open")));
      return this;
    }
    tell(event) {
      this.dispatchEvent(event);
      this[`on${event.type}`]?.(event);
    }
    deliver(data) { this.tell(new MessageEvent("message", { data })); }
    send(data) { if (this.desk) this.desk.ask(data); else this.native.send(data); }
    close(...why) { this.native.close(...why); }
    get readyState() { return this.native.readyState; }
    get protocol() { return this.native.protocol; }
    get bufferedAmount() { return this.native.bufferedAmount; }
    get extensions() { return this.native.extensions; }
    get url() { return this.native.url; }
    get binaryType() { return this.native.binaryType; }
    set binaryType(kind) { this.native.binaryType = kind; }
  }

  // ---- who answers the first questions -----------------------------------------------------------------------------
  class Desk {
    constructor(line, state) {
      this.line = line;
      this.digest = state ? state.split("/").pop() : "";
      this.state = state ? fetchState(state) : Promise.resolve(null);
      this.asked = [];
      this.heard = [];
      this.answers = null;
      this.control = "";
    }
    // What the server says before anything else: which state is the kernel's.
    async judged(digest) {
      const state = digest && digest === this.digest ? await this.state : null;
      if (!state) return this.close();
      this.answers = state;
      for (const data of this.asked.splice(0)) this.ask(data);
      setTimeout(() => this.close(), 2 * HELD_MS);
    }
    ask(data) {
      if (!this.answers) this.asked.push(data);
      else if (!(data instanceof ArrayBuffer) || !this.answered(data)) this.line.native.send(data);
    }
    answered(data) {
      const [, header, , , content] = split(data);
      const { msg_type: kind } = json(header);
      if (kind === "kernel_info_request") return this.say(header, [["shell", "kernel_info_reply", this.answers.info]]);
      if (!kind.startsWith("comm_") || !("comm_id" in json(content))) return false;
      const { comm_id: id, target_name: target, data: said } = json(content);
      if (kind === "comm_open" && target === CONTROL && !this.control) {
        this.control = id;
        return this.say(header, []);
      }
      if (!id || id !== this.control) return false;
      if (kind !== "comm_msg") return this.say(header, []);
      if (said.method !== "request_states") return false;
      setTimeout(() => this.close(), HELD_MS);
      const begins = encoder.encode(`{"comm_id":${JSON.stringify(id)},"data":`);
      const told = [begins, this.answers.states, encoder.encode("}")];
      return this.say(header, [["iopub", "comm_msg", merge(told), this.answers.buffers]]);
    }
    // Answer as the kernel would: busy, what it says, idle.
    say(parent, messages) {
      const status = (state) => ["iopub", "status", encoder.encode(`{"execution_state":"${state}"}`)];
      const frames = [status("busy"), ...messages, status("idle")].map(([channel, kind, content, buffers = []]) => {
        const fields = { msg_id: random(), msg_type: kind, username: "", session: this.answers.session };
        const header = encoder.encode(JSON.stringify({ ...fields, date: new Date().toISOString(), version: "5.3" }));
        return join([encoder.encode(channel), header, parent, encoder.encode("{}"), content, ...buffers]);
      });
      queueMicrotask(() => frames.forEach((frame) => this.line.deliver(frame)));
      return true;
    }
    hear(data) {
      if (typeof data === "string") this.judged(JSON.parse(data).state);
      else this.heard.push(data);
    }
    // The widgets are there, or ask the kernel themselves.
    close() {
      if (this.line.desk !== this) return;
      this.line.desk = null;
      for (const data of this.asked) this.line.native.send(data);
      for (const data of this.heard) this.line.deliver(data);
    }
  }
  function merge(parts) {
    const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    parts.reduce((at, part) => { whole.set(part, at); return at + part.length; }, 0);
    return whole;
  }
  async function fetchState(address) {
    try {
      const answer = await fetch(address, { redirect: "manual", signal: AbortSignal.timeout(CONNECT_MS) });
      if (answer.status !== 200) return null;
      const [about, states, ...buffers] = split(await answer.arrayBuffer());
      const { info, session: kernel } = json(about);
      return { info: encoder.encode(JSON.stringify(info)), session: kernel, states, buffers };
    } catch {
      return null;
    }
  }

  // ---- in place of the browser's own --------------------------------------------------------------------------------
  let early = null;
  let begun = false;
  function begin({ kernel, state }) {
    if (early || begun || watcher.over()) return;
    begun = true;
    const address = new URL(`${location.pathname}api/kernels/${kernel}/channels?vaas=state`, location.href);
    address.protocol = location.protocol.replace("http", "ws");
    early = new Line(address, [V1]);
    early.desk = new Desk(early, state);
  }
  window.WebSocket = new Proxy(Native, {
    construct(target, [address, ...rest], self) {
      if (!isKernel(address)) return Reflect.construct(target, [address, ...rest], self);
      // Over is over: nothing to knock at.
      if (watcher.over()) return Object.assign(new EventTarget(), { readyState: 3, close() {}, send() {} });
      const path = new URL(address, location.href).pathname;
      watcher.path = path.replace(/\/channels$/, "");
      const fits = early && !early.taken && early.path === path && [rest[0]].flat().includes(V1);
      return (fits ? early : new Line(address, ...rest)).take();
    },
  });

  // Voilà asks whether there is a kernel before it connects. The line to it is open, or about to be: there is.
  const fetched = window.fetch;
  window.fetch = (asked, ...rest) => {
    const place = early && !early.taken ? early.path.replace(/\/channels$/, "") : "";
    const isQuestion = asked instanceof Request && asked.method === "GET" && new URL(asked.url).pathname === place;
    if (!isQuestion) return fetched(asked, ...rest);
    return Promise.resolve(Response.json({ id: place.split("/").pop(), name: "" }));
  };

  const facts = JSON.parse(document.getElementById("vaas-page").textContent);
  // Where these are known before the page is read, as with a template.
  if (facts.kernel) begin(facts);
  for (const { name, bundle } of facts.libraries.libraries) {
    const hint = Object.assign(document.createElement("link"), { rel: "preload", as: "script" });
    if (facts.used?.includes(name) && bundle) document.head.append(Object.assign(hint, { href: bundle }));
  }
  window.vaasConnection = {
    begin,
    watcher,
    // Called with the manager of the page's widgets, when there is one.
    manages(manager) {
      const { desk } = early ?? {};
      if (desk) manager.restored.connect(() => desk.close());
    },
  };
})();
