// Package chronytest gives tests a chronyd, as net/http/httptest gives them a
// web server: a private real one ([Start]), that can't touch the system clock,
// and a scripted one ([NewFake]) for what a real one can't be made to do.
// [Start] and [StartFake] are for programs that are no test.
package chronytest
