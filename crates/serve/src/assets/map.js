// A head's map with all its points: drawn on a canvas, with a part that is chosen by pointer or keys, whose images are listed at once.
// Without a script the page shows some of the points, and a form takes the four sides of a part.
(() => {
  "use strict";

  const DOT = 1.6; // Half the side of a point, in pixels of the page.
  const NEAR = 9; // How far the pointer may be from the point that it names.
  const KEY_STEP = 0.05; // Of the map's width and height.
  const COLORS = 12;
  const STEPS = 6;
  const fetched = new Map();

  /** The columns of a map, each read in place. */
  const columns = (buffer) => {
    const count = new DataView(buffer).getUint32(0, true);
    const at = (column) => 4 + 4 * count * column;
    const view = (Kind, column) => new Kind(buffer, at(column), count);
    return { count, x: view(Float32Array, 0), y: view(Float32Array, 1), value: view(Float32Array, 2), image: view(Uint32Array, 3), kind: view(Uint16Array, 4) };
  };

  const points = async (address) => {
    if (!fetched.has(address)) {
      if (fetched.size > 8) fetched.delete(fetched.keys().next().value);
      const response = await fetch(address);
      if (!response.ok) throw new Error(`No points (${response.status}).`);
      fetched.set(address, columns(await response.arrayBuffer()));
    }
    return fetched.get(address);
  };

  /** Colours of the style as the canvas stores them. */
  const palette = (canvas, names) => {
    const style = getComputedStyle(canvas);
    const probe = document.createElement("canvas").getContext("2d");
    return Uint32Array.from(names, (name) => {
      probe.fillStyle = style.getPropertyValue(name).trim() || "#888";
      const digits = probe.fillStyle.match(/[0-9a-f]{2}/gi).map((pair) => parseInt(pair, 16));
      return (255 << 24) | (digits[2] << 16) | (digits[1] << 8) | digits[0];
    });
  };

  /** Number of each point's colour: its class, or the step of its value among all values. */
  const shades = (all, byClass) => {
    if (byClass) return Uint8Array.from(all.kind, (kind) => (kind === 65535 ? COLORS : kind % COLORS));
    const ordered = Float32Array.from(all.value).sort();
    const bounds = Array.from({ length: STEPS - 1 }, (_, step) => ordered[Math.floor((step + 1) * ordered.length / STEPS)]);
    return Uint8Array.from(all.value, (value) => bounds.filter((bound) => value > bound).length);
  };

  class HeadMap {
    constructor(figure, all) {
      this.all = all;
      this.figure = figure;
      this.classes = JSON.parse(figure.dataset.classes || "[]");
      this.byClass = figure.dataset.color === "class";
      this.shade = shades(all, this.byClass);
      [this.x0, this.x1] = figure.dataset.across.split(" ").map(Number);
      [this.y0, this.y1] = figure.dataset.up.split(" ").map(Number);
      this.svg = figure.querySelector("svg");
      this.svg.querySelector("g.points").remove();
      this.stage = document.createElement("div");
      this.stage.className = "stage";
      this.svg.before(this.stage);
      this.stage.append(this.svg);
      this.canvas = document.createElement("canvas");
      this.canvas.tabIndex = 0;
      this.canvas.setAttribute("role", "application");
      this.canvas.setAttribute("aria-label", `Map of ${all.count} images. Arrow keys move a part of it, plus and minus change its size, Enter goes to its images, Escape clears it.`);
      this.box = Object.assign(document.createElement("div"), { className: "box", hidden: true });
      this.name = Object.assign(document.createElement("p"), { className: "named", hidden: true });
      this.stage.append(this.canvas, this.box, this.name);
      figure.querySelector(".drawn").textContent = `${all.count} images; draw a rectangle to see those in it`;
      this.part = null;
      this.listen();
      new ResizeObserver(() => this.draw()).observe(this.stage);
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
      const form = document.querySelector("form.part");
      const sides = ["x0", "x1", "y0", "y1"].map((name) => form?.elements[name]?.value ?? "");
      if (sides.every((side) => side !== "")) this.choose(sides.map(Number), false);
    }

    /** Places the canvas over the axes of the picture below it, and draws all points into one image. */
    draw() {
      const scale = this.svg.getBoundingClientRect().width / this.svg.viewBox.baseVal.width;
      const [left, foot] = [Number(this.figure.dataset.left), Number(this.figure.dataset.foot)];
      const box = { left: left * scale, top: 8 * scale, width: (this.svg.viewBox.baseVal.width - left - 12) * scale, height: (this.svg.viewBox.baseVal.height - 8 - foot) * scale };
      if (!(box.width > 1)) return;
      Object.assign(this.canvas.style, { left: `${box.left}px`, top: `${box.top}px`, width: `${box.width}px`, height: `${box.height}px` });
      this.area = box;
      const ratio = Math.min(devicePixelRatio || 1, 2);
      const [width, height] = [Math.round(box.width * ratio), Math.round(box.height * ratio)];
      [this.canvas.width, this.canvas.height] = [width, height];
      const names = this.byClass
        ? [...Array.from({ length: COLORS }, (_, at) => `--p${at}`), "--edge"]
        : Array.from({ length: STEPS }, (_, at) => `--s${at}`);
      const colors = palette(this.canvas, names);
      const context = this.canvas.getContext("2d");
      const picture = context.createImageData(width, height);
      const pixels = new Uint32Array(picture.data.buffer);
      const half = Math.max(1, Math.round(DOT * ratio * Math.min(1, box.width / 480)));
      const { count, x, y } = this.all;
      for (let at = 0; at < count; at += 1) {
        const column = Math.round((x[at] - this.x0) / (this.x1 - this.x0) * (width - 1));
        const row = Math.round((1 - (y[at] - this.y0) / (this.y1 - this.y0)) * (height - 1));
        const color = colors[this.shade[at]];
        const [first, last] = [Math.max(0, column - half), Math.min(width - 1, column + half)];
        for (let line = Math.max(0, row - half); line <= Math.min(height - 1, row + half); line += 1) {
          pixels.fill(color, line * width + first, line * width + last + 1);
        }
      }
      context.putImageData(picture, 0, 0);
      this.place();
    }

    /** Where a pointer stands, in the map's units. */
    at(event) {
      const box = this.canvas.getBoundingClientRect();
      const across = Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
      const down = Math.min(Math.max((event.clientY - box.top) / box.height, 0), 1);
      return [this.x0 + across * (this.x1 - this.x0), this.y1 - down * (this.y1 - this.y0)];
    }

    listen() {
      let start = null;
      this.canvas.addEventListener("pointerdown", (event) => {
        if (event.button !== 0) return;
        start = this.at(event);
        this.canvas.setPointerCapture(event.pointerId);
      });
      this.canvas.addEventListener("pointermove", (event) => {
        if (!start) { this.point(event); return; }
        this.name.hidden = true;
        const [x, y] = this.at(event);
        this.later([Math.min(start[0], x), Math.max(start[0], x), Math.min(start[1], y), Math.max(start[1], y)]);
      });
      const end = (event) => {
        if (!start) return;
        const [x, y] = this.at(event);
        const small = Math.abs(x - start[0]) < 0.01 * (this.x1 - this.x0) && Math.abs(y - start[1]) < 0.01 * (this.y1 - this.y0);
        // A tap chooses what lies around it.
        if (small) this.choose(this.around(x, y, KEY_STEP));
        start = null;
        this.keep();
      };
      this.canvas.addEventListener("pointerup", end);
      this.canvas.addEventListener("pointercancel", () => { start = null; });
      this.canvas.addEventListener("pointerleave", () => { this.name.hidden = true; });
      this.canvas.addEventListener("keydown", (event) => this.key(event));
    }

    around(x, y, share) {
      const [width, height] = [share * (this.x1 - this.x0), share * (this.y1 - this.y0)];
      return [x - width, x + width, y - height, y + height];
    }

    key(event) {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
      const [width, height] = [this.x1 - this.x0, this.y1 - this.y0];
      let part = this.part ?? this.around((this.x0 + this.x1) / 2, (this.y0 + this.y1) / 2, 2 * KEY_STEP);
      if (moves[event.key]) {
        const [across, up] = this.part ? moves[event.key] : [0, 0];
        const [right, above] = [across * KEY_STEP * width, up * KEY_STEP * height];
        part = [part[0] + right, part[1] + right, part[2] + above, part[3] + above];
      } else if (["+", "=", "-"].includes(event.key)) {
        const wider = (event.key === "-" ? -0.5 : 0.5) * KEY_STEP;
        const [right, above] = [wider * width, wider * height];
        part = [part[0] - right, part[1] + right, part[2] - above, part[3] + above];
        if (part[1] <= part[0] || part[3] <= part[2]) part = this.part;
      } else if (event.key === "Enter") {
        document.querySelector("#part-images a")?.focus();
        event.preventDefault();
        return;
      } else if (event.key === "Escape" && this.part) {
        this.clear();
        event.preventDefault();
        return;
      } else {
        return;
      }
      event.preventDefault();
      event.stopPropagation();
      this.choose(part);
      this.keep();
    }

    /** At most one choice a frame while the pointer moves. */
    later(part) {
      this.wanted = part;
      if (this.frame) return;
      this.frame = requestAnimationFrame(() => {
        this.frame = 0;
        this.choose(this.wanted);
      });
    }

    clear() {
      this.part = null;
      this.place();
      document.querySelector("#part-images").replaceChildren();
      document.querySelector("#part-count").textContent = "Choose a part of the map.";
      for (const name of ["x0", "x1", "y0", "y1"]) document.querySelector("form.part").elements[name].value = "";
      this.keep();
    }

    /** Chooses a part, and lists its images unless the page has them already. */
    choose(part, lists = true) {
      this.part = part;
      this.place();
      if (!lists) return;
      const form = document.querySelector("form.part");
      ["x0", "x1", "y0", "y1"].forEach((name, side) => { form.elements[name].value = Number(part[side].toPrecision(4)); });
      this.list();
    }

    place() {
      this.box.hidden = !this.part || !this.area;
      if (this.box.hidden) return;
      const [x0, x1, y0, y1] = this.part;
      const across = (value) => Math.min(Math.max((value - this.x0) / (this.x1 - this.x0), 0), 1) * this.area.width;
      const down = (value) => (1 - Math.min(Math.max((value - this.y0) / (this.y1 - this.y0), 0), 1)) * this.area.height;
      Object.assign(this.box.style, {
        left: `${this.area.left + across(x0)}px`, width: `${across(x1) - across(x0)}px`,
        top: `${this.area.top + down(y1)}px`, height: `${down(y0) - down(y1)}px`,
      });
    }

    /** The images in the part, those nearest to its middle first. */
    list() {
      const [x0, x1, y0, y1] = this.part;
      const { count, x, y, image, kind } = this.all;
      const within = [];
      for (let at = 0; at < count; at += 1) {
        if (x[at] >= x0 && x[at] <= x1 && y[at] >= y0 && y[at] <= y1) {
          within.push([Math.hypot((2 * x[at] - x0 - x1) / (x1 - x0), (2 * y[at] - y0 - y1) / (y1 - y0)), at]);
        }
      }
      within.sort((one, other) => one[0] - other[0]);
      const list = document.querySelector("#part-images");
      const most = Number(list.dataset.most);
      const told = within.length === 1 ? "1 image" : `${within.length} images`;
      document.querySelector("#part-count").textContent = within.length > most ? `${told}; those nearest to its middle` : told;
      const shown = within.slice(0, most).map(([, at]) => at);
      const key = shown.join();
      if (key === this.listed) return;
      this.listed = key;
      list.replaceChildren(...shown.map((at) => {
        const [item, link, picture] = [document.createElement("li"), document.createElement("a"), document.createElement("img")];
        const kindName = this.classes[kind[at]] ?? "";
        Object.assign(picture, { src: list.dataset.image + image[at], alt: `image ${image[at]}${kindName && `, ${kindName}`}`, decoding: "async" });
        Object.assign(link, { className: "picture", href: `${list.dataset.neighbours}&image=${image[at]}` });
        link.append(picture);
        item.append(link);
        if (kindName) item.append(Object.assign(document.createElement("p"), { className: "class", textContent: kindName }));
        return item;
      }));
    }

    /** The address keeps the part, so that it can be shared and come back to. */
    keep() {
      const address = new URL(location);
      const names = ["x0", "x1", "y0", "y1"];
      const form = document.querySelector("form.part");
      for (const name of names) {
        if (this.part) address.searchParams.set(name, form.elements[name].value); else address.searchParams.delete(name);
      }
      history.replaceState(null, "", address);
    }

    /** Names the image under the pointer. */
    point(event) {
      const box = this.canvas.getBoundingClientRect();
      const [across, down] = [event.clientX - box.left, event.clientY - box.top];
      const { count, x, y, image, kind } = this.all;
      let [nearest, found] = [NEAR * NEAR, -1];
      for (let at = 0; at < count; at += 1) {
        const right = (x[at] - this.x0) / (this.x1 - this.x0) * box.width - across;
        const below = (1 - (y[at] - this.y0) / (this.y1 - this.y0)) * box.height - down;
        const far = right * right + below * below;
        if (far < nearest) [nearest, found] = [far, at];
      }
      this.name.hidden = found < 0;
      if (found < 0) return;
      const source = document.querySelector("#part-images").dataset.image + image[found];
      if (this.named !== found) {
        this.named = found;
        const picture = Object.assign(document.createElement("img"), { src: source, alt: "" });
        this.name.replaceChildren(picture, document.createTextNode(this.classes[kind[found]] ?? `image ${image[found]}`));
      }
      const left = this.area.left + across;
      Object.assign(this.name.style, { top: `${this.area.top + down + 12}px`, left: left > this.area.width * 0.75 ? "" : `${left + 12}px`, right: left > this.area.width * 0.75 ? `${this.stage.clientWidth - left + 12}px` : "" });
    }
  }

  const begin = async () => {
    const figure = document.querySelector("figure.head-map[data-points]");
    if (!figure || figure.querySelector("canvas")) return;
    try {
      const all = await points(figure.dataset.points);
      if (figure.isConnected && !figure.querySelector("canvas")) new HeadMap(figure, all);
    } catch (error) {
      figure.querySelector(".drawn").textContent += ` (${error.message})`;
    }
  };
  if (location.protocol.startsWith("http")) {
    begin();
    document.addEventListener("answered", begin);
  }
})();
