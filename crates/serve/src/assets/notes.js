// Keys of the review, and names that stay in step. Without it every answer is a button, and every note a form.
(() => {
  "use strict";

  let busy = false; // One answer at a time: a key that is held down must not answer the next text unseen.
  addEventListener("pageshow", () => { busy = false; });
  document.addEventListener("submit", (event) => {
    if (busy && event.target.closest(".review")) event.preventDefault();
    busy = true;
  });

  const isTyped = (element) => element.matches("textarea, select, input:not([type=hidden], [type=radio], [type=checkbox], [type=submit])");
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.key === "Escape" && event.target.matches(".review input")) event.target.blur();
    if (isTyped(event.target)) return;
    const keyed = [...document.querySelectorAll("[data-key]")].find((element) => element.dataset.key.split(" ").includes(event.key));
    if (!keyed) return;
    event.preventDefault();
    if (event.repeat || busy) return;
    if (isTyped(keyed)) keyed.focus();
    else keyed.click();
  });

  // The name is written once; the forms beside it take it over.
  const named = document.querySelector(".who input[name=as]");
  if (named) {
    const others = document.querySelectorAll("#notes input[type=hidden][name=as]");
    const follow = () => { for (const other of others) if (!other.closest(".small")) other.value = named.value; };
    named.addEventListener("input", follow);
    follow();
    document.addEventListener("submit", (event) => {
      const own = event.target.querySelector("input[type=hidden][name=as]");
      if (own && own.value.trim() === "") {
        event.preventDefault();
        busy = false;
        named.reportValidity();
        named.focus();
      }
    });
  }
})();
