// Draws the lines of a conversation.
import { clock, el, link, rich } from './dom.js';
import { drawCard } from './card.js';
import { t } from './words.js';

// preview is the one line the list of people shows.
export function preview(m) {
  if (!m) return '';
  if (m.recalled) return t('recalled');
  if (m.via === 'own') return own(m);
  switch (m.type) {
    case 'image': return t('image');
    case 'file': return `${t('file')} ${m.file_name || ''}`;
    case 'template_card': return `${t('card')} ${m.card.main_title?.title || m.card.sub_title_text || ''}`;
    case 'textcard': return `${t('card')} ${m.textcard.title}`;
  }
  return m.text || '';
}

function own(m) {
  if (m.type === 'press') return t('pressed', m.text);
  if (m.type === 'click') return t('clicked', m.text);
  if (sent.includes(m.type)) return `${t(m.type)} ${m.file_name || ''}`;
  return m.text;
}

// sent are the kinds of things people send instead of words.
const sent = ['image', 'voice', 'video', 'file'];

// drawLine makes one line; press(card, key, chosen) is called for a button.
export function drawLine(m, person, press) {
  if (m.via === 'note') return remark(t(m.type, m.text), m.type === 'undelivered');
  if (m.recalled) return remark(t('recalled'));
  if (m.via === 'own' && m.type !== 'text' && !sent.includes(m.type)) return remark(`${person.name} ${own(m)}`);
  const mine = m.via === 'own';
  return el('div', { class: `line ${mine ? 'mine' : 'theirs'}`, 'data-msg': m.msgid || String(m.seq), 'data-via': m.via, 'data-type': m.type },
    mine ? avatar(person) : el('span', { class: 'avatar app', 'aria-hidden': 'true' }),
    el('div', { class: 'body' }, content(m, press), meta(m)));
}

const remark = (text, bad) => el('p', { class: bad ? 'remark bad' : 'remark', 'data-note': true }, text);

function content(m, press) {
  switch (m.type) {
    case 'template_card':
      return drawCard(m.card, m.msgid, (key, chosen) => press(m.card, key, chosen));
    case 'textcard': {
      const c = m.textcard;
      return el('article', { class: 'card', 'data-card': m.msgid }, el('header', {}, el('h3', {}, link(c.url, c.title, { class: 'stretched' }))),
        el('p', { class: 'sub' }, c.description.replace(/<br\s*\/?>/g, '\n').replace(/<\/?div[^>]*>/g, '')),
        el('div', { class: 'jump' }, link(c.url, c.btntxt || '详情')));
    }
    case 'image':
      return el('img', { class: 'picture', src: `/media?id=${encodeURIComponent(m.media_id)}`, alt: m.file_name || t('image') });
    case 'voice':
    case 'video':
    case 'file':
      return el('div', { class: 'bubble' }, el('a', { href: `/media?id=${encodeURIComponent(m.media_id)}`, download: m.file_name || m.type }, m.file_name || t(m.type)));
  }
  return el('div', { class: 'bubble' }, rich(m.text || ''));
}

function meta(m) {
  const via = m.via === 'own' ? null : el('span', { class: `via ${m.via}`, title: t(m.via + 'Hint') }, t(m.via));
  return el('div', { class: 'meta' }, el('time', { dateTime: m.at }, clock(m.at)), via,
    m.updates ? el('span', { class: 'via', 'data-updates': m.updates }, t('updated')) : null,
    m.safe ? el('span', { class: 'via safe' }, t('safe')) : null);
}

const colours = ['#3a7bd5', '#00a884', '#d9822b', '#8e5bd0', '#d1495b', '#2a9d8f', '#5a6acf', '#b5651d'];

// avatar shows the last character of a Chinese name, as WeCom does, or the first of another.
export function avatar(p) {
  const name = (p.name || p.id).trim();
  const e = el('span', { class: 'avatar', 'aria-hidden': 'true' }, /[\u4e00-\u9fff]/.test(name) ? [...name].slice(-2).join('') : [...name][0].toUpperCase());
  e.style.background = p.color || colours[(p.index || 0) % colours.length];
  return e;
}
