// The panels of a graph. Each gives its title, its range, its ticks and its shapes.

/** A line that keeps its height until the next bin. Bins below `from` aren't known. */
function steps({ bins, x, end }, values, y, from = 0, most = Infinity) {
  let path = "";
  for (let n = 0; n < bins.count; n++) {
    if (values[n] < from) continue;
    const at = x(bins.time[n]).toFixed(1), height = y(Math.min(values[n], most)).toFixed(1);
    path += path === "" ? `M${at} ${height}` : `H${at}V${height}`;
  }
  return path === "" ? "" : `${path}H${x(end).toFixed(1)}`;
}

function dots({ bins, x }, values, y, is) {
  let path = "";
  for (let n = 0; n < bins.count; n++) {
    if (is(n)) path += `M${x(bins.time[n]).toFixed(1)} ${y(values[n]).toFixed(1)}h0`;
  }
  return path;
}

/** Numbers: sent, expected, room; what was sent again, recovered, and where the window was full. */
function drawSequence(graph, scaleTo) {
  const { bins, x, unit } = graph;
  const known = (column) => [...column].filter((value) => value >= 0);
  const lowest = Math.min(...known(bins.sent), ...known(bins.acked)), highest = Math.max(...bins.sent, ...bins.acked, lowest + 1);
  const room = Math.max(...bins.edge, -1), isNear = room >= 0 && room - lowest <= 3 * (highest - lowest);
  const [least, most] = [lowest, isNear ? Math.max(room, highest) : highest];
  const y = scaleTo(least, most), shapes = [];
  if (isNear) shapes.push(drawn("path", { class: "edge", d: steps(graph, bins.edge, y, 0, most) }));
  shapes.push(drawn("path", { class: "acked", d: steps(graph, bins.acked, y) }));
  shapes.push(drawn("path", { class: "sent", d: steps(graph, bins.sent, y) }));
  if (bins.count <= DOTS) shapes.push(drawn("path", { class: "sent dots", d: dots(graph, bins.sent, y, (n) => bins.fresh[n] > 0 && bins.sent[n] >= 0) }));
  if (isDense(bins)) shapes.push(drawn("path", { class: "again rug", d: rug(graph, y(least)) }));
  else shapes.push(drawn("path", { class: "again", d: crosses(graph, y) }));
  shapes.push(drawn("path", { class: "recovered", d: diamonds(graph, y) }));
  const far = room >= 0 && !isNear ? `; room to ${thousands(room)}, above the panel` : "";
  const ticks = niceTicks(least, most, 5).filter(Number.isInteger).map((value) => [value, thousands(value)]);
  return { title: `${unit} number${far}`, least, most, ticks, shapes };
}

/** Bins with retransmissions above which they have no sign each. */
const MANY_AGAIN = 120;

const isDense = (bins) => bins.again.filter((again) => again > 0).length > MANY_AGAIN;

/** What was sent again: a cross at its number; of several the least and the greatest, and a line between. */
function crosses({ bins, x }, y) {
  let path = "";
  for (let n = 0; n < bins.count; n++) {
    if (bins.again[n] === 0) continue;
    const at = x(bins.time[n]), [low, high] = [y(bins.againLow[n]), y(bins.againHigh[n])];
    path += `M${at - 3} ${low - 3}l6 6m0-6l-6 6`;
    if (low - high > 4) path += `M${at} ${low}V${high}M${at - 3} ${high - 3}l6 6m0-6l-6 6`;
  }
  return path;
}

/** How much was sent again: bars on the ground, the highest for the most. */
function rug(graph, ground) {
  const [left, right] = [Math.ceil(graph.x(graph.begin)), Math.floor(graph.x(graph.end))], width = 3;
  const sums = spread(graph, graph.bins.again, Math.max(1, Math.floor((right - left) / width))), most = Math.max(...sums);
  let path = "";
  sums.forEach((sum, n) => {
    if (sum > 0) path += `M${left + (n + 0.5) * width} ${ground}v${-Math.max(2, (sum / most) * 30).toFixed(1)}`;
  });
  return path;
}

/** What was recovered: a diamond where the numbers stood; not closer together than can be seen. */
function diamonds({ bins, x }, y) {
  let path = "", last = -Infinity;
  for (let n = 0; n < bins.count; n++) {
    const at = x(bins.time[n]);
    if (bins.recovered[n] === 0 || bins.sent[n] < 0 || at - last < 3) continue;
    path += `M${at} ${y(bins.sent[n]) - 4.5}l4 4.5l-4 4.5l-4-4.5z`;
    last = at;
  }
  return path;
}

/** What is on its way, and when the window was full. */
function drawFlight(graph, scaleTo) {
  const { bins, x, end, unit } = graph, most = Math.max(...bins.flight, 1), y = scaleTo(0, most), shapes = [];
  const line = steps(graph, bins.flight, y), [base, top] = [y(0), y(most)];
  for (let n = 0; n < bins.count; n++) {
    if (bins.full[n] === 0) continue;
    // So long before the window opened again, at the end of its bin at the latest.
    const to = Math.min(bins.time[n] + bins.width, end), from = Math.max(to - bins.full[n], graph.begin), width = Math.max(x(to) - x(from), 1);
    shapes.push(drawn("rect", { class: "full", x: x(to) - width, y: top - 4, width, height: 8 }));
  }
  shapes.push(drawn("path", { class: "flight area", d: `${line}V${base}H${line.slice(1).split(" ", 1)[0]}Z` }), drawn("path", { class: "flight", d: line }));
  return { title: `in flight, ${unit}s${shapes.length > 2 ? " · hatched strip: the window was full" : ""}`, least: 0, most, ticks: few(most), shapes };
}

/** Round trips: from the least to the greatest, and their mean. */
function drawRoundTrips(graph, scaleTo) {
  const { bins, x } = graph, most = Math.max(...bins.rttHigh, 1), y = scaleTo(0, most);
  const has = [...bins.time.keys()].filter((n) => bins.rttCount[n] > 0), mean = (n) => bins.rttSum[n] / bins.rttCount[n];
  const at = (n, value) => `${x(bins.time[n]).toFixed(1)} ${y(value).toFixed(1)}`;
  let ranges = "";
  for (const n of has) ranges += `M${at(n, bins.rttLow[n])}L${at(n, bins.rttHigh[n])}`;
  const line = has.map((n) => at(n, mean(n))).join("L");
  const shapes = [drawn("path", { class: "rtt range", d: ranges })];
  if (has.length > 1) shapes.push(drawn("path", { class: "rtt", d: `M${line}` }));
  if (has.length <= DOTS) shapes.push(drawn("path", { class: "rtt dots", d: has.map((n) => `M${at(n, mean(n))}h0`).join("") }));
  const unit = unitOf(most / 4);
  const ticks = niceTicks(0, most / unit.of, 3).map((value) => [value * unit.of, trim(value)]);
  return { title: `round trip, ${unit.name}: mean, and from least to most`, least: 0, most, ticks, shapes };
}

/** New data per second, and all bytes of datagrams, over intervals that have some of them. */
function drawRate(graph, scaleTo) {
  const { bins, x, begin, end } = graph, busy = bins.wire.reduce((busy, bytes) => busy + (bytes > 0 ? 1 : 0), 0);
  const count = Math.max(1, Math.min(80, Math.floor(busy / 4))), length = (end - begin) / count;
  const rate = (values) => spread(graph, values, count).map((sum) => sum / length * SECOND);
  const fresh = rate(bins.fresh), wire = rate(bins.wire);
  const most = Math.max(...wire, 1), y = scaleTo(0, most), base = y(0);
  const line = (values) => [...values].map((value, n) => `${n === 0 ? "M" : "L"}${x(begin + n * length).toFixed(1)} ${y(value).toFixed(1)}H${x(begin + (n + 1) * length).toFixed(1)}`).join("");
  const shapes = [
    drawn("path", { class: "fresh area", d: `${line(fresh)}V${base}H${x(begin)}Z` }),
    drawn("path", { class: "wire", d: line(wire) }),
  ];
  const [factor, name] = [[1e9, "GB/s"], [1e6, "MB/s"], [1e3, "kB/s"], [1, "B/s"]].find(([factor]) => most >= factor);
  const ticks = niceTicks(0, most / factor, 3).map((value) => [value * factor, trim(value)]);
  const what = fresh.some((rate) => rate > 0) ? "new data filled, datagrams as a line" : "datagrams";
  return { title: `${name}: ${what}; each step ${duration(length)}`, least: 0, most, ticks, shapes };
}

/** Sums of what bins have, over that many equal steps: a bin on the border of two gives each its part. */
function spread({ bins, begin, end }, values, count) {
  const sums = new Float64Array(count), placeOf = (time) => Math.max(0, Math.min(count, (time - begin) / (end - begin) * count));
  for (let n = 0; n < bins.count; n++) {
    const from = placeOf(bins.time[n]), to = placeOf(bins.time[n] + bins.width);
    for (let at = Math.min(Math.floor(from), count - 1); at < count; at++) {
      sums[at] += to > from ? values[n] * (Math.min(to, at + 1) - Math.max(from, at)) / (to - from) : values[n];
      if (to <= at + 1) break;
    }
  }
  return sums;
}

const few = (most) => niceTicks(0, most, 3).filter(Number.isInteger).map((value) => [value, thousands(value)]);

/** What fills the times in which the window was full: lines, not only a colour. */
function hatch() {
  const pattern = drawn("pattern", { id: "hatch", width: 5, height: 5, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
    drawn("line", { x1: 0, y1: 0, x2: 0, y2: 5 }));
  return drawn("defs", {}, pattern);
}

/** What the lines of the first panel are. */
function legend({ bins, told }) {
  const sample = (kind, d, words) => element("span", {}, drawn("svg", { width: 24, height: 10, "aria-hidden": "true" }, drawn("path", { class: kind, d })), ` ${words}`);
  if (told.kind === "udp") return element("p", { class: "legend" });
  const parts = [sample("sent", "M1 5H23", "sent"), sample("acked", "M1 5H23", told.kind === "tcp" ? "acknowledged" : "expected next (una)")];
  if (bins.edge.some((edge) => edge >= 0) && told.kind === "kcp") parts.push(sample("edge", "M1 5H23", "edge of the window"));
  if (bins.again.some((again) => again > 0)) {
    parts.push(isDense(bins) ? sample("again rug", "M8 10V6M11 10V2M14 10V7", "sent again: how much") : sample("again", "M9 2l6 6m0-6l-6 6", "sent again"));
  }
  if (bins.recovered.some((recovered) => recovered > 0)) parts.push(sample("recovered", "M12 0.5l4 4.5l-4 4.5l-4-4.5z", "recovered"));
  return element("p", { class: "legend" }, ...parts);
}
