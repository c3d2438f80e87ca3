// Keys, answers as one types, and the list of keys. Without a script all pages answer by their forms.
(() => {
  "use strict";

  const main = document.querySelector("main");
  const typed = (target) => target.matches?.("input:not([type=radio], [type=checkbox], [type=range], [type=submit], [type=file]), textarea, select");

  // Answers as one types or chooses.
  const WAIT = { text: 450, search: 450, number: 300 };
  let timer = 0;
  let asking = null;

  /** The address of a form's question as it stands, without empty fields. */
  const question = (form) => {
    const fields = [...new FormData(form)].filter(([, value]) => typeof value === "string" && value.trim() !== "");
    const action = new URL(form.action);
    action.search = new URLSearchParams(fields).toString();
    return action;
  };

  /** Which field has the focus, and where its caret stands, by the place of its form among the page's forms. */
  const focus = () => {
    const field = document.activeElement;
    if (!field?.form || !main.contains(field)) return null;
    const forms = [...main.querySelectorAll("form")];
    const place = [forms.indexOf(field.form), [...field.form.elements].indexOf(field)];
    const caret = field.type === "text" || field.type === "search" ? [field.selectionStart, field.selectionEnd] : null;
    return { place, caret, value: field.value, type: field.type };
  };

  const restore = (kept) => {
    const field = kept && main.querySelectorAll("form")[kept.place[0]]?.elements[kept.place[1]];
    if (!field || field.type !== kept.type) return;
    if (kept.caret) field.value = kept.value;
    field.focus({ preventScroll: true });
    if (kept.caret) field.setSelectionRange(...kept.caret);
  };

  /** Says what is wrong beside the form, which keeps the question. */
  const complain = (form, message) => {
    let note = form.parentElement.querySelector(":scope > p.error.live");
    if (!note) {
      note = document.createElement("p");
      note.className = "error live";
      note.setAttribute("role", "alert");
      form.after(note);
    }
    note.textContent = message;
  };

  /** Whether a file waits to be uploaded: another answer would lose it. */
  const holdsFile = () => [...main.querySelectorAll("input[type=file]")].some((field) => field.files.length > 0);

  const ask = async (form) => {
    asking?.abort();
    if (holdsFile() || !form.isConnected || !form.checkValidity()) return;
    const address = question(form);
    if (address.pathname === location.pathname && address.search === location.search) return;
    const own = asking = new AbortController();
    main.setAttribute("aria-busy", "true");
    try {
      const response = await fetch(address, { signal: own.signal, headers: { accept: "text/html" } });
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      // What was typed meanwhile is asked next.
      if (own.signal.aborted || holdsFile() || question(form).href !== address.href) return;
      if (!response.ok) {
        complain(form, page.querySelector("p.error")?.textContent ?? `No answer (${response.status}).`);
        return;
      }
      const kept = focus();
      main.replaceChildren(...page.querySelector("main").childNodes);
      document.title = page.title;
      history.replaceState(null, "", address);
      restore(kept);
      document.dispatchEvent(new Event("answered"));
    } catch (error) {
      if (error.name !== "AbortError") complain(form, "The explorer does not answer; is it still running?");
    } finally {
      if (asking === own) main.removeAttribute("aria-busy");
    }
  };

  const changed = (event) => {
    const form = event.target.form;
    if (!form?.matches("form.ask, form.filter") || event.isComposing || event.target.type === "file") return;
    clearTimeout(timer);
    // Choosing what a question is about asks nothing new before it is given.
    timer = setTimeout(() => ask(form), WAIT[event.target.type] ?? 60);
  };
  if (location.protocol.startsWith("http")) {
    main.addEventListener("input", changed);
    document.addEventListener("submit", () => { clearTimeout(timer); asking?.abort(); });
  }

  // The list of keys.
  const KEYS = [
    ["/", "search for heads by a text, for properties, classes and models"],
    ["← → ↑ ↓", "go through the heads of a matrix, through images, and from a head to the next"],
    ["Enter", "open what has the focus, or ask at once"],
    ["Tab", "go to the next link, field or term; a term shows its definition"],
    ["?", "this list"],
    ["Esc", "close it, or leave a field"],
  ];
  const dialog = document.createElement("dialog");
  dialog.className = "keys-list";
  dialog.setAttribute("aria-label", "Keys");
  const list = document.createElement("dl");
  for (const [key, what] of KEYS) {
    const [term, definition] = [document.createElement("dt"), document.createElement("dd")];
    term.append(Object.assign(document.createElement("kbd"), { textContent: key }));
    definition.textContent = what;
    list.append(term, definition);
  }
  const close = Object.assign(document.createElement("button"), { type: "button", textContent: "Close" });
  close.addEventListener("click", () => dialog.close());
  dialog.append(Object.assign(document.createElement("h2"), { textContent: "Keys" }), list, close);
  document.body.append(dialog);

  /** The link that lies nearest in a direction among those of a matrix or a grid. */
  const towards = (link, key) => {
    const [across, down] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
    const middle = (element) => {
      const box = element.getBoundingClientRect();
      return [box.left + box.width / 2, box.top + box.height / 2];
    };
    const [x, y] = middle(link);
    const all = [...main.querySelectorAll(link.closest("table.matrix") ? "table.matrix td a" : "ol.grid a.picture")];
    const far = (element) => {
      const [right, below] = middle(element).map((value, at) => value - [x, y][at]);
      const along = right * across + below * down;
      const aside = Math.abs(right * down) + Math.abs(below * across);
      return along > 2 ? along + 3 * aside : Infinity;
    };
    const found = all.filter((other) => other !== link).map((other) => [far(other), other]).sort((one, other) => one[0] - other[0])[0];
    return found && found[0] < Infinity ? found[1] : null;
  };

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape" && document.activeElement !== document.body && !dialog.open) {
      document.activeElement.blur();
      return;
    }
    if (typed(event.target) || dialog.open) return;
    if (event.key === "/") {
      const box = document.querySelector("main form.search input[type=search], header form.find input");
      if (box) {
        event.preventDefault();
        box.focus();
        box.select();
      }
    } else if (event.key === "?") {
      event.preventDefault();
      dialog.showModal();
    } else if (event.key.startsWith("Arrow")) {
      const link = event.target.closest?.("table.matrix td a, ol.grid a.picture");
      const next = link ? towards(link, event.key) : null;
      if (next) {
        event.preventDefault();
        next.focus();
      } else if (event.target === document.body && (event.key === "ArrowLeft" || event.key === "ArrowRight")) {
        document.querySelector(`a[rel=${event.key === "ArrowLeft" ? "prev" : "next"}][href]`)?.click();
      }
    }
  });
})();
