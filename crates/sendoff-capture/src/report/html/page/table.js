// The numbers of a graph as a table: for those who don't see it, and for those who want to copy it.

/** Rows that a table has at most: bins are put together. */
const ROWS = 60;

function tableOf(graph) {
  const details = element("details", {}, element("summary", {}, `As a table: what the ${graph.side} sent`));
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) details.append(element("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "Table" }, makeTable(graph)));
  });
  return details;
}

function makeTable({ whole: bins, told, unit }) {
  const each = Math.max(1, Math.ceil(bins.count / ROWS)), body = element("tbody");
  for (let from = 0; from < bins.count; from += each) {
    const to = Math.min(from + each, bins.count), last = to - 1;
    const over = (column, what) => column.slice(from, to).reduce(what), sum = (a, b) => a + b, most = (a, b) => Math.max(a, b);
    const samples = over(bins.rttCount, sum), has = (value) => value >= 0 ? thousands(value) : "–";
    const least = bins.rttLow.slice(from, to).filter((_, n) => bins.rttCount[from + n] > 0).reduce((a, b) => Math.min(a, b), Infinity);
    body.append(row(seconds(bins.time[from]), has(bins.sent[last]), has(bins.acked[last]), told.kind === "kcp" ? has(bins.edge[last]) : "–",
      thousands(over(bins.again, sum)), thousands(over(bins.flight, most)),
      samples > 0 ? `${duration(least)} / ${duration(over(bins.rttSum, sum) / samples)} / ${duration(over(bins.rttHigh, most))}` : "–",
      thousands(over(bins.fresh, sum)), thousands(over(bins.wire, sum))));
  }
  const names = ["from, s", `sent up to, ${unit}`, "expected", "room to", "sent again", "most in flight", "rtt: least / mean / most", "new bytes", "bytes of datagrams"];
  return element("table", { class: "numbers" }, element("thead", {}, element("tr", {}, ...names.map((name) => element("th", { scope: "col" }, name)))), body);
}
