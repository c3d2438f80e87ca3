// What the other files leave out: choosing again after a first answer, both analyses side by side, a screen of 360 pixels under axe.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { RUN, expected, number, open, shown, single, tabTo } from "./site.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const SHOWN = 6; // Images of each model on the page that compares.

let site;
before(async () => { site = await open(); });
after(() => site?.close());

const imageOf = async (page) => (await site.json(page.url())).image;
const picture = async (index) => Buffer.from(await (await fetch(`${site.address}${RUN}/image/${index}`)).arrayBuffer());

async function upload(page, index) {
  await page.getByLabel("Your own image").setInputFiles({ name: "mine.png", mimeType: "image/png", buffer: await picture(index) });
  await page.getByRole("button", { name: "Upload" }).click();
  await page.waitForURL(/upload=[0-9a-f]{24}/);
}

test("an image chosen by sight after a text was asked about is what is asked about", async () => {
  const page = await site.page();
  await page.goto(`${RUN}/neighbours`);
  await page.getByLabel("Text", { exact: true }).fill("something red");
  await page.getByRole("button", { name: "Find" }).click();
  await page.getByRole("link", { name: "choose by sight" }).click();
  await page.locator("ol.grid a").nth(5).click();
  await page.locator('section[aria-label="Answer"]').waitFor();
  assert.equal(await imageOf(page), 5);
});

test("a number typed after an upload is what is segmented", async () => {
  const page = await site.page();
  await page.goto(`${RUN}/segment?text=a+ball`);
  await upload(page, 21);
  await page.getByLabel("Image number").fill("12");
  await page.getByRole("button", { name: "Show" }).click();
  await page.waitForURL(/image=12/);
  assert.equal(await imageOf(page), 12);
});

test("a number typed after an upload is what models are compared by", async () => {
  const page = await site.page();
  await page.goto("/compare?heads=shapes");
  await upload(page, 21);
  await page.getByLabel("Image number").fill("12");
  await page.getByRole("button", { name: "Ask" }).click();
  await page.waitForURL(/image=12/);
  assert.equal(await imageOf(page), 12);
});

test("a text typed after an image is what models are compared by", async () => {
  const page = await site.page();
  await page.goto("/compare?heads=shapes&image=12");
  await page.getByLabel("Text", { exact: true }).fill("a boat");
  await page.getByRole("button", { name: "Ask" }).click();
  await page.waitForURL(/text=a\+boat/);
  const { answers } = await site.json(page.url());
  const text = site.query("neighbours", "--heads", "shapes", "--text", "a boat", "--count", `${SHOWN}`);
  assert.deepEqual(single(answers[0].found), single(text.found));
});

test("the measure is kept when a result is followed, and when the models are asked again", async () => {
  const page = await site.page();
  await page.goto(`${RUN}/neighbours?heads=colors&image=12&similarity=cosine`);
  await page.getByRole("link", { name: "other models" }).click();
  await page.waitForURL(/compare/);
  await page.getByRole("button", { name: "Ask" }).click();
  await page.waitForURL(/run=/);
  const comparedBy = new URL(page.url()).searchParams.get("similarity");
  await page.goto(`${RUN}/neighbours?heads=colors&image=12&similarity=cosine`);
  await page.locator("ol.grid a").first().click();
  await page.waitForURL((url) => !url.search.includes("image=12&"));
  const followedBy = (await site.json(page.url())).similarity;
  assert.deepEqual({ comparedBy, followedBy }, { comparedBy: "cosine", followedBy: "cosine" });
});

test("other models answer the whole question, and are asked it again", async () => {
  const page = await site.page();
  await page.goto(`${RUN}/neighbours?heads=colors&image=12&count=4&class=boat&farthest=1`);
  await page.getByRole("link", { name: "other models" }).click();
  await page.waitForURL(/compare/);
  assert.match(await page.locator("p.meta").textContent(), /the 4 farthest of boat/);
  await page.getByRole("button", { name: "Ask" }).click();
  await page.waitForURL(/run=/);
  const { count, classes, farthest, answers } = await site.json(page.url());
  assert.deepEqual({ count, classes, farthest }, { count: 4, classes: ["boat"], farthest: true });
  const library = site.query("neighbours", "--heads", "colors", "--image", "#12", "--count", "4", "--class", "boat", "--farthest");
  assert.deepEqual(single(answers[0].found), single(library.found));
});

test("the question's class outlives an image chosen by sight, and a reason", async () => {
  const page = await site.page();
  await page.goto(`${RUN}/neighbours?heads=colors&text=a&class=boat&count=5&similarity=cosine`);
  await page.getByRole("link", { name: "choose by sight" }).click();
  await page.locator("ol.grid a").nth(12).click();
  await page.waitForURL(/image=12/);
  const question = ({ classes, count, similarity, image }) => ({ classes, count, similarity, image });
  const asked = { classes: ["boat"], count: 5, similarity: "cosine", image: 12 };
  assert.deepEqual(question(await site.json(page.url())), asked);
  await page.getByRole("link", { name: "why" }).first().click();
  await page.waitForURL(/why\?/);
  await page.getByRole("navigation", { name: "Breadcrumbs" }).getByRole("link", { name: "Neighbours" }).click();
  await page.waitForURL(/neighbours\?/);
  assert.deepEqual(question(await site.json(page.url())), asked);
});

test("scores that differ are not shown as one", async () => {
  const page = await site.page();
  await page.goto(`${RUN}/neighbours?heads=shapes&image=12`);
  const { images } = (await site.json(page.url())).answer;
  const told = new Set((await shown(page)).map(({ score }) => score)).size;
  assert.ok(told > images.length / 2, `${told} different scores told of ${images.length} images`);
});

test("neighbours of a property's heads in both models are those of the library", async () => {
  const page = await site.page();
  await page.goto("/compare");
  await page.getByLabel("Heads").fill("shapes");
  await page.getByLabel("Image number").fill("12");
  await page.getByRole("button", { name: "Ask" }).click();
  await page.locator('section[aria-label="Answer"]').waitFor();
  const { answers } = await site.json(page.url());
  assert.deepEqual(answers.map(({ run }) => run), ["scenes/scenes-4", "scenes/scenes-6"]);
  assert.deepEqual(await shown(page), answers.flatMap(({ found }) => expected(found)));
  const library = site.query("neighbours", "--heads", "shapes", "--image", "#12", "--count", `${SHOWN}`);
  assert.deepEqual(single(answers[0].found), single(library.found));
});

test("both models segment, and one can be left out", async () => {
  const page = await site.page();
  await page.goto("/compare?analysis=segment");
  await page.getByLabel("Text", { exact: true }).fill("a mushroom");
  await page.getByLabel("Image number").fill("12");
  await page.getByRole("button", { name: "Ask" }).click();
  await page.locator("figure.map").nth(1).waitFor();
  const { answers } = await site.json(page.url());
  const totals = await page.locator("figure.map figcaption").allTextContents();
  assert.deepEqual(totals, answers.map(({ maps: { shown: [map] } }) =>
    `a mushroom · total ${number(map.total)}, class token ${number(map.class_token)}`));
  const library = site.query("segment", "--image", "#12", "--text", "a mushroom");
  assert.deepEqual(single(answers[0].maps.shown[0].scores), single(library.maps[0].scores));
  await page.getByLabel("scenes/scenes-4").uncheck();
  await page.getByRole("button", { name: "Ask" }).click();
  await page.waitForURL((url) => url.searchParams.getAll("run").length === 1);
  assert.equal(await page.locator("figure.map").count(), 1);
});

test("why: the score of a neighbour is the sum over patches and class token, for an upload too", async () => {
  const page = await site.page();
  await page.goto(`${RUN}/neighbours?heads=colors&similarity=dot`);
  await upload(page, 21);
  const { images } = (await site.json(page.url())).answer;
  await page.getByRole("link", { name: "why" }).first().click();
  await page.waitForURL(/why\?/);
  const [map] = (await site.json(page.url())).answer.shown;
  const sum = map.scores.reduce((one, two) => one + two, map.class_token);
  assert.ok(Math.abs(sum - map.total) < 1e-5, `${sum} is not ${map.total}`);
  assert.ok(Math.abs(map.total - images[0].score) < 2e-4, `${map.total} is not ${images[0].score}`);
});

test("the start page filters by text and by fitting texts as its JSON does", async () => {
  const page = await site.page();
  for (const [field, value, fits] of [
    ["Texts contain", "red", (head) => head.texts.some((text) => text.includes("red"))],
    ["Fitting texts at least", "5", (head) => (head.consistent?.[0] ?? 0) >= 5],
  ]) {
    await page.goto("/");
    await page.getByLabel(field).fill(value);
    await page.getByRole("button", { name: "Filter" }).click();
    await page.getByRole("link", { name: "All heads" }).waitFor();
    const { models } = await site.json(page.url());
    const wanted = models.flatMap(({ layers }) => layers.flatMap(([, heads]) => heads)).filter(fits).length;
    assert.ok(wanted > 0);
    assert.equal(await page.locator("table.matrix td:not(.dim)").count(), wanted);
  }
});

test("back and forward bring a segmentation back", async () => {
  const page = await site.page();
  await page.goto(`${RUN}/segment?image=12&text=a+mushroom`);
  const first = await page.locator("svg.patches title").allTextContents();
  await page.getByLabel("Text", { exact: true }).fill("the sky");
  await page.getByRole("button", { name: "Show" }).click();
  await page.waitForURL(/the\+sky/);
  await page.goBack();
  assert.equal(await page.getByLabel("Text", { exact: true }).inputValue(), "a mushroom");
  assert.deepEqual(await page.locator("svg.patches title").allTextContents(), first);
  assert.equal(await page.locator("figure.map canvas").count(), 1, "not drawn twice");
  assert.equal(await page.locator("input[type=range]").count(), 1);
  await page.goForward();
  assert.equal(await page.getByLabel("Text", { exact: true }).inputValue(), "the sky");
});

test("arrow keys choose, Space checks and Space presses", async () => {
  const page = await site.page();
  await page.goto(`${RUN}/neighbours?image=12`);
  await tabTo(page, "select[name=similarity]");
  await page.keyboard.press("ArrowDown");
  assert.equal(await page.getByLabel("Compare by").inputValue(), "dot");
  await tabTo(page, "input[name=farthest]");
  await page.keyboard.press("Space");
  await tabTo(page, "form.ask button");
  await page.keyboard.press("Space");
  await page.waitForURL(/farthest=1/);
  const question = ["--heads", "all", "--image", "#12", "--dot", "--farthest", "--count", "12"];
  const { answer } = await site.json(page.url());
  assert.deepEqual(single(answer), single(site.query("neighbours", ...question).found));
});

test("without a script a form segments, and a file is handed in", async () => {
  const page = await site.page({ javaScriptEnabled: false });
  await page.goto(`${RUN}/segment`);
  await page.getByLabel("Text", { exact: true }).fill("a mushroom");
  await page.getByLabel("Image number").fill("12");
  await page.getByRole("button", { name: "Show" }).click();
  await page.locator("svg.patches").waitFor();
  assert.equal(await page.locator("svg.patches rect").count(), 64);
  await upload(page, 21);
  assert.equal(await page.locator("svg.patches rect").count(), 64);
});

test("what is too large is told with its limit, and the way back is offered", async () => {
  const page = await site.page();
  await page.goto(`${RUN}/segment?text=a`);
  await page.getByLabel("Your own image").setInputFiles({ name: "large.png", mimeType: "image/png", buffer: Buffer.alloc(17 << 20, 7) });
  await page.getByRole("button", { name: "Upload" }).click();
  assert.match(await page.getByRole("alert").textContent(), /16/);
  assert.ok(await page.locator('main a[href*="segment"]').count() > 0, "a link to the page that asked");
});

for (const place of [
  "/", "/?property=backgrounds", `${RUN}/head/L3.H5`, `${RUN}/neighbours?heads=colors&image=12`, `${RUN}/segment?image=12&text=a+mushroom&text=the+sky`,
  `${RUN}/why?heads=colors&image=12&neighbour=40`, `${RUN}/images`, "/compare?analysis=segment&image=12&text=a+mushroom",
]) {
  test(`${place} at 360 pixels: nothing sticks out, and axe has nothing serious to say`, async () => {
    const page = await site.page({ bypassCSP: true, viewport: { width: 360, height: 740 } });
    await page.goto(place);
    // A part may be wider than the screen only where it scrolls by itself.
    const wide = await page.evaluate(() =>
      [...document.querySelectorAll("main *:not(svg *)")].filter((element) => {
        const { right, left } = element.getBoundingClientRect();
        return (right > 360.5 || left < -0.5) && !element.closest(".scroll *") && getComputedStyle(element).visibility !== "hidden";
      }).map((element) => `${element.tagName} ${element.className} ${element.getAttribute("name") ?? ""}`));
    const within = await page.evaluate(() =>
      [...document.querySelectorAll("form input:not([type=hidden]), form select, form button")].filter((field) =>
        field.getBoundingClientRect().right > field.closest("form").getBoundingClientRect().right + 0.5
      ).map((field) => `${field.tagName} ${field.name || field.type} sticks out of its form`));
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => globalThis.axe.run(document));
    const serious = violations.filter(({ impact }) => ["serious", "critical"].includes(impact));
    const told = serious.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes[0].html}`);
    assert.deepEqual([...wide, ...within, ...told], []);
  });
}
