// Shows the button "Change" only where another access has been chosen.

for (const form of document.querySelectorAll("form[data-change]")) {
  const select = form.querySelector("select");
  const button = form.querySelector("[data-change-button]");
  if (!select || !button) continue;
  const before = select.value;
  const update = () => { button.hidden = select.value === before; };
  select.addEventListener("change", update);
  update();
}
