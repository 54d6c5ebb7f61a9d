// The chat page: who is there, what was said, and what to say next.
import { el, get, link, post } from './dom.js';
import { avatar, drawLine, preview } from './message.js';
import { addWire, setUp, showFaults, showWire } from './panel.js';
import { language, sayWords, switchLanguage, t } from './words.js';

const $ = id => document.getElementById(id);
const fallbackHints = ['/help', '/whoami'];
let people = [];
let menu = [];
// Whose chat a window shows: /#lilei, or /?as=lilei as the links to new windows say.
let current = decodeURIComponent(location.hash.slice(1)) || new URLSearchParams(location.search).get('as') || '';
const chats = new Map();  // id → lines
const unread = new Map(); // id → number of lines not looked at

const person = id => people.find(p => p.id === id);

async function loadPeople() {
  const data = await get('/people');
  people = data.items.map((p, index) => ({ ...p, index }));
  $('appname').textContent = data.app;
  if (!person(current)) current = people[0]?.id || '';
  await Promise.all(people.map(p => loadChat(p.id)));
  drawPeople();
  drawHead();
  drawWindows();
}

// loadChat asks for one conversation; while an answer is on its way, further
// asking is one more time afterwards, so that an old answer never comes last.
const loading = new Map();

async function loadChat(id) {
  if (loading.has(id)) return loading.set(id, true);
  do {
    loading.set(id, false);
    try {
      takeChat(id, (await get(`/inbox?user=${encodeURIComponent(id)}`)).items);
    } catch (e) {
      loading.delete(id);
      throw e;
    }
  } while (loading.get(id));
  loading.delete(id);
}

function takeChat(id, items) {
  const before = chats.get(id);
  chats.set(id, items);
  if (id === current) drawTalk();
  if (before && (id !== current || !document.hasFocus())) {
    const known = before.at(-1)?.seq || 0;
    const news = items.filter(m => m.seq > known && (m.via === 'push' || m.via === 'passive')).length;
    if (news) unread.set(id, (unread.get(id) || 0) + news);
  }
}

function drawPeople() {
  drawTitle();
  $('people').replaceChildren(...people.map(p => {
    const n = unread.get(p.id);
    const last = chats.get(p.id)?.findLast(m => m.via !== 'note');
    return el('li', {}, el('button', {
      type: 'button', 'data-person': p.id, 'aria-current': p.id === current ? 'true' : null, onclick: () => choose(p.id),
    }, el('span', { class: 'face' }, avatar(p), n ? el('span', { class: 'dot', 'aria-label': `${n} ${t('unread')}` }, String(n)) : null),
    el('span', { class: 'names' }, el('b', {}, p.name, p.role ? el('em', {}, p.role) : null), el('small', {}, preview(last) || p.id))));
  }));
}

// drawTitle says in the browser's tab whose chat this is, and what is new in it.
function drawTitle() {
  const n = unread.get(current);
  document.title = `${n ? `(${n}) ` : ''}${person(current)?.name || ''} · ${$('appname').textContent} · ${t('sandbox')}`;
}

// drawWindows offers a window of its own for one person of each role.
function drawWindows() {
  const roles = people.filter((p, i) => p.role && p.status === 1 && people.findIndex(q => q.role === p.role) === i);
  $('windows').replaceChildren(...roles.map(p => el('a', { href: `/?as=${encodeURIComponent(p.id)}`, target: '_blank', rel: 'noopener', 'data-window': p.id }, `${p.name} · ${p.role} ↗`)));
}

const standing = p => (p.status === 2 ? t('disabled') : p.status === 4 ? t('inactive') : p.status === 5 ? t('left') : p.hidden ? t('hidden') : '');

// remember tells the sandbox's sign-in page who this WeCom belongs to, as the
// real one knows.
const remember = id => { document.cookie = `sandbox-person=${encodeURIComponent(id)}; path=/; SameSite=Lax`; };

function drawHead() {
  remember(current);
  const p = person(current);
  if (!p) return;
  $('who').textContent = t('as', p.name, $('appname').textContent);
  $('whose').textContent = [p.id, p.role, standing(p)].filter(Boolean).join(' · ');
  $('lang').textContent = t('lang');
  $('lang').title = t('langTitle');
  drawHappenings(p);
  drawMenu();
  drawHints(p);
}

function drawHappenings(p) {
  const off = p.status === 2;
  const entry = (name, action) => el('button', { type: 'button', 'data-event': name, onclick: () => { open($('happen'), false); act(action); } }, t(name));
  $('happenings').replaceChildren(
    ...['enter_agent', 'subscribe', 'unsubscribe'].map(name => entry(name, () => post('/event', { user: p.id, event: name }))),
    entry(off ? 'enable' : 'disable', async () => {
      await post('/status', { user: p.id, status: off ? 1 : 2 });
      await post('/event', { user: p.id, event: off ? 'subscribe' : 'unsubscribe' });
    }));
}

// open shows or hides the sheet a button controls.
function open(button, yes) {
  button.setAttribute('aria-expanded', String(yes));
  document.getElementById(button.getAttribute('aria-controls')).hidden = !yes;
}

function drawMenu() {
  $('menu').hidden = !menu.length;
  const entry = m => (m.type === 'view' ? link(m.url, m.name, { class: 'entry' })
    : el('button', { type: 'button', class: 'entry', 'data-click': m.key, onclick: () => { closeSheets(); act(() => post('/click', { user: current, key: m.key })); } }, m.name));
  $('menu').replaceChildren(...menu.map((m, i) => {
    if (!m.sub_button?.length) return entry(m);
    const sheet = el('div', { class: 'sheet', id: `sub${i}`, hidden: true }, m.sub_button.map(entry));
    const top = el('button', { type: 'button', class: 'entry', 'aria-haspopup': 'true', 'aria-expanded': 'false', 'aria-controls': `sub${i}`,
      onclick: () => { const yes = sheet.hidden; closeSheets(); open(top, yes); } }, '≡ ' + m.name);
    return el('div', { class: 'pop' }, top, sheet);
  }));
}

function closeSheets() {
  for (const b of document.querySelectorAll('[aria-haspopup][aria-expanded=true]')) open(b, false);
}

function drawHints(p) {
  $('hints').replaceChildren(...(p.hints?.length ? p.hints : fallbackHints).map(h =>
    el('button', { type: 'button', 'data-hint': h, onclick: () => say(h) }, h)));
}

// drawTalk leaves lines that did not change alone, with the focus and the
// choices in them. It keeps the place of somebody who is reading further up,
// and otherwise follows the conversation.
function drawTalk() {
  const talk = $('talk');
  const p = person(current);
  const lines = chats.get(current) || [];
  const following = talk.scrollHeight - talk.scrollTop - talk.clientHeight < 80;
  if (!p) return;
  lines.forEach((m, i) => {
    const key = [m.seq, m.updates, m.recalled, language()].join();
    const old = talk.children[i];
    if (old?.dataset.key === key) return;
    const line = drawLine(m, p, press);
    line.dataset.key = key;
    if (old) old.replaceWith(line);
    else talk.append(line);
  });
  while (talk.children.length > lines.length) talk.lastChild.remove();
  if (!lines.length) talk.append(welcome(p));
  if (!following) return;
  const follow = () => { talk.scrollTop = talk.scrollHeight; };
  follow();
  for (const img of talk.querySelectorAll('img')) if (!img.complete) img.addEventListener('load', follow, { once: true });
}

const welcome = p => el('section', { class: 'welcome' }, el('span', { class: 'bell', 'aria-hidden': 'true' }),
  el('h2', {}, t('emptyTitle')), el('p', {}, t('empty', p.name)));

function choose(id) {
  current = id;
  unread.delete(id);
  history.replaceState(null, '', '#' + encodeURIComponent(id));
  $('talk').replaceChildren();
  drawPeople();
  drawHead();
  drawTalk();
  $('say').focus({ preventScroll: true });
}

async function act(action) {
  try {
    const d = await action();
    if (d?.error) complain(d.error);
  } catch (e) {
    complain(e.message);
  }
}

function complain(text) {
  $('talk').append(el('p', { class: 'remark bad', role: 'alert' }, t('failed') + text));
  $('talk').scrollTop = $('talk').scrollHeight;
}

function say(text) {
  if (!text.trim()) return;
  const user = current;
  $('talk').scrollTop = $('talk').scrollHeight;
  act(() => post('/say', { user, text }));
}

// kindOf is what WeCom's client makes of a file.
function kindOf(file) {
  if (/^image\/(png|jpeg|gif|webp)$/.test(file.type)) return 'image';
  if (file.type.startsWith('video/')) return 'video';
  return /\.amr$/i.test(file.name) ? 'voice' : 'file';
}

// attach sends a file as the person.
async function attach(file) {
  const query = new URLSearchParams({ user: current, kind: kindOf(file), name: file.name });
  $('attach').setAttribute('aria-busy', 'true');
  await act(async () => {
    const r = await fetch(`/send?${query}`, { method: 'POST', body: file });
    const data = await r.json().catch(() => ({}));
    if (!r.ok) throw new Error(data.error || `HTTP ${r.status}`);
    return data;
  });
  $('attach').removeAttribute('aria-busy');
}

function press(card, key, chosen) {
  const user = current;
  const pressed = document.querySelector(`[data-card="${CSS.escape(card.task_id)}"] [data-key="${CSS.escape(key)}"]`);
  pressed?.setAttribute('aria-busy', 'true');
  act(async () => {
    const d = await post('/press', { user, task_id: card.task_id, key, chosen });
    pressed?.removeAttribute('aria-busy');
    return d;
  });
}

function send() {
  const text = $('say').value;
  $('say').value = '';
  fit();
  say(text);
}

// fit grows the box with what is typed, up to what its style allows.
function fit() {
  $('say').style.height = 'auto';
  $('say').style.height = `${$('say').scrollHeight + 2}px`;
}

async function loadAll() {
  menu = (await get('/menu')).button || [];
  await loadPeople();
  await Promise.all([showWire(), showFaults()]);
}

function redraw() {
  sayWords();
  drawPeople();
  drawHead();
  drawTalk();
  showWire();
  showFaults();
}

function listen() {
  const source = new EventSource('/events');
  source.onopen = loadAll; // also after a break: whatever was missed is read anew
  source.onmessage = async e => {
    const { kind, user, wire } = JSON.parse(e.data);
    if (kind === 'inbox') { await loadChat(user); drawPeople(); }
    if (kind === 'people') await loadPeople();
    if (kind === 'menu') { menu = (await get('/menu')).button || []; drawMenu(); }
    if (kind === 'faults') await showFaults();
    if (kind === 'wire') addWire(wire);
  };
}

$('form').addEventListener('submit', e => { e.preventDefault(); send(); });
$('say').addEventListener('input', fit);
$('say').addEventListener('keydown', e => {
  if (e.key === 'Enter' && !e.shiftKey && !e.isComposing) { e.preventDefault(); send(); }
});
$('say').addEventListener('paste', e => {
  const files = [...e.clipboardData.files];
  if (files.length) { e.preventDefault(); files.forEach(attach); }
});
$('attach').addEventListener('click', () => $('file').click());
$('file').addEventListener('change', () => {
  [...$('file').files].forEach(attach);
  $('file').value = ''; // the same file may be sent again
});
$('happen').addEventListener('click', () => open($('happen'), $('happenings').hidden));
$('lang').addEventListener('click', () => { switchLanguage(); redraw(); });
// Another window may have been somebody else meanwhile.
window.addEventListener('focus', () => { if (!person(current)) return; remember(current); unread.delete(current); drawPeople(); });
document.addEventListener('keydown', e => { if (e.key === 'Escape') closeSheets(); });
document.addEventListener('click', e => { if (!e.target.closest('.pop')) closeSheets(); });
document.documentElement.lang = language();
sayWords();
setUp();
listen();
