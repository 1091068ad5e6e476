package doctor

import (
	"errors"
	"fmt"
	"path"

	"github.com/chrony-tracker/chrony-tracker/internal/clockbound"
	"github.com/chrony-tracker/chrony-tracker/internal/status"
)

const unpublished = "programs on this node get no bound from shared memory"

// checkClockBound looks at the file in which the bound is published.
func checkClockBound(s *facts) []Finding {
	i := s.clockBound
	if i == nil {
		return nil
	}
	f := Finding{Verdict: Wrong, Check: "bounded time", Impact: unpublished, Command: "ls -ln " + path.Dir(i.Path)}
	age := status.Duration(i.Age.Seconds())
	var failure *clockbound.Error
	switch {
	case i.Foreign() && i.Written, i.Written && !i.Held:
		f.Summary = "another program writes to " + i.Path + ": " + s.otherWriter()
		f.Impact = "the tracker does not write to it. Programs get that one's bound"
		f.Fix = "run only one of the two, or let the tracker use another path (--clockbound.shm)"
		f.Command = "ps -eo pid,args | grep '[c]lockbound'"
	case errors.As(i.Err, &failure):
		f.Summary, f.Fix = failure.Error(), failure.Hint()
		if failure.Reason == clockbound.DirectoryMissing {
			f.Command = fmt.Sprintf("echo 'd %s 0755 %d %d -' >/etc/tmpfiles.d/chrony-tracker.conf && systemd-tmpfiles --create", path.Dir(i.Path), s.node.uid, s.node.uid)
		}
	case !i.Exists && !i.Held:
		f.Verdict, f.Summary = Note, "no tracker publishes the bound in "+i.Path
		f.Fix = "start the tracker with --clockbound.shm=" + i.Path + ". If it runs with that, read its log"
	case i.Foreign():
		f.Verdict, f.Summary = Note, fmt.Sprintf("%s is a file that another program has left: its last record is %s old", i.Path, age)
		f.Fix = "nothing, if that program is gone: the tracker takes the file over"
	case !i.Written:
		f.Summary = fmt.Sprintf("%s is no longer written: its record is %s old", i.Path, age)
		f.Fix = "start the tracker with --clockbound.shm=" + i.Path + ", and read its log"
	default:
		return []Finding{{Verdict: Fine, Check: "bounded time", Summary: fmt.Sprintf("%s: %s", i.Path, i.Status)}}
	}
	return []Finding{f}
}

// otherWriter names the program that writes to the segment, if it can be seen.
func (s *facts) otherWriter() string {
	for _, p := range s.node.processes {
		if p.name == "clockbound" {
			return p.String()
		}
	}
	return "probably Amazon's clockbound"
}
