// Shows the list of a user as it grows, and sends notifications. The browser's own EventSource names the last message
// after a break, so that none is missing and none comes twice.
const by = (id) => document.getElementById(id);
const MOST = 100;
let stream = null;
let shown = "";

function connection(is, text) {
  by("connection").dataset.is = is;
  by("connection").textContent = text;
}

function show(message) {
  const line = document.createElement("li");
  const text = document.createElement("p");
  text.textContent = message.text;
  const time = document.createElement("time");
  time.dateTime = message.at;
  time.textContent = `${new Date(message.at).toLocaleTimeString()} · ${message.topic}`;
  line.append(text, time);
  by("list").prepend(line);
  while (by("list").children.length > MOST) by("list").lastChild.remove();
  by("empty").hidden = true;
}

function follow(user) {
  if (user === shown || user === "") return;
  shown = user;
  stream?.close();
  by("whose").textContent = user;
  by("list").replaceChildren();
  by("empty").hidden = false;
  stream = new EventSource(`/users/${encodeURIComponent(user)}/events`);
  stream.onopen = () => connection("open", "Connected");
  stream.onerror = () => connection("lost", "The program does not answer. Trying again.");
  stream.onmessage = (event) => show(JSON.parse(event.data));
}

async function send(event) {
  event.preventDefault();
  const user = by("user").value.trim();
  follow(user);
  const body = { id: crypto.randomUUID(), user, topic: "message", priority: by("priority").value, data: { text: by("text").value } };
  const outcome = (is, text) => { by("outcome").dataset.is = is; by("outcome").textContent = text; };
  try {
    const answer = await fetch("/notifications", {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
    });
    if (answer.ok) {
      outcome("good", "Accepted: it is in the store.");
      by("text").value = "";
      by("text").focus();
    } else {
      outcome("bad", `Refused: ${(await answer.json()).error}`);
    }
  } catch {
    outcome("bad", "The program does not answer.");
  }
}

by("form").addEventListener("submit", send);
by("user").addEventListener("change", () => follow(by("user").value.trim()));
by("user").value = new URLSearchParams(location.search).get("user") ?? "ann";
follow(by("user").value);
