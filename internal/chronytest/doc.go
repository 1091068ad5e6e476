// Package chronytest gives tests a chronyd, as net/http/httptest gives them a web
// server. [Start] starts a private real one that can't touch the system clock.
// [NewFake] starts a scripted one, for faults that a real one can't be made to show.
// [NewTimeSource] starts a time source that jumps. [Await] is the one loop that waits
// for a condition.
//
// Programs that are not tests use [Start] and [StartFake]. So this package does not
// import the package testing.
package chronytest
