// The page behind a link to choose a password: it takes the token out of the address, and uses it once, by POST.

const token = new URLSearchParams(location.search).get("token") ?? "";
// Neither the history, nor a bookmark, nor somebody who looks over a shoulder keeps it.
history.replaceState(null, "", location.pathname);

const invited = location.pathname.endsWith("/invite");
const form = document.querySelector("form");
const message = document.querySelector("#message");
const field = (id) => document.querySelector(`#${id}`);

if (invited) {
  document.querySelector("h1").textContent = "Make an account";
  document.title = "Make an account · Scoreboard";
  const login = document.querySelector("[data-for=invite]");
  login.hidden = false;
  field("login").required = true;
}

field("show").addEventListener("change", (event) => {
  for (const id of ["password", "again"]) field(id).type = event.target.checked ? "text" : "password";
});

function tell(text) {
  message.textContent = text;
}

if (token === "") {
  form.hidden = true;
  tell("This address is not complete: open the link as you were given it.");
}

/** What the server says is wrong, for a reader. */
async function reason(response) {
  const problem = await response.json().catch(() => ({}));
  const errors = (problem.errors ?? []).map((error) => `The ${error.field === "login" ? "login" : "password"} ${error.message}.`);
  return errors.join(" ") || `${problem.detail ?? "That did not work"}.`;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const password = field("password").value;
  if (password !== field("again").value) {
    tell("The two passwords differ.");
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
      tell(invited ? "Your account is made. You can sign in now." : "Your new password is set. Sign in with it.");
      return;
    }
    tell(await reason(response));
  } catch {
    tell("The server cannot be reached. Try again.");
  }
  button.disabled = false;
});
