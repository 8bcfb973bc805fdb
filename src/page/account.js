// The page behind a link to choose a password: it takes the token out of the address, and uses it once, by POST.

const token = new URLSearchParams(location.search).get("token") ?? "";
// Neither the history, nor a bookmark, nor somebody who looks over a shoulder keeps it.
history.replaceState(null, "", location.pathname);

const texts = JSON.parse(document.querySelector("#texts").textContent);
const form = document.querySelector("form");
const message = document.querySelector("#message");
const field = (id) => document.querySelector(`#${id}`);
const invited = field("login") !== null;

field("show").addEventListener("change", (event) => {
  for (const id of ["password", "again"]) field(id).type = event.target.checked ? "text" : "password";
});

function tell(key) {
  message.textContent = texts[key] ?? key;
}

if (token === "") {
  form.hidden = true;
  tell("incomplete");
}

/** Which text says what the server has against it. */
async function reason(response) {
  const { errors = [] } = await response.json().catch(() => ({}));
  const about = (name) => errors.some((error) => error.field === name);
  if (response.status === 409) return "taken";
  if (response.status === 401 || response.status === 403) return "badLink";
  return about("login") ? "badLogin" : response.status === 422 ? "weak" : "failed";
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const password = field("password").value;
  if (password !== field("again").value) {
    tell("differ");
    field("again").focus();
    return;
  }
  const button = form.querySelector("button");
  button.disabled = true;
  tell("…");
  const [path, body] = invited
    ? ["sign-up", { login: field("login").value, password, invite: token }]
    : ["password/reset", { token, new: password }];
  try {
    const response = await fetch(`../api/auth/${path}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
      credentials: "omit",
    });
    if (response.ok) {
      form.reset();
      field("show").dispatchEvent(new Event("change"));
      form.hidden = true;
      tell(invited ? "made" : "set");
      return;
    }
    tell(await reason(response));
  } catch {
    tell("unreachable");
  }
  button.disabled = false;
});
