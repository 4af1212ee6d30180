// What a person who sees little, or uses a keyboard or a screen reader, would stumble over; each as a sentence.
// Not all that there is to know: names, labels, contrast, size of what is clicked, ids, headings, and what hangs in the air.
() => {
  const found = [];
  const top = [...document.querySelectorAll("dialog[open]")].pop();
  const root = top || document.querySelector(".dv") || document.body;
  const seen = (element) => element.checkVisibility({ opacityProperty: false, visibilityProperty: true }) && element.getClientRects().length > 0;
  const told = (element) => `${element.tagName.toLowerCase()}.${String(element.className.baseVal ?? element.className).split(" ")[0]} “${(element.textContent || "").trim().slice(0, 30)}”`;
  const all = (selector) => [...root.querySelectorAll(selector)].filter(seen);

  const name = (element) => {
    const by = (element.getAttribute("aria-labelledby") || "").split(" ").map((id) => document.getElementById(id)?.textContent || "").join(" ");
    const labels = [...(element.labels || [])].map((label) => label.textContent).join(" ");
    return (by.trim() || element.getAttribute("aria-label") || labels || element.textContent || element.getAttribute("alt") || element.title || "").trim();
  };
  for (const element of all("a[href], button, input, select, textarea, [role=option], [role=region], dialog, aside, fieldset")) {
    const said = element.tagName === "FIELDSET" ? element.querySelector("legend")?.textContent : name(element);
    if (!said) found.push(`has no name: ${told(element)}`);
  }
  for (const element of all("img:not([alt='']), svg[role=img]")) if (!name(element)) found.push(`a picture without words: ${told(element)}`);
  for (const element of all("svg:not([role=img])")) if (element.getAttribute("aria-hidden") !== "true") found.push(`an ornament is read out: ${told(element)}`);
  for (const element of all("[aria-controls], [aria-labelledby], [aria-describedby], [aria-activedescendant]")) {
    for (const kind of ["aria-controls", "aria-labelledby", "aria-describedby", "aria-activedescendant"]) {
      for (const id of (element.getAttribute(kind) || "").split(" ").filter(Boolean)) if (!document.getElementById(id)) found.push(`${kind} names “${id}”, which is not there`);
    }
  }
  const ids = [...document.querySelectorAll(".dv [id]")].map((element) => element.id);
  for (const id of new Set(ids)) if (ids.filter((other) => other === id).length > 1) found.push(`the id “${id}” is there twice`);
  const levels = [...root.querySelectorAll("h1, h2, h3, h4")].filter(seen).map((element) => +(element.ariaLevel ?? element.tagName[1]));
  levels.reduce((before, level) => { if (level > before + 1) found.push(`a heading of level ${level} after one of ${before}`); return level; }, top ? 1 : 0);

  // ---- the size of what is clicked: 24 pixels, but for links in text and what lies under a larger part
  for (const element of all("a[href], button, input:not([type=checkbox]), select")) {
    const box = (element.closest("label") && element.type === "radio" ? element.closest("label") : element).getBoundingClientRect();
    const after = getComputedStyle(element, "::after");
    const larger = after.position === "absolute" && after.content !== "none";
    if (!larger && (box.width < 24 || box.height < 24)) found.push(`${Math.round(box.width)} × ${Math.round(box.height)} pixels to hit: ${told(element)}`);
  }

  // ---- contrast of text: 4.5, or 3 for large letters
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const colour = (text) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = text;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (front, back) => [0, 1, 2].map((n) => front[n] * front[3] + back[n] * (1 - front[3])).concat(1);
  // The text and what is behind it, as painted from the outermost part on: one that is faded lets through what it lies on.
  const painted = ([element, ...inner], back) => {
    const style = getComputedStyle(element);
    const ground = over(colour(style.backgroundColor), back);
    const shown = inner.length ? painted(inner, ground) : [over(colour(style.color), ground), ground];
    return shown.map((part) => over([...part.slice(0, 3), parseFloat(style.opacity)], back));
  };
  const chain = (element) => (element ? [...chain(element.parentElement), element] : []);
  const light = ([r, g, b]) => [r, g, b].map((part) => part / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)).reduce((sum, part, n) => sum + part * [0.2126, 0.7152, 0.0722][n], 0);
  const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  const done = new Set();
  for (let node = texts.nextNode(); node; node = texts.nextNode()) {
    const element = node.parentElement;
    if (!node.textContent.trim() || done.has(element) || !seen(element) || element.closest(".dv-sr, svg, option, :disabled, dialog:not([open])")) continue;
    done.add(element);
    const style = getComputedStyle(element);
    // What comes with the focus alone.
    if (chain(element).some((at) => getComputedStyle(at).opacity === "0")) continue;
    const [text, back] = painted(chain(element), [255, 255, 255, 1]);
    const [high, low] = [light(text), light(back)].sort((a, b) => b - a);
    const ratio = (high + 0.05) / (low + 0.05);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) found.push(`contrast ${ratio.toFixed(2)}: ${told(element)}`);
  }
  const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  if (wide > 1) found.push(`${wide} pixels too wide`);
  return [...new Set(found)];
}
