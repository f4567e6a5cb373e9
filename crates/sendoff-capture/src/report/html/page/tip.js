// All that is known of a packet, beside its row; and a narrow picture of the whole ladder.

/** Segments that are told in full. */
const IN_FULL = 12;

class Tip {
  constructor() {
    this.place = byId("tip");
  }

  hide() {
    this.place.hidden = true;
  }

  show(n, line) {
    const { place } = this;
    place.replaceChildren(...tell(n));
    place.hidden = false;
    const row = line.getBoundingClientRect(), grid = byId("grid").getBoundingClientRect();
    const [width, height] = [place.offsetWidth, place.offsetHeight];
    const words = line.lastElementChild.getBoundingClientRect();
    const below = row.bottom + 6, above = row.top - height - 6;
    place.style.top = `${below + height <= innerHeight || above < 0 ? below : above}px`;
    place.style.left = `${Math.max(grid.left, Math.min(words.left, innerWidth - width - 12))}px`;
  }
}

/** What is known of a packet. */
function tell(n) {
  const { packets, end, conversations } = report, of = packets.segments, flags = packets.flags[n];
  const conversation = conversations.find(({ told }) => told.number === packets.conversation[n]);
  const [client, server] = conversation ? [conversation.told.client, conversation.told.server] : ["client", "server"];
  const way = !(flags & FLAG.arrow) ? "" : flags & FLAG.server ? `${server} → ${client}` : `${client} → ${server}`;
  const facts = [
    ["at", `${seconds(packets.time[n])} s${end.origin !== undefined ? `, ${clock(end.origin, packets.time[n])}` : ""}`],
    [flags & FLAG.datagram ? "datagram" : "bytes", plural(packets.bytes[n], "byte")],
    ["shard", shardOf(flags) > 0 ? `${SHARDS[shardOf(flags)]}${shardOf(flags) < 3 ? ` ${packets.seqid[n]}` : ""}` : ""],
    ["part of", ROLES[roleOf(flags)] === "" ? "" : `an exchange: ${ROLES[roleOf(flags)]}`],
    ["says", visible(packets.words[n])],
  ];
  const list = element("dl");
  for (const [name, value] of facts) {
    if (value !== "") list.append(element("dt", {}, name), element("dd", {}, value));
  }
  const first = packets.first[n], count = packets.first[n + 1] - first, parts = [];
  for (let at = first; at < first + Math.min(count, IN_FULL); at++) parts.push(tellSegment(of, at));
  if (count > IN_FULL) parts.push(element("p", { class: "more" }, `and ${plural(count - IN_FULL, "more segment")}`));
  const title = element("p", { class: "title" }, element("b", {}, `Packet ${packets.number[n]}`), ` ${way}`);
  return [title, list, ...parts];
}

function tellSegment(of, at) {
  const name = nameOf(of, at), lines = [];
  const number = (of.command[at] & ~BLOCK) <= ACK ? ` sn=${of.sn[at]}` : "";
  lines.push(element("p", {}, element("b", {}, name), `${number} ${detailOf(of, at)} ts=${of.timestamp[at]}`));
  const remarks = remarksOf(of, at);
  if (remarks.length > 0) lines.push(element("p", {}, ...remarks.map(chip)));
  for (const said of linksOf(of, at)) lines.push(element("p", { class: "link" }, said));
  return element("div", { class: "segment" }, ...lines);
}

/** Where its other transmissions and its answer are. */
function linksOf(of, at) {
  const { packets, links } = report, said = [], numberOf = (segment) => packets.number[of.packet[segment]];
  const apart = (one, other) => duration(Math.abs(packets.time[of.packet[one]] - packets.time[of.packet[other]]));
  if (links.before[at] >= 0) said.push(`sent before in packet ${numberOf(links.before[at])}, ${apart(at, links.before[at])} earlier`);
  if (links.again[at] >= 0) said.push(`sent again in packet ${numberOf(links.again[at])}, ${apart(at, links.again[at])} later`);
  if (links.answer[at] >= 0) said.push(`acknowledged in packet ${numberOf(links.answer[at])}, ${apart(at, links.answer[at])} later`);
  if (of.roundTrip[at] > 0) said.push(`answers what was sent ${duration(of.roundTrip[at] - 1)} before, as seen here`);
  return said;
}

/** The whole ladder in a strip: where remarks are, and what is in sight. */
class ScrollMap {
  constructor(ladder) {
    this.ladder = ladder;
    this.canvas = byId("map");
    const jump = (event) => {
      const { rows, grid, room } = ladder, box = this.canvas.getBoundingClientRect();
      grid.scrollTop = ((event.clientY - box.top) / box.height) * rows.height - room / 2;
    };
    this.canvas.addEventListener("pointerdown", (event) => {
      this.canvas.setPointerCapture(event.pointerId);
      jump(event);
    });
    this.canvas.addEventListener("pointermove", (event) => event.buttons > 0 && jump(event));
  }

  /** Forgets the picture: other rows, or other colours. */
  prepare() {
    this.marks = undefined;
    this.colours = ["--sight", "--again", "--good", "--odd"].map(colour);
  }

  /** Which lanes have something, for each line of the strip. */
  lanes(height) {
    const { rows } = this.ladder, lanes = new Uint8Array(height), { packets, remarks } = report;
    for (let at = 0; at < rows.count; at++) {
      const n = rows.packet[at], remark = remarks[n];
      if (remark === 0) continue;
      const y = Math.min(height - 1, Math.floor((rows.top[at] / rows.height) * height));
      if (remark & (report.again | UNANSWERED) || packets.flags[n] & FLAG.again) lanes[y] |= 1;
      if (remark & report.recovered) lanes[y] |= 2;
      if (remark & ~(report.again | report.recovered | UNANSWERED)) lanes[y] |= 4;
    }
    return lanes;
  }

  draw() {
    const { canvas, ladder } = this, { grid, rows, room } = ladder, height = grid.clientHeight, width = 18;
    canvas.hidden = rows.height <= room;
    if (canvas.hidden) return;
    const ratio = devicePixelRatio, pen = canvas.getContext("2d");
    if (this.marks === undefined || this.marks.length !== height) this.marks = this.lanes(height);
    [canvas.width, canvas.height] = [width * ratio, height * ratio];
    canvas.style.height = `${height}px`;
    pen.scale(ratio, ratio);
    pen.fillStyle = this.colours[0];
    pen.fillRect(0, (grid.scrollTop / rows.height) * height, width, Math.max((room / rows.height) * height, 4));
    this.colours.slice(1).forEach((colour, lane) => {
      pen.fillStyle = colour;
      this.marks.forEach((lanes, y) => lanes & (1 << lane) && pen.fillRect(2 + lane * 5, y, 4, 1.5));
    });
  }
}

/** A colour of the style, as it is in the theme that is on. */
function colour(name) {
  const place = byId("tip");
  place.style.outlineColor = `var(${name})`;
  return getComputedStyle(place).outlineColor;
}
