package chronytest

import (
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// Command is [exec.Command] for a process that the kernel kills when this one ends,
// however it ends: a test that panics or is killed leaves nothing behind.
func Command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// guard does the same for a process that changes its user, which makes the kernel
// forget what [Command] asked for. A shell waits for the end of this process, which
// closes the pipe, and then kills the other one. The returned function ends the shell.
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
