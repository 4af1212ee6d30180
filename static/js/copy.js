// Copies an address, or lines of code, to the clipboard.

function select(source) {
  if (source.select) source.select();
  else getSelection().selectAllChildren(source);
}

async function copy(source) {
  try {
    await navigator.clipboard.writeText(source.value ?? source.textContent);
    if (source.select) source.select();
    return true;
  } catch {
    // Without https the clipboard is closed to pages, but the old command often works; on what is shown.
    const folded = source.closest("details:not([open])");
    if (folded) folded.open = true;
    select(source);
    return document.execCommand("copy");
  }
}

for (const button of document.querySelectorAll("[data-copy]")) {
  const source = document.getElementById(button.dataset.copy);
  if (!source) continue;
  const label = button.innerHTML;
  const what = button.dataset.what ?? "link";
  button.hidden = false;
  button.addEventListener("click", async () => {
    const done = await copy(source);
    const status = document.querySelector("[data-copied]");
    if (status) status.textContent = done ? `The ${what} is copied.` : `Press Ctrl and C to copy the ${what}.`;
    button.textContent = done ? "Copied" : "Press Ctrl+C";
    setTimeout(() => { button.innerHTML = label; if (status) status.textContent = ""; }, 2500);
  });
}
