// What writing needs beside htmx: Enter sends, what was typed is kept until it is
// sent, and canned replies and suggested questions go into the form. And how much
// is unread, in the title and said aloud. The pages work without it.
addEventListener("DOMContentLoaded", () => {
  const $ = (id) => document.getElementById(id), title = document.title;
  let here = 0;
  const tell = () => {
    const list = $("list"), said = $("announce"), n = here + Number(list?.dataset.unread ?? 0);
    document.title = n ? `(${n}) ${title}` : title;
    if (!list || !said || list.dataset.say === said.dataset.was) return;
    if (said.dataset.was) said.textContent = list.dataset.say; // not at the start
    said.dataset.was = list.dataset.say;
  };
  document.addEventListener("unread", (event) => { here = event.detail; tell(); });
  document.body.addEventListener("htmx:afterSettle", tell);
  tell();

  // Once a form leads away, what this page would still fetch is for nobody.
  let leaving = false;
  document.addEventListener("submit", ({ target }) => { leaving ||= !target.hasAttribute("hx-post"); });
  for (const name of ["htmx:beforeRequest", "htmx:beforeOnLoad"]) document.body.addEventListener(name, (event) => { if (leaving) event.preventDefault(); });

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-fill]"), say = $("say");
    if (!link || !say) return;
    event.preventDefault();
    if ($("canned")) $("canned").open = false;
    say.value = (say.value && say.value.trimEnd() + "\n") + link.dataset.fill;
    say.dispatchEvent(new Event("input", { bubbles: true }));
    say.focus();
  });
  document.addEventListener("keydown", (event) => {
    const { target, key } = event, fold = target.closest("details[open]"), canned = $("canned");
    if (key === "Escape" && fold) {
      fold.open = false;
      fold.querySelector("summary").focus();
    } else if (key === "/" && canned && (target.id === "say" ? !target.value : !target.matches("input, select, textarea"))) {
      event.preventDefault();
      canned.open = true;
      canned.querySelector("a").focus();
    }
  });

  const talk = $("talk");
  if (!talk) return;
  const on = (name, fn) => talk.addEventListener(name, fn);
  const mine = (event) => (event.detail.requestConfig?.elt ?? event.target).id === "composer";
  const key = "say " + talk.dataset.seen;
  let typed = "";
  const keep = (say) => {
    say.style.height = "auto";
    say.style.height = say.scrollHeight + 2 + "px";
    sessionStorage.setItem(key, say.value);
  };
  on("input", (event) => { if (event.target.id === "say") keep(event.target); });
  on("keydown", (event) => {
    if (event.target.id !== "say" || event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    if (event.target.value.trim()) event.target.form.requestSubmit();
  });
  on("htmx:beforeRequest", (event) => {
    if (!mine(event)) return;
    typed = $("say").value;
    $("unsent").hidden = $("failed").hidden = true;
  });
  on("htmx:beforeSwap", (event) => {
    const { detail } = event;
    if (mine(event) && [400, 409, 429].includes(detail.xhr.status)) Object.assign(detail, { shouldSwap: true, isError: false, target: $("unsent") });
  });
  on("htmx:afterRequest", (event) => {
    const say = $("say");
    if (!mine(event) || !say || event.detail.xhr.status !== 200) return;
    const rest = say.value.startsWith(typed) ? say.value.slice(typed.length) : say.value; // typed meanwhile
    say.value = rest.trim() ? rest : "";
    keep(say);
  });
  for (const name of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) on(name, (event) => {
    if (!mine(event)) return;
    event.stopPropagation(); // the page would say to load it anew
    $("failed").hidden = false;
  });

  const say = $("say");
  if (say) {
    say.value ||= sessionStorage.getItem(key) ?? "";
    keep(say);
  }
});
