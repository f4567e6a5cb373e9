// The list of conversations.

const KINDS = { kcp: "KCP", tcp: "TCP", udp: "UDP" };

/** From this many on a filter is offered. */
const MANY = 8;

function drawList() {
  const { conversations, end } = report;
  const body = element("tbody", {}, allRow(), ...conversations.map(conversationRow));
  const table = element("table", { class: "conversations" },
    element("thead", {}, element("tr", {}, ...["", "what", "client → server", "when", "packets", "data", "sent again", "rtt median", "ended"]
      .map((name) => element("th", { scope: "col" }, name === "" ? element("span", { class: "hidden" }, "number") : name)))),
    body);
  byId("list").replaceChildren(table);
  if (end.unlisted > 0) byId("list").append(element("p", { class: "note" }, `${plural(end.unlisted, "more conversation")} not listed: --conversation N tells of one.`));
  const narrow = byId("narrow");
  narrow.hidden = conversations.length < MANY;
  narrow.addEventListener("input", () => {
    const wanted = narrow.value.trim().toLowerCase();
    for (const line of body.rows) line.hidden = !line.textContent.toLowerCase().includes(wanted);
  });
}

function allRow() {
  const { totals } = report.end;
  const cells = ["", "all packets", "", "", thousands(totals.packets), "", "", "", ""];
  const line = element("tr", { "data-view": "0" }, ...cells.map((cell) => element("td", {}, cell)));
  line.cells[1].replaceChildren(element("a", { href: "#all" }, "all packets"));
  return line;
}

function conversationRow({ told, ended }) {
  const sum = (name) => told.sides.reduce((sum, side) => sum + (side[name] ?? 0), 0);
  const span = Math.max(report.end.totals.duration_ms, 0.001);
  const bar = element("span", { class: "span", role: "img", "aria-label": `from ${duration(told.first_ms * 1000)} to ${duration(told.last_ms * 1000)}` }, element("i"));
  bar.firstChild.style.marginLeft = `${(told.first_ms / span) * 100}%`;
  bar.firstChild.style.width = `${((told.last_ms - told.first_ms) / span) * 100}%`;
  const medians = told.sides.filter((side) => side.rtt_ms).map((side) => duration(side.rtt_ms.median * 1000));
  const name = element("a", { href: `#c${told.number}` }, told.kind === "kcp" ? `KCP ${conv(told.conv)}` : KINDS[told.kind]);
  const again = sum("retransmissions"), of = told.kind === "kcp" ? sum("pushes") : sum("packets");
  const cells = [
    `#${told.number}`, name, `${told.client} → ${told.server}`, bar, thousands(sum("packets")),
    told.kind === "udp" ? scaled(sum("bytes"), "B") : scaled(sum("data_bytes"), "B"),
    again > 0 ? `${thousands(again)} (${percent(again, of)})` : told.kind === "udp" ? "" : "0", medians.join(" / "), visible(ended),
  ];
  const line = element("tr", { "data-view": told.number }, ...cells.map((cell) => element("td", {}, cell)));
  line.addEventListener("click", (event) => {
    if (!event.target.closest("a") && getSelection().isCollapsed) name.click();
  });
  return line;
}

/** Shows which one is looked at. */
function markList(view) {
  for (const line of byId("list").querySelectorAll("tbody tr")) {
    const link = line.querySelector("a"), is = Number(line.dataset.view) === view;
    line.classList.toggle("current", is);
    if (is) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}
