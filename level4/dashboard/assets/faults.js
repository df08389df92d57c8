// The choices that break the services of the shop. They act on the shop, so they are the same on all pages.

import { all, make } from "./dom.js";

const MODES = [
  ["works", "works"],
  ["flaky", "fails at times"],
  ["down", "is down"],
  ["silent", "does not answer"],
];

export function faults(send) {
  const selects = new Map();
  for (const select of all("select[data-service]")) {
    const options = MODES.map(([value, textContent]) => make("option", { value, textContent }));
    select.replaceChildren(...options);
    const { service } = select.dataset;
    selects.set(service, select);
    select.addEventListener("change", () => send({ fault: { service, mode: select.value } }));
  }

  return ({ services }) => {
    for (const { service, mode } of services) {
      const select = selects.get(service);
      select.dataset.mode = mode;
      // A choice that is open is the user's.
      if (document.activeElement !== select) select.value = mode;
    }
  };
}
