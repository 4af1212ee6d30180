// Orders the places anew when other data are to go along: an environment that does not read them says so.

const basket = document.getElementById("f-basket");
const places = () => document.getElementById("f-facility");
//: What somebody has chosen by hand, by the names of its fields: it stays while it can be chosen.
const chosen = new Map();

const choose = (name, value) => {
  for (const field of places().querySelectorAll(`[name="${name}"]`)) {
    const option = field.type === "radio" ? field : [...(field.options ?? [])].find((one) => one.value === value);
    if (!option || option.value !== value || option.disabled) continue;
    if (field.type === "radio") field.checked = true;
    else field.value = value;
  }
};

const order = async () => {
  const { form, value } = basket;
  const address = new URL(form.action);
  for (const name of ["store", "path", "run"]) {
    if (form.elements[name]) address.searchParams.set(name, form.elements[name].value);
  }
  address.searchParams.set("basket", value);
  const answer = await fetch(address);
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const anew = page.getElementById("f-facility");
  if (!anew || basket.value !== value) return;
  places().replaceWith(anew);
  chosen.forEach((choice, name) => choose(name, choice));
  document.querySelector("[data-placed]").textContent = "What reads this data best comes first.";
};

basket?.form.addEventListener("change", ({ target }) => {
  if (target === basket) order().catch(() => {}); // as it was: what does not read them still takes them along
  else if (places().contains(target)) chosen.set(target.name, target.value);
});
