package web

import (
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Connections limits the open connections of a server. Beyond the limit, each new one
// ends an old one: the one that has had no request for longest, or whose answer takes a
// second longer than that. So nobody can keep out a scraper by holding connections open,
// or by opening many.
type Connections struct {
	most int
	mu   sync.Mutex
	open map[net.Conn]connection
}

type connection struct {
	active bool      // a request is being answered
	since  time.Time // when that began or ended
}

// NewConnections returns a limit of most open connections.
func NewConnections(most int) *Connections {
	return &Connections{most: most, open: make(map[net.Conn]connection)}
}

// Track is the server's ConnState.
func (c *Connections) Track(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch state {
	case http.StateNew:
		shrink(conn)
		if len(c.open) >= c.most {
			c.end()
		}
		c.open[conn] = connection{since: time.Now()}
	case http.StateActive, http.StateIdle:
		if _, known := c.open[conn]; known {
			c.open[conn] = connection{active: state == http.StateActive, since: time.Now()}
		}
	case http.StateClosed, http.StateHijacked:
		delete(c.open, conn)
	}
}

// end closes the connection that is missed least.
func (c *Connections) end() {
	var chosen net.Conn
	var least time.Time
	for conn, is := range c.open {
		since := is.since
		if is.active {
			since = since.Add(time.Second)
		}
		if chosen == nil || since.Before(least) {
			chosen, least = conn, since
		}
	}
	delete(c.open, chosen)
	tcp := tcpOf(chosen) // to close that of TLS would wait for the client
	if tcp, ok := tcp.(*net.TCPConn); ok {
		tcp.SetLinger(0) // drops what is not sent
	}
	tcp.Close()
}

// longestUnread is how long the kernel keeps data that the client does not take, also
// after the program has closed the connection.
const longestUnread = 10 * time.Second

// shrink bounds the kernel's memory for a connection: unread answers count as this
// program's memory.
func shrink(conn net.Conn) {
	tcp, ok := tcpOf(conn).(*net.TCPConn)
	if !ok {
		return
	}
	const sent, received = 32 << 10, 16 << 10 // bytes; the kernel doubles them
	tcp.SetWriteBuffer(sent)
	tcp.SetReadBuffer(received)
	if raw, err := tcp.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) {
			unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(longestUnread.Milliseconds()))
		})
	}
}

// tcpOf returns the connection below TLS.
func tcpOf(conn net.Conn) net.Conn {
	if tls, ok := conn.(interface{ NetConn() net.Conn }); ok {
		return tls.NetConn()
	}
	return conn
}
