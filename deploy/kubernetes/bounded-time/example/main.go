// Now prints the interval that contains the present time, each second.
package main

import (
	"fmt"
	"time"

	"github.com/chrony-tracker/chrony-tracker/boundedtime"
)

func main() {
	for ; ; time.Sleep(time.Second) {
		clock, err := boundedtime.Open(boundedtime.Config{})
		if err != nil {
			fmt.Println(err)
			continue
		}
		show(clock)
		clock.Close()
	}
}

// show prints until the clock's file is gone.
func show(clock *boundedtime.Clock) {
	for ; ; time.Sleep(time.Second) {
		earliest, latest, status, err := clock.Now()
		if err != nil {
			fmt.Println(status, err)
			continue
		}
		const layout = "2006-01-02T15:04:05.000000000Z07:00"
		fmt.Printf("%s to %s (± %v), %v\n", earliest.UTC().Format(layout), latest.UTC().Format(layout), latest.Sub(earliest)/2, status)
	}
}
