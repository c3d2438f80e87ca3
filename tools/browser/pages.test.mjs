// What holds of every page: history, links, uploads, narrow and dark screens, no script, accessibility.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { after, before, test } from "node:test";
import { grey } from "./png.mjs";
import { PAGES, RUN, open, shots, shown } from "./site.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

let site;
before(async () => { site = await open(); });
after(() => site.close());

test("back and forward bring question and answer back", async () => {
  const page = await site.page();
  await page.goto(`${RUN}/neighbours?heads=shapes&image=3`);
  const first = await shown(page);
  await page.getByLabel("Image number").fill("30");
  await page.getByRole("button", { name: "Find" }).click();
  await page.waitForURL(/image=30/);
  const second = await shown(page);
  assert.notDeepEqual(first, second);
  await page.goBack();
  assert.deepEqual(await shown(page), first);
  assert.equal(await page.getByLabel("Image number").inputValue(), "3");
  await page.goForward();
  assert.deepEqual(await shown(page), second);
  // A link sent to somebody else.
  const other = await site.page();
  await other.goto(page.url());
  assert.deepEqual(await shown(other), second);
});

test("an upload finds itself, and its link works for others", async () => {
  const page = await site.page();
  const image = Buffer.from(await (await fetch(`${site.address}${RUN}/image/21`)).arrayBuffer());
  await page.goto(`${RUN}/neighbours?heads=all&similarity=cosine`);
  await page.getByLabel("Your own image").setInputFiles({ name: "mine.png", mimeType: "image/png", buffer: image });
  await page.getByRole("button", { name: "Upload" }).click();
  await page.waitForURL(/upload=[0-9a-f]{24}/);
  const own = await site.json(page.url());
  assert.equal(own.answer.images[0].image_index, 21);
  assert.equal((await shown(page))[0].score, "1.0000");
  const other = await site.page();
  await other.goto(page.url());
  assert.deepEqual(await shown(other), await shown(page));
  await page.getByRole("link", { name: "segment", exact: true }).first().click();
  await page.waitForURL(/segment/);
});

test("an image is dropped on the page, or pasted into it", async () => {
  const image = Buffer.from(await (await fetch(`${site.address}${RUN}/image/21`)).arrayBuffer()).toString("base64");
  for (const kind of ["drop", "paste"]) {
    const page = await site.page();
    await page.goto(`${RUN}/neighbours?heads=all`);
    await page.evaluate(([kind, image]) => {
      const bytes = Uint8Array.from(atob(image), (letter) => letter.charCodeAt(0));
      const data = new DataTransfer();
      data.items.add(new File([bytes], "mine.png", { type: "image/png" }));
      const event = kind === "drop"
        ? new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true })
        : new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true });
      document.body.dispatchEvent(event);
    }, [kind, image]);
    await page.waitForURL(/upload=/);
  }
});

test("what cannot be used is refused, and the server goes on", async () => {
  const page = await site.page();
  const refused = async (buffer, status, says) => {
    await page.goto(`${RUN}/segment?text=a`);
    const answer = page.waitForResponse((response) => response.url().endsWith("/upload"));
    await page.getByLabel("Your own image").setInputFiles({ name: "bad.png", mimeType: "image/png", buffer });
    await page.getByRole("button", { name: "Upload" }).click();
    assert.equal((await answer).status(), status);
    await page.getByRole("alert").waitFor();
    assert.match(await page.getByRole("alert").textContent(), says);
  };
  await refused(Buffer.from("not an image at all"), 422, /image/);
  await refused(grey(64, 64).subarray(0, 60), 422, /image|png|PNG|end/i);
  await refused(grey(10_000, 10_000), 422, /100000000 pixels/);
  await refused(Buffer.alloc(17 << 20, 7), 413, /at most 16 MiB/);
  await page.screenshot({ path: path.join(shots, "refused.png") });
  assert.equal((await page.goto("/")).status(), 200);
});

test("the start page filters, plots and leads on", async () => {
  const page = await site.page();
  await page.goto("/");
  const cells = page.locator("table.matrix td:not(.dim)");
  const all = await cells.count();
  await page.locator("form.filter").first().getByLabel("Property").selectOption("backgrounds");
  await page.getByRole("button", { name: "Filter" }).click();
  const few = await cells.count();
  assert.ok(few > 0 && few < all, `${few} of ${all}`);
  await page.getByLabel("Across").selectOption("rank");
  await page.getByRole("button", { name: "Plot" }).click();
  assert.match(page.url(), /property=backgrounds/);
  assert.match(await page.locator("svg.chart").first().getAttribute("aria-label"), /effective rank/);
  await page.locator("svg.chart a:has(circle:not(.dim))").first().click();
  await page.waitForURL(/head\/L\d\.H\d/);
  assert.match(await page.locator("h1").textContent(), /backgrounds/);
  await page.locator("ul.chips a").first().click();
  await page.waitForURL(/head\/L\d\.H\d/);
});

test("a result explains itself, and other models answer too", async () => {
  const page = await site.page();
  await page.goto(PAGES.neighbours.replace("similarity=cosine", "similarity=dot"));
  const score = Number((await shown(page))[0].score);
  await page.getByRole("link", { name: "why" }).first().click();
  await page.locator("figure.map").waitFor();
  const total = Number((await page.locator("figure.map figcaption").textContent()).match(/total (-?[\d.e-]+)/)[1]);
  assert.ok(Math.abs(total - score) < 2e-4, `${total} is not ${score}`);
  await page.goto(PAGES.compare);
  assert.equal(await page.locator(".sides > section > h2 > a").count(), 2);
});

test("opacity and shading", async () => {
  const page = await site.page();
  await page.goto(PAGES.segment);
  // The script draws when the file has been read, which nothing here waits for.
  await page.locator("figure.map canvas").waitFor();
  assert.equal(await page.locator("figure.map canvas").count(), 1, "smooth");
  await page.getByLabel("Opacity").fill("0.2");
  assert.equal(await page.locator("figure.map canvas").evaluate((canvas) => canvas.style.opacity), "0.2");
  await page.getByLabel("Shading").selectOption("patches");
  await page.getByRole("button", { name: "Show" }).click();
  await page.waitForURL(/shading=patches/);
  assert.equal(await page.locator("figure.map canvas").count(), 0);
});

test("a saved page is opened without a server, its maps drawn", async () => {
  const saved = site.save("/", PAGES.head, PAGES.segment, PAGES.contrast);
  const page = await site.page();
  const said = [];
  page.on("console", (message) => { if (message.type() === "error") said.push(message.text()); });
  page.on("pageerror", (error) => said.push(error.message));
  await page.goto(`${saved}/index.html`);
  await page.getByRole("link", { name: /“a mushroom”, image 12.*Segmentation/ }).click();
  // The script draws when the file has been read, which nothing here waits for.
  await page.locator("figure.map canvas").waitFor();
  assert.equal(await page.locator("figure.map canvas").count(), 1, "smooth");
  await page.getByLabel("Opacity").fill("0.2");
  assert.equal(await page.locator("figure.map canvas").evaluate((canvas) => canvas.style.opacity), "0.2");
  await page.screenshot({ path: path.join(shots, "saved-segment.png"), fullPage: true });
  for (const name of ["page-000", "page-001", "page-003"]) {
    await page.goto(`${saved}/${name}.html`);
    await page.waitForLoadState("networkidle");
    await page.screenshot({ path: path.join(shots, `saved-${name}.png`), fullPage: true });
  }
  assert.deepEqual(said, []);
});

test("without a script the forms still answer", async () => {
  const page = await site.page({ javaScriptEnabled: false });
  await page.goto(`${RUN}/neighbours`);
  await page.getByLabel("Heads").selectOption("colors");
  await page.getByLabel("Text", { exact: true }).fill("something red");
  await page.getByRole("button", { name: "Find" }).click();
  assert.equal(await page.locator("ol.grid > li").count(), 12);
  await page.goto(PAGES.segment);
  assert.equal(await page.locator("svg.patches rect").count(), 64);
});

for (const [name, place] of Object.entries(PAGES)) {
  test(`${name}: narrow, dark, and no serious finding of axe`, async () => {
    for (const colorScheme of ["light", "dark"]) {
      // Only here the policy is set aside, for axe's own script.
      const page = await site.page({ bypassCSP: true, colorScheme });
      const errors = [];
      page.on("pageerror", (error) => errors.push(error.message));
      await page.goto(place);
      await page.evaluate(() => { for (const image of document.images) image.loading = "eager"; });
      await page.waitForLoadState("networkidle");
      await page.screenshot({ path: path.join(shots, `${name}-${colorScheme}.png`), fullPage: true });
      await page.evaluate(axe);
      const found = await page.evaluate(() => globalThis.axe.run(document));
      const serious = found.violations.filter((one) => ["serious", "critical"].includes(one.impact));
      const told = serious.map((one) => `${one.id}: ${one.help}: ${one.nodes.slice(0, 3).map((node) => node.html + " " + node.failureSummary).join(" | ")}`);
      assert.deepEqual(told, []);
      await page.setViewportSize({ width: 360, height: 740 });
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      await page.screenshot({ path: path.join(shots, `${name}-${colorScheme}-narrow.png`) });
      assert.ok(wide <= 360, `${wide} pixels wide on a screen of 360`);
      assert.deepEqual(errors, []);
      await page.context().close();
    }
  });
}

test("pages keep to their policy", async () => {
  const page = await site.page();
  const said = [];
  page.on("console", (message) => { if (message.type() === "error") said.push(message.text()); });
  for (const place of Object.values(PAGES).filter((place) => !place.includes("L9"))) await page.goto(place);
  assert.deepEqual(said, []);
});
