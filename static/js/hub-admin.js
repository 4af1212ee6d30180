// Gives the Hub's page for administrators our look, and the names and keys that it lacks: for screen readers, and for
// who has no mouse.

// The Hub's script brings Bootstrap along, for the whole page: in a layer, it yields to our stylesheets.
for (const style of document.head.querySelectorAll("style")) style.textContent = `@layer hub { ${style.textContent} }`;

const LABELS = {
  "[name=user_search]": "Search people",
  "[name=pagination-limit]": "People on one page",
  "#add-user-textarea": "Names, one in each line",
  "[data-testid=edit-username-input]": "New name",
  "#admin-check": "Administrator",
  "#group-name": "Name of the group",
  "#username-input": "Name of a person",
  ".properties-table td:nth-child(1) input": "Key",
  ".properties-table td:nth-child(2) input": "Value",
};

function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (element.getAttribute(name) !== value) element.setAttribute(name, value);
  }
}

function mend(root) {
  const all = (selector) => root.querySelectorAll(selector);
  for (const [selector, label] of Object.entries(LABELS)) {
    for (const field of all(selector)) set(field, { "aria-label": label });
  }
  for (const sort of all(".sort-icon")) {
    const column = sort.parentElement.firstChild.textContent.trim();
    set(sort, { role: "button", tabindex: "0", "aria-label": `Sort by ${column.toLowerCase()}` });
  }
  for (const fold of all("button[data-testid$=-collapse-button]")) {
    const person = fold.closest("tr").querySelector("[data-testid^=user-name-div]");
    set(fold, { "aria-label": `Details of ${person.textContent}`, "aria-controls": `${person.textContent}-card-group` });
  }
  for (const item of all(".users-container .item")) set(item, { role: "button", tabindex: "0" });
  // A button in a link is one thing to press, not two to come by.
  for (const button of all("a > button")) set(button, { tabindex: "-1" });
  // The page's own heading is the first.
  for (const heading of all("h1, h4, .card-title")) set(heading, { role: "heading", "aria-level": "2" });
  for (const ornament of all("svg")) set(ornament, { "aria-hidden": "true" });
}

const root = document.getElementById("react-admin-hook");
if (root) {
  new MutationObserver(() => mend(root)).observe(root, { childList: true, subtree: true });
  mend(root);
  root.addEventListener("keydown", (event) => {
    if (event.target.matches("div[role=button]") && [" ", "Enter"].includes(event.key)) {
      event.preventDefault();
      event.target.click();
    }
  });
}
