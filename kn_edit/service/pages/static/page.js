// What the pages add where scripts run: copying ids, the state of a job, the focus after a swap.
"use strict";

function offerCopies(root) {
  if (!navigator.clipboard) return;
  for (const button of root.querySelectorAll("button[data-copy][hidden]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = "Copied";
    });
  }
}

document.addEventListener("DOMContentLoaded", () => offerCopies(document));

// Tells where a job stands, once for each change: a live region that is not swapped itself.
function tellState() {
  const [live, state] = [document.getElementById("live"), document.getElementById("state")];
  if (live && state && state.textContent !== live.dataset.state) state.textContent = live.dataset.state;
}

// A swap that takes away what has the focus hands it to what stands in its place.
let focused = null;

document.addEventListener("htmx:beforeSwap", () => {
  focused = document.activeElement && document.activeElement.id;
});

document.addEventListener("htmx:afterSettle", () => {
  offerCopies(document);
  tellState();
  if (!focused || document.activeElement !== document.body) return;
  const place = document.getElementById(focused) || document.getElementById("main");
  place.focus({ preventScroll: true });
});
