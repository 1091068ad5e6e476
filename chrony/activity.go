package chrony

import "context"

// Activity is the report of chronyc activity: the number of chronyd's NTP sources by
// polling status. An online source is not necessarily reachable.
type Activity struct {
	Online       uint32 // polled
	Offline      uint32 // not polled, because of a command or because there is no network
	BurstOnline  uint32 // in a burst of polls, and online afterwards
	BurstOffline uint32 // in a burst of polls, and offline afterwards
	Unresolved   uint32 // the name has no address yet
}

func (a *Activity) decode(_ uint16, b []byte) {
	*a = Activity{
		Online:       wireUint32(b),
		Offline:      wireUint32(b[4:]),
		BurstOnline:  wireUint32(b[8:]),
		BurstOffline: wireUint32(b[12:]),
		Unresolved:   wireUint32(b[16:]),
	}
}

// Activity reads the activity report.
func (c *Client) Activity(ctx context.Context) (a Activity, err error) {
	err = c.ask(ctx, &cmdActivity, a.decode)
	return a, err
}
