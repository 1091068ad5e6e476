package chrony

// SetLoopback sets the addresses of the chronyd on this machine, for tests.
func SetLoopback(hosts []string, port uint16) (restore func()) {
	saved := loopback
	loopback = nil
	for _, host := range hosts {
		loopback = append(loopback, target{host: host, port: port})
	}
	return func() { loopback = saved }
}
