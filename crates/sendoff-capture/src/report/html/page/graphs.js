// Graphs of a conversation: for each side that sent data one drawing, whose panels share the axis of time.

/** Panels from top to bottom: height, what they need to be drawn, and who draws them. */
const PANELS = [
  { height: 220, needs: "sent", draw: drawSequence },
  { height: 78, needs: "flight", draw: drawFlight },
  { height: 78, needs: "rttCount", draw: drawRoundTrips },
  { height: 78, needs: "wire", draw: drawRate },
];
const MARGIN = { left: 58, right: 14, top: 22, gap: 34, bottom: 24 };

/** Bins up to which there is too little to see for high panels. */
const FEW = 12;

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
    Object.assign(this, { told, bins, side, whole: bins, cursor: -1 });
    this.unit = told.kind === "tcp" ? "byte" : "segment";
    [this.begin, this.end] = [told.first_ms * 1000, Math.max(told.last_ms * 1000, told.first_ms * 1000 + 1)];
    const title = `What the ${side} sent`;
    this.svg = drawn("svg", { "aria-hidden": "true" });
    this.reading = element("p", { class: "reading" });
    this.slider = element("div", {
      class: "plot", role: "slider", tabindex: 0, "aria-label": `${title}: a moment of it`, "aria-describedby": `graph-${side}`,
      "aria-valuemin": 0, "aria-valuemax": Math.max(bins.count - 1, 0), "aria-valuenow": 0, "aria-valuetext": "none chosen",
    }, this.svg);
    const words = element("p", { class: "hidden", id: `graph-${side}` }, `${describeBins(this)} ${HINT}`);
    this.figure = element("figure", {},
      element("figcaption", {}, element("h3", {}, title), legend(this)), this.slider, words, this.reading, tableOf(this));
    this.slider.addEventListener("keydown", (event) => this.key(event));
    this.slider.addEventListener("pointerdown", (event) => this.grab(event));
    this.slider.addEventListener("pointermove", (event) => this.move(event));
    this.slider.addEventListener("pointerup", (event) => this.release(event));
    this.slider.addEventListener("pointerleave", () => this.point(-1));
    this.slider.addEventListener("blur", () => this.point(-1));
    new ResizeObserver(([{ contentRect }]) => this.draw(Math.floor(contentRect.width))).observe(this.slider);
  }

  draw(width, again = false) {
    if (width < 80 || (width === this.width && !again)) return;
    this.width = width;
    this.x = scale(this.begin, this.end, MARGIN.left, width - MARGIN.right);
    const { svg } = this, parts = [];
    let top = MARGIN.top;
    for (const panel of PANELS) {
      if (!this.whole[panel.needs].some((value) => value > 0)) continue;
      const height = this.whole.count <= FEW ? Math.ceil(panel.height * 0.45) : panel.height;
      parts.push(...this.panel(panel, height, top));
      top += height + MARGIN.gap;
    }
    const bottom = top - MARGIN.gap;
    // Paper has another width.
    svg.setAttribute("viewBox", `0 0 ${width} ${bottom + MARGIN.bottom}`);
    svg.setAttribute("width", width);
    svg.setAttribute("height", bottom + MARGIN.bottom);
    svg.replaceChildren(hatch(), ...this.times(bottom), ...parts);
    this.line = drawn("line", { class: "cursor", y1: MARGIN.top, y2: bottom, visibility: "hidden" });
    this.chosen = drawn("line", { class: "chosen", y1: MARGIN.top, y2: bottom, visibility: "hidden" });
    this.selection = drawn("rect", { class: "selection", y: MARGIN.top, height: bottom - MARGIN.top, visibility: "hidden" });
    svg.append(this.selection, this.chosen, this.line);
    this.point(this.cursor);
    this.mark(this.marked);
  }

  panel({ draw }, height, top) {
    const { title, most, least, ticks, shapes } = draw(this, (low, high) => scale(low, high, top + height, top));
    const y = scale(least, most, top + height, top), lines = [];
    for (const [value, words] of ticks) {
      lines.push(drawn("line", { class: "guide", x1: MARGIN.left, x2: this.width - MARGIN.right, y1: y(value), y2: y(value) }));
      lines.push(drawn("text", { class: "tick", x: MARGIN.left - 7, y: y(value) + 3.5, "text-anchor": "end" }, words));
    }
    return [...lines, drawn("text", { class: "panel", x: MARGIN.left, y: top - 8 }, title), ...shapes];
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

  /** The moment at a pointer. */
  timeAt(event) {
    const x = event.clientX - this.svg.getBoundingClientRect().left;
    return this.begin + ((x - MARGIN.left) / (this.width - MARGIN.left - MARGIN.right)) * (this.end - this.begin);
  }

  /** The bin that lies nearest to a pointer. */
  near(event) {
    const { bins } = this, time = this.timeAt(event), behind = lowerBound(bins.count, (n) => bins.time[n] >= time);
    if (behind === 0) return 0;
    if (behind === bins.count) return bins.count - 1;
    return bins.time[behind] - time < time - bins.time[behind - 1] ? behind : behind - 1;
  }

  /** A drag begins, or a click. */
  grab(event) {
    this.from = event.clientX;
    this.slider.setPointerCapture(event.pointerId);
  }

  move(event) {
    this.point(this.near(event));
    if (this.from === undefined) return;
    const left = this.svg.getBoundingClientRect().left;
    this.selection.setAttribute("x", Math.min(this.from, event.clientX) - left);
    this.selection.setAttribute("width", Math.abs(event.clientX - this.from));
    this.selection.setAttribute("visibility", "visible");
  }

  /** What was dragged over is zoomed into; a click leads to the ladder. */
  release(event) {
    const from = this.from;
    if (from === undefined) return;
    this.from = undefined;
    this.selection.setAttribute("visibility", "hidden");
    if (Math.abs(event.clientX - from) < 6) return report.ladder.goToTime(this.bins.time[this.near(event)]);
    const times = [this.timeAt({ clientX: from }), this.timeAt(event)];
    zoom(Math.min(...times), Math.max(...times));
  }

  /** Shows a piece of time only. */
  show(from, to) {
    const { told } = this, [first, last] = [told.first_ms * 1000, Math.max(told.last_ms * 1000, told.first_ms * 1000 + 1)];
    // A bin has one state: closer than a few there is nothing to see.
    const least = Math.min(last - first, Math.max(4 * this.whole.width, 20)), middle = (from + to) / 2;
    if (to - from < least) [from, to] = [middle - least / 2, middle + least / 2];
    [this.begin, this.end] = [Math.max(from, first), Math.min(to, last)];
    this.bins = this.begin === first && this.end === last ? this.whole : cutBins(this.whole, this.begin, this.end);
    this.cursor = -1;
    this.slider.setAttribute("aria-valuemax", this.bins.count - 1);
    this.draw(this.width, true);
  }

  key(event) {
    const center = this.cursor < 0 ? (this.begin + this.end) / 2 : this.bins.time[this.cursor], half = (this.end - this.begin) / 2;
    const zooms = { "+": half / 2, "=": half / 2, "-": half * 2, 0: Infinity, Escape: Infinity };
    if (event.key in zooms) {
      zoom(center - zooms[event.key], center + zooms[event.key]);
      return event.preventDefault();
    }
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
    this.reading.textContent = n < 0 ? HINT : describeBin(this, n);
    if (n < 0) return;
    const x = this.x(Math.min(Math.max(this.bins.time[n], this.begin), this.end));
    this.line.setAttribute("x1", x);
    this.line.setAttribute("x2", x);
    this.slider.setAttribute("aria-valuenow", n);
    this.slider.setAttribute("aria-valuetext", this.reading.textContent);
  }
}

const HINT = "Zoom: drag, or + − 0. To the ladder: click, or Enter.";

/** All graphs show the same piece of time. */
function zoom(from, to) {
  for (const graph of report.graphs) graph.show(from, to);
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
  if (bins.full[n] > 0) parts.push(`window full for ${duration(bins.full[n])}`);
  return parts.join(" · ");
}

/** All of it in a sentence: what somebody hears who doesn't see it. */
function describeBins({ bins, unit, begin, end, told }) {
  const sum = (column) => column.reduce((sum, value) => sum + value, 0), most = (column) => column.reduce((most, value) => Math.max(most, value), 0);
  const parts = [`${duration(end - begin)}`];
  if (told.kind !== "udp") parts.push(`${unit} numbers up to ${thousands(most(bins.sent))}`, `${thousands(sum(bins.again))} sent again`, `at most ${plural(most(bins.flight), unit)} in flight`);
  if (sum(bins.rttCount) > 0) parts.push(`round trips ${duration(sum(bins.rttSum) / sum(bins.rttCount))} on average, ${duration(most(bins.rttHigh))} at most`);
  parts.push(`${scaled(sum(bins.wire), "B")} in datagrams`);
  return `${parts.join(", ")}.`;
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
  // Counted from 0: of a number as great as the first multiple can be, the next one may be the same.
  const first = Math.ceil(from / step);
  for (let n = 0; n < 100 && (first + n) * step <= to * (1 + 1e-12); n++) ticks.push((first + n) * step);
  return ticks;
}

const trim = (number) => String(Number(number.toPrecision(10)));

const unitOf = (micros) => micros < 2 * MILLISECOND ? { name: "µs", of: 1 } : micros < 10 * SECOND ? { name: "ms", of: MILLISECOND } : { name: "s", of: SECOND };
