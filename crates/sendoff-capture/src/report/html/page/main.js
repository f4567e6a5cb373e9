// Puts it together.

const report = { graphs: [] };

function load() {
  const [head] = takeJson("head"), [end] = takeJson("end");
  if (head === undefined || end === undefined) throw new Error("this report is not whole: it was not written to its end");
  report.head = head;
  report.end = end;
  report.recovered = bitOf(head, "recovered");
  report.again = bitOf(head, "retransmission") | bitOf(head, "needless");
  report.copy = bitOf(head, "duplicate");
  report.packets = readPackets(takeJson("packets"));
  report.links = linkSegments(report.packets, head);
  report.conversations = takeJson("conversation").sort((a, b) => a.told.number - b.told.number);
  const plain = new Set(report.conversations.filter(({ told }) => told.kind === "udp").map(({ told }) => told.number));
  // Where nothing is explained, that one packet isn't is no remark.
  report.isTrouble = (n) => (report.packets.flags[n] & FLAG.trouble) !== 0 && !plain.has(report.packets.conversation[n]);
  report.remarks = remarkPackets(report.packets, report.links, head, report.isTrouble);
}

function drawHead() {
  const { head, end } = report, { totals } = end;
  byId("name").textContent = visible(head.name);
  const facts = [plural(totals.packets, "packet"), scaled(totals.bytes, "B"), duration(totals.duration_ms * 1000), plural(totals.conversations, "conversation")];
  if (totals.incomplete_fragments > 0) facts.push(`${plural(totals.incomplete_fragments, "fragmented packet")} not whole`);
  if (totals.dropped > 0) facts.push(`${plural(totals.dropped, "packet")} more passed and are not in it`);
  if (end.origin !== undefined) facts.push(`from ${clock(end.origin, 0)}`);
  byId("facts").textContent = facts.join(" · ");
  if (end.trouble !== undefined) warn(`The capture could not be read to its end: ${visible(end.trouble)}. What comes before that is told.`);
}

function warn(words) {
  byId("trouble").hidden = false;
  byId("trouble").textContent = words;
}

/** What is looked at first: the conversation with the most packets; without any, all packets. */
function biggest() {
  const size = ({ told }) => told.sides[0].packets + told.sides[1].packets;
  const first = report.conversations.reduce((most, one) => most === undefined || size(one) > size(most) ? one : most, undefined);
  return first === undefined ? 0 : first.told.number;
}

function show(view) {
  report.view = view;
  markList(view);
  drawSummary(view);
  report.graphs = drawGraphs(view);
  report.ladder.show(view, byId("only").checked);
}

/** `#all`, `#c7` a conversation, `#p57` a packet. */
function followAddress() {
  const [, kind, number] = /^#(?:(all)|([cp])(\d+))$/.exec(location.hash)?.filter((part, n) => n === 0 || part !== undefined) ?? [];
  if (kind === "all") show(0);
  else if (kind === "c" && report.conversations.some(({ told }) => told.number === Number(number))) show(Number(number));
  else if (kind === "p") {
    const { packets } = report, n = Math.min(packets.count - 1, lowerBound(packets.count, (n) => packets.number[n] >= Number(number)));
    show(n < 0 ? 0 : packets.conversation[n]);
    if (n >= 0) report.ladder.find(number);
  } else if (report.view === undefined) show(biggest());
}

function listen() {
  byId("theme").addEventListener("change", (event) => {
    document.documentElement.dataset.theme = event.target.value;
    report.ladder.recolour();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => report.ladder.recolour());
  byId("only").addEventListener("change", () => report.ladder.show(report.view, byId("only").checked));
  byId("next").addEventListener("click", () => report.ladder.remark(1));
  byId("previous").addEventListener("click", () => report.ladder.remark(-1));
  byId("find").addEventListener("submit", (event) => {
    event.preventDefault();
    const sought = byId("sought").value.trim();
    if (sought !== "" && report.ladder.rows.count > 0) report.ladder.find(sought);
  });
  addEventListener("hashchange", followAddress);
}

try {
  load();
  drawHead();
  drawList();
  report.ladder = new Ladder();
  listen();
  followAddress();
} catch (error) {
  warn(`This report can't be shown: ${error.message}.`);
  throw error;
}
document.documentElement.dataset.ready = "true";
