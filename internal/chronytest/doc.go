// Package chronytest gives tests a chronyd, as net/http/httptest gives them a
// web server: a private real one ([Start]), that can't touch the system clock,
// and a scripted one ([NewFake]) for what a real one can't be made to do. A real
// one can be given a time source that jumps ([NewTimeSource]).
// [Start] and [StartFake] are for programs that are no test.
package chronytest
