package main

import (
	"bytes"
	"context"
	"log"
	"log/slog"
)

// serverLog returns the log of an HTTP server. What clients cause, such as a TLS
// handshake that they give up, is at level debug: a probe that only opens a connection
// must not fill the log. What the program causes is an error.
func serverLog(logger *slog.Logger) *log.Logger { return log.New(serverLines{logger}, "", 0) }

type serverLines struct{ logger *slog.Logger }

// ownProblems are how the lines of package net/http begin that no client causes.
var ownProblems = [][]byte{[]byte("http: panic serving"), []byte("http: Accept error"), []byte("http: superfluous")}

func (l serverLines) Write(line []byte) (int, error) {
	level := slog.LevelDebug
	for _, problem := range ownProblems {
		if bytes.HasPrefix(line, problem) {
			level = slog.LevelError
		}
	}
	l.logger.Log(context.Background(), level, string(bytes.TrimSpace(line)))
	return len(line), nil
}
