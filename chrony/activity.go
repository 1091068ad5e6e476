package chrony

import "context"

// Activity counts chronyd's NTP sources by what chronyd does about them: the
// report of chronyc activity. A source that is online need not be reachable.
type Activity struct {
	Online       uint32 // polled
	Offline      uint32 // not polled, by command or for lack of a network
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

// Activity asks chronyd how many NTP sources it has, by their activity.
func (c *Client) Activity(ctx context.Context) (Activity, error) {
	var a Activity
	err := c.ask(ctx, &cmdActivity, a.decode)
	return a, err
}
