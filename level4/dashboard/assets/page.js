// Follows the program: one event for each change of the page's state. Sends what the user asks for.

import { one, say } from "./dom.js";
import { faults } from "./faults.js";
import { history } from "./history.js";
import { live } from "./live.js";
import { overview } from "./overview.js";
import { search } from "./search.js";

const connection = one("#connection");
let session = null;
let last = Promise.resolve();

function connected(tone, text) {
  connection.dataset.tone = tone;
  say(connection, text);
}

/** Sends a command. Commands arrive in their order: each waits for the one before it. */
function send(command) {
  const page = session;
  if (page === null) return;
  last = last.then(async () => {
    try {
      await fetch(`/commands/${page}`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(command),
        signal: AbortSignal.timeout(30000),
      });
    } catch {
      connected("bad", "The program did not take a command");
    }
  });
}

const panels = {
  overview: overview(one("#overview"), send),
  live: live(one("#live"), send),
  search: search(one("#search"), send),
  history: history(one("#history"), send),
};
const sources = faults(send);
const shown = {};

/** Draws a panel, if it has changed. */
function draw(name, state) {
  const text = JSON.stringify(state);
  if (state === null || shown[name] === text) return;
  shown[name] = text;
  const panel = one(`#${name}`);
  panel.dataset.is = state.is;
  const note = one(".note", panel);
  note.hidden = state.is === "shown";
  if (state.is === "shown") {
    panels[name].draw(state.with);
  } else if (state.is === "unwritten") {
    say(note, `This panel needs a part of level 4 that is ${state.with}`);
    panels[name].off("Not written yet");
  } else {
    say(note, "The code of this panel has panicked. The terminal of the program has the message.");
    panels[name].off("Stopped");
  }
}

const events = new EventSource("/events");
events.addEventListener("session", (event) => {
  session = event.data;
  connected("good", "Connected to the program");
  panels.search.again();
});
events.addEventListener("message", (event) => {
  const state = JSON.parse(event.data);
  for (const name of Object.keys(panels)) draw(name, state[name]);
  if (state.source) {
    sources(state.source);
    panels.live.source(state.source);
    panels.search.source(state.source);
  }
});
events.addEventListener("error", () => {
  session = null;
  const gone = events.readyState === EventSource.CLOSED;
  connected("bad", gone ? "Refused: too many pages are open" : "The program is gone. Connecting again");
});
