// The page's own words. What the gateway says is the gateway's business.
const words = {
  zh: {
    sandbox: '企业微信沙盒', side: '选择一个人，以他的身份与应用对话。', windows: '各开一个窗口，同时扮演：', people: '成员', talk: '对话', menu: '应用菜单', hints: '可以试试',
    say: '输入消息或 /命令', send: '发送', happen: '事件', panel: '幕后', close: '关闭', wire: '线路日志', faults: '故障开关',
    as: (n, app) => `${n} ⇄ ${app}`, inactive: '未激活', disabled: '已停用', left: '已离职', hidden: '不可见',
    passive: '被动回复', push: '推送', passiveHint: '在回调的应答里加密带回', pushHint: '由 message/send 主动推送',
    recalled: '应用撤回了一条消息', updated: '已更新', safe: '保密消息', image: '[图片]', file: '[文件]', voice: '[语音]', video: '[视频]', attach: '发送图片或文件', card: '[卡片]',
    pressed: k => `点击了「${k}」`, clicked: k => `点击菜单 ${k}`, pick: '请选择', openLink: '打开链接',
    attempt: x => `回调未得到 200（第 ${x}）`, undelivered: n => `企业微信发送了 ${n} 次，放弃：消息丢失`, duplicate: () => '故障：回调重复投递了一次', held: () => '故障：这条回调被扣下，等后一条先到',
    suppressed: () => '重复的推送被 WeCom 去重', dropped: () => '超过每人每分钟 30 条，推送被静默丢弃',
    enter_agent: '进入应用 enter_agent', subscribe: '加入可见范围 subscribe', unsubscribe: '离开可见范围 unsubscribe',
    disable: '停用账号并通知', enable: '启用账号并通知',
    emptyTitle: '按一下铃，有人应答', empty: n => `您现在是 ${n}。每条消息都加密签名，经真实的回调送达网关；应答也原样解密。试试下面的命令：`,
    latency: '接口延迟', none: '无', outage: '接口中断', outages: { '': '正常', refuse: '拒绝连接', hang: '挂起不答', 500: 'HTTP 500', truncate: '已生效，应答被截断', drop: '已生效，应答丢失' },
    errcode: '返回错误码', every: '所有接口', once: '一次', always: '一直', add: '添加', remove: '移除',
    deliveries: '回调投递', duplicates: '重复投递', reorder: '乱序投递', lost: '丢失应答（次）', repair: '全部恢复',
    actions: '操作', verify: '验证回调 URL', verified: '回调 URL 验证通过', expire: '令 access_token 失效', expired: 'access_token 已失效', reset: '清空对话与日志',
    trouble: '故障中', silence: '还没有任何调用', failed: '操作失败：', lang: 'EN', langTitle: 'Switch to English', unread: '条未读',
  },
  en: {
    sandbox: 'WeCom sandbox', side: 'Choose a person and talk to the app as them.', windows: 'Play several at once, each in a window:', people: 'People', talk: 'Conversation', menu: 'App menu', hints: 'Things to try',
    say: 'Message or /command', send: 'Send', happen: 'Events', panel: 'Backstage', close: 'Close', wire: 'Wire log', faults: 'Faults',
    as: (n, app) => `${n} ⇄ ${app}`, inactive: 'not activated', disabled: 'disabled', left: 'left', hidden: 'not visible',
    passive: 'passive', push: 'push', passiveHint: 'came encrypted in the answer to the callback', pushHint: 'sent with message/send',
    recalled: 'The app took a message back', updated: 'updated', safe: 'confidential', image: '[image]', file: '[file]', voice: '[voice]', video: '[video]', attach: 'Send an image or a file', card: '[card]',
    pressed: k => `pressed “${k}”`, clicked: k => `chose ${k} in the menu`, pick: 'Choose', openLink: 'Open link',
    attempt: x => `No 200 for the callback (attempt ${x})`, undelivered: n => `WeCom tried ${n} times and gave up: message lost`, duplicate: () => 'Fault: the callback was delivered twice', held: () => 'Fault: held back until the next one has overtaken it',
    suppressed: () => 'A repeated push was dropped as a duplicate', dropped: () => 'Over 30 a minute: WeCom silently dropped a push',
    enter_agent: 'Open the app: enter_agent', subscribe: 'Comes into range: subscribe', unsubscribe: 'Leaves the range: unsubscribe',
    disable: 'Disable the account and tell', enable: 'Enable the account and tell',
    emptyTitle: 'Ring, and somebody answers', empty: n => `You are ${n}. Each message goes encrypted and signed through the real callback to the gateway, and its answer is opened like WeCom does. Try:`,
    latency: 'API latency', none: 'none', outage: 'API outage', outages: { '': 'works', refuse: 'connection refused', hang: 'hangs', 500: 'HTTP 500', truncate: 'done, answer truncated', drop: 'done, answer lost' },
    errcode: 'Answer with errcode', every: 'every call', once: 'once', always: 'always', add: 'Add', remove: 'Remove',
    deliveries: 'Callback delivery', duplicates: 'Deliver twice', reorder: 'Out of order', lost: 'Lose so many answers', repair: 'Repair everything',
    actions: 'Actions', verify: 'Verify the callback URL', verified: 'The callback URL is in order', expire: 'Expire the access_token', expired: 'The access_token is expired', reset: 'Clear chats and logs',
    trouble: 'faults on', silence: 'No calls yet', failed: 'Failed: ', lang: '中', langTitle: '切换到中文', unread: 'unread',
  },
};

const stored = () => { try { return localStorage.getItem('lang'); } catch { return null; } };
let lang = stored() || (navigator.language.startsWith('zh') ? 'zh' : 'en');

// t says a word in the page's language.
export const t = (key, ...args) => {
  const word = words[lang][key] ?? key;
  return typeof word === 'function' ? word(...args) : word;
};

export const language = () => (lang === 'zh' ? 'zh-CN' : 'en');

export function switchLanguage() {
  lang = lang === 'zh' ? 'en' : 'zh';
  try { localStorage.setItem('lang', lang); } catch { /* private window: forgotten with it */ }
}

// sayWords writes the words of the fixed parts of the page.
export function sayWords() {
  document.documentElement.lang = language();
  for (const e of document.querySelectorAll('[data-word]')) e.textContent = t(e.dataset.word);
  for (const e of document.querySelectorAll('[data-label]')) e.setAttribute('aria-label', t(e.dataset.label));
  for (const e of document.querySelectorAll('[data-holder]')) e.placeholder = t(e.dataset.holder);
}
