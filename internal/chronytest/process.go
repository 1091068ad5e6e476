package chronytest

import (
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// Command is [exec.Command] for a process that the kernel kills when this one ends,
// even if a test panics or is killed. So no process stays behind.
func Command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// guard does the same for a process that changes its user. The kernel then cancels the
// request of [Command]. A shell waits until this process ends, which closes the pipe.
// Then the shell kills the other process. The returned function ends the shell.
func guard(pid int) (end func(), err error) {
	wait, hold, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer wait.Close()
	shell := exec.Command("sh", "-c", `trap "" INT TERM HUP; read -r _; kill -KILL "$1"`, "guard", strconv.Itoa(pid))
	shell.Stdin = wait
	if err := shell.Start(); err != nil {
		hold.Close()
		return nil, err
	}
	return func() {
		shell.Process.Kill()
		shell.Wait()
		hold.Close()
	}, nil
}
