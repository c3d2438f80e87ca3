// What a page gains with a script: smooth heat maps, control of their opacity, dropped and pasted images. All else is HTML.
(() => {
  "use strict";

  /** A legend's colours as red, green and blue. */
  const colours = (legend) => [...legend.querySelectorAll("rect")].map((step) =>
    step.getAttribute("fill").match(/[0-9a-f]{2}/g).map((digits) => parseInt(digits, 16)));

  /** The two patches that a place from 0 to 1 lies between, and how far it is from the first; flat beyond the outer centres. */
  function between(place, grid) {
    const at = Math.min(Math.max(place * grid - 0.5, 0), grid - 1);
    const low = Math.floor(at);
    return [low, Math.min(low + 1, grid - 1), at - low];
  }

  /** Draws an SVG's patches as a smooth map, as `headspan query segment` does: scores are interpolated, then coloured. */
  function smooth(svg, legend) {
    const grid = svg.viewBox.baseVal.width;
    const scores = [...svg.querySelectorAll("title")].map((title) => Number(title.textContent));
    const [low, high] = [Number(svg.dataset.low), Number(svg.dataset.high)];
    const diverging = "diverging" in svg.dataset; // Its colours are clear about zero, as in the patches.
    const steps = colours(legend);
    const middle = (steps.length - 1) / 2;
    const side = 448;
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = side;
    canvas.setAttribute("aria-hidden", "true");
    const context = canvas.getContext("2d");
    const picture = context.createImageData(side, side);
    const places = Array.from({ length: side }, (_, pixel) => between((pixel + 0.5) / side, grid));
    places.forEach(([top, bottom, down], y) => places.forEach(([left, right, across], x) => {
      const mix = (row) => scores[row * grid + left] * (1 - across) + scores[row * grid + right] * across;
      const score = mix(top) * (1 - down) + mix(bottom) * down;
      const place = high > low ? Math.min(Math.max((score - low) / (high - low), 0), 1) : 0.5;
      const step = place * (steps.length - 1);
      // The halves of a diverging scale meet in the middle without passing into each other.
      const [first, second] = (diverging && place < 0.5 ? [Math.floor(step), Math.min(Math.ceil(step), middle - 1)] : [Math.floor(step), Math.ceil(step)]);
      const pixel = 4 * (y * side + x);
      for (let channel = 0; channel < 3; channel += 1) {
        picture.data[pixel + channel] = steps[first][channel] + (steps[second][channel] - steps[first][channel]) * (step % 1);
      }
      picture.data[pixel + 3] = 255 * (diverging ? Math.cbrt(Math.abs(2 * place - 1)) : 1);
    }));
    context.putImageData(picture, 0, 0);
    return canvas;
  }

  /** Smooth maps and the control of their opacity. */
  const drawMaps = () => {
    const overlays = [];
    for (const maps of document.querySelectorAll(".maps")) {
      for (const svg of maps.querySelectorAll("svg.patches, svg.winners")) {
        let overlay = svg;
        if (svg.matches(".patches") && maps.dataset.shading === "smooth") {
          overlay = smooth(svg, svg.closest("figure").querySelector(".legend svg"));
          svg.before(overlay);
          svg.style.opacity = "0"; // It still says its numbers where the pointer rests.
        }
        overlays.push(overlay);
      }
    }
    if (overlays.length > 0) {
      const label = document.createElement("label");
      label.className = "opacity";
      label.textContent = "Opacity ";
      const slider = document.createElement("input");
      Object.assign(slider, { type: "range", autocomplete: "off", min: "0", max: "1", step: "0.05", value: "0.6" });
      const value = document.createElement("output");
      const show = () => {
        for (const overlay of overlays) overlay.style.opacity = slider.value;
        value.textContent = `${Math.round(100 * slider.value)} %`;
      };
      slider.addEventListener("input", show);
      label.append(slider, value);
      // Beside what the maps are of, so that it takes no room of theirs.
      (document.querySelector("p.meta") ?? document.querySelector(".maps")).prepend(label);
      show();
    }
  };
  drawMaps();
  document.addEventListener("answered", drawMaps);

  // A page that the browser kept shows the question that its answer is to, not what was typed before it was left.
  addEventListener("pageshow", (event) => {
    if (event.persisted) for (const kept of document.forms) kept.reset();
  });

  // Typing into a field chooses what it belongs to.
  document.addEventListener("input", ({ target: field }) => {
    const own = field.dataset?.by && field.form?.querySelector(`input[name=by][value=${field.dataset.by}]`);
    if (own) own.checked = true;
    const list = field.dataset?.chooses && field.form?.elements[field.dataset.chooses];
    if (list) list.value = field.value.trim() === "" ? list.options[0].value : "texts";
  }, true);

  /** The form that takes an image, which comes anew with every answer. */
  const taker = () => document.querySelector("form[data-drop]");
  const ask = () => document.querySelector("form.ask");
  const hint = () => document.querySelector("#own-hint");
  if (taker()) {
    // The answer is to the question as it stands in the form, not as it was when the page came.
    document.addEventListener("formdata", (event) => {
      if (event.target !== taker()) return;
      const asked = new URLSearchParams(new FormData(ask()));
      for (const gone of ["upload", "image", "by"]) asked.delete(gone);
      event.formData.set("next", `${new URL(ask().action).pathname}?${asked}`);
    });
    const take = (files) => {
      const image = [...files].find((file) => file.type.startsWith("image/"));
      if (!image) return false;
      const list = new DataTransfer();
      list.items.add(image);
      taker().elements.file.files = list.files;
      taker().submit();
      return true;
    };
    const holdsFiles = (event) => event.dataTransfer.types.includes("Files"); // Text that is dragged goes where it would go.
    const over = (is) => ask().classList.toggle("over", is);
    document.addEventListener("dragover", (event) => { if (holdsFiles(event)) { event.preventDefault(); over(true); } });
    document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) over(false); });
    document.addEventListener("drop", (event) => {
      if (!holdsFiles(event)) return;
      event.preventDefault();
      over(false);
      if (!take(event.dataTransfer.files)) hint().textContent = "That is no image: PNG, JPEG and WebP are read.";
    });
    document.addEventListener("paste", (event) => { if (take(event.clipboardData.files)) event.preventDefault(); });
  }
})();
