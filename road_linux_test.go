package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/sys/unix"

	"deskbell/api"
	"deskbell/bot"
	"deskbell/bot/wecom"
	"deskbell/callbacks"
	"deskbell/store"
	"deskbell/templates"
)

// roadKind, in the environment, turns this program into a server to measure.
const roadKind = "DESKBELL_BENCH_SERVER"

func init() {
	if kind := os.Getenv(roadKind); kind != "" {
		fmt.Fprintln(os.Stderr, serveRoad(kind))
		os.Exit(exitFailed)
	}
}

// BenchmarkRoad measures a callback's way over HTTP without the store: with a
// reply, and with none. In turns with it, in the same run, it measures a server
// that only echoes the same bytes. of-echo compares the rates, cpu-of-echo the
// processor time the servers spent. Server and client have a core each.
func BenchmarkRoad(b *testing.B) {
	var cores unix.CPUSet
	if err := unix.SchedGetaffinity(0, &cores); err != nil || runtime.NumCPU() < 2 {
		b.Fatal("this needs two cores", err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer unix.SchedSetaffinity(0, &cores)
	requests := roadRequests(b)
	echo := startRoad(b, "echo", requests)
	for _, kind := range []string{"reply", "none"} {
		b.Run(kind, func(b *testing.B) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			ours := startRoad(b, kind, requests)
			const turn = 8192
			ours.run(b, turn)
			echo.run(b, turn)
			var spent, theirs time.Duration
			cpu, echoCPU := ours.cpu(b), echo.cpu(b)
			b.ResetTimer()
			for i := 0; i < b.N; i += turn {
				n := min(turn, b.N-i)
				spent += ours.run(b, n)
				b.StopTimer()
				theirs += echo.run(b, n)
				b.StartTimer()
			}
			b.StopTimer()
			cpu, echoCPU = ours.cpu(b)-cpu, echo.cpu(b)-echoCPU
			b.ReportMetric(float64(b.N)/spent.Seconds(), "req/s")
			b.ReportMetric(float64(b.N)/theirs.Seconds(), "echo-req/s")
			b.ReportMetric(float64(theirs)/float64(spent), "of-echo")
			if cpu > 0 {
				b.ReportMetric(float64(cpu.Nanoseconds())/float64(b.N), "cpu-ns/op")
				b.ReportMetric(float64(echoCPU)/float64(cpu), "cpu-of-echo")
			}
		})
	}
}

const (
	roadCorp, roadToken = "ww1234567890abcdef", "QDG6eK"
	roadKey             = "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C"
)

// roadRequests are callbacks as WeCom sends them, whole.
func roadRequests(b *testing.B) (all [][]byte) {
	keys, err := wecom.NewKeys(roadToken, roadKey, roadCorp)
	if err != nil {
		b.Fatal(err)
	}
	now := strconv.FormatInt(time.Now().Unix(), 10)
	for i := range 1024 {
		sealed := keys.Encrypt(nil, fmt.Appendf(nil, "<xml><ToUserName><![CDATA[%s]]></ToUserName>\n<FromUserName><![CDATA[user%05d]]></FromUserName>\n"+
			"<CreateTime>%s</CreateTime>\n<MsgType><![CDATA[text]]></MsgType>\n<Content><![CDATA[/status busy]]></Content>\n"+
			"<MsgId>%d</MsgId>\n<AgentID>1000002</AgentID>\n</xml>", roadCorp, i, now, 7400000000000000000+i))
		nonce := strconv.Itoa(1000000000 + i)
		sum := keys.Sign([]byte(now), []byte(nonce), sealed)
		body := fmt.Sprintf("<xml><ToUserName><![CDATA[%s]]></ToUserName><AgentID><![CDATA[1000002]]></AgentID><Encrypt><![CDATA[%s]]></Encrypt></xml>", roadCorp, sealed)
		all = append(all, fmt.Appendf(nil, "POST /callbacks/wecom?msg_signature=%s&timestamp=%s&nonce=%s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n%s",
			hex.EncodeToString(sum[:]), now, nonce, len(body), body))
	}
	return all
}

// serveRoad serves one kind of answer, and says where.
func serveRoad(kind string) error {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(ln.Addr())
	if kind == "echo" {
		return (&fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) { ctx.SetBody(ctx.PostBody()) }}).Serve(ln)
	}
	log := slog.New(slog.NewJSONHandler(io.Discard, nil))
	words, err := templates.Load()
	if err != nil {
		return err
	}
	st, err := store.Open(context.Background(), store.Options{URL: "sqlite::memory:", Keys: [][]byte{make([]byte, 32)}})
	if err != nil {
		return err
	}
	app, err := wecom.NewApp(wecom.Config{CorpID: roadCorp, AgentID: 1000002, Token: roadToken, EncodingAESKey: roadKey, Window: time.Hour})
	if err != nil {
		return err
	}
	metrics := api.NewMetrics("bench", st.Depth)
	server, err := api.New(api.Options{Store: st, Words: words, PublicURL: "https://desk.example.com", Metrics: metrics, Log: log})
	if err != nil {
		return err
	}
	text := ""
	if kind == "reply" {
		text = strings.Repeat("忙碌，12:30 自动恢复。", 3)
	}
	inbound := &callbacks.Handler{App: app, Log: log, Refused: metrics.Refused, Counted: metrics.Callback,
		Take: func(time.Time, bot.Message) (string, error) { return text, nil }}
	server.Mount("/callbacks/wecom", inbound.Serve)
	return server.Serve(ln)
}

// road is a server in a process and on a core of its own, and the keep-alive
// connections to it. The client is one thread that costs less than any of the
// servers and never sleeps: to wake it would be work for a server.
type road struct {
	pid      int
	poll     int
	requests [][]byte
	next     int
	asked    map[int]int // by socket: which request waits for its answer
	answer   []byte
}

func startRoad(b *testing.B, kind string, requests [][]byte) *road {
	b.Helper()
	pin(b, 0) // what is started now stays there
	server := exec.Command(os.Args[0])
	server.Env = append(os.Environ(), roadKind+"="+kind, "GOMAXPROCS=1")
	server.Stderr = os.Stderr
	out, err := server.StdoutPipe()
	if err == nil {
		err = server.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	pin(b, 1)
	b.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	r := &road{pid: server.Process.Pid, requests: requests, asked: map[int]int{}, answer: make([]byte, 8192)}
	line := make([]byte, 64)
	n, err := out.Read(line)
	if err != nil {
		b.Fatal(err)
	}
	addr, err := net.ResolveTCPAddr("tcp4", strings.TrimSpace(string(line[:n])))
	if err != nil {
		b.Fatal(err)
	}
	if r.poll, err = unix.EpollCreate1(0); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { unix.Close(r.poll) })
	for range 64 {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		if err == nil {
			err = unix.Connect(fd, &unix.SockaddrInet4{Port: addr.Port, Addr: [4]byte(addr.IP.To4())})
		}
		if err == nil {
			err = unix.EpollCtl(r.poll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
		}
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { unix.Close(fd) })
		r.asked[fd] = 0
	}
	return r
}

// pin keeps this thread, and the processes it starts, on one core.
func pin(b *testing.B, core int) {
	var set unix.CPUSet
	set.Set(core)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		b.Fatal(err)
	}
}

// run has n requests answered, one at a time on each connection.
func (r *road) run(b *testing.B, n int) time.Duration {
	pin(b, 1)
	began := time.Now()
	left := n // to ask
	for fd := range r.asked {
		if left > 0 {
			r.ask(b, fd)
			left--
		}
	}
	events := make([]unix.EpollEvent, len(r.asked))
	for n > 0 {
		ready, err := unix.EpollWait(r.poll, events, 0)
		if err != nil && err != unix.EINTR || time.Since(began) > time.Minute {
			b.Fatal("no answer", err)
		}
		for _, e := range events[:max(ready, 0)] {
			r.read(b, int(e.Fd))
			n--
			if left > 0 {
				r.ask(b, int(e.Fd))
				left--
			}
		}
	}
	return time.Since(began)
}

func (r *road) ask(b *testing.B, fd int) {
	r.next++
	if n, err := unix.Write(fd, r.requests[r.next%len(r.requests)]); err != nil || n != len(r.requests[r.next%len(r.requests)]) {
		b.Fatal(n, err)
	}
}

// read takes one answer, which these servers write at once.
func (r *road) read(b *testing.B, fd int) {
	n, err := unix.Read(fd, r.answer)
	if err != nil {
		b.Fatal(err)
	}
	head, body, _ := bytes.Cut(r.answer[:n], []byte("\r\n\r\n"))
	_, length, _ := bytes.Cut(head, []byte("Content-Length: "))
	length, _, _ = bytes.Cut(length, []byte("\r\n"))
	if want, err := strconv.Atoi(string(length)); err != nil || want != len(body) || !bytes.HasPrefix(head, []byte("HTTP/1.1 200 ")) {
		b.Fatalf("%s", r.answer[:n])
	}
}

// cpu is the processor time the server has used.
func (r *road) cpu(b *testing.B) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", r.pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+2:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}
