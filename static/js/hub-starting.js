// Follows the start of a server at the Hub, and goes on to it when it is ready.
const root = document.querySelector("[data-starting]");
const part = (name) => root.querySelector(`[data-${name}]`);

if (root) {
  const source = new EventSource(root.dataset.starting);
  source.addEventListener("message", (event) => {
    const { progress, message, ready, failed } = JSON.parse(event.data);
    if (progress !== undefined) part("progress").value = progress;
    if (message) part("message").textContent = message;
    if (ready || failed) source.close();
    // The Hub leads on from this address: to the server, or to what went wrong.
    if (ready || failed) location.reload();
  });
}
