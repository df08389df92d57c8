// The search box: debounced, and cancelled by the next keystroke.

import { alert, bones, make, money, one, pill, say } from "./dom.js";

const PHASES = {
  idle: ["good", "Ready"],
  typing: ["wait", "Waiting for a pause"],
  searching: ["wait", "Searching"],
  found: ["good", "Found"],
  failed: ["bad", "Failed"],
};

function outcome({ outcome: { is, total, age_ms: age }, took_ms: took }) {
  switch (is) {
    case "running": return ["wait", "running"];
    case "answered": return ["good", `${total} found, ${took} ms`];
    case "copied": return ["good", `copy, ${Math.round(age / 1000)} s old`];
    case "cancelled": return ["warn", `cancelled, ${took} ms`];
    default: return ["bad", `failed, ${took} ms`];
  }
}

export function search(panel, send) {
  const input = one("#text", panel);
  input.addEventListener("input", () => send({ search: input.value }));
  const results = one("#results", panel);
  const log = one("#log", panel);
  const figures = one("#search-figures", panel);
  let counts = { keystrokes: 0, requests: 0 };
  let left = 0;

  function drawResults({ results: found, phase }) {
    const busy = phase === "typing" || phase === "searching";
    results.setAttribute("aria-busy", String(busy && found !== null));
    say(one("#results-title", panel), found ? `Results for “${found.query}”: ${found.total}` : "Results");
    if (found === null && busy) {
      results.replaceChildren(...bones());
    } else if (found === null) {
      results.replaceChildren(make("li", { className: "empty", textContent: "Nothing was searched for." }));
    } else if (found.total === 0) {
      results.replaceChildren(make("li", { className: "empty", textContent: "No product matches." }));
    } else {
      results.replaceChildren(...found.products.map((product) => make("li", {},
        make("span", { textContent: product.name }),
        make("span", { className: "number", textContent: money(product.cents) }))));
    }
  }

  function drawLog(entries) {
    const lines = entries.map((entry) => {
      const [tone, text] = outcome(entry);
      const end = make("span", { className: "outcome", textContent: text });
      end.dataset.tone = tone;
      const line = make("li", {}, make("span", { className: "query", textContent: entry.query }), end);
      line.dataset.outcome = entry.outcome.is;
      return line;
    });
    const empty = make("li", { className: "empty", textContent: "None yet." });
    log.replaceChildren(...(lines.length ? lines : [empty]));
  }

  function drawFigures() {
    say(figures, `${counts.keystrokes} keystrokes made ${counts.requests} requests. `
      + `The shop has seen ${left} given up.`);
  }

  return {
    draw(state) {
      panel.dataset.phase = state.phase;
      const [tone, text] = PHASES[state.phase];
      pill(panel, tone, state.phase === "found" ? `Found ${state.results.total}` : text);
      alert(panel, state.failure);
      drawResults(state);
      drawLog(state.log);
      counts = state;
      drawFigures();
    },
    source(state) {
      left = state.services.find((service) => service.service === "search").given_up;
      drawFigures();
    },
    /** The page was opened again, by another connection: the program does not know the text. */
    again() {
      if (input.value) send({ search: input.value });
    },
    off: (text) => pill(panel, "warn", text),
  };
}
