// Servers and clients over TCP and UDP with nothing but Go's standard library: the other side of the tests of
// sendoff's tcp:// and udp://.
//
//	std tcp-server | tcp-framed-server | udp-server
//	std tcp-client | tcp-framed-client | udp-client ADDRESS COUNT
//
// A server prints "listening ADDRESS", then a line for each connection or datagram, and echoes. A client sends the
// message COUNT times back to back, reads all echoes, and prints what it got.
package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"
)

const message = "Hello, Hello. How are you?"

// A hang is a failure.
const watchdog = 60 * time.Second

func main() {
	if len(os.Args) < 2 {
		fail(errors.New("no role"))
	}
	role, rest := os.Args[1], os.Args[2:]
	var err error
	switch role {
	case "tcp-server":
		err = serveTCP(echoStream)
	case "tcp-framed-server":
		err = serveTCP(echoFrames)
	case "udp-server":
		err = serveUDP()
	case "tcp-client", "tcp-framed-client", "udp-client":
		if len(rest) != 2 {
			fail(errors.New("a client needs ADDRESS and COUNT"))
		}
		count, convErr := strconv.Atoi(rest[1])
		if convErr != nil {
			fail(convErr)
		}
		err = call(role, rest[0], count)
	default:
		err = fmt.Errorf("no role is called %q", role)
	}
	if err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "std:", err)
	os.Exit(1)
}

func serveTCP(serve func(net.Conn) (int, error)) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("listening", listener.Addr())
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			count, err := serve(conn)
			fmt.Println("served", count, err)
		}()
	}
}

// echoStream copies bytes until the client has finished.
func echoStream(conn net.Conn) (int, error) {
	n, err := io.Copy(conn, conn)
	return int(n), err
}

// echoFrames reads messages with an int32 length, little endian, in front, and sends each back.
func echoFrames(conn net.Conn) (int, error) {
	reader := bufio.NewReader(conn)
	for count := 0; ; count++ {
		body, err := readFrame(reader)
		if err == io.EOF {
			return count, nil
		}
		if err != nil {
			return count, err
		}
		if err := writeFrame(conn, body); err != nil {
			return count, err
		}
	}
}

func readFrame(reader *bufio.Reader) ([]byte, error) {
	var length int32
	if err := binary.Read(reader, binary.LittleEndian, &length); err != nil {
		return nil, err
	}
	if length < 0 || length > 1<<20 {
		return nil, fmt.Errorf("a length of %d", length)
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(reader, body); err != nil {
		return nil, io.ErrUnexpectedEOF
	}
	return body, nil
}

func writeFrame(writer io.Writer, body []byte) error {
	var frame bytes.Buffer
	if err := binary.Write(&frame, binary.LittleEndian, int32(len(body))); err != nil {
		return err
	}
	frame.Write(body)
	_, err := writer.Write(frame.Bytes())
	return err
}

func serveUDP() error {
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return err
	}
	fmt.Println("listening", conn.LocalAddr())
	datagram := make([]byte, 65_535)
	for {
		n, peer, err := conn.ReadFromUDP(datagram)
		if err != nil {
			return err
		}
		fmt.Printf("got %d %s\n", n, datagram[:n])
		if _, err := conn.WriteToUDP(datagram[:n], peer); err != nil {
			return err
		}
	}
}

func call(role, address string, count int) error {
	network := role[:3]
	conn, err := net.Dial(network, address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(watchdog)); err != nil {
		return err
	}
	switch role {
	case "tcp-client":
		return callStream(conn.(*net.TCPConn), count)
	case "tcp-framed-client":
		return callFrames(conn.(*net.TCPConn), count)
	default:
		return callDatagrams(conn, count)
	}
}

func callStream(conn *net.TCPConn, count int) error {
	for range count {
		if _, err := io.WriteString(conn, message); err != nil {
			return err
		}
	}
	if err := conn.CloseWrite(); err != nil {
		return err
	}
	echo, err := io.ReadAll(conn)
	if err != nil {
		return err
	}
	if !bytes.Equal(echo, bytes.Repeat([]byte(message), count)) {
		return fmt.Errorf("the echo is %q", echo)
	}
	fmt.Println("echoed", len(echo), "bytes")
	return nil
}

func callFrames(conn *net.TCPConn, count int) error {
	for range count {
		if err := writeFrame(conn, []byte(message)); err != nil {
			return err
		}
	}
	if err := conn.CloseWrite(); err != nil {
		return err
	}
	reader, got := bufio.NewReader(conn), 0
	for ; ; got++ {
		body, err := readFrame(reader)
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if string(body) != message {
			return fmt.Errorf("message %d is %q", got, body)
		}
	}
	fmt.Println("echoed", got, "messages")
	return nil
}

func callDatagrams(conn net.Conn, count int) error {
	for range count {
		if _, err := io.WriteString(conn, message); err != nil {
			return err
		}
	}
	datagram := make([]byte, 65_535)
	for got := range count {
		n, err := conn.Read(datagram)
		if err != nil {
			return fmt.Errorf("after %d datagrams: %w", got, err)
		}
		if string(datagram[:n]) != message {
			return fmt.Errorf("datagram %d is %q", got, datagram[:n])
		}
	}
	fmt.Println("echoed", count, "datagrams")
	return nil
}
