// What a page gains with a script: smooth heat maps, control of their opacity, dropped and pasted images. All else is HTML.

/** Draws an SVG's patches as a smooth map: the browser's own bilinear scaling of one pixel a patch. */
function smooth(svg) {
  const grid = svg.viewBox.baseVal.width;
  const small = new OffscreenCanvas(grid, grid);
  const paint = small.getContext("2d");
  for (const patch of svg.querySelectorAll("rect")) {
    paint.fillStyle = patch.getAttribute("fill");
    paint.fillRect(patch.x.baseVal.value, patch.y.baseVal.value, 1, 1);
  }
  const canvas = document.createElement("canvas");
  const side = 896;
  canvas.width = canvas.height = side;
  canvas.setAttribute("aria-hidden", "true");
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = "high";
  context.drawImage(small, 0, 0, side, side);
  return canvas;
}

for (const maps of document.querySelectorAll(".maps")) {
  const overlays = [];
  for (const svg of maps.querySelectorAll("svg.patches")) {
    let overlay = svg;
    svg.setAttribute("fill-opacity", "1");
    if (maps.dataset.shading === "smooth") {
      const canvas = smooth(svg);
      svg.before(canvas);
      overlay = canvas;
      svg.style.opacity = "0"; // It still says its numbers where the pointer rests.
    }
    overlays.push(overlay);
  }
  const label = document.createElement("label");
  label.className = "controls";
  label.textContent = "Opacity ";
  const slider = document.createElement("input");
  Object.assign(slider, { type: "range", min: "0", max: "1", step: "0.05", value: "0.6" });
  const show = () => overlays.forEach((overlay) => { overlay.style.opacity = slider.value; });
  slider.addEventListener("input", show);
  label.append(slider);
  maps.prepend(label);
  show();
}

// A page that the browser kept shows the question that its answer is to, not what was typed before it was left.
addEventListener("pageshow", (event) => {
  if (event.persisted) for (const kept of document.forms) kept.reset();
});

// Typing into a field chooses what it belongs to.
for (const field of document.querySelectorAll("[data-by]")) {
  field.addEventListener("input", () => {
    const own = field.form?.querySelector(`input[name=by][value=${field.dataset.by}]`);
    if (own) own.checked = true;
  });
}

const form = document.querySelector("form[data-drop]");
if (form) {
  const input = form.querySelector("input[type=file]");
  const take = (files) => {
    const image = [...files].find((file) => file.type.startsWith("image/"));
    if (!image) return false;
    const list = new DataTransfer();
    list.items.add(image);
    input.files = list.files;
    form.submit();
    return true;
  };
  const holdsFiles = (event) => event.dataTransfer.types.includes("Files"); // Text that is dragged goes where it would go.
  document.addEventListener("dragover", (event) => { if (holdsFiles(event)) { event.preventDefault(); form.classList.add("over"); } });
  document.addEventListener("dragleave", () => form.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    form.classList.remove("over");
    if (!take(event.dataTransfer.files)) form.querySelector(".hint").textContent = "That is no image: PNG, JPEG and WebP are read.";
  });
  document.addEventListener("paste", (event) => { if (take(event.clipboardData.files)) event.preventDefault(); });
}
