// Graphs of a conversation: for each side that sent data one drawing, whose panels share the axis of time.

/** Panels from top to bottom: name, height, what they need to be drawn, and who draws them. */
const PANELS = [
  { name: "sequence", height: 220, needs: "sent", draw: drawSequence },
  { name: "in flight", height: 78, needs: "flight", draw: drawFlight },
  { name: "round trip", height: 78, needs: "rttCount", draw: drawRoundTrips },
  { name: "rate", height: 78, needs: "wire", draw: drawRate },
];
const MARGIN = { left: 58, right: 14, top: 22, gap: 34, bottom: 24 };

/** Bins below which each gets a dot. */
const DOTS = 160;

function drawGraphs(view) {
  const place = byId("graphs"), graphs = [];
  place.replaceChildren();
  const conversation = report.conversations.find(({ told }) => told.number === view);
  if (conversation === undefined) return graphs;
  if (conversation.series === undefined) {
    place.append(element("p", { class: "note" }, `No graphs: there are too many conversations at a time. --conversation ${view} draws those of this one.`));
    return graphs;
  }
  const names = ["client", "server"];
  conversation.series.map(readBins).forEach((bins, side) => {
    const sends = bins.sent.some((sent) => sent >= 0) || (conversation.told.kind === "udp" && bins.count > 0);
    if (sends) graphs.push(new Graph(conversation, bins, names[side]));
  });
  place.append(...graphs.map((graph) => graph.figure));
  return graphs;
}

/** A drawing of what one side sent. */
class Graph {
  constructor(conversation, bins, side) {
    const { told } = conversation;
    Object.assign(this, { told, bins, side, cursor: -1 });
    this.unit = told.kind === "tcp" ? "byte" : "segment";
    [this.begin, this.end] = [told.first_ms * 1000, Math.max(told.last_ms * 1000, told.first_ms * 1000 + 1)];
    const title = `What the ${side} sent`;
    this.svg = drawn("svg", { role: "img", "aria-label": `${title}: ${describeBins(this)}` });
    this.reading = element("output", { class: "reading" });
    this.slider = element("div", {
      class: "plot", role: "slider", tabindex: 0, "aria-label": `${title}: moment. Enter shows it in the ladder`,
      "aria-valuemin": 0, "aria-valuemax": Math.max(bins.count - 1, 0), "aria-valuenow": 0, "aria-valuetext": "none chosen",
    }, this.svg);
    this.figure = element("figure", {},
      element("figcaption", {}, element("h3", {}, title), legend(this)), this.slider, this.reading, tableOf(this));
    this.slider.addEventListener("keydown", (event) => this.key(event));
    this.slider.addEventListener("pointermove", (event) => this.point(this.near(event)));
    this.slider.addEventListener("pointerleave", () => this.point(-1));
    this.slider.addEventListener("blur", () => this.point(-1));
    this.slider.addEventListener("click", (event) => report.ladder.goToTime(this.bins.time[this.near(event)]));
    new ResizeObserver(([{ contentRect }]) => this.draw(Math.floor(contentRect.width))).observe(this.slider);
  }

  draw(width) {
    if (width < 80 || width === this.width) return;
    this.width = width;
    this.x = scale(this.begin, this.end, MARGIN.left, width - MARGIN.right);
    const { svg, bins } = this, parts = [];
    let top = MARGIN.top;
    for (const panel of PANELS) {
      if (!bins[panel.needs].some((value) => value > 0)) continue;
      parts.push(...this.panel(panel, top));
      top += panel.height + MARGIN.gap;
    }
    const bottom = top - MARGIN.gap;
    svg.setAttribute("width", width);
    svg.setAttribute("height", bottom + MARGIN.bottom);
    svg.replaceChildren(hatch(), ...this.times(bottom), ...parts);
    this.line = drawn("line", { class: "cursor", y1: MARGIN.top, y2: bottom, visibility: "hidden" });
    this.chosen = drawn("line", { class: "chosen", y1: MARGIN.top, y2: bottom, visibility: "hidden" });
    svg.append(this.chosen, this.line);
    this.point(this.cursor);
    this.mark(this.marked);
  }

  panel({ name, height, draw }, top) {
    const { title, most, least, ticks, shapes } = draw(this, (low, high) => scale(low, high, top + height, top));
    const y = scale(least, most, top + height, top), lines = [];
    for (const [value, words] of ticks) {
      lines.push(drawn("line", { class: "guide", x1: MARGIN.left, x2: this.width - MARGIN.right, y1: y(value), y2: y(value) }));
      lines.push(drawn("text", { class: "tick", x: MARGIN.left - 7, y: y(value) + 3.5, "text-anchor": "end" }, words));
    }
    return [...lines, drawn("text", { class: "panel", x: MARGIN.left, y: top - 8 }, title ?? name), ...shapes];
  }

  /** The axis of time, and its lines through all panels. */
  times(bottom) {
    const count = Math.max(2, Math.min(9, Math.floor(this.width / 90))), unit = unitOf(this.end), parts = [];
    for (const time of niceTicks(this.begin / unit.of, this.end / unit.of, count)) {
      const x = this.x(time * unit.of);
      parts.push(drawn("line", { class: "guide", x1: x, x2: x, y1: MARGIN.top, y2: bottom }));
      parts.push(drawn("text", { class: "tick", x, y: bottom + 16, "text-anchor": "middle" }, `${trim(time)} ${unit.name}`));
    }
    return parts;
  }

  /** The bin that lies nearest to a pointer. */
  near(event) {
    const x = event.clientX - this.svg.getBoundingClientRect().left;
    const time = this.begin + ((x - MARGIN.left) / (this.width - MARGIN.left - MARGIN.right)) * (this.end - this.begin);
    const { bins } = this, behind = lowerBound(bins.count, (n) => bins.time[n] >= time);
    if (behind === 0) return 0;
    if (behind === bins.count) return bins.count - 1;
    return bins.time[behind] - time < time - bins.time[behind - 1] ? behind : behind - 1;
  }

  key(event) {
    const last = this.bins.count - 1, from = Math.max(this.cursor, 0);
    const steps = { ArrowLeft: from - 1, ArrowRight: this.cursor + 1, PageDown: from + 20, PageUp: from - 20, Home: 0, End: last };
    if (event.key === "Enter" && this.cursor >= 0) report.ladder.goToTime(this.bins.time[this.cursor], true);
    else if (event.key in steps) this.point(Math.max(0, Math.min(last, steps[event.key])));
    else return;
    event.preventDefault();
  }

  /** Marks the moment of the packet that is looked at in the ladder. */
  mark(time) {
    this.marked = time;
    if (this.chosen === undefined || time === undefined) return;
    const x = this.x(Math.min(Math.max(time, this.begin), this.end));
    this.chosen.setAttribute("visibility", "visible");
    this.chosen.setAttribute("x1", x);
    this.chosen.setAttribute("x2", x);
  }

  /** Shows what is known of a bin; −1: of none. */
  point(n) {
    this.cursor = n;
    if (this.line === undefined) return;
    this.line.setAttribute("visibility", n < 0 ? "hidden" : "visible");
    this.reading.textContent = n < 0 ? "" : describeBin(this, n);
    if (n < 0) return;
    const x = this.x(Math.min(Math.max(this.bins.time[n], this.begin), this.end));
    this.line.setAttribute("x1", x);
    this.line.setAttribute("x2", x);
    this.slider.setAttribute("aria-valuenow", n);
    this.slider.setAttribute("aria-valuetext", this.reading.textContent);
  }
}

/** What a bin says, in words. */
function describeBin({ bins, unit, told }, n) {
  const parts = [`${seconds(bins.time[n])} s`];
  if (bins.sent[n] >= 0) parts.push(`sent up to ${thousands(bins.sent[n])}`);
  if (bins.acked[n] >= 0 && bins.sent[n] >= 0) parts.push(`expected ${thousands(bins.acked[n])}`);
  if (bins.edge[n] >= 0 && told.kind === "kcp") parts.push(`room to ${thousands(bins.edge[n])}`);
  if (bins.flight[n] > 0) parts.push(`${plural(bins.flight[n], unit)} in flight`);
  if (bins.again[n] > 0) parts.push(`${thousands(bins.again[n])} sent again`);
  if (bins.recovered[n] > 0) parts.push(`${thousands(bins.recovered[n])} recovered`);
  if (bins.rttCount[n] > 0) parts.push(`rtt ${duration(bins.rttSum[n] / bins.rttCount[n])}`);
  if (bins.full[n] > 0) parts.push("window full");
  return parts.join(" · ");
}

/** All of it in a sentence: what somebody hears who doesn't see it. */
function describeBins({ bins, unit, begin, end, told }) {
  const sum = (column) => column.reduce((sum, value) => sum + value, 0), most = (column) => column.reduce((most, value) => Math.max(most, value), 0);
  const parts = [`${duration(end - begin)}`];
  if (told.kind !== "udp") parts.push(`${unit} numbers up to ${thousands(most(bins.sent))}`, `${thousands(sum(bins.again))} sent again`, `at most ${plural(most(bins.flight), unit)} in flight`);
  if (sum(bins.rttCount) > 0) parts.push(`round trips ${duration(sum(bins.rttSum) / sum(bins.rttCount))} on average, ${duration(most(bins.rttHigh))} at most`);
  parts.push(`${scaled(sum(bins.wire), "B")} in datagrams`);
  return `${parts.join(", ")}. The same as a table is below.`;
}

const scale = (from, to, low, high) => (value) => low + ((value - from) / (to - from || 1)) * (high - low);

/** The first of `count` numbers for which `is` holds; it holds for all behind that too. */
function lowerBound(count, is) {
  let low = 0, high = count;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (is(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Round numbers between two, about `count` of them. */
function niceTicks(from, to, count) {
  const rough = (to - from) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= rough) * power, ticks = [];
  for (let n = Math.ceil(from / step); n * step <= to * (1 + 1e-12); n++) ticks.push(n * step);
  return ticks;
}

const trim = (number) => String(Number(number.toPrecision(10)));

const unitOf = (micros) => micros < 2 * MILLISECOND ? { name: "µs", of: 1 } : micros < 10 * SECOND ? { name: "ms", of: MILLISECOND } : { name: "s", of: SECOND };
