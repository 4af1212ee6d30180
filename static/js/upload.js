// Uploads notebooks and folders that are dropped on the page or chosen, and shows how far it is.

const SKIP = /^(\.|__pycache__$|node_modules$)/;
const MOST = 2000;

/** Read everything in a dropped entry as [{path, file}], hidden and generated folders apart. */
async function collect(entry, found) {
  if (SKIP.test(entry.name) || found.length > MOST) return;
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    found.push({ path: entry.fullPath.replace(/^\/+/, ""), file });
    return;
  }
  const reader = entry.createReader();
  // readEntries hands out a part at a time; an empty part is the end.
  for (;;) {
    const part = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!part.length) return;
    for (const child of part) await collect(child, found);
  }
}

function chosen(input) {
  return [...input.files]
    .map((file) => ({ path: file.webkitRelativePath || file.name, file }))
    .filter(({ path }) => !path.split("/").some((part) => SKIP.test(part)));
}

function start(section) {
  const part = (name) => section.querySelector(`[data-${name}]`);
  const form = part("upload");
  let busy = false;

  function say(text) {
    part("upload-state").hidden = false;
    part("upload-text").textContent = text;
  }

  function fail(text) {
    busy = false;
    part("upload-state").hidden = false;
    part("upload-progress").hidden = true;
    part("upload-text").textContent = "";
    const error = part("upload-error");
    error.textContent = text;
    error.hidden = false;
    section.scrollIntoView({ block: "nearest" });
  }

  function finish(request) {
    if (request.status >= 200 && request.status < 300) {
      say("Uploaded. Starting the check…");
      location.assign(request.responseURL);
      return;
    }
    const page = new DOMParser().parseFromString(request.responseText, "text/html");
    const problem = page.querySelector("[data-problem]");
    const words = problem && [...problem.querySelectorAll("h1, p:not([aria-hidden], .actions)")].map((p) => p.textContent.trim());
    fail(words?.length ? words.join(" ") : "The upload did not work. Please try again.");
  }

  function send(files) {
    if (busy) return;
    part("upload-error").hidden = true;
    if (files.length > MOST) return fail(`That is more than ${MOST} files. Choose a smaller folder.`);
    if (!files.some(({ path }) => path.endsWith(".ipynb"))) {
      return fail("There is no notebook in it. A notebook’s name ends with .ipynb.");
    }
    busy = true;
    const data = new FormData();
    data.append("_xsrf", form.elements._xsrf.value);
    for (const { path, file } of files) data.append("files", file, path);
    const request = new XMLHttpRequest();
    const bar = part("upload-progress");
    bar.hidden = false;
    bar.value = 0;
    say(files.length === 1 ? `Uploading ${files[0].path}…` : `Uploading ${files.length} files…`);
    section.scrollIntoView({ block: "nearest" });
    request.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) bar.value = (100 * event.loaded) / event.total;
    });
    request.addEventListener("load", () => finish(request));
    request.addEventListener("error", () => fail("The connection was interrupted. Please try again."));
    request.open("POST", form.action);
    request.send(data);
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(chosen(form.elements.files));
  });
  const folder = part("folder");
  const picker = folder.querySelector("input");
  if ("webkitdirectory" in picker) {
    folder.hidden = false;
    picker.addEventListener("change", () => send(chosen(picker)));
  }
  part("drop-hint").hidden = false;
  dropOn(document.documentElement, section, { send, fail });
}

function dropOn(page, section, { send, fail }) {
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  let depth = 0;
  const mark = (by) => {
    depth = Math.max(0, depth + by);
    section.classList.toggle("is-over", depth > 0);
    document.body.classList.toggle("is-dropping", depth > 0);
  };
  page.addEventListener("dragenter", (event) => { if (carriesFiles(event)) { event.preventDefault(); mark(1); } });
  page.addEventListener("dragleave", (event) => { if (carriesFiles(event)) mark(-1); });
  page.addEventListener("dragover", (event) => { if (carriesFiles(event)) event.preventDefault(); });
  page.addEventListener("drop", async (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    mark(-depth);
    // The items are gone after the first await, so take all entries now.
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    const plain = [...event.dataTransfer.files].map((file) => ({ path: file.name, file }));
    const found = [];
    try {
      for (const entry of entries) await collect(entry, found);
    } catch {
      fail("Your browser could not read what you dropped. Try the file picker.");
      return;
    }
    send(entries.length ? found : plain);
  });
}

const section = document.querySelector("[data-drop]");
if (section) start(section);
