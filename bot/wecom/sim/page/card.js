// Draws template cards the way WeCom's client does (document 90236).
import { el, link } from './dom.js';
import { t } from './words.js';

// drawCard makes the card. press(key, chosen) is called for a button.
export function drawCard(card, id, press) {
  const picks = [];
  const act = key => press(key, picks.map(p => p()));
  return el('article', { class: `card ${card.card_type}`, 'data-card': card.task_id || id, 'data-type': card.card_type },
    source(card, act), title(card), picture(card), emphasis(card), quote(card),
    card.sub_title_text && el('p', { class: 'sub' }, card.sub_title_text),
    vertical(card), rows(card), jumps(card), choices(card, picks), buttons(card, act));
}

function source(card, act) {
  if (!card.source?.desc && !card.action_menu) return null;
  return el('div', { class: 'source' },
    el('span', { class: `desc c${card.source?.desc_color || 0}` }, card.source?.desc || ''),
    card.action_menu && el('details', { class: 'more' }, el('summary', { title: card.action_menu.desc }, '⋯'),
      el('div', { class: 'sheet' }, card.action_menu.action_list.map(a =>
        el('button', { type: 'button', 'data-key': a.key, onclick: () => act(a.key) }, a.text)))));
}

function title(card) {
  const m = card.main_title;
  if (!m?.title && !m?.desc) return null;
  const href = card.card_action?.type === 1 && card.card_action.url;
  return el('header', {},
    m.title && el('h3', {}, href ? link(href, m.title, { class: 'stretched' }) : m.title),
    m.desc && el('p', {}, m.desc));
}

// Pictures live elsewhere on the web, which this page does not ask for anything.
function picture(card) {
  const url = card.card_image?.url || card.image_text_area?.image_url;
  if (!url) return null;
  const area = card.image_text_area;
  return el('div', { class: 'picture' }, link(url, t('image')),
    area && el('div', {}, el('b', {}, area.title || ''), el('p', {}, area.desc || '')));
}

function emphasis(card) {
  const e = card.emphasis_content;
  return e && el('div', { class: 'emphasis' }, el('b', {}, e.title || ''), el('span', {}, e.desc || ''));
}

function quote(card) {
  const q = card.quote_area;
  return q && el('blockquote', {}, q.title && el('b', {}, q.type === 1 ? link(q.url, q.title) : q.title), el('span', {}, q.quote_text || ''));
}

function vertical(card) {
  return (card.vertical_content_list || []).map(v => el('div', { class: 'vertical' }, el('b', {}, v.title), el('p', {}, v.desc || '')));
}

function rows(card) {
  if (!card.horizontal_content_list?.length) return null;
  return el('dl', {}, card.horizontal_content_list.map(r => [
    el('dt', {}, r.keyname),
    el('dd', {}, r.type === 1 ? link(r.url, r.value || r.url) : r.type === 3 ? el('span', { class: 'member' }, '@' + (r.value || r.userid)) : r.value || ''),
  ]));
}

function jumps(card) {
  return (card.jump_list || []).map(j => el('div', { class: 'jump' }, j.type === 1 ? link(j.url, j.title) : el('span', {}, j.title)));
}

// choices draws the questions; each leaves in picks how to read its answer.
function choices(card, picks) {
  const ask = s => {
    const select = el('select', { 'data-question': s.question_key, 'aria-label': s.title || s.question_key, disabled: !!s.disable || !!card.replace_text },
      el('option', { value: '' }, t('pick')), s.option_list.map(o => el('option', { value: o.id, selected: o.id === s.selected_id }, o.text)));
    picks.push(() => ({ question: s.question_key, options: select.value ? [select.value] : [] }));
    return el('label', { class: 'choice' }, el('span', {}, s.title || ''), select);
  };
  const tick = c => {
    const boxes = c.option_list.map(o => el('input', {
      type: c.mode === 1 ? 'checkbox' : 'radio', name: card.task_id, value: o.id, checked: !!o.is_checked, disabled: !!c.disable || !!card.replace_text,
    }));
    picks.push(() => ({ question: c.question_key, options: boxes.filter(b => b.checked).map(b => b.value) }));
    return el('div', { class: 'ticks' }, c.option_list.map((o, i) => el('label', {}, boxes[i], o.text)));
  };
  return [...(card.button_selection ? [ask(card.button_selection)] : []), ...(card.select_list || []).map(ask), ...(card.checkbox ? [tick(card.checkbox)] : [])];
}

function buttons(card, act) {
  const list = [...(card.button_list || []), ...(card.submit_button ? [card.submit_button] : [])];
  if (card.replace_text) return el('div', { class: 'buttons' }, el('span', { class: 'replaced', 'data-replaced': true }, card.replace_text));
  if (!list.length) return null;
  return el('div', { class: 'buttons' + (list.length > 2 ? ' many' : '') }, list.map(b => {
    const look = `button s${b.style || 1}`;
    return b.type === 1 ? link(b.url, b.text, { class: look }) : el('button', { type: 'button', class: look, 'data-key': b.key, onclick: () => act(b.key) }, b.text);
  }));
}
