// Puts the widget libraries where Voilà looks for them, and loads one when a page has widgets of it: Voilà loads all
// that are installed. It is the beginning of the bundle that every page loads (vaas/runtime/libraries.py).
(() => {
  "use strict";
  const facts = JSON.parse(document.getElementById("vaas-page").textContent).libraries;
  const used = JSON.parse(document.getElementById("vaas-used")?.textContent || "[]");
  const containers = (window._JUPYTERLAB ??= {});
  const lazy = new Map(facts.libraries.filter((library) => library.bundle).map((library) => [library.name, library]));
  let shared = {};
  let app = null;

  // A library finds its other scripts by the address of the one that runs.
  window.vaasLibraries = {
    enter(place) {
      const src = new URL(facts.folder + place, location.href).href;
      Object.defineProperty(document, "currentScript", { configurable: true, value: { tagName: "SCRIPT", src } });
    },
    leave() { delete document.currentScript; },
  };

  // ---- scripts -------------------------------------------------------------------------------------------------
  const scripts = new Map();
  function fetchScripts(library) {
    if (!scripts.has(library.name)) {
      scripts.set(library.name, new Promise((resolve) => {
        const script = document.createElement("script");
        script.async = true;
        // One that fails is no misfortune: the library asks for its files one by one.
        script.onload = script.onerror = resolve;
        script.src = library.bundle;
        document.head.append(script);
      }));
    }
    return scripts.get(library.name);
  }
  for (const name of used) if (lazy.has(name)) fetchScripts(lazy.get(name));

  // ---- what Voilà loads in place of the extensions ----------------------------------------------------------------
  const asList = (module) => {
    const found = Object.hasOwn(module, "__esModule") ? module.default : module;
    return Array.isArray(found) ? found : [found];
  };
  const moduleOf = async (library, kind) => (await containers[library.name].get(library[kind]))();

  async function pluginsOf(kind, libraries) {
    const wanted = libraries.filter((library) => library[kind] && containers[library.name]);
    const found = await Promise.allSettled(wanted.map((library) => moduleOf(library, kind)));
    found.filter(({ status }) => status === "rejected").forEach(({ reason }) => console.error(reason));
    return found.flatMap(({ status, value }) => (status === "fulfilled" && kind !== "style" ? asList(value) : []));
  }

  containers.vaas = {
    async init(scope) {
      shared = scope;
      const all = facts.libraries.filter(({ name }) => containers[name]);
      const begun = await Promise.allSettled(all.map(({ name }) => containers[name].init(scope)));
      begun.filter(({ status }) => status === "rejected").forEach(({ reason }) => console.error(reason));
    },
    async get(name) {
      const kind = name.slice(2);
      const libraries = kind === "extension" ? facts.libraries.filter(({ bundle }) => !bundle) : facts.libraries;
      const plugins = await pluginsOf(kind, libraries);
      if (kind === "extension") plugins.push(await ownPlugin());
      return () => ({ __esModule: true, default: plugins });
    },
  };

  // ---- what is loaded later ----------------------------------------------------------------------------------------
  const provided = new Map();
  async function activate(library) {
    await fetchScripts(library);
    for (const plugin of asList(await moduleOf(library, "extension"))) {
      if (!app.hasPlugin(plugin.id)) app.registerPlugin(plugin);
      await app.activatePlugin(plugin.id);
    }
  }
  function provide(library) {
    if (!provided.has(library.name)) {
      const begun = activate(library);
      provided.set(library.name, begun);
      begun.catch((error) => {
        console.error(error);
        // The next widget tries again.
        provided.delete(library.name);
        scripts.delete(library.name);
      });
    }
    return provided.get(library.name);
  }

  function loadOnDemand(manager) {
    const load = manager.loadClass.bind(manager);
    manager.loadClass = async (name, module, version) => {
      const library = lazy.get(module);
      if (library) await provide(library).catch(() => {});
      try {
        return await load(name, module, version);
      } catch (error) {
        // A library may register widgets under another name than its own.
        const others = [...lazy.values()].filter((other) => !provided.has(other.name));
        if (!others.length) throw error;
        await Promise.allSettled(others.map(provide));
        return load(name, module, version);
      }
    };
    for (const name of used) if (lazy.has(name)) provide(lazy.get(name)).catch(() => {});
  }

  // ipywidgets looks for a widget ten times a second and gives up after two, even if it came meanwhile.
  function findAtOnce(manager) {
    const find = manager.get_model.bind(manager);
    manager.get_model = (id) => new Promise((resolve, reject) => {
      if (manager.has_model(id)) return resolve(find(id));
      const registered = (_, name) => { if (name === id) settle(() => resolve(find(id))); };
      const settle = (end) => {
        manager.modelRegistered?.disconnect(registered);
        end();
      };
      manager.modelRegistered?.connect(registered);
      find(id).then(
        (model) => settle(() => resolve(model)),
        (error) => settle(() => (manager.has_model(id) ? resolve(find(id)) : reject(error))),
      );
    });
  }

  // Voilà has MathJax come to every page, by having it set an empty element.
  function typesetOnDemand(typesetter) {
    if (!typesetter) return;
    const typeset = typesetter.typeset.bind(typesetter);
    typesetter.typeset = (element) => (/[$\\]/.test(element.textContent) ? typeset(element) : undefined);
  }

  async function ownPlugin() {
    const versions = Object.values(shared["@jupyterlab/rendermime"]);
    const own = versions.find(({ from }) => from === "_JUPYTERLAB.CORE_OUTPUT") ?? versions[0];
    const { IRenderMimeRegistry } = (await own.get())();
    return {
      id: "vaas:libraries",
      autoStart: true,
      requires: [IRenderMimeRegistry],
      activate(voila, rendermime) {
        app = voila;
        typesetOnDemand(rendermime.latexTypesetter);
        voila.widgetManagerPromise.promise.then((manager) => {
          loadOnDemand(manager);
          findAtOnce(manager);
          window.vaasConnection.manages(manager);
        });
      },
    };
  }
})();
