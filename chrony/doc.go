// Package chrony reads chronyd's reports over chronyd's monitoring protocol. This is
// the protocol of chronyc, version 6, on UDP port 323 or on a Unix socket. The package
// needs no chronyc, no privileges, and only the standard library.
//
//	client, err := chrony.Dial(ctx, "")
//	if err != nil {
//		return err
//	}
//	defer client.Close()
//	tracking, err := client.Tracking(ctx)
//
// [Client.Report] reads several reports together. An error is an [*OpError]. Check its
// cause with errors.Is, as in errors.Is(err, [ErrNoAnswer]). It also has a hint for
// people.
//
// # Access
//
// On loopback, chronyd gives its basic reports to everyone, so a client needs no
// privileges. The Unix socket gives every report, and also control over the clock. It
// needs chronyd's user ID, a writable socket directory, and the same path inside and
// outside of a container.
//
// # Why another client
//
// Most Go programs use github.com/facebook/time/ntp/chrony. This package differs:
//
//   - It matches every reply to its request. The other takes the next packet as the
//     answer. After one timeout, every reply can belong to another request.
//   - It connects, sends lost requests again until the context ends, and drops other
//     packets. The other leaves connections, deadlines and retries to its users.
//   - It keeps the address family, which is the only way to distinguish a local
//     reference from a remote one. The other drops it.
//   - Its errors can be distinguished with errors.Is. Those of the other differ only in
//     their text.
//
// The packet format is documented only in chrony's source (candm.h, cmdmon.c, client.c).
// It is the same from chrony 1.30 to 4.8. The packets in testdata were recorded from
// chronyd 3.5 to 4.8.
package chrony
