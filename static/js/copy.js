// Copies an address to the clipboard.

async function copy(input) {
  input.select();
  try {
    await navigator.clipboard.writeText(input.value);
    return true;
  } catch {
    // Without https the clipboard is closed to pages, but the old command often works.
    return document.execCommand("copy");
  }
}

for (const button of document.querySelectorAll("[data-copy]")) {
  const input = document.getElementById(button.dataset.copy);
  if (!input) continue;
  const label = button.innerHTML;
  button.hidden = false;
  button.addEventListener("click", async () => {
    const done = await copy(input);
    const status = document.querySelector("[data-copied]");
    if (status) status.textContent = done ? "The link is copied." : "Press Ctrl and C to copy the link.";
    button.textContent = done ? "Copied" : "Press Ctrl+C";
    setTimeout(() => { button.innerHTML = label; if (status) status.textContent = ""; }, 2500);
  });
}
