// What a conversation came to.

/** What is told of both sides: words, and how to get the cell of a side; empty cells on both sides leave the line out. */
const MEASURES = [
  ["datagrams", (side) => thousands(side.packets), "kcp udp"],
  ["segments", (side) => thousands(side.packets), "tcp"],
  ["their bytes", (side) => thousands(side.bytes)],
  ["data, in bytes", (side) => side.data_bytes !== undefined ? thousands(side.data_bytes) : ""],
  ["data segments", (side) => side.data_segments > 0 ? thousands(side.data_segments) : ""],
  ["goodput", (side) => side.goodput_bytes_per_s > 0 ? `${scaled(side.goodput_bytes_per_s, "B")}/s` : ""],
  ["sent again", (side) => side.pushes > 0 ? `${thousands(side.retransmissions)} (${percent(side.retransmissions, side.pushes)})` : side.retransmissions > 0 ? thousands(side.retransmissions) : ""],
  ["· judged fast", (side) => some(side.fast)],
  ["· needless", (side) => some(side.needless)],
  ["copies", (side) => some(side.duplicates)],
  ["late", (side) => some(side.late ?? side.ahead)],
  ["not in the capture", (side) => some(side.missing)],
  ["came only by recovery", (side) => some(side.recovered)],
  ["window was full", (side) => side.stalls > 0 ? `${side.stalls}×, ${duration(side.stalled_ms * 1000)}` : ""],
  ["rtt: least", (side) => side.rtt_ms ? duration(side.rtt_ms.least * 1000) : ""],
  ["median", (side) => side.rtt_ms ? duration(side.rtt_ms.median * 1000) : ""],
  ["90 %", (side) => side.rtt_ms ? duration(side.rtt_ms.p90 * 1000) : ""],
  ["99 %", (side) => side.rtt_ms ? duration(side.rtt_ms.p99 * 1000) : ""],
  ["most", (side) => side.rtt_ms ? duration(side.rtt_ms.most * 1000) : ""],
  ["samples", (side) => side.rtt_ms ? thousands(side.rtt_ms.samples) : ""],
  ["fec", (side) => side.fec ? side.fec.ratio ?? "ratio not known" : ""],
  ["· data, parity shards", (side) => side.fec ? `${thousands(side.fec.data)}, ${thousands(side.fec.parity)}` : ""],
  ["· not seen", (side) => side.fec ? `${thousands(side.fec.lost)} (${percent(side.fec.lost, side.fec.lost + side.fec.data + side.fec.parity)})` : ""],
  ["· recovered", (side) => side.fec ? thousands(side.fec.recovered) : ""],
  ["smux", (side) => side.smux?.version ? `${side.smux.version}${side.smux.snappy ? ", in snappy" : ""}` : ""],
  ["· streams, frames", (side) => side.smux?.version ? `${thousands(side.smux.streams.length)}, ${thousands(side.smux.frames)}` : ""],
  ["framing", (side) => side.framing ? `${side.framing}, ${plural(side.frames, "frame")}` : ""],
];

const some = (number) => number > 0 ? thousands(number) : "";

function drawSummary(view) {
  const conversation = report.conversations.find(({ told }) => told.number === view);
  const heading = byId("conversation-heading"), place = byId("summary");
  byId("conversation").hidden = conversation === undefined;
  if (conversation === undefined) return;
  const { told, began, ended } = conversation;
  heading.replaceChildren(`#${told.number} ${KINDS[told.kind]}${told.kind === "kcp" ? ` conv ${conv(told.conv)}` : ""}`);
  const facts = [
    ["client", told.client], ["server", told.server],
    ["began", began === "" ? "" : visible(began)], ["ended", visible(ended)],
    ["lasted", `${duration((told.last_ms - told.first_ms) * 1000)}, from ${seconds(told.first_ms * 1000)} s on`],
    ["sealed with", told.cipher ?? ""],
    ["speaks", told.kind !== "kcp" ? "" : told.extended ? "KCP with extension blocks" : "plain KCP"],
    ["unreachable", told.unreachable > 0 ? `port unreachable, says ICMP ${plural(told.unreachable, "time")}` : ""],
  ];
  const list = element("dl", { class: "facts" });
  for (const [name, value] of facts) {
    if (value !== "") list.append(element("dt", {}, name), element("dd", {}, value));
  }
  const body = element("tbody");
  for (const [words, cell, kinds] of MEASURES) {
    if (kinds !== undefined && !kinds.split(" ").includes(told.kind)) continue;
    const cells = told.sides.map(cell);
    if (cells.some((cell) => cell !== "" && cell !== undefined)) body.append(row(words, ...cells.map((cell) => cell || "–")));
  }
  const table = element("table", { class: "measures" },
    element("caption", {}, "What each side sent"),
    element("thead", {}, element("tr", {}, ...["", "client", "server"].map((name) => element("th", { scope: "col" }, name)))), body);
  place.replaceChildren(list, table);
}
