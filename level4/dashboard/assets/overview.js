// The overview: what the view model of level 4 shows.

import { alert, all, bones, enable, make, onClick, one, pill, say } from "./dom.js";

const LOOKS = {
  idle: ["warn", "Nothing loaded"],
  loading_user: ["wait", "Loading the user"],
  loading_data: ["wait", "Loading the data"],
  ready: ["good", "Complete"],
  partial: ["warn", "Partial: a part is missing"],
  degraded: ["warn", "Degraded: an old copy"],
  failed: ["bad", "Failed"],
};

export function overview(panel, send) {
  const button = (name) => one(`[data-do="${name}"]`, panel);
  for (const element of all("[data-do]", panel)) {
    onClick(element, () => send({ overview: element.dataset.do }));
  }

  function list(id, texts, loading) {
    const element = one(id, panel);
    // Only a list that was there before is dimmed: nothing of the first load is old.
    element.setAttribute("aria-busy", String(loading && texts !== null));
    if (texts !== null && texts.length > 0) {
      element.replaceChildren(...texts.map((text) => make("li", { textContent: text })));
    } else if (texts !== null) {
      element.replaceChildren(make("li", { className: "empty", textContent: "None" }));
    } else if (loading) {
      element.replaceChildren(...bones());
    } else {
      element.replaceChildren(make("li", { className: "missing", textContent: "Not available" }));
    }
  }

  return {
    draw(state) {
      const loading = state.look.startsWith("loading");
      panel.dataset.look = state.look;
      pill(panel, ...LOOKS[state.look]);
      alert(panel, state.failure);
      say(one("#user", panel), state.user ? `Signed in as ${state.user}` : "The user is not known");
      list("#activities", state.activities, loading);
      list("#notifications", state.notifications, loading);
      one("#old", panel).hidden = !state.is_old;
      enable(button("reload"), !loading);
      enable(button("stop"), loading);
    },
    off: (text) => pill(panel, "warn", text),
  };
}
