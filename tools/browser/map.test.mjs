// The map of a head: all points on a canvas, a part chosen by mouse, keys and touch, and the same without a script.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { RUN, open } from "./site.mjs";

const MAP = `${RUN}/map?heads=L3.H5`;
let site;
before(async () => { site = await open(); });
after(() => site.close());

const count = (page) => page.locator("#part-count").textContent();

/** Opens the map, and waits until it is drawn. */
async function drawn(options = {}) {
  const page = await site.page(options);
  await page.goto(MAP);
  await page.locator(".head-map canvas").waitFor();
  return page;
}

test("a rectangle that the mouse draws lists the images in it, and its address brings it back", async () => {
  const page = await drawn();
  assert.match(await page.locator(".head-map .drawn").textContent(), /^2000 images/);
  const box = await page.locator(".head-map canvas").boundingBox();
  await page.mouse.move(box.x + 0.2 * box.width, box.y + 0.2 * box.height);
  await page.mouse.down();
  await page.mouse.move(box.x + 0.5 * box.width, box.y + 0.6 * box.height, { steps: 4 });
  await page.mouse.up();
  await page.waitForURL(/x0=/);
  const told = await count(page);
  const found = Number(told.match(/^(\d+) images; those nearest to its middle$/)[1]);
  // What the script finds is what the server finds.
  const answer = await site.json(page.url());
  assert.equal(answer.part.found, found);
  const shown = await page.locator("#part-images img").evaluateAll((all) => all.map((image) => Number(image.src.match(/\d+$/)[0])));
  assert.deepEqual(shown, answer.part.images.map((image) => image.image_index));
  const other = await site.page();
  await other.goto(page.url());
  await other.locator(".head-map .box:not([hidden])").waitFor();
  assert.equal(await count(other), told);
  assert.equal(await other.locator("#part-images img").count(), 24);
});

test("keys move a part, change its size, lead to its images and clear it", async () => {
  const page = await drawn();
  await page.locator(".head-map canvas").focus();
  await page.keyboard.press("ArrowRight");
  const first = await count(page);
  const place = () => page.locator(".head-map .box").boundingBox();
  const before = await place();
  await page.keyboard.press("ArrowRight");
  assert.ok((await place()).x > before.x);
  assert.match(page.url(), /\/map\?/, "the arrow did not turn to another head");
  await page.keyboard.press("ArrowLeft");
  await page.keyboard.press("+");
  assert.ok((await place()).width > before.width);
  assert.ok(parseInt(await count(page), 10) >= parseInt(first, 10));
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.closest("#part-images") !== null), true);
  await page.locator(".head-map canvas").focus();
  await page.keyboard.press("Escape");
  assert.equal(await count(page), "Choose a part of the map.");
  assert.doesNotMatch(page.url(), /x0=/);
});

test("a tap on a phone chooses what lies around it", async () => {
  const page = await drawn({ viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });
  await page.locator(".head-map canvas").tap();
  await page.waitForURL(/x0=/);
  assert.match(await count(page), /^\d+ images?/);
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true);
});

test("another axis and another text answer as they are chosen, and the map keeps its points", async () => {
  const page = await drawn();
  const asked = [];
  page.on("request", (request) => { if (request.url().includes("map.bin")) asked.push(request.url()); });
  await page.getByLabel("Up, component").fill("3");
  await page.waitForURL(/up=3/);
  await page.locator(".head-map canvas").waitFor();
  await page.getByRole("textbox", { name: "A text of yours" }).fill("a green boat");
  await page.waitForURL(/text=a\+green\+boat/);
  await page.getByText("by their place along “a green boat”").waitFor();
  await page.locator(".head-map canvas").waitFor();
  assert.equal(asked.length, 2, asked.join("\n"));
  assert.equal(await page.locator("ol.tenths > li").count(), 10);
});

test("without a script some points are drawn, and a form takes a part", async () => {
  const page = await site.page({ javaScriptEnabled: false });
  await page.goto(MAP);
  assert.ok(await page.locator(".head-map circle").count() > 400);
  for (const [name, value] of Object.entries({ x0: "-0.2", x1: "0", y0: "-0.2", y1: "0" })) await page.locator(`form.part [name=${name}]`).fill(value);
  await page.getByRole("button", { name: "Show its images" }).click();
  await page.waitForURL(/x0=-0\.2/);
  assert.match(await count(page), /^\d+ images/);
  assert.ok(await page.locator("#part-images img").count() > 0);
});

test("the pointer's image is named", async () => {
  const page = await drawn();
  const box = await page.locator(".head-map canvas").boundingBox();
  // The middle of the map is full of points.
  await page.mouse.move(box.x + 0.55 * box.width, box.y + 0.55 * box.height);
  await page.locator(".head-map .named:not([hidden]) img").waitFor();
  await page.mouse.move(box.x - 20, box.y - 20);
  await page.locator(".head-map .named").waitFor({ state: "hidden" });
});
