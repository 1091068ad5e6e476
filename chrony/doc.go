// Package chrony asks chronyd what it knows, over chronyd's own monitoring
// protocol: the one that chronyc speaks, version 6, on UDP port 323 or on a
// Unix socket. It needs no chronyc, no privilege and only the standard library.
//
//	client, err := chrony.Dial(ctx, "")
//	if err != nil {
//		return err
//	}
//	defer client.Close()
//	tracking, err := client.Tracking(ctx)
//
// [Client.Report] reads several reports in one go. A failure is an [*OpError]
// that can be asked what happened, as in errors.Is(err, [ErrNoAnswer]), and that
// carries a hint in words.
//
// # Access
//
// On loopback chronyd answers its read-only reports to everybody, so a client
// without any right can use them. The Unix socket gives every report, and also
// control over the clock: it needs chronyd's own user id, a writable socket
// directory and the same path inside and outside of a container.
//
// # Why another client
//
// Most Go programs use github.com/facebook/time/ntp/chrony. It takes the next
// packet to arrive for the answer, whatever its sequence number and command, so
// that after one timeout every reply may be credited to the wrong question; it
// leaves dialling, deadlines and retries to its users; it drops the address
// family, which alone tells a local reference from a remote one; and its errors
// can't be told apart but by their text. This package matches every reply to
// the request it belongs to, sends lost requests again until the context ends,
// and drops what doesn't fit.
//
// The layout of the packets is documented nowhere but in chrony's source
// (candm.h, cmdmon.c, client.c). It is the same from chrony 1.30 to 4.8; the
// packets in testdata were recorded from chronyd 3.5 to 4.8.
package chrony
