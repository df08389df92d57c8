// Sends what the user types and shows what the form says. No rule stands here.
const by = (id) => document.getElementById(id);
const MARKS = { pristine: "", pending: "…", valid: "✓", invalid: "✗", unknown: "?" };
const SAYS = { pending: "Checking", valid: "Fine" };
let session = null;
let last = null;

// Commands go one after another, so that they arrive in their order. Of several values of a field that wait, only the
// last one is sent.
const waiting = [];
let sends = false;

async function drain() {
  if (sends || session === null) return;
  sends = true;
  while (waiting.length > 0) {
    const command = waiting.shift();
    try {
      const answer = await fetch(`/commands/${session}`, {
        method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(command),
      });
      if (!answer.ok) connection("lost", `The program refuses this: ${await answer.text()}`);
    } catch {
      connection("lost", "The program does not answer.");
    }
  }
  sends = false;
}

function send(command) {
  if (command.set) {
    const at = waiting.findIndex((it) => it.set?.field === command.set.field);
    if (at >= 0) waiting.splice(at, 1);
  }
  waiting.push(command);
  drain();
}

function connection(is, text) {
  by("connection").dataset.is = is;
  if (by("connection").textContent !== text) by("connection").textContent = text;
}

// Texts that stay are not written again: a screen reader would read them again.
function texts(element, lines) {
  if ([...element.children].map((it) => it.textContent).join("\n") === lines.join("\n")) return;
  element.replaceChildren(...lines.map((line) => {
    const p = document.createElement("p");
    p.textContent = line;
    return p;
  }));
}

function showField(name, field) {
  const box = document.querySelector(`[data-field=${name}]`);
  const input = by(name);
  box.dataset.status = field.status;
  box.querySelector(".mark").textContent = MARKS[field.status];
  input.setAttribute("aria-invalid", field.status === "invalid" ? "true" : "false");
  input.setAttribute("aria-busy", field.status === "pending" ? "true" : "false");
  const lines = [...field.messages, ...field.warnings];
  texts(by(`${name}-says`), lines.length === 0 && SAYS[field.status] ? [SAYS[field.status]] : lines);
  box.querySelector(".again").hidden = field.status !== "unknown";
}

function outcome(submit) {
  const said = {
    none: "", sending: "Sending",
    not_valid: "Some fields need your attention.",
    refused: (submit.messages ?? []).join(" ") || "Some fields need your attention.",
    done: `Your account has the number ${submit.account}.`,
  }[submit.is];
  by("outcome").dataset.is = submit.is;
  if (by("outcome").textContent !== said) by("outcome").textContent = said;
  by("submit").setAttribute("aria-disabled", submit.is === "sending" ? "true" : "false");
  const before = last?.submit.is;
  if (before === submit.is) return;
  if (submit.is === "done") {
    by("form").reset();
    by("username").focus();
  }
  if (submit.is === "not_valid" || submit.is === "refused") {
    const first = document.querySelector('[data-status="invalid"] input, [data-status="unknown"] input');
    first?.focus();
  }
}

function show(state) {
  for (const [name, field] of Object.entries(state.fields)) showField(name, field);
  for (const button of by("service").children) {
    button.setAttribute("aria-pressed", button.dataset.mode === state.service ? "true" : "false");
  }
  outcome(state.submit);
  last = state;
}

for (const input of document.querySelectorAll("input")) {
  input.addEventListener("input", () => send({ set: { field: input.name, value: input.value } }));
}
for (const box of document.querySelectorAll(".field")) {
  box.querySelector(".again").addEventListener("click", () => {
    // The button goes when the check begins, and the focus must not go with it.
    by(box.dataset.field).focus();
    send({ check: box.dataset.field });
  });
}
by("service").addEventListener("click", (event) => {
  if (event.target.dataset.mode) send({ service: event.target.dataset.mode });
});
by("form").addEventListener("submit", (event) => {
  event.preventDefault();
  send("submit");
});

const events = new EventSource("/events");
events.addEventListener("session", (message) => {
  const isNew = session !== null;
  session = message.data;
  connection("open", "Connected");
  // A new connection has a new form, which knows nothing of what was typed.
  if (isNew) {
    for (const input of document.querySelectorAll("input")) {
      if (input.value) send({ set: { field: input.name, value: input.value } });
    }
  }
  drain();
});
events.onmessage = (message) => show(JSON.parse(message.data));
events.onerror = () => connection("lost", "The program has ended, or is out of reach.");
