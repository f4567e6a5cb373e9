// Which packets the ladder shows, and where: rows have one height, silence before a packet adds to it.

/** Height of a row, in pixels. */
const ROW = 24;

/** Height that silence adds before a packet: the longer, the more, in a few steps. */
function silence(micros) {
  if (micros < MILLISECOND) return 0;
  if (micros < 10 * MILLISECOND) return 6;
  if (micros < 100 * MILLISECOND) return 18;
  return micros < SECOND ? 26 : 34;
}

/** Rows of the ladder: some packets of the report, in order. */
class Rows {
  constructor(packets, remarks, view, only) {
    const all = new Uint32Array(packets.count);
    let count = 0;
    for (let n = 0; n < packets.count; n++) {
      if ((view === 0 || packets.conversation[n] === view) && (!only || remarks[n] !== 0)) all[count++] = n;
    }
    this.packets = packets;
    this.packet = all.slice(0, count);
    this.count = count;
    /** Where each begins; one more than there are. */
    this.top = new Float64Array(count + 1);
    for (let at = 0; at < count; at++) this.top[at + 1] = this.top[at] + ROW + silence(this.since(at));
  }

  /** Microseconds since the row before. */
  since(at) {
    if (at === 0) return 0;
    return Math.max(0, this.packets.time[this.packet[at]] - this.packets.time[this.packet[at - 1]]);
  }

  get height() {
    return this.top[this.count];
  }

  /** The row at that height. */
  at(y) {
    return Math.max(0, Math.min(this.count - 1, lowerBound(this.count, (n) => this.top[n + 1] > y)));
  }

  /** The first row that isn't before that packet. */
  ofPacket(packet) {
    return Math.min(this.count - 1, lowerBound(this.count, (n) => this.packet[n] >= packet));
  }

  /** The first row that isn't before that time. */
  ofTime(time) {
    // A clock that was set back is put up with.
    return Math.min(this.count - 1, lowerBound(this.count, (n) => this.packets.time[this.packet[n]] >= time - 0.5));
  }
}
