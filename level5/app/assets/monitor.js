// Shows each snapshot that the program sends. Texts of events are set as text and never as HTML; the charts are
// drawings of the program itself.
const by = (id) => document.getElementById(id);
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

function row(cells) {
  const tr = document.createElement("tr");
  for (const cell of cells) {
    const td = document.createElement("td");
    if (typeof cell === "object") {
      td.textContent = cell.text;
      td.className = cell.kind;
    } else {
      td.textContent = cell;
    }
    tr.append(td);
  }
  return tr;
}

function draw(id, svg, label) {
  const figure = by(id);
  figure.innerHTML = svg;
  const picture = figure.firstElementChild;
  picture.setAttribute("viewBox", `0 0 ${picture.getAttribute("width")} ${picture.getAttribute("height")}`);
  picture.removeAttribute("width");
  picture.removeAttribute("height");
  picture.setAttribute("role", "img");
  picture.setAttribute("aria-label", label);
}

function state(is, text) {
  by("state").dataset.is = is;
  if (by("state").textContent !== text) by("state").textContent = text;
}

function show({ now, charts }) {
  const drains = now.phase === "draining";
  state("running", drains ? "Takes no more events, and delivers those that are pending" : "Running");
  const pending = now.backlog.reduce((sum, it) => sum + it.events, 0);
  by("accepted").textContent = whole.format(now.accepted);
  by("delivered").textContent = whole.format(now.delivered);
  by("pending").textContent = whole.format(pending);
  by("dead").textContent = whole.format(now.dead);
  by("accepting").textContent = whole.format(now.accepted_per_second);
  by("delivering").textContent = whole.format(now.delivered_per_second);
  by("mean").textContent = fine.format(now.delivered_after_mean_ms);
  by("p99").textContent = fine.format(now.delivered_after_p99_ms);
  const times = now.accepted_after_ms;
  by("journal-times").textContent =
    `The journal has an event after ${fine.format(times.p50)} ms (p50), ${fine.format(times.p95)} ms (p95), ${fine.format(times.p99)} ms (p99).`;
  draw("rates", charts.rates, `${whole.format(now.accepted_per_second)} accepted and ${whole.format(now.delivered_per_second)} delivered per second`);
  draw("backlog", charts.backlog, now.backlog.map((it) => `${whole.format(it.events)} ${it.priority}`).join(", "));
  draw("latency", charts.latency, `${fine.format(now.delivered_after_mean_ms)} ms mean, ${fine.format(now.delivered_after_p99_ms)} ms p99`);
  by("priorities").replaceChildren(...now.backlog.map((it, at) => {
    const span = document.createElement("span");
    span.className = `key${at}`;
    const count = document.createElement("b");
    count.textContent = whole.format(it.events);
    span.append(`${it.priority} `, count);
    return span;
  }));
  by("no-failing").hidden = now.failing.length > 0;
  by("failing").hidden = now.failing.length === 0;
  by("failing").tBodies[0].replaceChildren(...now.failing.map((it) =>
    row([it.service, whole.format(it.failures), it.breaker_open ? { text: "open", kind: "open" } : "closed"])));
  by("no-letters").hidden = now.letters.length > 0;
  by("some-letters").hidden = now.letters.length === 0;
  by("letters").tBodies[0].replaceChildren(...now.letters.map((it) =>
    row([it.id, it.service, whole.format(it.attempts), it.reason])));
  const more = now.dead - now.letters.length;
  by("more-letters").textContent = more > 0 ? `and ${whole.format(more)} more` : "";
}

by("redrive").addEventListener("click", async () => {
  by("redrive").disabled = true;
  by("redriven").textContent = "Sending";
  try {
    const answer = await fetch("/redrive", { method: "POST", headers: { "x-monitor": "1" } });
    by("redriven").textContent = answer.ok
      ? `${whole.format((await answer.json()).redriven)} are sent again`
      : `Not sent: ${await answer.text()}`;
  } catch {
    by("redriven").textContent = "Not sent: the program does not answer";
  }
  by("redrive").disabled = false;
});

const events = new EventSource("/events");
events.onmessage = (message) => {
  const shown = JSON.parse(message.data);
  if (shown) show(shown);
};
events.onerror = () => {
  state("lost", "The program has ended, or is out of reach. The figures are those of its last moment.");
};
