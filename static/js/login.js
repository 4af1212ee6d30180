// Shows and hides the password; fills in a demo person's name.

for (const button of document.querySelectorAll("[data-reveal]")) {
  const input = document.getElementById(button.dataset.reveal);
  if (!input) continue;
  button.hidden = false;
  button.addEventListener("click", () => {
    const hidden = input.type === "password";
    input.type = hidden ? "text" : "password";
    button.textContent = hidden ? "Hide" : "Show";
  });
}

const username = document.getElementById("username_input");
const password = document.getElementById("password_input");
for (const name of username && password ? document.querySelectorAll("[data-demo]") : []) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "btn btn-small";
  button.textContent = name.dataset.demo;
  button.addEventListener("click", () => {
    username.value = name.dataset.demo;
    if (name.dataset.password) password.value = name.dataset.password;
    (name.dataset.password ? document.getElementById("login_submit") : password).focus();
  });
  name.replaceWith(button);
}
