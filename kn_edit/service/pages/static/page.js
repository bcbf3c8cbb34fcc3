// What the pages add where scripts run: copying ids, and where the focus goes after a swap.
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

document.addEventListener("htmx:afterSettle", (event) => {
  offerCopies(event.target);
  const place = event.target.querySelector("[data-focus]");
  if (place) place.focus();
});
