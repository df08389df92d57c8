// The history: a window on a long list that is loaded as the user scrolls.

import { alert, all, bones, enable, make, money, onClick, one, pill } from "./dom.js";

/** So many rows before the edge, the next page is asked for. */
const EARLY = 6;

export function history(panel, send) {
  const scroller = one("#scroller", panel);
  const above = one("#above", panel);
  const rows = one("#sales", panel);
  const buttons = new Map(all("[data-load]", panel).map((button) => [button.dataset.load, button]));
  let state = null;
  let asked = false;

  const can = (load) => !asked && state !== null && state.loading === null
    && (load === "next" ? state.has_next : state.has_previous);

  function ask(load) {
    if (!can(load)) return;
    asked = true;
    send({ history: load });
    // The answer is a state. If it is the same as before, there is no event for it.
    setTimeout(() => { asked = false; }, 1000);
  }

  for (const [load, button] of buttons) onClick(button, () => ask(load));
  onClick(one("#again", panel), () => ask(state.failure?.load ?? "next"));

  function scrolled() {
    if (state === null || state.failure !== null || rows.children.length === 0) return;
    const early = EARLY * rows.children[0].offsetHeight;
    const { scrollTop, clientHeight, scrollHeight } = scroller;
    if (scrollTop + clientHeight > scrollHeight - early) ask("next");
    else if (scrollTop < above.offsetHeight + early) ask("previous");
  }
  scroller.addEventListener("scroll", scrolled, { passive: true });

  function row(sale, index) {
    const line = make("li", {},
      make("span", { textContent: sale.number }),
      make("span", { textContent: sale.product }),
      make("span", { textContent: sale.customer }),
      make("span", { className: "number", textContent: money(sale.cents) }));
    // The list is longer than what is kept of it.
    line.setAttribute("aria-posinset", String(index + 1));
    line.setAttribute("aria-setsize", "-1");
    return line;
  }

  function status({ sales, first_index: first, loading, has_next: more, failure }) {
    if (failure) return ["bad", "Failed"];
    if (loading) return ["wait", "Loading a page"];
    if (sales.length === 0) return ["warn", "No sales"];
    const range = `Sales ${first + 1} to ${first + sales.length}`;
    return ["good", more ? range : `${range}, the last`];
  }

  return {
    draw(next) {
      const same = state !== null && state.first_index === next.first_index
        && state.sales.length === next.sales.length;
      state = next;
      asked = false;
      pill(panel, ...status(state));
      alert(panel, state.failure?.text);
      if (!same || rows.children.length === 0) {
        rows.replaceChildren(...state.sales.map((sale, index) => row(sale, state.first_index + index)));
        // What has left at the front keeps its height, so nothing jumps.
        above.style.height = `calc(${state.first_index} * var(--row))`;
      }
      if (state.sales.length === 0 && state.loading) rows.replaceChildren(...bones());
      for (const [load, button] of buttons) enable(button, can(load));
      scrolled();
    },
    off: (text) => pill(panel, "warn", text),
  };
}
