// The account menu closes on Escape, on a click elsewhere, and when the focus leaves it.
const menu = document.querySelector("[data-menu]");

function close({ refocus = false } = {}) {
  if (!menu.open) return;
  menu.open = false;
  if (refocus) menu.querySelector("summary").focus();
}

if (menu) {
  document.addEventListener("click", (event) => {
    if (!menu.contains(event.target)) close();
  });
  menu.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close({ refocus: true });
  });
  menu.addEventListener("focusout", (event) => {
    if (event.relatedTarget && !menu.contains(event.relatedTarget)) close();
  });
}

// What is said about a form that was sent gets the focus, wherever on the page it is: who uses a keyboard goes on from
// there, and who hears the page hears it first.
(document.getElementById("error-summary") ?? document.querySelector("[data-told]"))?.focus();

// On a narrow screen the current tab may lie outside of the line of tabs.
for (const tab of document.querySelectorAll(".tabs [aria-current]")) {
  tab.scrollIntoView({ block: "nearest", inline: "nearest" });
}
