// Search, trust, and hands: one box over everything, what answers are worth, answers as one types, keys and definitions.
import assert from "node:assert/strict";
import path from "node:path";
import { after, before, test } from "node:test";
import { RUN, open, shots, tabTo } from "./site.mjs";

let site;
before(async () => { site = await open(); });
after(() => site.close());

const picture = (page, name) => page.screenshot({ path: path.join(shots, `${name}.png`), fullPage: true });
const answered = (page) => page.locator('section[aria-label="Answer"]').waitFor();

test("a text of one's own finds the heads that carry it, over all models", async () => {
  const page = await site.page();
  await page.goto("/");
  await page.keyboard.press("/");
  await page.keyboard.type("something red");
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/search\?q=something\+red/);
  await answered(page);
  const { heads } = await site.json(page.url());
  const names = await page.locator("table.found th[scope=row] a").allTextContents();
  assert.deepEqual(names, heads.map(({ head }) => `L${head.layer}.H${head.head}`));
  assert.equal(new Set(heads.map(({ run }) => run)).size, 2, "both models are searched");
  const strengths = heads.map(({ carried }) => carried.times);
  assert.deepEqual(strengths, [...strengths].sort((one, other) => other - one));
  assert.ok(heads.slice(0, 3).some(({ property }) => property === "colors"), JSON.stringify(heads[0]));
  await picture(page, "search-text");
});

test("an image finds the heads that it excites, and names are found", async () => {
  const page = await site.page();
  await page.goto("/search?text=color");
  await answered(page);
  assert.match(await page.locator("ul.names").textContent(), /colors property of \d+ heads of scenes\/scenes-4/);
  const bytes = await page.evaluate(async () => [...new Uint8Array(await (await fetch("/r/scenes/scenes-4/image/12")).arrayBuffer())]);
  await page.setInputFiles("input[type=file]", { name: "twelve.png", mimeType: "image/png", buffer: Buffer.from(bytes) });
  await page.getByRole("button", { name: "Upload" }).click();
  await page.waitForURL(/upload=/);
  await answered(page);
  assert.match(await page.locator("h2").allTextContents().then((all) => all.join()), /Heads that it excites/);
  const { heads } = await site.json(page.url());
  assert.ok(heads.length > 8 && heads[0].excited > 1.2 && heads[0].excited >= heads.at(-1).excited, JSON.stringify(heads[0]));
  await picture(page, "search-image");
});

test("search works without JavaScript", async () => {
  const page = await site.page({ javaScriptEnabled: false });
  await page.goto("/");
  await page.getByLabel("Search everything").fill("at night");
  await page.getByLabel("Search everything").press("Enter");
  await answered(page);
  assert.ok(await page.locator("table.found tbody tr").count() > 8);
});

test("a map is of the text less what all texts share, and says so; as published is one click away", async () => {
  const page = await site.page();
  await page.goto(`${RUN}/segment?heads=all&image=12&text=a+mushroom`);
  const own = (await site.json(page.url())).answer;
  assert.equal(own.subtracted.baseline, "classes");
  assert.match(await page.locator("section p.meta").textContent(), /less the mean of 10 class names/);
  assert.ok(own.shown[0].margin > 0.75 && await page.locator(".noise").count() === 0);
  await page.getByRole("link", { name: "as published" }).click();
  await page.waitForURL(/baseline=none/);
  const published = (await site.json(page.url())).answer;
  assert.equal(published.subtracted.baseline, "none");
  assert.notDeepEqual(published.shown[0].scores, own.shown[0].scores);
  await page.getByLabel("Texts of mine").fill("a photo; a scene");
  await page.waitForURL(/baseline=texts.*baseline_text=a\+photo/);
  assert.deepEqual((await site.json(page.url())).answer.subtracted.texts, 2);
});

test("what the heads carry stands beside neighbours, and noise is called so", async () => {
  const page = await site.page();
  const { heads } = await site.json("/search?text=something+red");
  const best = heads.find(({ run }) => run === "scenes/scenes-4").head;
  await page.goto(`${RUN}/neighbours?heads=L${best.layer}.H${best.head}&text=something+red`);
  const { carried, similarity } = await site.json(page.url());
  assert.equal(similarity, "cosine", "by default");
  assert.match(await page.locator(".asked").textContent(), new RegExp(`Carried.*${carried.times.toFixed(1)} ×`));
  await page.goto(`${RUN}/neighbours?heads=backgrounds&text=something+red`);
  assert.match(await page.locator(".asked .noise").textContent(), /Hardly carried/);
});

test("forms answer as one types and chooses, and keep the focus", async () => {
  const page = await site.page();
  await page.goto(`${RUN}/neighbours?heads=colors&text=something+red`);
  const field = page.getByLabel("Text", { exact: true });
  await field.click();
  await page.keyboard.press("End");
  await page.keyboard.type("dish", { delay: 40 });
  await page.waitForURL(/text=something\+reddish/);
  assert.equal(await field.inputValue(), "something reddish");
  assert.ok(await field.evaluate((own) => own === document.activeElement), "the field keeps the focus");
  await page.getByLabel("Compare by").selectOption("dot");
  await page.waitForURL(/similarity=dot/);
  await page.getByLabel("Heads").selectOption("shapes");
  await page.waitForURL(/heads=shapes/);
  assert.equal((await site.json(page.url())).heads, "shapes");
  // An error keeps the question.
  await page.goto("/?text=red");
  await page.getByLabel("Texts contain").fill("red thing");
  await page.waitForURL(/text=red\+thing/);
});

test("keys: search, arrows, the list of keys, and Escape", async () => {
  const page = await site.page();
  await page.goto(`${RUN}/head/L3.H5`);
  await page.keyboard.press("ArrowRight");
  await page.waitForURL(/head\/L3\.H6/);
  await page.keyboard.press("ArrowLeft");
  await page.waitForURL(/head\/L3\.H5/);
  await page.goto("/");
  await tabTo(page, "table.matrix td a");
  const name = () => page.evaluate(() => document.activeElement.getAttribute("href"));
  const first = await name();
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("ArrowDown");
  const last = await name();
  assert.deepEqual([first, last].map((href) => href.match(/L(\d+)\.H(\d+)/).slice(1).map(Number)), [[3, 0], [2, 1]]);
  await page.keyboard.press("?");
  const dialog = page.getByRole("dialog", { name: "Keys" });
  await dialog.waitFor();
  await picture(page, "keys");
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "hidden" });
  await page.keyboard.press("/");
  assert.ok(await page.getByLabel("Search everything").evaluate((own) => own === document.activeElement));
  await page.keyboard.press("Escape");
  assert.equal(await page.evaluate(() => document.activeElement.tagName), "BODY");
});

test("scores have their definitions on focus, and a run's name leads to the run", async () => {
  const page = await site.page();
  await page.goto(`${RUN}`);
  assert.match(page.url(), /\/\?run=scenes%2Fscenes-4$/);
  const definition = page.locator(".model .term", { hasText: "entanglement" }).locator(".definition");
  assert.ok(await definition.isHidden());
  await tabTo(page, ".model .term");
  assert.ok(await definition.isVisible());
  assert.match(await definition.textContent(), /Lower is better/);
});
