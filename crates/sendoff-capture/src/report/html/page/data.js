"use strict";
// Reads the columns that Rust has written: report/html/packets.rs and bins.rs.

/** Bits of a packet's flags. */
const FLAG = { server: 1, arrow: 2, words: 4, trouble: 8, again: 16, ahead: 32, icmp: 64, datagram: 4096 };
const shardOf = (flags) => (flags >> 7) & 3;
const roleOf = (flags) => (flags >> 9) & 7;

/** Numbers of commands; with BLOCK added, the data is an extension block. */
const PUSH = 0, ACK = 1, BLOCK = 4;

/** The texts of all JSON elements of a class; they leave the page, which has no use for them any more. */
function takeJson(name) {
  return [...document.querySelectorAll(`script.${name}`)].map((element) => {
    element.remove();
    return JSON.parse(element.textContent);
  });
}

/** Numbers from the differences that a column consists of; a column of zeros isn't there. */
function readColumn(steps, target, at) {
  let value = 0;
  for (let n = 0; steps !== undefined && n < steps.length; n++) {
    value += steps[n];
    target[at + n] = value;
  }
}

/** Packets and segments of all chunks, as columns. */
function readPackets(chunks) {
  const sum = (name) => chunks.reduce((sum, chunk) => sum + chunk[name], 0);
  const count = sum("packets"), segments = sum("segments");
  const packets = {
    count,
    number: new Float64Array(count), time: new Float64Array(count), conversation: new Float64Array(count),
    flags: new Uint16Array(count), bytes: new Uint32Array(count), seqid: new Uint32Array(count),
    /** Where a packet's segments begin; one more than there are packets. */
    first: new Uint32Array(count + 1),
    words: new Array(count).fill(""),
  };
  const of = {
    count: segments,
    packet: new Uint32Array(segments),
    command: new Uint8Array(segments), sn: new Uint32Array(segments), una: new Uint32Array(segments),
    window: new Uint16Array(segments), timestamp: new Uint32Array(segments), fragment: new Uint8Array(segments),
    length: new Uint32Array(segments), marks: new Uint16Array(segments), transmission: new Uint8Array(segments),
    after: new Float64Array(segments), roundTrip: new Float64Array(segments),
    text: new Array(segments).fill(""),
  };
  const counts = new Uint32Array(count);
  let packet = 0, segment = 0;
  for (const chunk of chunks) {
    for (const name of ["number", "time", "conversation", "flags", "bytes", "seqid"]) readColumn(chunk[name], packets[name], packet);
    for (const name of ["command", "sn", "una", "window", "timestamp", "fragment", "length", "marks", "transmission", "after", "roundTrip"]) {
      readColumn(chunk[name], of[name], segment);
    }
    readColumn(chunk.count, counts, packet);
    let text = 0;
    for (const end = packet + chunk.packets; packet < end; packet++) {
      if (packets.flags[packet] & FLAG.words) packets.words[packet] = chunk.text[text++];
      packets.first[packet] = segment;
      for (const last = segment + counts[packet]; segment < last; segment++) {
        of.packet[segment] = packet;
        if (of.length[segment] > 0) of.text[segment] = chunk.text[text++];
      }
    }
  }
  packets.first[count] = segment;
  packets.segments = of;
  return packets;
}

/** Bins of a series, as columns; `time` is where each begins, in microseconds. */
function readBins(series) {
  const bins = { count: series.bins, width: series.width };
  for (const name of ["place", "sent", "acked", "edge", "flight", "again", "againLow", "againHigh", "copies",
    "recovered", "full", "rttCount", "rttSum", "rttLow", "rttHigh", "fresh", "wire"]) {
    bins[name] = new Float64Array(series.bins);
    readColumn(series[name], bins[name], 0);
  }
  bins.time = bins.place.map((place) => place * series.width);
  return bins;
}

/** The bins of a piece of time; the first one has the state before that, and nothing happens in it. */
function cutBins(bins, from, to) {
  const first = lowerBound(bins.count, (n) => bins.time[n] >= from), last = lowerBound(bins.count, (n) => bins.time[n] > to);
  const start = Math.max(0, Math.min(first - 1, bins.count - 1)), cut = { width: bins.width, count: Math.max(last, start + 1) - start };
  for (const [name, column] of Object.entries(bins)) {
    if (column.slice) cut[name] = column.slice(start, start + cut.count);
  }
  if (start < first) {
    for (const name of ["again", "copies", "recovered", "full", "rttCount", "rttLow", "rttHigh", "fresh", "wire"]) cut[name][0] = 0;
    cut.time[0] = from;
    cut.flight[0] = cut.sent[0] < 0 ? 0 : Math.max(0, cut.sent[0] - cut.acked[0]);
  }
  return cut;
}

/** The bit of a mark, by how its word begins. */
const bitOf = (head, word) => head.marks.find(([, known]) => known.startsWith(word))[0];

/** Transmissions of a segment, back from the latest, among which that is looked for which an ACK answers. */
const TRANSMISSIONS = 16;

/**
 * Finds out which transmission follows which, and which ACK answers which: `before` and `again` lead from a PUSH to the
 * transmission before it and behind it, `answer` to the ACK with its ts. −1: there is none. `unanswered`: it was sent
 * again, and nothing shows that this transmission arrived.
 */
function linkSegments(packets, head) {
  const of = packets.segments;
  const none = () => new Int32Array(of.count).fill(-1);
  const links = { before: none(), again: none(), answer: none(), unanswered: new Uint8Array(of.count) };
  const copy = bitOf(head, "duplicate"), needless = bitOf(head, "needless");
  const latest = new Map();
  const numbersOf = (conversation, server) => {
    const key = conversation * 2 + server;
    if (!latest.has(key)) latest.set(key, new Map());
    return latest.get(key);
  };
  for (let n = 0; n < of.count; n++) {
    const packet = of.packet[n], server = packets.flags[packet] & FLAG.server;
    const command = of.command[n] & ~BLOCK;
    if (command === PUSH && !(of.marks[n] & copy)) {
      const numbers = numbersOf(packets.conversation[packet], server);
      const before = numbers.get(of.sn[n]);
      // Numbers that come again as new are of another life.
      if (before !== undefined && !(of.marks[n] & head.isNew)) {
        links.before[n] = before;
        links.again[before] = n;
      }
      numbers.set(of.sn[n], n);
    } else if (command === ACK) {
      let answered = numbersOf(packets.conversation[packet], 1 - server).get(of.sn[n]) ?? -1;
      // A capture may have any number of transmissions of one segment; of an honest one the latest are asked about.
      for (let back = 0; answered >= 0 && of.timestamp[answered] !== of.timestamp[n]; back++) {
        answered = back < TRANSMISSIONS ? links.before[answered] : -1;
      }
      if (answered >= 0 && links.answer[answered] < 0) links.answer[answered] = n;
    }
  }
  for (let n = 0; n < of.count; n++) {
    const again = links.again[n];
    // What was sent again without need had arrived.
    links.unanswered[n] = again >= 0 && links.answer[n] < 0 && !(of.marks[again] & needless) ? 1 : 0;
  }
  return links;
}

/** Bit of a packet's `remarks` beside those of marks: sent again later, and no answer to it was seen. */
const UNANSWERED = 1 << 16;
/** Others that are worth a jump: trouble, ICMP, TCP's retransmissions. */
const ODD = 1 << 17;

/** Of each packet, all that is remarkable about it. */
function remarkPackets(packets, links, head, isTrouble) {
  const of = packets.segments, remarks = new Uint32Array(packets.count);
  for (let n = 0; n < packets.count; n++) {
    if (packets.flags[n] & (FLAG.again | FLAG.ahead | FLAG.icmp) || isTrouble(n)) remarks[n] |= ODD;
  }
  for (let n = 0; n < of.count; n++) {
    remarks[of.packet[n]] |= of.marks[n] & ~head.isNew;
    if (links.unanswered[n]) remarks[of.packet[n]] |= UNANSWERED;
  }
  return remarks;
}
