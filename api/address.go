package api

import (
	"bytes"
	"net"
	"net/netip"
	"strings"

	"github.com/valyala/fasthttp"
)

// clientAddr is who is asking: the peer, or, when the peer is a proxy that is
// trusted, the right-most hop of X-Forwarded-For that is not. What stands left
// of that hop was written by whoever is asking, and proves nothing.
func clientAddr(ctx *fasthttp.RequestCtx, trusted []netip.Prefix) netip.Addr {
	var peer netip.Addr
	if tcp, ok := ctx.RemoteAddr().(*net.TCPAddr); ok {
		peer = tcp.AddrPort().Addr().Unmap().WithZone("")
	}
	if !within(peer, trusted) {
		return peer
	}
	hops := bytes.Join(ctx.Request.Header.PeekAll(fasthttp.HeaderXForwardedFor), []byte(","))
	return forwarded(peer, string(hops), trusted)
}

// forwarded walks the hops from the right. It stops at the first that is not a
// trusted proxy, and before one that is no address at all.
func forwarded(peer netip.Addr, hops string, trusted []netip.Prefix) netip.Addr {
	addr := peer
	for hops != "" && within(addr, trusted) {
		at := strings.LastIndexByte(hops, ',')
		hop, ok := parseHop(strings.TrimSpace(hops[at+1:]))
		if !ok {
			break
		}
		addr, hops = hop, hops[:max(at, 0)]
	}
	return addr
}

// parseHop reads an address as proxies write it, with or without a port.
func parseHop(s string) (netip.Addr, bool) {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone(""), true
	}
	if inner, ok := strings.CutPrefix(s, "["); ok {
		s, _ = strings.CutSuffix(inner, "]")
	}
	a, err := netip.ParseAddr(s)
	return a.Unmap().WithZone(""), err == nil
}

func within(a netip.Addr, prefixes []netip.Prefix) bool {
	for _, p := range prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// addrKey is what an address is counted under: a whole IPv6 /64, because that
// is what one customer of a provider has to choose from.
func addrKey(a netip.Addr) string {
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}
