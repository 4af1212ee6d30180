// Tells who works in JupyterLab that the launch ends soon, and where they read why it does not answer any more.
// JupyterLab loads it as a part of itself; it is written by hand, so that nothing has to be built.
(() => {
  const config = JSON.parse(document.getElementById("jupyter-config-data").textContent);
  const { vaasPage: page = "", vaasEnds: ends = 0, vaasMemory: memory = 0 } = config;
  const WARN_SECONDS = 600;
  const LOOK_MS = 10_000;
  const KEPT = "What is saved stays among your files. What is only in memory is lost.";
  let parts;

  const left = () => ends - Date.now() / 1000;

  /** Return a package that JupyterLab shares, as it is loaded already. */
  async function shared(name) {
    return (await Object.values(parts[name]).at(-1).get())();
  }

  function notify(commands, message) {
    const actions = page ? [{ label: "Show its page", commandId: "vaas:page", displayType: "link" }] : [];
    return commands.execute("apputils:notify", { message, type: "warning", options: { autoClose: false, actions } });
  }

  function minutes(seconds) {
    const count = Math.max(1, Math.round(seconds / 60));
    return count === 1 ? "a minute" : `${count} minutes`;
  }

  /** Say once that the time is nearly up. */
  function warn(commands) {
    const look = () => {
      if (left() > WARN_SECONDS) return;
      clearInterval(clock);
      if (left() > 0) notify(commands, `This launch ends in ${minutes(left())}: it lasts no longer. ${KEPT}`);
    };
    const clock = setInterval(look, LOOK_MS);
    look();
  }

  /** Say of a kernel that died what it most often dies of. */
  function watch(commands, tracker) {
    const room = memory ? ` of ${(memory / 1e9).toFixed(1)} GB` : "";
    const words = `A kernel ended by itself, most often because the memory${room} of this launch was full. Its page says whether that was so.`;
    let told = 0;
    tracker.widgetAdded.connect((_, panel) => panel.sessionContext.statusChanged.connect((_context, status) => {
      // Kernels are dead, too, of a launch that ends; and what restarts is said twice.
      if (status !== "autorestarting" || Date.now() - told < LOOK_MS) return;
      told = Date.now();
      notify(commands, words);
    }));
  }

  /** Return what JupyterLab calls when nothing answers. */
  function lost({ Dialog, showDialog }) {
    let asking = false;
    return async () => {
      if (asking) return;
      asking = true;
      const why = ends && left() <= 5 ? "The time of this launch is up." : "It was stopped, it has ended, or the connection is broken.";
      const buttons = [Dialog.cancelButton({ label: "Stay here" })];
      if (page) buttons.push(Dialog.okButton({ label: "See why" }));
      Dialog.flush(); // what is asked about kernels, which have ended for the same reason
      const answer = await showDialog({ title: "JupyterLab does not answer any more", body: `${why} ${KEPT}`, buttons });
      if (answer.button.accept) location.assign(page);
      // Who stays does so to copy what is not saved, and is asked again only after a while.
      setTimeout(() => { asking = false; }, answer.button.accept ? 0 : 60_000);
    };
  }

  async function plugins() {
    const [application, apputils, notebook] = await Promise.all(
      ["@jupyterlab/application", "@jupyterlab/apputils", "@jupyterlab/notebook"].map(shared),
    );
    const gone = {
      id: "vaas-launch:gone",
      description: "Says that JupyterLab does not answer any more, and where it is told why.",
      autoStart: true,
      provides: application.IConnectionLost,
      activate: () => lost(apputils),
    };
    const words = {
      id: "vaas-launch:words",
      description: "Says that the launch ends soon, and why kernels die.",
      autoStart: true,
      optional: [notebook.INotebookTracker],
      activate: ({ commands, restored }, tracker) => {
        commands.addCommand("vaas:page", { label: "Page of This Launch", execute: () => { open(page, "_blank", "noopener"); } });
        if (ends) restored.then(() => warn(commands));
        if (tracker) watch(commands, tracker);
      },
    };
    return [gone, words];
  }

  window._JUPYTERLAB ??= {};
  window._JUPYTERLAB["vaas-launch"] = {
    init: async (scope) => { parts = scope; },
    get: async () => {
      const made = await plugins();
      return () => ({ __esModule: true, default: made });
    },
  };
})();
