package tracker

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/fstest"
)

// TestPTP reads the two clocks of an AKS node with accelerated networking. They can
// have either order.
func TestPTP(t *testing.T) {
	sys := fstest.MapFS{
		"class/ptp/ptp0/clock_name": {Data: []byte("mlx5_p2p\n")},
		"class/ptp/ptp1/clock_name": {Data: []byte("hyperv\n")},
		"class/ptp/ptp2/dev":        {Data: []byte("1:2\n")},
		"class/ptp/ptp3/clock_name": {Data: []byte("KVM virtual PTP\n")},
	}
	dir := t.TempDir()
	link := filepath.Join(dir, "the_right_one")
	if err := os.WriteFile(filepath.Join(dir, "ptp1"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("ptp1", link); err != nil {
		t.Fatal(err)
	}
	clocks := []PTPClock{{"ptp0", "mlx5_p2p"}, {"ptp1", "hyperv"}, {"ptp3", "KVM virtual PTP"}}
	for file, want := range map[string]PTPClock{
		"/dev/ptp0":           clocks[0],
		"/dev/ptp1":           clocks[1],
		"/nowhere/ptp_hyperv": clocks[1], // a container has no such link
		link:                  clocks[1],
		"/dev/ptp7":           {Device: "ptp7"},
		"/nowhere/ptp_ena":    {Device: "ptp_ena"},
		"/nowhere/ptp_kvm":    clocks[2],
	} {
		ptp := readPTP(sys, file)
		if !slices.Equal(ptp.Clocks, clocks) {
			t.Errorf("clocks %v", ptp.Clocks)
		}
		if *ptp.Configured != want {
			t.Errorf("%s is %v, want %v", file, *ptp.Configured, want)
		}
	}
	if ptp := readPTP(fstest.MapFS{}, ""); len(ptp.Clocks) != 0 || ptp.Configured != nil {
		t.Errorf("a node without PTP clocks has %v", ptp)
	}
}
