package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var binary struct {
	once sync.Once
	dir  string
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if binary.dir != "" {
		_ = os.RemoveAll(binary.dir)
	}
	os.Exit(code)
}

// builtProgram builds the product, once for all tests, so that it can be told to
// die at a failpoint.
func builtProgram(t testing.TB) string {
	t.Helper()
	binary.once.Do(func() {
		if binary.dir, binary.err = os.MkdirTemp("", "deskbell-test-"); binary.err != nil {
			return
		}
		out, err := exec.Command("go", "build", "-tags", "failpoints", "-o", binary.dir, ".").CombinedOutput()
		if err != nil {
			binary.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	if binary.err != nil {
		t.Fatal(binary.err)
	}
	return filepath.Join(binary.dir, "deskbell")
}

// instance is a process that serves.
type instance struct {
	url   string
	cmd   *exec.Cmd
	log   bytes.Buffer  // what it wrote to stderr; read it after ended
	ended chan struct{} // closed when the process is gone
}

// start starts an instance and returns when it serves. Callbacks go there from
// now on.
func (r *rig) start(environ ...string) *instance {
	r.Helper()
	i, err := r.launch(environ...)
	if err != nil {
		r.Fatal(err)
	}
	return i
}

// launch is start, for instances that may not live to serve.
func (r *rig) launch(environ ...string) (*instance, error) {
	i := &instance{ended: make(chan struct{})}
	i.cmd = exec.Command(r.program, "serve", "--config", r.config, "--listen", "127.0.0.1:0")
	i.cmd.Env = append([]string{"HOME=" + os.TempDir()}, environ...)
	i.cmd.Stderr = &i.log
	out, err := i.cmd.StdoutPipe()
	if err != nil {
		r.Fatal(err)
	}
	if err := i.cmd.Start(); err != nil {
		r.Fatal(err)
	}
	r.Cleanup(i.kill)
	defer i.killAfter(patience).Stop()
	line, err := bufio.NewReader(out).ReadString('\n')
	go func() {
		_ = i.cmd.Wait()
		close(i.ended)
	}()
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if !ok {
		i.kill()
		return i, fmt.Errorf("deskbell serve: %v, %w, said %q, logged %s", i.cmd.ProcessState, err, line, &i.log)
	}
	i.url = url + "/callbacks/wecom"
	r.box.SetCallback(i.url)
	return i, nil
}

// origin is where everything but callbacks goes.
func (i *instance) origin() string { return strings.TrimSuffix(i.url, "/callbacks/wecom") }

// kill ends the process the hard way. There is nothing left of it afterwards.
func (i *instance) kill() {
	_ = i.cmd.Process.Kill()
	<-i.ended
}

func (i *instance) killAfter(d time.Duration) *time.Timer {
	return time.AfterFunc(d, func() { _ = i.cmd.Process.Kill() })
}

// stop ends the process the way an operator does, and tells whether it was
// content.
func (i *instance) stop() error {
	defer i.killAfter(patience).Stop()
	if err := i.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	<-i.ended
	if i.cmd.ProcessState.ExitCode() != exitOK {
		return fmt.Errorf("%v: %s", i.cmd.ProcessState, &i.log)
	}
	return nil
}
