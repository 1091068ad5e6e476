module github.com/chrony-tracker/chrony-tracker/bench

go 1.26.0

replace github.com/chrony-tracker/chrony-tracker => ..

require (
	github.com/chrony-tracker/chrony-tracker v0.0.0
	github.com/facebook/time v0.0.0-20260822211804-f81aedc1c1e3
	github.com/prometheus/client_golang v1.25.0
	github.com/prometheus/client_model v0.6.3
	github.com/prometheus/common v0.73.1
	golang.org/x/sys v0.49.0
)

require (
	github.com/beorn7/perks v1.0.1 // indirect
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/munnerz/goautoneg v0.0.0-20191010083416-a7dc8b61c822 // indirect
	github.com/pandatix/go-abnf v0.5.3 // indirect
	github.com/prometheus/procfs v0.22.0 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)
