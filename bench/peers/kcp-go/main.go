// Plays kcp-go in the comparison: the same scenarios, arguments and answers as the Rust program beside it.
package main

import (
	"bufio"
	"bytes"
	"crypto/pbkdf2"
	"crypto/sha1"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/xtaci/kcp-go/v5"
)

const (
	mtu          = 1400
	window       = 1024
	socketBuffer = 4 << 20
	ping         = 64
	echo         = 64 << 10
	opening      = 64
	secret       = "a benchmark has no secrets"
)

// block is the cipher of all sessions; nil: none.
var block kcp.BlockCrypt

// dataShards and parityShards are the FEC of all sessions; 0: none.
var dataShards, parityShards int

var (
	started     = time.Now()
	delivered   atomic.Uint64
	connections atomic.Int64
	goOn        = make(chan struct{}, 1)

	tripsLock sync.Mutex
	trips     = make([]uint32, 0, 1<<20)
)

func main() {
	if len(os.Args) < 4 {
		fail(fmt.Errorf("usage: server|client kcp-go SCENARIO [ADDRESS] [FLAGS]"))
	}
	role, scenario, rest := os.Args[1], os.Args[3], os.Args[4:]
	address := ""
	if role == "client" {
		address, rest = rest[0], rest[1:]
	}
	flags := flag.NewFlagSet(role, flag.ExitOnError)
	chunk := flags.Int("chunk", 64<<10, "bytes per write and read")
	count := flags.Int("connections", 1, "idle connections")
	crypt := flags.String("crypt", "null", "cipher, by kcptun's name")
	fec := flags.String("fec", "0/0", "forward error correction, as data/parity")
	_ = flags.Parse(rest)
	var err error
	if _, err = fmt.Sscanf(*fec, "%d/%d", &dataShards, &parityShards); err != nil {
		fail(fmt.Errorf("fec %q: %w", *fec, err))
	}
	if block, err = cipher(*crypt); err != nil {
		fail(err)
	}
	go answer()
	if role == "server" {
		fail(serve(scenario, *chunk))
	}
	fail(drive(scenario, address, *chunk, *count))
}

func serve(scenario string, chunk int) error {
	listener, err := kcp.ListenWithOptions("127.0.0.1:0", block, dataShards, parityShards)
	if err != nil {
		return err
	}
	if err := listener.SetReadBuffer(socketBuffer); err != nil {
		return err
	}
	if err := listener.SetWriteBuffer(socketBuffer); err != nil {
		return err
	}
	emit(map[string]any{"event": "listening", "address": listener.Addr().String()})
	for {
		session, err := listener.AcceptKCP()
		if err != nil {
			return err
		}
		tune(session)
		go func() {
			var err error
			switch scenario {
			case "bulk":
				err = sink(session, chunk)
			case "echo":
				err = reflect(session, echo)
			case "ping-pong":
				err = reflect(session, ping)
			default:
				err = idle(session)
			}
			fmt.Fprintln(os.Stderr, "connection:", err)
		}()
	}
}

// cipher makes the cipher that kcptun makes of its name and the secret.
func cipher(name string) (kcp.BlockCrypt, error) {
	key, err := pbkdf2.Key(sha1.New, secret, []byte("kcp-go"), 4096, 32)
	if err != nil {
		return nil, err
	}
	switch name {
	case "null":
		return nil, nil
	case "none":
		return kcp.NewNoneBlockCrypt(key)
	case "xor":
		return kcp.NewSimpleXORBlockCrypt(key)
	case "aes":
		return kcp.NewAESBlockCrypt(key)
	case "aes-192":
		return kcp.NewAESBlockCrypt(key[:24])
	case "aes-128":
		return kcp.NewAESBlockCrypt(key[:16])
	case "aes-128-gcm":
		return kcp.NewAESGCMCrypt(key[:16])
	case "salsa20":
		return kcp.NewSalsa20BlockCrypt(key)
	}
	return nil, fmt.Errorf("cipher %q isn't compared", name)
}

// tune sets what suits kcp-go best in these scenarios.
func tune(session *kcp.UDPSession) {
	session.SetNoDelay(1, 10, 2, 1)
	session.SetWindowSize(window, window)
	session.SetMtu(mtu)
	session.SetStreamMode(true)
	session.SetWriteDelay(false)
	// Tried both ways: acknowledging at once costs it a third to a half of its throughput, and gains no latency.
	session.SetACKNoDelay(false)
}

func dial(address string) (*kcp.UDPSession, error) {
	session, err := kcp.DialWithOptions(address, block, dataShards, parityShards)
	if err != nil {
		return nil, err
	}
	if err := session.SetReadBuffer(socketBuffer); err != nil {
		return nil, err
	}
	if err := session.SetWriteBuffer(socketBuffer); err != nil {
		return nil, err
	}
	tune(session)
	return session, nil
}

// pattern is the byte at a position of the bulk stream.
func pattern(position uint64, chunk int) byte { return byte(position % uint64(chunk) % 251) }

func sink(session *kcp.UDPSession, chunk int) error {
	buffer := make([]byte, chunk)
	var position uint64
	for {
		n, err := session.Read(buffer)
		if err != nil {
			return err
		}
		if n == 0 {
			continue
		}
		if buffer[0] != pattern(position, chunk) || buffer[n-1] != pattern(position+uint64(n-1), chunk) {
			fail(fmt.Errorf("wrong bytes at %d", position))
		}
		position += uint64(n)
		delivered.Add(uint64(n))
	}
}

func reflect(session *kcp.UDPSession, most int) error {
	buffer := make([]byte, most)
	for {
		n, err := session.Read(buffer)
		if err != nil {
			return err
		}
		delivered.Add(uint64(n))
		if _, err := session.Write(buffer[:n]); err != nil {
			return err
		}
	}
}

func idle(session *kcp.UDPSession) error {
	var first [1]byte
	if _, err := io.ReadFull(session, first[:]); err != nil {
		return err
	}
	if _, err := session.Write(first[:]); err != nil {
		return err
	}
	connections.Add(1)
	defer connections.Add(-1)
	var little [16]byte
	for {
		if _, err := session.Read(little[:]); err != nil {
			return fmt.Errorf("an idle connection ended: %w", err)
		}
	}
}

func drive(scenario, address string, chunk, count int) error {
	if scenario == "idle" {
		return hold(address, count)
	}
	session, err := dial(address)
	if err != nil {
		return err
	}
	switch scenario {
	case "bulk":
		return pour(session, chunk)
	case "echo":
		return bounce(session, echo)
	default:
		return bounce(session, ping)
	}
}

func pour(session *kcp.UDPSession, chunk int) error {
	data := make([]byte, chunk)
	for i := range data {
		data[i] = pattern(uint64(i), chunk)
	}
	emit(map[string]any{"event": "ready"})
	for {
		if _, err := session.Write(data); err != nil {
			return err
		}
	}
}

func bounce(session *kcp.UDPSession, size int) error {
	sent, received := bytes.Repeat([]byte{0x5a}, size), make([]byte, size)
	emit(map[string]any{"event": "ready"})
	began := time.Now()
	for number := uint64(0); ; number++ {
		binary.LittleEndian.PutUint64(sent, number)
		binary.BigEndian.PutUint64(sent[size-8:], number)
		if _, err := session.Write(sent); err != nil {
			return err
		}
		if _, err := io.ReadFull(session, received); err != nil {
			return err
		}
		if !bytes.Equal(sent[:8], received[:8]) || !bytes.Equal(sent[size-8:], received[size-8:]) {
			return fmt.Errorf("round trip %d brought other bytes back", number)
		}
		delivered.Add(uint64(size))
		now := time.Now()
		tripsLock.Lock()
		trips = append(trips, uint32(min(now.Sub(began), 1<<32-1)))
		tripsLock.Unlock()
		began = now
	}
}

func hold(address string, count int) error {
	first, err := open(address)
	if err != nil {
		return err
	}
	emit(map[string]any{"event": "ready"})
	<-goOn
	held := []*kcp.UDPSession{first}
	var lock sync.Mutex
	var group sync.WaitGroup
	slots := make(chan struct{}, opening)
	for range count {
		slots <- struct{}{}
		group.Go(func() {
			session, err := open(address)
			if err != nil {
				fail(err)
			}
			lock.Lock()
			held = append(held, session)
			lock.Unlock()
			<-slots
		})
	}
	group.Wait()
	emit(map[string]any{"event": "opened"})
	select {}
}

// open dials and sees that the other side has the connection too.
func open(address string) (*kcp.UDPSession, error) {
	session, err := dial(address)
	if err != nil {
		return nil, err
	}
	one := []byte{0x5a}
	if _, err := session.Write(one); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(session, one); err != nil {
		return nil, err
	}
	connections.Add(1)
	return session, nil
}

// answer serves the runner's requests; the process ends with its standard input.
func answer() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		switch lines.Text() {
		case "mark":
			emit(mark())
		case "memory":
			// The collector gives memory back late; what counts is what is in use.
			debug.FreeOSMemory()
			emit(map[string]any{"event": "memory", "resident_bytes": residentBytes()})
		case "go":
			goOn <- struct{}{}
		case "stop":
			os.Exit(0)
		default:
			fail(fmt.Errorf("unknown request %q", lines.Text()))
		}
	}
	os.Exit(0)
}

func mark() map[string]any {
	at := time.Since(started)
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		fail(err)
	}
	got := delivered.Load()
	tripsLock.Lock()
	samples := trips
	trips = make([]uint32, 0, 1<<20)
	tripsLock.Unlock()
	slices.Sort(samples)
	return map[string]any{
		"event":       "mark",
		"at_ns":       at.Nanoseconds(),
		"cpu_ns":      usage.Utime.Nano() + usage.Stime.Nano(),
		"delivered":   got,
		"lost":        0,
		"connections": connections.Load(),
		"round_trips": len(samples),
		"p50_ns":      percentile(samples, 50),
		"p99_ns":      percentile(samples, 99),
	}
}

func percentile(sorted []uint32, percent int) uint32 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)*percent/100, len(sorted)-1)]
}

func residentBytes() uint64 {
	rollup, err := os.ReadFile("/proc/self/smaps_rollup")
	if err != nil {
		fail(err)
	}
	for line := range strings.Lines(string(rollup)) {
		if rest, found := strings.CutPrefix(line, "Rss:"); found {
			kib, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				fail(err)
			}
			return kib * 1024
		}
	}
	fail(fmt.Errorf("no Rss in smaps_rollup"))
	return 0
}

var emitLock sync.Mutex

func emit(event map[string]any) {
	line, err := json.Marshal(event)
	if err != nil {
		panic(err)
	}
	emitLock.Lock()
	defer emitLock.Unlock()
	_, _ = os.Stdout.Write(append(line, '\n'))
}

func fail(err error) {
	emit(map[string]any{"event": "failed", "message": fmt.Sprint(err)})
	os.Exit(1)
}
