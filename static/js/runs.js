// Keeps a list of runs as it is while some of them have not ended.
const EVERY_MS = 4000;

async function refresh() {
  const old = document.querySelector("[data-swap='runs']");
  // What somebody is about to press stays where it is.
  if (!document.hidden && !old.contains(document.activeElement)) {
    try {
      const response = await fetch(location.href, { headers: { Accept: "text/html" } });
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      const next = response.ok && page.querySelector("[data-swap='runs']");
      if (next) old.replaceWith(document.adoptNode(next));
    } catch {
      // The portal is away for a moment; the next look tells.
    }
  }
  if (document.querySelector("[data-open]")) setTimeout(refresh, EVERY_MS);
}

if (document.querySelector("[data-open]")) setTimeout(refresh, EVERY_MS);
