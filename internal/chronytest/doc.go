// Package chronytest provides a chronyd for tests, as net/http/httptest provides a web
// server. [New] starts a real, private chronyd that cannot touch the system clock.
// [NewFake] starts a scripted one, for behavior that a real chronyd does not show.
// [NewTimeSource] starts an NTP server whose time can jump. [Start] and [StartFake] are
// for programs that are not tests.
package chronytest
