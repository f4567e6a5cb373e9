// A kcp-go peer for the interoperability tests: a server that echoes or sinks, and a client that
// sends a seeded payload and checks its echo. It is built twice, once per version of kcp-go
// (go.mod and v561.mod), from this file, cipher.go and shards.go; what only one of them can is in files of their own.
//
// The first line on stdout of a server is "listening on ADDR"; all else on stdout is one JSON
// object per line. A line "close" on stdin closes every session that is open, and "shards" tells what FEC has counted;
// the process ends with its stdin, so that a dead harness leaves none behind.
package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"hash"
	"log"
	"math"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	kcp "github.com/xtaci/kcp-go/v5"
)

// Read buffers hold the longest message whole, since a longer one would lose its boundary.
const readBuffer = 256 * 1024

type options struct {
	address                  string
	serve, mode, seed        string
	profile, sizes           string
	bytes, window, mtu       int
	ackNoDelay, echo         bool
	idle, lifetime, deadline int
	closeAfter, pause        int
	crypt, secret            string
	sendFor, rate            int
	data, parity             int
	outOfBand                bool
}

func parse() (role string, o options) {
	if len(os.Args) < 2 || (os.Args[1] != "server" && os.Args[1] != "client") {
		log.Fatal("usage: peer server|client [flags]")
	}
	role = os.Args[1]
	f := flag.NewFlagSet(role, flag.ExitOnError)
	f.StringVar(&o.address, "address", "127.0.0.1:0", "to listen on, or to connect to")
	f.StringVar(&o.serve, "serve", "echo", "server: echo or sink")
	f.StringVar(&o.mode, "mode", "stream", "stream or message")
	f.StringVar(&o.profile, "profile", "", "nodelay,interval,resend,nc; empty: the library's defaults")
	f.IntVar(&o.window, "window", 0, "send and receive window in segments; 0: the library's defaults")
	f.IntVar(&o.mtu, "mtu", 0, "datagram bytes; 0: the library's default")
	f.BoolVar(&o.ackNoDelay, "ack-no-delay", false, "acknowledge at once")
	f.StringVar(&o.seed, "seed", "payload", "name of the payload")
	f.IntVar(&o.bytes, "bytes", 0, "bytes to send, or for a server the bytes after which it reports")
	f.StringVar(&o.sizes, "sizes", "16384", "sizes of the writes, taken in turn")
	f.BoolVar(&o.echo, "echo", true, "client: read the echo and check it")
	f.IntVar(&o.lifetime, "lifetime-ms", 300, "client: time between the end of its work and its close")
	f.IntVar(&o.pause, "pause-ms", 0, "client: time between one write and the next")
	f.IntVar(&o.sendFor, "send-ms", 0, "client: write for so long, not so many bytes; 0: so many bytes")
	f.IntVar(&o.rate, "rate", 0, "client: bytes per second to write at most; 0: as many as the library takes")
	f.IntVar(&o.deadline, "deadline-ms", 120000, "client: time for all of it")
	f.IntVar(&o.idle, "idle-ms", 0, "server: report a connection that was silent for so long; 0: never")
	f.IntVar(&o.closeAfter, "close-after-ms", -1, "server: close a connection so long after its bytes; -1: never")
	f.StringVar(&o.crypt, "crypt", "null", "cipher, by kcptun's name")
	f.StringVar(&o.secret, "secret", "it's a secrect", "what kcptun's key is made from")
	f.IntVar(&o.data, "data-shards", 0, "FEC: data shards of a group; 0: no FEC")
	f.IntVar(&o.parity, "parity-shards", 0, "FEC: parity shards of a group")
	f.BoolVar(&o.outOfBand, "out-of-band", false, "send back what comes beside the stream")
	_ = f.Parse(os.Args[2:])
	return role, o
}

var stdout sync.Mutex

func emit(event map[string]any) {
	line, err := json.Marshal(event)
	if err != nil {
		log.Fatal(err)
	}
	stdout.Lock()
	defer stdout.Unlock()
	fmt.Println(string(line))
}

// payload is h0 = SHA-256(seed), h(i+1) = SHA-256(h(i)), the hashes joined.
type payload struct {
	block [32]byte
	used  int
}

func newPayload(seed string) *payload { return &payload{block: sha256.Sum256([]byte(seed))} }

func (p *payload) fill(b []byte) {
	for len(b) > 0 {
		if p.used == len(p.block) {
			p.block = sha256.Sum256(p.block[:])
			p.used = 0
		}
		n := copy(b, p.block[p.used:])
		p.used += n
		b = b[n:]
	}
}

// chunks yields the given sizes in turn until the total is reached.
type chunks struct {
	sizes []int
	at    int
	left  int
}

func newChunks(sizes string, total int) *chunks {
	c := &chunks{left: total}
	for _, s := range strings.Split(sizes, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n <= 0 {
			log.Fatalf("bad size %q", s)
		}
		c.sizes = append(c.sizes, n)
	}
	return c
}

func (c *chunks) next() int {
	n := min(c.sizes[c.at%len(c.sizes)], c.left)
	c.at++
	c.left -= n
	return n
}

// open holds the sessions that a command closes, by their numbers.
var open = struct {
	sync.Mutex
	sessions map[int]*kcp.UDPSession
}{sessions: map[int]*kcp.UDPSession{}}

func register(s *kcp.UDPSession, connection int) {
	open.Lock()
	defer open.Unlock()
	open.sessions[connection] = s
}

// closeSession closes one that is open, and tells of it.
func closeSession(connection int) {
	open.Lock()
	s, there := open.sessions[connection]
	delete(open.sessions, connection)
	open.Unlock()
	if there {
		_ = s.Close()
		emit(map[string]any{"event": "closed", "connection": connection})
	}
}

func closeAll() {
	open.Lock()
	var connections []int
	for connection := range open.sessions {
		connections = append(connections, connection)
	}
	open.Unlock()
	for _, connection := range connections {
		closeSession(connection)
	}
}

// obey follows the commands on stdin until its end, and then ends the process.
func obey() {
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		switch lines.Text() {
		case "close":
			closeAll()
		case "shards":
			emitShards()
		default:
			log.Fatalf("bad command %q", lines.Text())
		}
	}
	os.Exit(3)
}

func configure(s *kcp.UDPSession, o options) {
	s.SetStreamMode(o.mode == "stream")
	s.SetWriteDelay(false)
	if o.ackNoDelay {
		s.SetACKNoDelay(true)
	}
	if o.profile != "" {
		var p [4]int
		if _, err := fmt.Sscanf(o.profile, "%d,%d,%d,%d", &p[0], &p[1], &p[2], &p[3]); err != nil {
			log.Fatalf("bad profile %q: %v", o.profile, err)
		}
		s.SetNoDelay(p[0], p[1], p[2], p[3])
	}
	if o.window > 0 {
		s.SetWindowSize(o.window, o.window)
	}
	if o.mtu > 0 && !s.SetMtu(o.mtu) {
		log.Fatalf("mtu %d refused", o.mtu)
	}
	if o.outOfBand {
		echoOutOfBand(s)
	}
}

func server(o options) {
	listener, err := kcp.ListenWithOptions(o.address, cipher(o), o.data, o.parity)
	if err != nil {
		log.Fatal(err)
	}
	_ = listener.SetReadBuffer(4 << 20)
	_ = listener.SetWriteBuffer(4 << 20)
	fmt.Println("listening on", listener.Addr())
	for connection := 1; ; connection++ {
		s, err := listener.AcceptKCP()
		if err != nil {
			log.Fatal(err)
		}
		emit(map[string]any{"event": "accepted", "connection": connection, "peer": s.RemoteAddr().String()})
		configure(s, o)
		register(s, connection)
		go serve(s, connection, o)
	}
}

func serve(s *kcp.UDPSession, connection int, o options) {
	sum, total, messages := sha256.New(), 0, 0
	report := func(why string) {
		emit(map[string]any{"event": "received", "connection": connection, "bytes": total,
			"messages": messages, "sha256": sumHex(sum), "why": why})
	}
	buffer := make([]byte, readBuffer)
	for {
		if o.idle > 0 {
			_ = s.SetReadDeadline(time.Now().Add(time.Duration(o.idle) * time.Millisecond))
		}
		n, err := s.Read(buffer)
		if err != nil {
			report(err.Error())
			return
		}
		sum.Write(buffer[:n])
		total += n
		messages++
		if o.serve == "echo" {
			if _, err := s.Write(buffer[:n]); err != nil {
				report(err.Error())
				return
			}
		}
		if o.bytes > 0 && total >= o.bytes {
			report("complete")
			if o.closeAfter >= 0 {
				time.Sleep(time.Duration(o.closeAfter) * time.Millisecond)
				closeSession(connection)
				return
			}
		}
	}
}

func sumHex(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

func client(o options) {
	started := time.Now()
	s, err := kcp.DialWithOptions(o.address, cipher(o), o.data, o.parity)
	if err != nil {
		log.Fatal(err)
	}
	_ = s.SetReadBuffer(4 << 20)
	_ = s.SetWriteBuffer(4 << 20)
	configure(s, o)
	register(s, 1)
	deadline := started.Add(time.Duration(o.deadline) * time.Millisecond)
	_ = s.SetDeadline(deadline)

	var total atomic.Int64
	total.Store(int64(o.bytes))
	written := make(chan error, 1)
	if o.sendFor > 0 {
		total.Store(math.MaxInt64)
		go func() { written <- writeFor(s, o, &total) }()
	} else {
		go func() { written <- write(s, o) }()
	}
	received := 0
	if o.echo {
		received, err = readEcho(s, o, &total)
	}
	if err == nil {
		err = <-written
	}
	result := map[string]any{"event": "result", "ok": err == nil, "bytes": received, "error": "",
		"elapsed_ms": float64(time.Since(started).Microseconds()) / 1000}
	if err != nil {
		result["error"] = err.Error()
	}
	if o.lifetime > 0 {
		time.Sleep(time.Duration(o.lifetime) * time.Millisecond)
	}
	_ = s.Close()
	if o.data > 0 || kcp.DefaultSnmp.Copy().FECParityShards > 0 {
		emitShards()
	}
	emit(result)
}

// writeFor writes until its time is over, and makes known how many bytes that is in total before it
// writes the last of them.
func writeFor(s *kcp.UDPSession, o options, total *atomic.Int64) error {
	source, plan := newPayload(o.seed), newChunks(o.sizes, math.MaxInt)
	buffer := make([]byte, readBuffer)
	started, written := time.Now(), 0
	for last := false; !last; {
		piece := buffer[:plan.next()]
		source.fill(piece)
		last = time.Since(started) >= time.Duration(o.sendFor)*time.Millisecond
		if last {
			total.Store(int64(written + len(piece)))
		}
		if _, err := s.Write(piece); err != nil {
			return fmt.Errorf("write after %d bytes: %w", written, err)
		}
		written += len(piece)
		if o.rate > 0 {
			due := time.Duration(float64(written) / float64(o.rate) * float64(time.Second))
			time.Sleep(time.Until(started.Add(due)))
		}
	}
	emit(map[string]any{"event": "sent", "bytes": written,
		"elapsed_ms": float64(time.Since(started).Microseconds()) / 1000})
	return nil
}

func write(s *kcp.UDPSession, o options) error {
	source, plan := newPayload(o.seed), newChunks(o.sizes, o.bytes)
	buffer := make([]byte, readBuffer)
	for plan.left > 0 {
		piece := buffer[:plan.next()]
		source.fill(piece)
		if _, err := s.Write(piece); err != nil {
			return fmt.Errorf("write: %w", err)
		}
		if plan.left > 0 && o.pause > 0 {
			time.Sleep(time.Duration(o.pause) * time.Millisecond)
		}
	}
	return nil
}

// readEcho checks every byte, and in message mode that each read is one message.
func readEcho(s *kcp.UDPSession, o options, total *atomic.Int64) (received int, err error) {
	source, plan := newPayload(o.seed), newChunks(o.sizes, o.bytes)
	buffer, expected := make([]byte, readBuffer), make([]byte, readBuffer)
	for int64(received) < total.Load() {
		n, err := s.Read(buffer)
		if err != nil {
			return received, fmt.Errorf("read after %d bytes: %w", received, err)
		}
		if o.mode == "message" {
			if want := plan.next(); n != want {
				return received, fmt.Errorf("message at byte %d has %d bytes, not %d", received, n, want)
			}
		}
		source.fill(expected[:n])
		for i := range n {
			if buffer[i] != expected[i] {
				return received, fmt.Errorf("byte %d is wrong", received+i)
			}
		}
		received += n
	}
	if excess := int64(received) - total.Load(); excess > 0 {
		return received, fmt.Errorf("%d bytes too many", excess)
	}
	return received, nil
}

func main() {
	log.SetFlags(0)
	role, o := parse()
	go obey()
	if role == "server" {
		server(o)
	} else {
		client(o)
	}
}
