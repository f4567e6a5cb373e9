-- KCP for Wireshark and tshark: segments, the header of forward error correction as kcp-go has it, and the extension
-- blocks of sendoff.
--
-- Flows are recognised by their content, if all of a datagram is whole segments of one conversation, and no other
-- dissector has the port (the preference `udp.try_heuristic_first` changes that). For others, sealed ones above all:
-- "Decode As… KCP", or the preference "UDP ports" of the protocol. What is sealed stays opaque here:
-- `sendoff dissect --key-file` opens it. Fields are named `kcp.…`, so that `kcp.cmd == 81 && kcp.len > 1000` filters.
--
-- Works with Lua 5.2 (Wireshark 4.0) and later; uses no bit operators, which differ between them.

local kcp = Proto("kcp", "KCP (reliable UDP)")

local HEADER = 24 -- of a segment
local BLOCK_HEADER = 24 -- in front of a block's body
local MAX_REASON = 256 -- bytes
local TOLD_SEGMENTS = 8 -- in the column Info; the rest is counted

local PUSH, ACK, WASK, WINS = 81, 82, 83, 84
local COMMANDS = { [PUSH] = "PUSH", [ACK] = "ACK", [WASK] = "WASK", [WINS] = "WINS" }

local DATA_SHARD, PARITY_SHARD, OUT_OF_BAND = 0xf1, 0xf2, 0xf3
local SHARDS = { [DATA_SHARD] = "data", [PARITY_SHARD] = "parity", [OUT_OF_BAND] = "out of band" }

-- Of each block: its name, the command that carries it, the bytes of its body that have to be there, and whether it may
-- come from somebody without such a conversation.
local KINDS = {
  [1] = { name = "HELLO", carrier = WASK, body = 20 },
  [2] = { name = "WELCOME", carrier = WINS, body = 4 },
  [3] = { name = "RETRY", carrier = WINS, body = 16, from_nobody = true },
  [4] = { name = "PING", carrier = WASK, body = 8 },
  [5] = { name = "PONG", carrier = WINS, body = 8 },
  [6] = { name = "RESET", carrier = WINS, body = 4, from_nobody = true },
  [7] = { name = "FIN", carrier = PUSH, fragment = 255, body = 4 },
}
local KIND_NAMES = {}
for number, kind in pairs(KINDS) do
  KIND_NAMES[number] = kind.name
end

local CODES = {
  [0] = "no code",
  [1] = "conversation unknown",
  [2] = "conversation id in use",
  [3] = "busy",
  [4] = "going away",
  [5] = "closed with data unread",
  [6] = "linger time over",
  [7] = "protocol error",
}

-- Fields ----------------------------------------------------------------------------------------------------------

local f = {
  conv = ProtoField.uint32("kcp.conv", "Conversation", base.HEX),
  cmd = ProtoField.uint8("kcp.cmd", "Command", base.DEC, COMMANDS),
  frg = ProtoField.uint8("kcp.frg", "Fragments to come", base.DEC),
  wnd = ProtoField.uint16("kcp.wnd", "Window, in segments", base.DEC),
  ts = ProtoField.uint32("kcp.ts", "Timestamp, in ms", base.DEC),
  sn = ProtoField.uint32("kcp.sn", "Sequence number", base.DEC),
  una = ProtoField.uint32("kcp.una", "Next number expected", base.DEC),
  len = ProtoField.uint32("kcp.len", "Bytes of data", base.DEC),
  data = ProtoField.bytes("kcp.data", "Data"),
  ignored = ProtoField.bytes("kcp.ignored", "Ignored by receivers"),
  opaque = ProtoField.bytes("kcp.opaque", "Not explained"),

  seqid = ProtoField.uint32("kcp.fec.seqid", "Number of the shard", base.DEC),
  shard = ProtoField.uint16("kcp.fec.type", "Type", base.HEX, SHARDS),
  -- Of a data shard 2 more than its segments have, of an out-of-band message 6 more than its bytes.
  size = ProtoField.uint16("kcp.fec.size", "Size", base.DEC),
  parity = ProtoField.bytes("kcp.fec.parity", "Parity"),
  oob_conv = ProtoField.uint32("kcp.oob.conv", "Conversation", base.HEX),
  oob_data = ProtoField.bytes("kcp.oob.data", "Message"),

  magic = ProtoField.string("kcp.block.magic", "Magic"),
  version = ProtoField.uint8("kcp.block.version", "Version", base.DEC),
  kind = ProtoField.uint8("kcp.block.kind", "Kind", base.DEC, KIND_NAMES),
  flags = ProtoField.uint16("kcp.block.flags", "Flags", base.HEX),
  going_away = ProtoField.bool("kcp.block.flags.going_away", "Going away", 16, nil, 0x0001),
  reads_no_more = ProtoField.bool("kcp.block.flags.reads_no_more", "Reads no more", 16, nil, 0x0002),
  to = ProtoField.uint64("kcp.block.to", "To (token of the receiver)", base.HEX),
  from = ProtoField.uint64("kcp.block.from", "From (token of the sender)", base.HEX),
  features = ProtoField.uint32("kcp.block.features", "Features", base.HEX),
  cookie = ProtoField.bytes("kcp.block.cookie", "Cookie"),
  challenge = ProtoField.uint64("kcp.block.challenge", "Challenge", base.HEX),
  code = ProtoField.uint32("kcp.block.code", "Code", base.DEC, CODES),
  reason = ProtoField.string("kcp.block.reason", "Reason", base.UNICODE),
  extra = ProtoField.bytes("kcp.block.extra", "Ignored"),

  sent_before = ProtoField.framenum("kcp.analysis.sent_before", "Sent before in", base.NONE, frametype.DUP_ACK),
  acks = ProtoField.framenum("kcp.analysis.acks", "Answers the PUSH in", base.NONE, frametype.ACK),
  rtt = ProtoField.relative_time("kcp.analysis.rtt", "Since that PUSH"),
}
kcp.fields = f

local e = {
  command = ProtoExpert.new("kcp.unknown_command", "cmd is none of PUSH, ACK, WASK, WINS",
    expert.group.MALFORMED, expert.severity.WARN),
  length = ProtoExpert.new("kcp.bad_length", "Data longer than the datagram", expert.group.MALFORMED, expert.severity.WARN),
  other = ProtoExpert.new("kcp.other_conversation", "Another conversation in the same datagram: receivers stop here",
    expert.group.PROTOCOL, expert.severity.WARN),
  trailing = ProtoExpert.new("kcp.trailing", "Too short for a segment: receivers ignore it",
    expert.group.PROTOCOL, expert.severity.NOTE),
  sealed = ProtoExpert.new("kcp.sealed", "No segment in front: sealed with a cipher, or not KCP",
    expert.group.UNDECODED, expert.severity.NOTE),
  cut = ProtoExpert.new("kcp.cut", "Cut off by the capture", expert.group.UNDECODED, expert.severity.WARN),
  size = ProtoExpert.new("kcp.fec.bad_size", "Size of the shard isn't that of its segments",
    expert.group.MALFORMED, expert.severity.WARN),
  no_block = ProtoExpert.new("kcp.block.invalid", "Begins as an extension block, but is none that counts",
    expert.group.PROTOCOL, expert.severity.WARN),
  empty = ProtoExpert.new("kcp.empty_push", "PUSH without data: blocks the reader of some stacks",
    expert.group.PROTOCOL, expert.severity.NOTE),
  fragment = ProtoExpert.new("kcp.reserved_fragment", "frg 255 belongs to FIN: blocks the reader of some stacks",
    expert.group.PROTOCOL, expert.severity.WARN),
  again = ProtoExpert.new("kcp.retransmission", "Sent again", expert.group.SEQUENCE, expert.severity.NOTE),
  copy = ProtoExpert.new("kcp.copy", "A copy: same number, same timestamp", expert.group.SEQUENCE, expert.severity.NOTE),
  fin = ProtoExpert.new("kcp.fin", "Nothing follows from this side", expert.group.SEQUENCE, expert.severity.CHAT),
  reset = ProtoExpert.new("kcp.reset", "The conversation is no more", expert.group.SEQUENCE, expert.severity.WARN),
}
kcp.experts = e

kcp.prefs.ports = Pref.range("UDP ports", "", "Datagrams of these ports are KCP, whatever they look like", 65535)

-- Which segment answers or repeats which ---------------------------------------------------------------------------

-- Of each direction of a conversation: sn → frame, time and ts of its first and its last transmission.
local sent = {}
-- What was found out on the first pass: frame number → place in it → finding.
local findings = {}

function kcp.init()
  sent, findings = {}, {}
end

local function direction(from, from_port, to, to_port, conv)
  return tostring(from) .. " " .. from_port .. " " .. tostring(to) .. " " .. to_port .. " " .. conv
end

local function judge_push(pinfo, segment)
  local key = direction(pinfo.src, pinfo.src_port, pinfo.dst, pinfo.dst_port, segment.conv)
  local numbers = sent[key]
  if not numbers then
    numbers = {}
    sent[key] = numbers
  end
  local now = { frame = pinfo.number, time = pinfo.rel_ts, ts = segment.ts }
  local known = numbers[segment.sn]
  if not known then
    numbers[segment.sn] = { first = now, last = now }
    return nil
  end
  -- A copy may have been overtaken by a later transmission.
  local copy = known.last.ts == segment.ts or known.first.ts == segment.ts
  local finding = { sent_before = known.last.frame, copy = copy }
  if not copy then
    known.last = now
  end
  return finding
end

local function judge_ack(pinfo, segment)
  local key = direction(pinfo.dst, pinfo.dst_port, pinfo.src, pinfo.src_port, segment.conv)
  local known = sent[key] and sent[key][segment.sn]
  if not known then
    return nil
  end
  for _, push in ipairs({ known.last, known.first }) do
    if push.ts == segment.ts then
      return { acks = push.frame, rtt = math.max(0, pinfo.rel_ts - push.time) }
    end
  end
  return nil
end

local function tell_finding(tree, range, finding)
  if finding.sent_before then
    tree:add(f.sent_before, range, finding.sent_before):set_generated()
    tree:add_proto_expert_info(finding.copy and e.copy or e.again)
  end
  if finding.acks then
    tree:add(f.acks, range, finding.acks):set_generated()
    local seconds = math.floor(finding.rtt)
    local nanos = math.floor((finding.rtt - seconds) * 1e9 + 0.5)
    tree:add(f.rtt, range, NSTime.new(seconds, math.min(nanos, 999999999))):set_generated()
  end
end

local function analyse(pinfo, segment, tree, range)
  local of_frame = findings[pinfo.number]
  local place = range:offset()
  if not pinfo.visited then
    local finding
    if segment.cmd == PUSH then
      finding = judge_push(pinfo, segment)
    elseif segment.cmd == ACK then
      finding = judge_ack(pinfo, segment)
    end
    if finding then
      if not of_frame then
        of_frame = {}
        findings[pinfo.number] = of_frame
      end
      of_frame[place] = finding
    end
  end
  local finding = of_frame and of_frame[place]
  if finding then
    tell_finding(tree, range, finding)
  end
  return finding
end

-- A number in words: some versions hand out whole numbers as floating ones, whose `..` has a point.
local function dec(number)
  return string.format("%.0f", number)
end

-- Segments and blocks ----------------------------------------------------------------------------------------------

-- The segment at `offset`, if one is there that is whole before `limit`; else what is wrong.
local function parse_segment(tvb, offset, limit)
  if limit - offset < HEADER then
    return nil, "short"
  end
  local cmd = tvb(offset + 4, 1):uint()
  if not COMMANDS[cmd] then
    return nil, "command"
  end
  local len = tvb(offset + 20, 4):le_uint()
  if len > limit - offset - HEADER then
    return nil, "length"
  end
  return {
    offset = offset,
    conv = tvb(offset, 4):le_uint(),
    cmd = cmd,
    frg = tvb(offset + 5, 1):uint(),
    wnd = tvb(offset + 6, 2):le_uint(),
    ts = tvb(offset + 8, 4):le_uint(),
    sn = tvb(offset + 12, 4):le_uint(),
    una = tvb(offset + 16, 4):le_uint(),
    len = len,
    next = offset + HEADER + len,
  }
end

local function is_marked(tvb, segment)
  return segment.len >= 4 and tvb(segment.offset + HEADER, 4):uint() == 0x534f4646 -- SOFF
end

-- The kind of the block in a segment, if it is one that counts; else why not.
local function block_kind(tvb, segment)
  local at = segment.offset + HEADER
  if segment.len < BLOCK_HEADER then
    return nil, "too short for the header of a block"
  end
  if tvb(at + 4, 1):uint() ~= 1 then
    return nil, "another version"
  end
  local kind = KINDS[tvb(at + 5, 1):uint()]
  if not kind then
    return nil, "an unknown kind"
  end
  if segment.cmd ~= kind.carrier or (kind.fragment and segment.frg ~= kind.fragment) then
    return nil, kind.name .. " in a segment that doesn't carry it"
  end
  if segment.len < BLOCK_HEADER + kind.body then
    return nil, "too short for " .. kind.name
  end
  local from = tvb(at + 16, 8)
  if not kind.from_nobody and from(0, 4):le_uint() == 0 and from(4, 4):le_uint() == 0 then
    return nil, kind.name .. " from nobody"
  end
  return kind
end

-- Bytes of the character of UTF-8 that begins at `at` (1 is the first) of `text`, or nil if none does.
local function character_len(text, at)
  local lead = text:byte(at)
  if lead < 0x80 then
    return 1
  end
  local len = lead >= 0xc2 and lead <= 0xdf and 2 or lead >= 0xe0 and lead <= 0xef and 3 or lead >= 0xf0 and lead <= 0xf4 and 4
  if not len or at + len - 1 > #text then
    return nil
  end
  for n = at + 1, at + len - 1 do
    local byte = text:byte(n)
    if byte < 0x80 or byte > 0xbf then
      return nil
    end
  end
  -- Too long, surrogates, past the last plane.
  local second = text:byte(at + 1)
  if (lead == 0xe0 and second < 0xa0) or (lead == 0xed and second > 0x9f)
    or (lead == 0xf0 and second < 0x90) or (lead == 0xf4 and second > 0x8f) then
    return nil
  end
  return len
end

-- How much of a reason counts: what is UTF-8, up to a limit, cut at a character.
local function reason_len(text)
  local at = 1
  while at <= #text do
    local len = character_len(text, at)
    if not len or at + len - 1 > MAX_REASON then
      break
    end
    at = at + len
  end
  return at - 1
end

-- A code and its reason; returns them in words.
local function tell_end(tvb, at, tree, len)
  local code = tvb(at, 4)
  local item = tree:add_le(f.code, code)
  local number = code:le_uint()
  if number >= 8 and number <= 15 then
    item:append_text(" (reserved code)")
  elseif number > 15 then
    item:append_text(" (of the application)")
  end
  local words = "code=" .. dec(number)
  local reason = len > 4 and reason_len(tvb(at + 4, len - 4):raw()) or 0
  if reason > 0 then
    local range = tvb(at + 4, reason)
    tree:add_packet_field(f.reason, range, ENC_UTF_8)
    words = words .. ' "' .. range:string(ENC_UTF_8) .. '"'
  end
  return words, 4 + reason
end

local function tell_flags(tvb, at, tree, is_ping)
  local range = tvb(at, 2)
  local item = tree:add_le(f.flags, range)
  local words = ""
  if is_ping then
    item:add_le(f.going_away, range)
    item:add_le(f.reads_no_more, range)
    local flags = range:le_uint()
    if flags % 2 == 1 then
      words = words .. " going away"
    end
    if math.floor(flags / 2) % 2 == 1 then
      words = words .. " reads no more"
    end
  end
  return words
end

-- Returns what the block says, in words.
local function tell_block(tvb, segment, kind, tree)
  local at = segment.offset + HEADER
  local block = tree:add(tvb(at, segment.len), "Extension block: " .. kind.name)
  block:add_packet_field(f.magic, tvb(at, 4), ENC_ASCII)
  block:add(f.version, tvb(at + 4, 1))
  block:add(f.kind, tvb(at + 5, 1))
  local words = tell_flags(tvb, at + 6, block, kind.name == "PING")
  block:add_le(f.to, tvb(at + 8, 8))
  block:add_le(f.from, tvb(at + 16, 8))
  local body = at + BLOCK_HEADER
  local told = kind.body
  if kind.name == "HELLO" then
    block:add_le(f.features, tvb(body, 4))
    block:add(f.cookie, tvb(body + 4, 16))
    if tvb(body + 4, 16):bytes():tohex():find("[1-9A-F]") then
      words = words .. " with cookie"
    end
  elseif kind.name == "WELCOME" then
    block:add_le(f.features, tvb(body, 4))
  elseif kind.name == "RETRY" then
    block:add(f.cookie, tvb(body, 16))
  elseif kind.name == "PING" or kind.name == "PONG" then
    block:add_le(f.challenge, tvb(body, 8))
  else
    local ending
    ending, told = tell_end(tvb, body, block, segment.len - BLOCK_HEADER)
    words = words .. " " .. ending
    block:add_proto_expert_info(kind.name == "FIN" and e.fin or e.reset)
  end
  local extra = segment.len - BLOCK_HEADER - told
  if extra > 0 then
    block:add(f.extra, tvb(body + told, extra))
  end
  return words
end

-- What a segment carries; returns it in words, and the name of the block if it is one.
local function tell_content(tvb, segment, tree)
  if segment.len == 0 then
    if segment.cmd == PUSH then
      tree:add_proto_expert_info(e.empty)
      return " 0 bytes"
    end
    return ""
  end
  local range = tvb(segment.offset + HEADER, segment.len)
  if segment.cmd ~= ACK and is_marked(tvb, segment) then
    local kind, why = block_kind(tvb, segment)
    if kind then
      return tell_block(tvb, segment, kind, tree), kind.name
    end
    if segment.cmd ~= PUSH then
      tree:add(f.data, range):add_proto_expert_info(e.no_block, "No valid extension block: " .. why)
      return string.format(" %d bytes, no valid block", segment.len)
    end
  end
  tree:add(f.data, range)
  if segment.cmd == PUSH and segment.frg == 255 then
    tree:add_proto_expert_info(e.fragment)
  end
  return string.format(" %d byte%s", segment.len, segment.len == 1 and "" or "s")
end

-- Adds a segment to the tree; returns it in words.
local function tell_segment(tvb, segment, pinfo, tree)
  local at = segment.offset
  local range = tvb(at, HEADER + segment.len)
  local item = tree:add(range, "Segment")
  item:add_le(f.conv, tvb(at, 4))
  item:add(f.cmd, tvb(at + 4, 1))
  item:add(f.frg, tvb(at + 5, 1))
  item:add_le(f.wnd, tvb(at + 6, 2))
  local ts = item:add_le(f.ts, tvb(at + 8, 4))
  if segment.cmd == ACK then
    ts:append_text(" (echo)")
  end
  item:add_le(f.sn, tvb(at + 12, 4))
  item:add_le(f.una, tvb(at + 16, 4))
  item:add_le(f.len, tvb(at + 20, 4))
  local content, block = tell_content(tvb, segment, item)
  local words = block or COMMANDS[segment.cmd]
  if segment.cmd == PUSH or segment.cmd == ACK then
    words = words .. " sn=" .. dec(segment.sn)
  end
  words = words .. " una=" .. dec(segment.una) .. " wnd=" .. dec(segment.wnd)
  if segment.frg ~= 0 and not block then
    words = words .. " frg=" .. dec(segment.frg)
  end
  words = words .. content
  -- What an ICMP message quotes has been seen where it was sent.
  local finding = not pinfo.in_error_pkt and analyse(pinfo, segment, item, range) or nil
  if finding and finding.sent_before then
    words = words .. (finding.copy and " [copy]" or " [retransmission]")
  end
  item:set_text("Segment: " .. words)
  return words
end

-- Why what lies at `offset` is no segment.
local function tell_trouble(tvb, offset, limit, why, is_cut, tree)
  local rest = tvb(offset, limit - offset)
  if is_cut then
    tree:add(f.opaque, rest):add_proto_expert_info(e.cut)
    return "cut off by the capture"
  end
  if why == "short" then
    tree:add(f.ignored, rest):add_proto_expert_info(e.trailing)
    return string.format("%d bytes ignored", limit - offset)
  end
  if why == "command" then
    local cmd = tvb(offset + 4, 1):uint()
    local words = string.format("cmd 0x%02x is none of PUSH 0x51, ACK 0x52, WASK 0x53, WINS 0x54", cmd)
    tree:add(f.ignored, rest):add_proto_expert_info(e.command, words)
    return string.format("no segment: cmd 0x%02x", cmd)
  end
  local words = string.format("%s bytes of data, %d are there", dec(tvb(offset + 20, 4):le_uint()), limit - offset - HEADER)
  tree:add(f.ignored, rest):add_proto_expert_info(e.length, words)
  return "no segment: " .. words
end

-- All segments from `offset` to `limit`; returns them in words, or nil if there is none in front.
local function tell_segments(tvb, offset, limit, is_cut, pinfo, tree)
  local words, count, conv = {}, 0, nil
  while offset < limit do
    local segment, why = parse_segment(tvb, offset, limit)
    if not segment and count == 0 then
      return nil
    end
    if not segment then
      table.insert(words, tell_trouble(tvb, offset, limit, why, is_cut, tree))
      break
    end
    if conv and conv ~= segment.conv then
      tree:add(f.ignored, tvb(offset, limit - offset)):add_proto_expert_info(e.other)
      table.insert(words, string.format("conv 0x%08x follows", segment.conv))
      break
    end
    conv = segment.conv
    count = count + 1
    local told = tell_segment(tvb, segment, pinfo, tree)
    if count <= TOLD_SEGMENTS then
      table.insert(words, told)
    end
    offset = segment.next
  end
  if count > TOLD_SEGMENTS then
    table.insert(words, string.format("%d more segments", count - TOLD_SEGMENTS))
  end
  return table.concat(words, " | ")
end

-- Datagrams --------------------------------------------------------------------------------------------------------

-- The type of a shard, if the datagram begins as one.
local function shard_type(tvb)
  local len = tvb:len()
  local kind = len >= 6 and tvb(4, 2):le_uint()
  local least = { [DATA_SHARD] = 8, [PARITY_SHARD] = 6, [OUT_OF_BAND] = 12 }
  if kind and least[kind] and len >= least[kind] then
    return kind
  end
  return nil
end

local function tell_shard(tvb, kind, is_cut, pinfo, tree)
  local len = tvb:len()
  local header = tree:add(tvb(0, kind == OUT_OF_BAND and 12 or kind == PARITY_SHARD and 6 or 8), "Forward error correction")
  header:add_le(f.seqid, tvb(0, 4))
  header:add_le(f.shard, tvb(4, 2))
  local seqid = tvb(0, 4):le_uint()
  if kind == PARITY_SHARD then
    if len > 6 then
      tree:add(f.parity, tvb(6, len - 6))
    end
    return "parity shard " .. dec(seqid)
  end
  if kind == OUT_OF_BAND then
    header:add_le(f.size, tvb(6, 2))
    header:add_le(f.oob_conv, tvb(8, 4))
    if len > 12 then
      tree:add(f.oob_data, tvb(12, len - 12))
    end
    return string.format("out of band conv=0x%08x %d bytes", tvb(8, 4):le_uint(), len - 12)
  end
  local size = header:add_le(f.size, tvb(6, 2))
  if not is_cut and tvb(6, 2):le_uint() ~= len - 6 then
    size:add_proto_expert_info(e.size, string.format("size is %d, its segments make %d", tvb(6, 2):le_uint(), len - 6))
  end
  local words = len > 8 and tell_segments(tvb, 8, len, is_cut, pinfo, tree)
  if not words and len > 8 then
    tree:add(f.opaque, tvb(8, len - 8)):add_proto_expert_info(is_cut and e.cut or e.command, "No segment in front")
  end
  return string.format("data shard %s: %s", dec(seqid), words or "no segment")
end

function kcp.dissector(tvb, pinfo, tree)
  local len = tvb:len()
  if len == 0 then
    return 0
  end
  local is_cut = len < tvb:reported_len()
  pinfo.cols.protocol = "KCP"
  local root = tree:add(kcp, tvb())
  local kind = shard_type(tvb)
  local words
  if kind then
    pinfo.cols.protocol = "KCP/FEC"
    words = tell_shard(tvb, kind, is_cut, pinfo, root)
  else
    words = tell_segments(tvb, 0, len, is_cut, pinfo, root)
  end
  if not words then
    local item = root:add(f.opaque, tvb())
    item:add_proto_expert_info(is_cut and e.cut or e.sealed)
    words = string.format("%d bytes, %s", len, is_cut and "cut off by the capture" or "sealed or not KCP")
  end
  root:append_text(", " .. words)
  pinfo.cols.info = words
  return len
end

-- Whether all of a datagram is whole segments of one conversation: chance makes that once in 2^40 datagrams.
local function is_surely_kcp(tvb, offset)
  local limit, conv = tvb:len(), nil
  if offset >= limit then
    return false
  end
  while offset < limit do
    local segment = parse_segment(tvb, offset, limit)
    if not segment or (conv and conv ~= segment.conv) then
      return false
    end
    conv, offset = segment.conv, segment.next
  end
  return true
end

local function is_surely_ours(tvb)
  local len = tvb:len()
  if len < tvb:reported_len() then
    return false
  end
  local kind = shard_type(tvb)
  if kind == DATA_SHARD then
    return tvb(6, 2):le_uint() == len - 6 and is_surely_kcp(tvb, 8)
  elseif kind == OUT_OF_BAND then
    return tvb(0, 4):le_uint() == 0xffffffff and tvb(6, 2):le_uint() == len - 6
  elseif kind == PARITY_SHARD then
    return false
  end
  return is_surely_kcp(tvb, 0)
end

kcp:register_heuristic("udp", function(tvb, pinfo, tree)
  if not is_surely_ours(tvb) then
    return false
  end
  -- The rest of the flow too: parity, and what can't be explained.
  pinfo.conversation = kcp
  kcp.dissector(tvb, pinfo, tree)
  return true
end)

local udp_ports = DissectorTable.get("udp.port")
udp_ports:add_for_decode_as(kcp)

local ports = ""
function kcp.prefs_changed()
  if ports ~= kcp.prefs.ports then
    if ports ~= "" then
      udp_ports:remove(ports, kcp)
    end
    ports = kcp.prefs.ports
    if ports ~= "" then
      udp_ports:add(ports, kcp)
    end
  end
end
