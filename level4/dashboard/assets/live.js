// The live orders: a list that follows a web socket.

import { all, bones, enable, make, onClick, one, pill, say } from "./dom.js";

const TONES = { new: "wait", packed: "warn", sent: "good" };

export function live(panel, send) {
  const [cut, restore] = all("[data-cut]", panel);
  onClick(cut, () => send({ cut: true }));
  onClick(restore, () => send({ cut: false }));
  const connect = one("#connect", panel);
  onClick(connect, () => send({ live: "connect" }));
  const figures = one("#live-figures", panel);
  let version = 0;
  let sockets = 0;
  let known = new Map();

  function trust({ is, attempt, last, age_ms: age }, orders) {
    switch (is) {
      case "connecting":
        if (attempt === 1 && orders === null) return ["wait", "Connecting"];
        return ["warn", attempt === 1 ? "Reconnecting" : `Reconnecting, attempt ${attempt} of ${last}`];
      case "live": return ["good", "Live"];
      case "stale": return ["warn", `Old list: no snapshot for ${Math.round(age / 1000)} s`];
      case "failed": return ["bad", "No list: asking again"];
      default: return ["bad", "Gave up"];
    }
  }

  function row(order) {
    const before = known.get(order.id);
    const stage = make("span", { className: "stage", textContent: order.stage });
    stage.dataset.tone = TONES[order.stage];
    const changed = known.size > 0 && before !== order.stage;
    return make("tr", { className: changed ? "changed" : "" },
      make("td", { textContent: order.id }),
      make("td", { textContent: order.product }),
      make("td", { className: "number", textContent: order.quantity }),
      make("td", {}, stage));
  }

  function drawFigures() {
    say(figures, `Version ${version} of the list. Web sockets open: ${sockets}, for all pages.`);
  }

  return {
    draw(state) {
      panel.dataset.trust = state.trust.is;
      pill(panel, ...trust(state.trust, state.orders));
      connect.hidden = state.trust.is !== "gave_up";
      const table = one("#orders", panel);
      if (state.orders === null) {
        const cell = make("td", { colSpan: 4 }, make("ul", { className: "plain" }, ...bones()));
        table.replaceChildren(make("tr", {}, cell));
      } else {
        table.replaceChildren(...state.orders.map(row));
        known = new Map(state.orders.map((order) => [order.id, order.stage]));
      }
      table.dataset.old = String(state.trust.is !== "live");
      version = state.version;
      drawFigures();
    },
    source(state) {
      enable(cut, !state.cut);
      enable(restore, state.cut);
      sockets = state.sockets;
      drawFigures();
    },
    off: (text) => pill(panel, "warn", text),
  };
}
