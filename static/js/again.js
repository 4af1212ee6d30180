// Loads a page again once the portal answers.

const RETRY_MS = 3000;
//: What a proxy answers in the portal's place, and the portal while the Hub is away.
const AWAY = [502, 503, 504];

/** Load this page again as soon as there is one: until then a proxy's error would stand in its place, for good. */
export async function again() {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    try {
      const { status } = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (!AWAY.includes(status)) break;
    } catch {
      // Not even the proxy is there.
    }
  }
  location.reload();
}
