package chrony

// SetLoopback lets a test say where the chronyd on this machine is.
func SetLoopback(hosts []string, port uint16) (restore func()) {
	saved := loopback
	loopback = nil
	for _, host := range hosts {
		loopback = append(loopback, target{host: host, port: port})
	}
	return func() { loopback = saved }
}
