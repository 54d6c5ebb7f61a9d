package api

import (
	"net"
	"net/netip"
	"testing"

	"github.com/valyala/fasthttp"
)

func request(method, target string, headers ...with) *fasthttp.RequestCtx {
	var q fasthttp.Request
	q.Header.SetMethod(method)
	q.SetRequestURI(target)
	q.Header.SetHost("desk.example.com")
	for _, h := range headers {
		q.Header.Add(h.name, h.value)
	}
	ctx := new(fasthttp.RequestCtx)
	ctx.Init(&q, nil, nil)
	return ctx
}

func TestClientAddress(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.168.7.0/24"), netip.MustParsePrefix("fd00::/8")}
	for _, c := range []struct {
		peer string
		hops []string
		want string
	}{
		// The peer is no proxy of ours: what it claims is not read.
		{"203.0.113.9", nil, "203.0.113.9"},
		{"203.0.113.9", []string{"1.2.3.4"}, "203.0.113.9"},
		{"203.0.113.9", []string{"10.0.0.1"}, "203.0.113.9"},
		{"2001:db8::1", []string{"1.2.3.4"}, "2001:db8::1"},
		{"11.0.0.1", []string{"1.2.3.4"}, "11.0.0.1"},
		{"192.168.8.1", []string{"1.2.3.4"}, "192.168.8.1"},
		// One proxy.
		{"10.0.0.1", nil, "10.0.0.1"},
		{"10.0.0.1", []string{""}, "10.0.0.1"},
		{"10.0.0.1", []string{"1.2.3.4"}, "1.2.3.4"},
		{"10.0.0.1", []string{" 1.2.3.4 "}, "1.2.3.4"},
		{"10.0.0.1", []string{"2001:db8::7"}, "2001:db8::7"},
		{"fd00::1", []string{"1.2.3.4"}, "1.2.3.4"},
		{"192.168.7.9", []string{"1.2.3.4"}, "1.2.3.4"},
		{"::ffff:10.0.0.1", []string{"1.2.3.4"}, "1.2.3.4"},
		{"10.0.0.1", []string{"::ffff:1.2.3.4"}, "1.2.3.4"},
		// The right-most address that is no proxy; what is left of it is made up.
		{"10.0.0.1", []string{"6.6.6.6, 1.2.3.4"}, "1.2.3.4"},
		{"10.0.0.1", []string{"6.6.6.6,1.2.3.4,10.0.0.2"}, "1.2.3.4"},
		{"10.0.0.1", []string{"6.6.6.6, 1.2.3.4, 10.0.0.2, 192.168.7.3"}, "1.2.3.4"},
		{"10.0.0.1", []string{"10.0.0.9, 1.2.3.4"}, "1.2.3.4"},
		{"10.0.0.1", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"10.0.0.1", []string{"6.6.6.6", "1.2.3.4"}, "1.2.3.4"},
		{"10.0.0.1", []string{"1.2.3.4", "10.0.0.2"}, "1.2.3.4"},
		{"10.0.0.1", []string{"6.6.6.6, 192.168.8.1"}, "192.168.8.1"},
		// Ports, as some proxies add them.
		{"10.0.0.1", []string{"1.2.3.4:5678"}, "1.2.3.4"},
		{"10.0.0.1", []string{"[2001:db8::7]:5678"}, "2001:db8::7"},
		{"10.0.0.1", []string{"[2001:db8::7]"}, "2001:db8::7"},
		{"10.0.0.1", []string{"fe80::1%eth0"}, "fe80::1"},
		// What is no address ends the walk at the last one that was.
		{"10.0.0.1", []string{"unknown"}, "10.0.0.1"},
		{"10.0.0.1", []string{"1.2.3.4, garbage, 10.0.0.2"}, "10.0.0.2"},
		{"10.0.0.1", []string{"1.2.3.4,"}, "10.0.0.1"},
		{"10.0.0.1", []string{"1.2.3"}, "10.0.0.1"},
		{"10.0.0.1", []string{"1.2.3.4, 0x0a000002"}, "10.0.0.1"},
	} {
		var q fasthttp.Request
		for _, h := range c.hops {
			q.Header.Add("X-Forwarded-For", h)
		}
		ctx := new(fasthttp.RequestCtx)
		ctx.Init(&q, net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(c.peer), 1)), nil)
		if got := clientAddr(ctx, trusted); got.String() != c.want {
			t.Errorf("%s with %q: %s, want %s", c.peer, c.hops, got, c.want)
		}
	}
}

// All of a customer's IPv6 addresses count as one.
func TestAddressKey(t *testing.T) {
	for addr, want := range map[string]string{
		"1.2.3.4":               "1.2.3.4",
		"2001:db8:1:2::7":       "2001:db8:1:2::/64",
		"2001:db8:1:2:ffff::99": "2001:db8:1:2::/64",
		"2001:db8:1:3::7":       "2001:db8:1:3::/64",
	} {
		if got := addrKey(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
}

func FuzzForwardedFor(f *testing.F) {
	f.Add("1.2.3.4, 10.0.0.2")
	f.Add("[::1]:80,,")
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	f.Fuzz(func(t *testing.T, hops string) {
		if got := forwarded(netip.MustParseAddr("203.0.113.9"), hops, trusted); got.String() != "203.0.113.9" {
			t.Errorf("%q made a stranger %s", hops, got)
		}
		if got := forwarded(netip.MustParseAddr("10.0.0.1"), hops, trusted); !got.IsValid() {
			t.Errorf("%q gave no address", hops)
		}
	})
}
