// Tells who works in JupyterLab that the launch ends soon, and where they read why it does not answer any more; leads
// them to where the open notebook is published.
// JupyterLab loads it as a part of itself; it is written by hand, so that nothing has to be built.
(() => {
  const config = JSON.parse(document.getElementById("jupyter-config-data").textContent);
  const { vaasPage: page = "", vaasEnds: ends = 0, vaasMemory: memory = 0 } = config;
  const { vaasFiles: files = "", vaasStore: store = "", vaasShared: shares = [] } = config;
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

  /** Return the portal's page that publishes the file, "" where no store of the portal has it under this path. */
  function publishing(path) {
    const parts = path.split("/");
    const elsewhere = !store || (parts[0] === "Shared" && shares.includes(parts[1]));
    return elsewhere ? "" : `${files}${store}/${parts.map(encodeURIComponent).join("/")}`;
  }

  /** Say how a notebook is published that the portal's page cannot be asked for. */
  async function explain({ Dialog, showDialog }) {
    const body = store
      ? "It lies in a shared folder. Open “My files”, choose the shared folder there, and then the notebook."
      : "The portal does not see the files of this launch. Download the notebook and what it needs (File, Download), then upload them under “My files”.";
    const buttons = [Dialog.cancelButton({ label: "Not now" }), Dialog.okButton({ label: "Open “My files”" })];
    const answer = await showDialog({ title: "Publish as an app", body, buttons });
    if (answer.button.accept) open(files, "_blank", "noopener");
  }

  /** Offer to publish the notebook that is open, as it is saved. */
  function offer({ commands, shell }, tracker, apputils, menu, palette) {
    const command = "vaas:publish";
    const current = () => (shell.currentWidget === tracker.currentWidget ? tracker.currentWidget : null);
    commands.addCommand(command, {
      label: "Publish as an App…",
      caption: "Open the portal’s page that checks and publishes this notebook",
      isEnabled: () => current() !== null,
      execute: async () => {
        const { context } = current();
        const address = publishing(context.localPath);
        if (!address) return explain(apputils);
        if (context.model.dirty && !context.model.readOnly) await context.save();
        open(address, "_blank", "noopener");
      },
    });
    shell.currentChanged?.connect(() => commands.notifyCommandChanged(command));
    menu?.fileMenu.addGroup([{ command }], 4.5); // behind what saves
    palette?.addItem({ command, category: "File Operations" });
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
    const [application, apputils, notebook, mainmenu] = await Promise.all(
      ["@jupyterlab/application", "@jupyterlab/apputils", "@jupyterlab/notebook", "@jupyterlab/mainmenu"].map(shared),
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
    const back = {
      id: "vaas-launch:publish",
      description: "Leads to where the open notebook is published as an app.",
      autoStart: true,
      requires: [notebook.INotebookTracker],
      optional: [mainmenu.IMainMenu, apputils.ICommandPalette],
      activate: (app, tracker, menu, palette) => { if (files) offer(app, tracker, apputils, menu, palette); },
    };
    return [gone, words, back];
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
