// The panel behind the stage: what crossed the wire, and what can go wrong.
import { clock, el, get, post } from './dom.js';
import { t } from './words.js';

const $ = id => document.getElementById(id);
const calls = ['*', 'message/send', 'message/update_template_card', 'message/recall', 'media/upload', 'gettoken', 'user/get', 'tag/get', 'user/simplelist', 'agent/get', 'auth/getuserinfo'];
const codes = [-1, 40001, 40014, 42001, 45009, 45033, 60020, 60111, 81013];
let faults = {};
let said = '';

// setUp makes the panel's buttons work.
export function setUp() {
  const show = open => {
    $('panel').hidden = !open;
    $('toggle').setAttribute('aria-expanded', String(open));
    document.body.classList.toggle('backstage', open);
  };
  $('toggle').addEventListener('click', () => show($('panel').hidden));
  $('close').addEventListener('click', () => { show(false); $('toggle').focus(); });
  for (const name of ['wire', 'faults']) $(`tab-${name}`).addEventListener('click', () => choose(name));
  $('faults').addEventListener('submit', e => e.preventDefault());
  show(window.innerWidth > 1240);
}

function choose(name) {
  for (const other of ['wire', 'faults']) {
    $(`tab-${other}`).setAttribute('aria-selected', String(other === name));
    $(other).hidden = other !== name;
  }
}

// showWire draws the whole log; addWire one line more.
export async function showWire() {
  const { items } = await get('/wire');
  $('wire').replaceChildren(...(items.length ? items.map(wireLine).reverse() : [el('li', { class: 'empty' }, t('silence'))]));
}

export function addWire(w) {
  $('wire').querySelector('.empty')?.remove();
  $('wire').prepend(wireLine(w));
  while ($('wire').children.length > 300) $('wire').lastChild.remove();
}

const arrows = { call: '→ API', callback: '← CB', signin: '⇄', problem: '⚠' };

function wireLine(w) {
  const bad = w.dir === 'problem' || w.errcode || (w.dir === 'callback' && w.status !== 200);
  const outcome = w.dir === 'call' ? w.errcode : w.dir === 'problem' ? '' : w.status || '—';
  return el('li', { class: `${w.dir}${bad ? ' bad' : ''}` },
    el('time', {}, clock(w.at, true)), el('span', { class: 'dir' }, arrows[w.dir]), el('b', {}, w.name),
    el('span', { class: 'outcome' }, String(outcome)), el('small', {}, [w.note, w.dir === 'problem' ? '' : `${w.ms} ms`].filter(Boolean).join(' · ')));
}

// showFaults draws the switches as the simulator has them.
export async function showFaults() {
  faults = await get('/faults');
  const on = faults.latency_ms || faults.outage || faults.duplicate || faults.reorder || faults.lost_acks || Object.keys(faults.errcode).length;
  $('trouble').hidden = !on;
  $('trouble').textContent = '⚠ ' + t('trouble');
  $('faults').replaceChildren(
    group(t('latency'), choice('latency_ms', [0, 300, 1000, 3000, 6000], faults.latency_ms, n => (n ? `${n} ms` : t('none')), Number)),
    group(t('outage'), choice('outage', ['', 'refuse', 'hang', '500', 'truncate', 'drop'], faults.outage, o => t('outages')[o])),
    group(t('errcode'), errcodes()),
    group(t('deliveries'), tick('duplicate', t('duplicates')), tick('reorder', t('reorder')),
      el('label', {}, t('lost'), el('input', { type: 'number', id: 'lost_acks', min: 0, max: 99, value: faults.lost_acks, onchange: e => set({ lost_acks: Number(e.target.value) }) }))),
    group(t('actions'),
      el('div', { class: 'actions' },
        button('repair', t('repair'), () => post('/faults', {})),
        button('verify', t('verify'), async () => { const r = await post('/verify'); return r.ok ? '✓ ' + t('verified') : r.error; }),
        button('expire', t('expire'), async () => { await post('/expire-tokens'); return '✓ ' + t('expired'); }),
        button('reset', t('reset'), () => post('/reset'))),
      el('p', { id: 'said', role: 'status' }, said)));
}

const group = (legend, ...controls) => el('fieldset', {}, el('legend', {}, legend), ...controls);

const tick = (name, words) => el('label', {}, el('input', { type: 'checkbox', id: name, checked: faults[name], onchange: e => set({ [name]: e.target.checked }) }), words);

function choice(name, values, now, words, read = v => v) {
  if (!values.includes(now)) values = [...values, now];
  return el('select', { id: name, 'aria-label': t(name === 'outage' ? 'outage' : 'latency'), onchange: e => set({ [name]: read(e.target.value) }) },
    values.map(v => el('option', { value: String(v), selected: v === now }, words(v))));
}

function errcodes() {
  const call = el('select', { id: 'fault-call', 'aria-label': 'API' }, calls.map(c => el('option', { value: c }, c === '*' ? t('every') : c)));
  const code = el('input', { id: 'fault-code', type: 'number', value: 45009, 'aria-label': 'errcode' });
  code.setAttribute('list', 'known-codes');
  const times = el('select', { id: 'fault-times', 'aria-label': t('once') }, [[1, t('once')], [3, '3×'], [0, t('always')]].map(([v, w]) => el('option', { value: v }, w)));
  const active = Object.entries(faults.errcode).map(([name, f]) => el('li', {}, `${name === '*' ? t('every') : name} → ${f.code}${f.times ? ` ×${f.times}` : ''}`,
    el('button', { type: 'button', class: 'quiet', 'aria-label': `${t('remove')} ${name}`, onclick: () => { const { [name]: _, ...rest } = faults.errcode; return set({ errcode: rest }); } }, '✕')));
  return el('div', { class: 'errcodes' }, el('datalist', { id: 'known-codes' }, codes.map(c => el('option', { value: c }))),
    el('div', { class: 'row' }, call, code, times,
      el('button', { type: 'button', id: 'fault-add', onclick: () => set({ errcode: { ...faults.errcode, [call.value]: { code: Number(code.value), times: Number(times.value) } } }) }, t('add'))),
    el('ul', {}, active));
}

async function set(change) {
  await attempt(() => post('/faults', { ...faults, ...change }));
  await showFaults();
}

const button = (id, words, action) => el('button', { type: 'button', id, onclick: () => attempt(action) }, words);

async function attempt(action) {
  try {
    const answer = await action();
    said = typeof answer === 'string' ? answer : '';
  } catch (e) {
    said = t('failed') + e.message;
  }
  if ($('said')) $('said').textContent = said;
}
