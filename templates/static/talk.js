// What a conversation needs beside htmx: each message once, the end in view,
// what was seen told. Without it the page still works, one load at a time.
addEventListener("DOMContentLoaded", () => {
  const $ = (id) => document.getElementById(id), talk = $("talk"), log = $("log");
  if (!talk) return;
  const on = (name, fn, of = talk) => of.addEventListener(name, fn);

  // The keyboard of a phone leaves less to see than the window says.
  if (window.visualViewport) {
    const fit = () => document.documentElement.style.setProperty("--tall", visualViewport.height + "px");
    on("resize", fit, visualViewport);
    fit();
  }

  const bottom = () => { log.scrollTop = log.scrollHeight; $("newer").hidden = true; };
  const atEnd = () => log.scrollHeight - log.scrollTop - log.clientHeight < 60;
  const latest = () => [...log.querySelectorAll(".said")].at(-1);
  // Messages come at both ends: each day is named once.
  const days = () => {
    let day = "";
    for (const gone of log.querySelectorAll(".day")) gone.remove();
    for (const m of log.querySelectorAll(".said")) {
      if (m.dataset.day === day) continue;
      m.insertAdjacentHTML("beforebegin", '<p class="day"><span></span></p>');
      m.previousElementSibling.firstChild.textContent = day = m.dataset.day;
    }
  };

  let seen = 0, unread = 0;
  const look = () => {
    const n = Number(latest()?.dataset.n ?? 0);
    if (document.hidden) return;
    talk.dispatchEvent(new CustomEvent("unread", { bubbles: true, detail: unread = 0 }));
    if (n <= seen || !talk.dataset.seen) return;
    fetch(talk.dataset.seen, { method: "POST", body: new URLSearchParams({ n }) }).then((r) => { if (r.ok) seen = n; }, () => {});
  };
  on("visibilitychange", look, document);
  on("click", () => { bottom(); $("say")?.focus(); }, $("newer"));
  let stays = true; // a keyboard that opens takes the end out of view, too
  on("scroll", () => { if (stays = atEnd()) $("newer").hidden = true; }, log);
  new ResizeObserver(() => { if (stays) bottom(); }).observe(log);

  let end = true, from = 0;
  on("htmx:sseBeforeMessage", (event) => {
    if ($("m" + event.detail.lastEventId)) event.preventDefault(); // told twice after a break
    end = atEnd();
  }, log);
  on("htmx:sseMessage", () => {
    const last = latest();
    days();
    if (end || last?.matches(".own")) bottom(); else $("newer").hidden = false;
    if (document.hidden && last?.matches(".other")) talk.dispatchEvent(new CustomEvent("unread", { bubbles: true, detail: ++unread }));
    look();
  }, log);
  on("htmx:beforeSwap", () => { from = log.scrollHeight - log.scrollTop; }, log);
  on("htmx:afterSettle", (event) => { if (event.detail.requestConfig) { days(); log.scrollTop = log.scrollHeight - from; } }, log);

  // A connection that breaks mends itself, and goes on where it was.
  let lost, again = false;
  on("htmx:sseError", () => { lost ??= setTimeout(() => { $("lost").hidden = false; }, 2500); });
  on("htmx:sseOpen", () => {
    lost = clearTimeout(lost);
    $("lost").hidden = true;
    if (again) htmx.trigger("#bar", "refresh");
    again = true;
  });
  on("htmx:sseClose", (event) => { // it is not theirs any more: the list knows where to go then
    if (event.detail.type !== "message") return;
    if ($("list")) htmx.trigger("#list", "refresh"); else location.reload();
  });

  bottom();
  look();
});
