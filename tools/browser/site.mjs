// The real server on the built-in demo, and a real browser: what every test file shares.
import { spawn, execFileSync } from "node:child_process";
import { mkdtempSync, mkdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const here = path.dirname(fileURLToPath(import.meta.url));
export const program = path.resolve(process.env.HEADSPAN_BIN ?? path.join(here, "../../target/release/headspan"));
export const shots = path.join(here, "shots");
export const RUN = "/r/scenes/scenes-4";
/** One address of every kind of page. */
export const PAGES = {
  start: "/",
  head: `${RUN}/head/L3.H5`,
  neighbours: `${RUN}/neighbours?heads=colors&image=12&similarity=cosine`,
  segment: `${RUN}/segment?heads=all&image=12&text=a+mushroom`,
  contrast: `${RUN}/segment?heads=all&image=12&text=a+mushroom&text=the+sky`,
  why: `${RUN}/why?heads=colors&image=12&neighbour=40`,
  filtered: "/?property=backgrounds",
  images: `${RUN}/images?next=segment&class=boat`,
  map: `${RUN}/map?heads=L3.H5&x0=-0.2&x1=0&y0=-0.2&y1=0`,
  compare: "/compare?heads=shapes&image=12",
  "compare-segment": "/compare?analysis=segment&image=12&text=a+mushroom",
  error: `${RUN}/head/L9.H9`,
};

const CHROMIUM = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];

/** Runs the demo in an empty folder, serves it, and opens a browser. */
export async function open(...flags) {
  mkdirSync(shots, { recursive: true });
  const folder = mkdtempSync(path.join(tmpdir(), "headspan-browser-"));
  const server = spawn(program, ["explore", "--listen", "127.0.0.1:0", "--device", "cpu", ...flags], { cwd: folder, stdio: ["ignore", "pipe", "ignore"] });
  const address = await new Promise((resolve, reject) => {
    let said = "";
    server.stdout.on("data", (bytes) => {
      said += bytes;
      const found = said.match(/http:\/\/\S+(?=\/)/);
      if (found) resolve(found[0]);
    });
    server.on("exit", (code) => reject(new Error(`the server ended with ${code}: ${said}`)));
  });
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: CHROMIUM });
  return {
    address,
    browser,
    server,
    /** A page of its own context: cookies, history and cache of nobody else. */
    async page(options = {}) {
      const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, baseURL: address, ...options });
      return context.newPage();
    },
    /** What a page's address gives as JSON. */
    async json(place) {
      const url = new URL(place, address);
      url.pathname += ".json";
      const answer = await fetch(url);
      return answer.json();
    },
    /** The same question asked from the shell. */
    query(...words) {
      const [question, ...rest] = words;
      const command = ["--quiet", "query", question, "scenes-4", "--dataset", "scenes", "--device", "cpu", "--json", ...rest];
      return JSON.parse(execFileSync(program, command, { cwd: folder, stdio: ["ignore", "pipe", "ignore"] }));
    },
    /** Saves pages as files, and tells the address of the folder. */
    save(...places) {
      const saved = path.join(folder, "saved");
      const pages = places.flatMap((place) => ["--page", place]);
      execFileSync(program, ["--quiet", "explore", "--device", "cpu", "--save", saved, ...pages], { cwd: folder, stdio: ["ignore", "pipe", "ignore"] });
      return pathToFileURL(saved).href;
    },
    async close() {
      await browser.close();
      server.kill("SIGTERM");
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Ids and scores as the grid shows them. */
export const shown = (page) =>
  page.locator('section[aria-label="Answer"] ol.grid > li').evaluateAll((items) =>
    items.map((item) => ({ id: item.querySelector(".id").textContent, score: item.querySelector(".score").textContent })));

/** A number as pages write it: four decimals, or three digits of what is too small or large for them. */
export const number = (value) => {
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-2 || size >= 1e4) ? value.toExponential(2) : value.toFixed(4);
};

/** The library's answer in the form of the grid. */
export const expected = (found) => found.images.map((image) => ({ id: image.image_id, score: number(image.score) }));

/** Numbers as the 32 bits that they are in the program: the two writers print them with different care. */
export const single = (value) => JSON.parse(JSON.stringify(value), (_key, inner) => (typeof inner === "number" ? Math.fround(inner) : inner));

/** Presses Tab until an element that fits has the focus; fails if it never gets it, or if nobody could see that it has. */
export async function tabTo(page, selector, most = 120) {
  for (let step = 0; step < most; step += 1) {
    const state = await page.evaluate((wanted) => {
      const element = document.activeElement;
      const style = getComputedStyle(element);
      return { there: element.matches(wanted), visible: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0 };
    }, selector);
    if (state.there) {
      if (!state.visible) throw new Error(`${selector} has the focus and does not show it`);
      return;
    }
    await page.keyboard.press("Tab");
  }
  throw new Error(`${selector} is not reached by Tab`);
}
