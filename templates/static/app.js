// What htmx cannot say by attributes: a list that did not come must not leave
// the old one standing as if nothing were wrong. Everything works without
// this file, and without htmx.
addEventListener("DOMContentLoaded", () => {
  const trouble = document.getElementById("trouble");
  const failed = (event) => {
    const answer = event.detail.xhr;
    // A page that explains itself is worth more than our sentence.
    if (answer?.status >= 400 && event.detail.requestConfig?.verb === "get") {
      location.assign(event.detail.pathInfo.finalRequestPath);
      return;
    }
    if (trouble) {
      trouble.hidden = false;
      trouble.scrollIntoView({ block: "nearest" });
    }
  };
  for (const name of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) document.body.addEventListener(name, failed);
  // The button that was pressed went with the old list.
  document.body.addEventListener("htmx:afterSettle", (event) => {
    if (event.detail.requestConfig?.verb === "post") document.getElementById("list")?.focus({ preventScroll: true });
  });
  document.body.addEventListener("htmx:beforeRequest", () => { if (trouble) trouble.hidden = true; });
  // On a phone the menu is a strip: the page one is on may be far to the right.
  document.querySelector(".menu [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
});
