// Numbers, times and segments in words.

const MICROSECOND = 1, MILLISECOND = 1000, SECOND = 1_000_000;

/** 1234567 → 1,234,567 */
const thousands = (number) => Math.round(number).toString().replace(/\B(?=(\d{3})+$)/g, ",");

/** `1 packet`, `2 packets` */
const plural = (number, thing) => `${thousands(number)} ${thing}${number === 1 ? "" : "s"}`;

/** Three digits, more or less. */
const short = (number) => number < 10 ? number.toFixed(2).replace(/\.?0+$/, "") : number < 100 ? number.toFixed(1).replace(/\.0$/, "") : thousands(number);

/** A time in microseconds, for a person. */
function duration(micros) {
  if (micros < MILLISECOND) return `${short(micros)} µs`;
  if (micros < SECOND) return `${short(micros / MILLISECOND)} ms`;
  if (micros < 120 * SECOND) return `${short(micros / SECOND)} s`;
  const minutes = Math.floor(micros / (60 * SECOND)), hours = Math.floor(minutes / 60);
  return hours > 0 ? `${hours} h ${minutes % 60} min` : `${minutes} min ${Math.round(micros / SECOND) % 60} s`;
}

/** Seconds with six digits behind the point, as `sendoff dissect` tells them. */
const seconds = (micros) => (micros / SECOND).toFixed(6);

/** A number with its unit: 1,234 B, 12.3 kB. */
function scaled(number, unit) {
  for (const [factor, prefix] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (number >= factor) return `${short(number / factor)} ${prefix}${unit}`;
  }
  return `${short(number)} ${unit}`;
}

const percent = (part, whole) => whole > 0 ? `${short((part * 100) / whole)} %` : "0 %";

/** Text from elsewhere, with signs that steer or hide written out. */
const visible = (text) => String(text).replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (sign) => `\\u{${sign.codePointAt(0).toString(16)}}`);

const conv = (number) => `0x${number.toString(16).padStart(8, "0")}`;

/** When that was: UTC, to the microsecond. */
function clock(origin, micros) {
  if (origin === undefined) return "";
  const all = origin + micros, date = new Date(Math.floor(all / 1000));
  if (Number.isNaN(date.getTime())) return "";
  return `${date.toISOString().replace("T", " ").slice(0, 23)}${String(Math.floor(all) % 1000).padStart(3, "0")} UTC`;
}

const COMMANDS = ["PUSH", "ACK", "WASK", "WINS"];
const ROLES = ["", "request", "its ack", "response", "its ack"];
const SHARDS = ["", "data shard", "parity shard", "out of band"];

/** A sign for each remark: the word says what, the sign is what the eye finds. */
const SIGNS = [
  ["recovered", "◇"], ["late", "↷"], ["retransmission", "↻"], ["fast", "»"], ["duplicate", "="], ["needless", "∅"],
  ["number too far", "?"], ["fills", "▮"], ["closes", "▼"], ["opens", "▲"], ["no valid", "!"],
];
const signOf = (word) => (SIGNS.find(([front]) => word.startsWith(front)) ?? ["", "•"])[1];

/** What a class of CSS a remark has. */
function classOf(word) {
  if (word.startsWith("retransmission") || word.startsWith("needless") || word.startsWith("fast")) return "again";
  if (word.startsWith("recovered")) return "good";
  if (word.startsWith("fills") || word.startsWith("closes") || word.startsWith("opens")) return "window";
  return "odd";
}

/** Name of a segment: its command, or what its block is. */
const nameOf = (of, n) => of.command[n] >= BLOCK ? of.text[n].split(" ", 1)[0] : COMMANDS[of.command[n]];

/** Numbers as ranges, `3, 5–9`: so many of these, and then how many more numbers. */
function ranges(numbers, most) {
  const parts = [];
  let n = 0;
  while (n < numbers.length && parts.length < most) {
    const from = n++;
    while (n < numbers.length && numbers[n] === numbers[n - 1] + 1) n++;
    parts.push(n - from === 1 ? `${numbers[from]}` : `${numbers[from]}–${numbers[n - 1]}`);
  }
  return n < numbers.length ? `${parts.join(", ")}, ${numbers.length - n} more` : parts.join(", ");
}

/** What stands on the arrow of a packet. */
function labelOf(packets, n) {
  const of = packets.segments, flags = packets.flags[n], shard = shardOf(flags);
  const groups = new Map();
  for (let at = packets.first[n]; at < packets.first[n + 1]; at++) {
    const recovered = of.marks[at] & report.recovered, name = `${recovered ? "◇ " : ""}${nameOf(of, at)}`;
    if (!groups.has(name)) groups.set(name, []);
    if ((of.command[at] & ~BLOCK) <= ACK) groups.get(name).push(of.sn[at]);
  }
  const parts = [...groups].map(([name, numbers]) => numbers.length > 0 ? `${name} ${ranges(numbers, 3)}` : name);
  if (shard > 1) parts.unshift(shard === 2 ? `parity ${packets.seqid[n]}` : "out of band");
  if (parts.length > 0) return parts.join(" · ");
  const bytes = packets.bytes[n] > 0 || flags & FLAG.datagram ? plural(packets.bytes[n], "byte") : "";
  // The flags of TCP come first in its words.
  const said = flags & FLAG.datagram ? "" : packets.words[n].split(" seq=", 1)[0];
  return [said, bytes].filter((part) => part !== "").join(" · ");
}

/** A segment in words, without its name and number. */
function detailOf(of, n) {
  const parts = [];
  if (of.command[n] >= BLOCK) {
    const rest = of.text[n].split(" ").slice(1).join(" ");
    if (rest !== "") parts.push(rest);
  } else if (of.length[n] > 0 || of.command[n] === PUSH) {
    parts.push(plural(of.length[n], "byte"));
    if (of.text[n] !== "") parts.push(of.text[n]);
  }
  parts.push(`una=${of.una[n]} wnd=${of.window[n]}`);
  if (of.fragment[n] !== 0 && of.command[n] < BLOCK) parts.push(`frg=${of.fragment[n]}`);
  return parts.join(" ");
}

/** Segments of a packet that are told in its row; ACKs that say the same count as one. */
const TOLD = 3;

/** Where the ACKs end that say the same beside their number, as the one at `at` does. */
function endOfAcks(of, at, last) {
  const same = (n) => of.command[n] === ACK && of.length[n] === 0 && of.una[n] === of.una[at] && of.window[n] === of.window[at];
  let end = at;
  while (end < last && same(end)) end++;
  return end;
}

/** A packet in words: what stands beside its arrow. */
function wordsOf(packets, n) {
  const of = packets.segments, first = packets.first[n], count = packets.first[n + 1] - first, parts = [];
  let at = first;
  for (const last = first + count; at < last && parts.length < TOLD;) {
    const end = Math.max(endOfAcks(of, at, last), at + 1), numbers = [...of.sn.slice(at, end)];
    const number = (of.command[at] & ~BLOCK) <= ACK ? `${ranges(numbers, 6)} ` : "";
    parts.push((count > 1 ? `${nameOf(of, at)} ${number}` : "") + detailOf(of, at));
    at = end;
  }
  if (at < first + count) parts.push(`${first + count - at} more`);
  const said = visible(packets.words[n]);
  return [parts.join(" | "), said].filter((part) => part !== "").join("  ");
}

/** The remarks of a segment, each with sign, word and class. */
function remarksOf(of, n) {
  const remarks = [];
  for (const [bit, word] of report.head.marks) {
    if (!(of.marks[n] & bit)) continue;
    let words = word;
    if (word === "retransmission") {
      const nth = of.transmission[n] > 2 ? ` ${of.transmission[n] - 1}` : "";
      words = `retransmission${nth} after ${duration(of.after[n])}`;
    }
    remarks.push({ sign: signOf(word), word: words, kind: classOf(word) });
  }
  if (report.links.unanswered[n]) {
    const again = report.packets.number[of.packet[report.links.again[n]]];
    remarks.push({ sign: "×", word: `no answer seen, sent again in ${again}`, kind: "lost" });
  }
  return remarks;
}

/** The remarks of a packet: those of all of its segments, each once. */
function remarksOfPacket(packets, n) {
  const seen = new Map(), flags = packets.flags[n];
  if (report.remarks[n] !== 0) {
    for (let at = packets.first[n]; at < packets.first[n + 1]; at++) {
      for (const remark of remarksOf(packets.segments, at)) {
        if (!seen.has(remark.word)) seen.set(remark.word, remark);
      }
    }
  }
  if (flags & FLAG.again) seen.set("tcp", { sign: "↻", word: "retransmission", kind: "again" });
  if (flags & FLAG.ahead) seen.set("ahead", { sign: "↷", word: "ahead of what is missing", kind: "odd" });
  if (report.isTrouble(n)) seen.set("trouble", { sign: "!", word: "not explained, or not all", kind: "odd" });
  return [...seen.values()];
}
