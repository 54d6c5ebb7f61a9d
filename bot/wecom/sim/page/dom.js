// el makes an element. Text becomes text nodes, never markup: everything shown
// here was written by somebody else.
export function el(name, props = {}, ...children) {
  const e = document.createElement(name);
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (key === 'class') e.className = value;
    else if (key.startsWith('on')) e.addEventListener(key.slice(2), value);
    else if (key in e && key !== 'list' && !key.includes('-')) e[key] = value;
    else e.setAttribute(key, value === true ? '' : value);
  }
  e.append(...children.flat(Infinity).filter(c => c !== undefined && c !== null && c !== false));
  return e;
}

// link makes a link that opens elsewhere; of an address that is not http(s)
// only the words remain.
export function link(href, text, props = {}) {
  if (!/^https?:\/\//i.test(href || '')) return el('span', props, text);
  return el('a', { ...props, href, target: '_blank', rel: 'noopener noreferrer' }, text);
}

const anchors = /<a\s+href="([^"]*)"[^>]*>(.*?)<\/a>|(https?:\/\/[^\s<>"'，。；）)]+)/gs;

// rich shows a text message as WeCom does: line breaks and links, and all else
// as it stands.
export function rich(text) {
  const parts = [];
  let from = 0;
  for (const m of text.matchAll(anchors)) {
    parts.push(text.slice(from, m.index), m[3] ? link(m[3], m[3]) : link(m[1], m[2]));
    from = m.index + m[0].length;
  }
  return [...parts, text.slice(from)];
}

export async function get(path) {
  const r = await fetch(path);
  if (!r.ok) throw new Error(`${path}: HTTP ${r.status}`);
  return r.json();
}

export async function post(path, body = {}) {
  const r = await fetch(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
  const data = await r.json().catch(() => ({}));
  if (!r.ok) throw new Error(data.error || `HTTP ${r.status}`);
  return data;
}

export const clock = (at, seconds) => new Date(at).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', second: seconds ? '2-digit' : undefined, hour12: false });
