// The ladder: an arrow for each datagram. Only the rows in sight are on the page.

/** Rows beyond what is in sight that are there too. */
const BEYOND = 12;

/** Rows on paper: a printer has no scroll bar. */
const ON_PAPER = 400;

class Ladder {
  constructor() {
    this.grid = byId("grid");
    this.body = element("div", { class: "body", role: "rowgroup" });
    this.live = new Map();
    this.chosen = -1;
    this.tip = new Tip();
    this.map = new ScrollMap(this);
    this.grid.addEventListener("scroll", () => this.later(), { passive: true });
    this.grid.addEventListener("keydown", (event) => this.key(event));
    this.grid.addEventListener("focus", () => this.chosen < 0 && this.rows.count > 0 && this.choose(this.first()));
    this.grid.addEventListener("blur", () => this.tip.hide());
    this.body.addEventListener("pointerover", (event) => this.over(event));
    this.body.addEventListener("pointerleave", () => this.tip.hide());
    this.body.addEventListener("click", (event) => {
      const line = event.target.closest(".row");
      if (line && getSelection().isCollapsed) this.choose(Number(line.dataset.row));
    });
    new ResizeObserver(() => this.render()).observe(this.grid);
    addEventListener("beforeprint", () => this.print());
    addEventListener("afterprint", () => byId("paper").replaceChildren());
  }

  /** Shows a conversation; 0: all packets. */
  show(view, only) {
    this.view = view;
    this.rows = new Rows(report.packets, report.remarks, view, only);
    const conversation = report.conversations.find(({ told }) => told.number === view);
    const [client, server] = conversation ? [conversation.told.client, conversation.told.server] : ["", ""];
    this.head = element("div", { class: "row head", role: "row", "aria-rowindex": 1 },
      ...["packet", "seconds", "since"].map((name) => heading(name, "")),
      element("div", { class: "lanes", role: "columnheader" }, element("span", {}, element("b", {}, "client"), ` ${client}`), element("span", {}, element("b", {}, "server"), ` ${server}`)),
      heading("what it says", "words"));
    this.grid.setAttribute("aria-rowcount", this.rows.count + 1);
    this.grid.classList.toggle("all", view === 0);
    this.grid.replaceChildren(this.head, this.body);
    this.body.replaceChildren();
    this.body.style.height = `${this.rows.height}px`;
    this.live.clear();
    this.chosen = -1;
    this.grid.removeAttribute("aria-activedescendant");
    this.grid.scrollTop = 0;
    this.tip.hide();
    this.map.prepare();
    this.say();
    this.render();
  }

  /** Says how many there are. */
  say(found = "") {
    const { rows } = this, { beyond, totals } = report.end;
    let odd = 0;
    for (let at = 0; at < rows.count; at++) odd += report.remarks[rows.packet[at]] !== 0 ? 1 : 0;
    const parts = [plural(rows.count, "packet"), `${thousands(odd)} remarkable`];
    if (beyond > 0) parts.push(`the first ${thousands(report.packets.count)} of ${thousands(totals.packets)}: later ones are in graphs and summaries only`);
    if (found !== "") parts.push(found);
    byId("shown").textContent = parts.join(" · ");
  }

  later() {
    this.tip.hide();
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.render();
    });
  }

  /** The theme has changed. */
  recolour() {
    this.map.prepare();
    this.map.draw();
  }

  /** The first row in sight. */
  first() {
    return this.rows.at(this.grid.scrollTop);
  }

  /** Height of the rows in sight. */
  get room() {
    return Math.max(this.grid.clientHeight - this.head.offsetHeight, ROW);
  }

  /** Puts on the page what is in sight, and takes away what isn't. */
  render() {
    const { rows, live, grid } = this;
    if (rows === undefined) return;
    const from = Math.max(0, this.first() - BEYOND), to = Math.min(rows.count, rows.at(grid.scrollTop + this.room) + 1 + BEYOND);
    for (const [at, line] of live) {
      if (at >= from && at < to) continue;
      line.remove();
      live.delete(at);
    }
    let behind = null;
    for (let at = to - 1; at >= from && rows.count > 0; at--) {
      let line = live.get(at);
      if (line === undefined) {
        line = this.row(at);
        line.style.top = `${rows.top[at]}px`;
        live.set(at, line);
        // In order, for those who read the page by its elements.
        this.body.insertBefore(line, behind);
      }
      behind = line;
    }
    this.map.draw();
  }

  row(at) {
    const { packets } = report, n = this.rows.packet[at], since = this.rows.since(at), gap = silence(since);
    const arrow = arrowOf(n), words = element("div", { class: "cell words", role: "gridcell" });
    if (this.view === 0 && packets.conversation[n] > 0) words.append(element("span", { class: "of" }, `#${packets.conversation[n]}`));
    const role = ROLES[roleOf(packets.flags[n])];
    if (role !== "") words.append(element("span", { class: "role" }, role));
    words.append(...remarksOfPacket(packets, n).map(chip), element("bdi", {}, wordsOf(packets, n)));
    const lanes = element("div", { class: "lanes", role: "gridcell", "aria-label": arrow.spoken });
    if (gap >= 18) lanes.append(element("span", { class: "silence" }, duration(since)));
    if (arrow.shape) lanes.append(arrow.shape);
    const cell = (text) => element("div", { class: "cell", role: "gridcell" }, text);
    const line = element("div", {
      class: `row${gap > 0 ? " after-silence" : ""}${at === this.chosen ? " chosen" : ""}${report.remarks[n] !== 0 ? " remarkable" : ""}`,
      role: "row", id: `row-${at}`, "aria-rowindex": at + 2, "aria-selected": String(at === this.chosen), "data-row": at,
    }, cell(String(packets.number[n])), cell(seconds(packets.time[n])), cell(at === 0 ? "" : `+${duration(since)}`), lanes, words);
    line.style.setProperty("--gap", `${gap}px`);
    return line;
  }

  /** Makes a row the one that is looked at. */
  choose(at, focus = false) {
    if (this.rows.count === 0) return;
    at = Math.max(0, Math.min(this.rows.count - 1, at));
    const { rows, grid } = this, [top, bottom] = [rows.top[at], rows.top[at + 1]];
    if (top < grid.scrollTop) grid.scrollTop = top;
    else if (bottom > grid.scrollTop + this.room) grid.scrollTop = bottom - this.room;
    const before = this.live.get(this.chosen);
    before?.classList.remove("chosen");
    before?.setAttribute("aria-selected", "false");
    this.chosen = at;
    this.render();
    const line = this.live.get(at);
    line.classList.add("chosen");
    line.setAttribute("aria-selected", "true");
    grid.setAttribute("aria-activedescendant", line.id);
    for (const graph of report.graphs) graph.mark(report.packets.time[rows.packet[at]]);
    if (focus) grid.focus({ preventScroll: true });
    // Scrolling hides the tip: it comes behind that.
    requestAnimationFrame(() => requestAnimationFrame(() => this.chosen === at && this.tip.show(rows.packet[at], line)));
  }

  goToTime(time, focus = false) {
    this.center(this.rows.ofTime(time), focus);
  }

  /** Chooses a row and puts it into the middle. */
  center(at, focus = false) {
    this.grid.scrollTop = this.rows.top[Math.max(at, 0)] - this.room / 2;
    this.choose(at, focus);
    this.grid.scrollIntoView({ block: "nearest" });
  }

  /** The next remarkable row in a direction. */
  remark(step) {
    const { rows } = this;
    for (let at = (this.chosen < 0 ? this.first() - step : this.chosen) + step; at >= 0 && at < rows.count; at += step) {
      if (report.remarks[rows.packet[at]] !== 0) return this.center(at);
    }
    this.say(step > 0 ? "no remark below" : "no remark above");
  }

  /** Finds a packet by its number, or the next one by its text. */
  find(sought) {
    const { rows } = this, { packets } = report;
    if (/^\d+$/.test(sought)) {
      const at = rows.ofPacket(lowerBound(packets.count, (n) => packets.number[n] >= Number(sought)));
      this.center(at);
      return this.say(packets.number[rows.packet[at]] === Number(sought) ? "" : `packet ${sought} is not shown here`);
    }
    const wanted = sought.toLowerCase();
    for (let step = 1; step <= rows.count; step++) {
      const at = (Math.max(this.chosen, -1) + step) % rows.count, n = rows.packet[at];
      const text = `${labelOf(packets, n)} ${wordsOf(packets, n)} ${remarksOfPacket(packets, n).map(({ word }) => word).join(" ")}`;
      if (text.toLowerCase().includes(wanted)) {
        this.center(at);
        return this.say();
      }
    }
    this.say(`“${sought}” is not in these packets`);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(this.room / ROW) - 1), { chosen, rows } = this;
    const moves = { ArrowDown: chosen + 1, j: chosen + 1, ArrowUp: chosen - 1, k: chosen - 1, PageDown: chosen + page, PageUp: chosen - page, Home: 0, End: rows.count - 1 };
    if (event.key in moves) this.choose(moves[event.key]);
    else if (event.key === "n") this.remark(1);
    else if (event.key === "p") this.remark(-1);
    else if (event.key === "Escape") this.tip.hide();
    else if (event.key === "Enter" && chosen >= 0) this.choose(chosen);
    else return;
    event.preventDefault();
  }

  over(event) {
    const line = event.target.closest(".row");
    if (line !== null) this.tip.show(this.rows.packet[Number(line.dataset.row)], line);
  }

  /** Puts rows on paper, from the first in sight on. */
  print() {
    const { rows } = this, from = this.first(), to = Math.min(rows.count, from + ON_PAPER), lines = [];
    for (let at = from; at < to && rows.count > 0; at++) lines.push(this.row(at));
    lines.forEach((line) => line.removeAttribute("id"));
    const note = to - from < rows.count ? `Packets ${from + 1} to ${to} of ${thousands(rows.count)} in this view.` : "";
    byId("paper").replaceChildren(element("div", { class: "grid" }, this.head.cloneNode(true), ...lines), element("p", { class: "note" }, note));
  }
}

const heading = (name, kind) => element("div", { class: `cell ${kind}`, role: "columnheader" }, name);

/** The arrow of a packet, and how it is spoken; a packet that goes to nobody has none. */
function arrowOf(n) {
  const { packets } = report, flags = packets.flags[n], label = labelOf(packets, n);
  if (!(flags & FLAG.arrow)) return { spoken: "beside the conversations" };
  const way = flags & FLAG.server ? "to-client" : "to-server";
  const shape = element("span", { class: `arrow ${way} ${lookOf(n)}`, "data-arrow": packets.number[n] }, element("span", { class: "label" }, label));
  return { shape, spoken: `${way === "to-client" ? "server to client" : "client to server"}: ${label}` };
}

/** How an arrow looks: what it carries, and what became of it. */
function lookOf(n) {
  const { packets, remarks } = report, of = packets.segments, looks = [];
  let marks = 0, commands = 0, blocks = false;
  for (let at = packets.first[n]; at < packets.first[n + 1]; at++) {
    if (of.marks[at] & report.recovered) continue;
    marks |= of.marks[at];
    commands |= 1 << (of.command[at] & ~BLOCK);
    blocks ||= of.command[at] >= BLOCK;
  }
  if (shardOf(packets.flags[n]) === 2) looks.push("parity");
  else if (blocks) looks.push("control");
  else if (commands & (1 << PUSH)) looks.push("data");
  else if (commands & (1 << ACK)) looks.push("ack");
  else if (commands !== 0) looks.push("control");
  else looks.push(packets.bytes[n] > 0 && !(packets.flags[n] & FLAG.datagram) ? "data" : "raw");
  if (marks & report.again || packets.flags[n] & FLAG.again) looks.push("again");
  if (marks & report.copy) looks.push("copy");
  if (remarks[n] & UNANSWERED) looks.push("lost");
  return looks.join(" ");
}
