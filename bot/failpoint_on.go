//go:build failpoints

package bot

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

var failName, failAfter = func() (string, int64) {
	name, n, _ := strings.Cut(os.Getenv("DESKBELL_FAILPOINT"), ":")
	count, err := strconv.ParseInt(n, 10, 64)
	if err != nil {
		count = 1
	}
	return name, count
}()

var failHits atomic.Int64

// Failpoint kills the process (SIGKILL) on the n-th visit to the place named by
// DESKBELL_FAILPOINT=name:n.
func Failpoint(name string) {
	if name == failName && failHits.Add(1) == failAfter {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}
