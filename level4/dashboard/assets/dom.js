// Small helpers: elements are made, and texts are set, without markup in strings.

/** The first element below `root` that a selector finds. */
export const one = (selector, root = document) => root.querySelector(selector);

/** All elements below `root` that a selector finds. */
export const all = (selector, root = document) => [...root.querySelectorAll(selector)];

/** An element with properties and children. */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** Sets a text, if it is another one: a live region announces each time that it is set. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** The state of a panel in words, with a tone for its colour. */
export function pill(panel, tone, text) {
  const element = one(".pill", panel);
  element.dataset.tone = tone;
  say(element, text);
}

/** Shows a failure, or hides it. */
export function alert(panel, text) {
  const element = one(".alert", panel);
  if (text) say(one("p", element), text);
  element.hidden = !text;
}

/** A button that has no effect now. It keeps the focus, which `disabled` would take from it. */
export function enable(button, enabled) {
  button.setAttribute("aria-disabled", String(!enabled));
}

/** Calls `act` for a click on a button that has an effect now. */
export function onClick(button, act) {
  button.addEventListener("click", () => {
    if (button.getAttribute("aria-disabled") !== "true") act();
  });
}

/** The lines that stand for a list while it is loaded for the first time. */
export const bones = () => [1, 2, 3].map(() => make("li", { className: "bone" }));

/** Cents as an amount of money. */
export const money = (cents) => (cents / 100).toFixed(2);
