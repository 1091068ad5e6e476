// Try runs the tracker as a demonstration. It changes nothing on the machine. It uses
// the chronyd on loopback or, if none answers, a private one that cannot touch the
// clock.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: try PROGRAM PORT")
		os.Exit(2)
	}
	if err := try(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "try:", err)
		os.Exit(1)
	}
}

func try(program, port string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	address, end, err := findChronyd(ctx)
	if err != nil {
		return err
	}
	defer end()

	// Signals reach the program through the context, and only once.
	cmd := exec.CommandContext(ctx, program, "--chrony.address="+address, "--web.listen-address=:"+port)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	if err := cmd.Start(); err != nil {
		return err
	}
	running, stopped := context.WithCancel(ctx)
	status := program + " status"
	if address != "" {
		status += " --chrony.address=" + address
	}
	url := "http://localhost:" + port
	if port != "9123" {
		status += " --url=" + url
	}
	go announce(running, url, status)
	err = cmd.Wait()
	stopped()
	if ctx.Err() != nil {
		return nil // stopped by a signal
	}
	return err
}

// findChronyd returns the address of a chronyd, and a function that stops it.
func findChronyd(ctx context.Context) (address string, end func(), err error) {
	soon, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	client, err := chrony.Dial(soon, "")
	if err == nil {
		client.Close()
		fmt.Println("Reading the chronyd of this machine.")
		return "", func() {}, nil
	}
	fmt.Println("No chronyd answers on this machine. Starting a private one, which follows another private one.")
	fmt.Println("It shows how the tracker works, not how accurate this machine's clock is. It cannot touch the clock.")

	lines, port, err := chronytest.Server()
	if err != nil {
		return "", nil, err
	}
	server, err := chronytest.Start(chronytest.Config{Lines: lines})
	if err != nil {
		return "", nil, err
	}
	d, err := chronytest.Start(chronytest.Config{Lines: []string{chronytest.ServerLine(port) + chronytest.Fast}})
	if err != nil {
		server.Close()
		return "", nil, err
	}
	end = func() { d.Close(); server.Close() }
	if err := d.WaitSynchronized(ctx); err != nil {
		end()
		return "", nil, err
	}
	return d.Address, end, nil
}

// announce prints what to open and what to run, as soon as the tracker answers.
func announce(ctx context.Context, url, status string) {
	for ctx.Err() == nil {
		response, err := http.Get(url + "/-/healthy")
		if err == nil {
			response.Body.Close()
			if ctx.Err() != nil {
				return // another program answered
			}
			fmt.Printf("\nOpen %s/ for the page, %s/metrics for the metrics. Or run\n\n    %s\n\nPress Ctrl-C to stop.\n\n", url, url, status)
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}
