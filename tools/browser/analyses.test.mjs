// The five analyses as a person does them, by mouse and by keyboard, with what is shown held against the library.
import assert from "node:assert/strict";
import path from "node:path";
import { after, before, test } from "node:test";
import { RUN, expected, number, open, shots, shown, single, tabTo } from "./site.mjs";

let site;
before(async () => { site = await open(); });
after(() => site.close());

const picture = (page, name) => page.screenshot({ path: path.join(shots, `${name}.png`), fullPage: true });

/** Numbers of a map as its patches say them. */
const patches = (page, map = 0) =>
  page.locator("figure.map").nth(map).locator("svg.patches rect title").allTextContents();

/** Holds a page of neighbours against its JSON, and that against the command line. */
async function assertNeighbours(page, ...question) {
  const here = page.url();
  const answer = (await site.json(here)).answer;
  assert.deepEqual(await shown(page), expected(answer));
  assert.deepEqual(single(answer), single(site.query("neighbours", ...question).found));
}

test("neighbours by a property, of an image chosen by sight", async () => {
  const page = await site.page();
  await page.goto("/");
  await page.getByRole("link", { name: "Neighbours" }).waitFor({ state: "detached" });
  await page.locator("table.matrix a", { hasText: "colors" }).first().click();
  await page.getByRole("link", { name: "Neighbours", exact: true }).click();
  await page.getByLabel("Heads").selectOption("colors");
  await page.getByLabel("Compare by").selectOption("cosine");
  await page.getByRole("button", { name: "Find" }).click();
  await page.getByRole("link", { name: "choose by sight" }).click();
  await page.locator("ol.grid a").nth(12).click();
  await page.locator('section[aria-label="Answer"]').waitFor();
  assert.match(page.url(), /heads=colors.*image=12/);
  await assertNeighbours(page, "--heads", "colors", "--image", "#12", "--cosine", "--count", "12");
  await picture(page, "neighbours-property");
});

test("neighbours of an image under one head, from the head's page", async () => {
  const page = await site.page();
  await page.goto(`${RUN}/head/L3.H5`);
  await page.getByRole("link", { name: "Neighbours under this head" }).click();
  await page.getByLabel("Image number").fill("40");
  assert.ok(await page.getByLabel("an image of the run").isChecked(), "typing a number chooses the image");
  await page.getByLabel("Images", { exact: true }).fill("8");
  await page.getByRole("button", { name: "Find" }).click();
  await assertNeighbours(page, "--heads", "L3.H5", "--image", "#40", "--count", "8");
});

test("neighbours of a text under one head", async () => {
  const page = await site.page();
  await page.goto(`${RUN}/neighbours?heads=L3.H0&image=3`);
  await page.getByLabel("Text", { exact: true }).fill("something purple");
  await page.getByRole("button", { name: "Find" }).click();
  await assertNeighbours(page, "--heads", "L3.H0", "--text", "something purple", "--count", "12");
  await picture(page, "neighbours-text");
});

test("topic segmentation by head, property, layer and all", async () => {
  const page = await site.page();
  await page.goto(`${RUN}/segment`);
  for (const heads of ["L3.H0", "colors", "L3", "all"]) {
    await page.getByLabel("Heads").selectOption(heads);
    await page.getByLabel("Text", { exact: true }).fill("a mushroom");
    await page.getByLabel("Image number").fill("12");
    await page.getByRole("button", { name: "Show" }).click();
    await page.locator("figure.map").waitFor();
    const answer = (await site.json(page.url())).answer;
    assert.deepEqual(await patches(page), answer.shown[0].scores.map(number));
    const library = site.query("segment", "--heads", heads, "--image", "#12", "--text", "a mushroom");
    assert.deepEqual(single(answer.shown[0].scores), single(library.maps[0].scores));
  }
  await picture(page, "segmentation");
});

test("contrastive segmentation of two texts on one scale", async () => {
  const page = await site.page();
  await page.goto(`${RUN}/segment?image=12`);
  await page.getByLabel("Text", { exact: true }).fill("a mushroom");
  await page.getByLabel("Text 2").fill("the sky at sunset");
  await page.getByRole("button", { name: "Show" }).click();
  await page.locator("figure.map").nth(1).waitFor();
  const answer = (await site.json(page.url())).answer;
  const library = site.query("segment", "--image", "#12", "--text", "a mushroom", "--text", "the sky at sunset");
  assert.deepEqual(single(answer.shown.map((map) => map.scores)), single(library.maps.map((map) => map.scores)));
  const legends = await page.locator(".legend").allTextContents();
  assert.equal(new Set(legends).size, 1, "both maps have one scale");
  await picture(page, "segmentation-contrastive");
});

test("all five by keyboard alone", async () => {
  const page = await site.page();
  await page.goto(`${RUN}/neighbours`);
  const choose = async (field, typed) => {
    await tabTo(page, field);
    await page.keyboard.type(typed);
  };
  // Of a property and an image; a list takes the option that is typed.
  await choose("select[name=heads]", "colors");
  await choose("input[name=image]", "12");
  await page.keyboard.press("Enter");
  await page.waitForURL(/heads=colors.*image=12/);
  assert.deepEqual(await shown(page), expected((await site.json(page.url())).answer));
  // Of a text under one head.
  await choose("select[name=heads]", "L3.H0");
  await tabTo(page, "input[name=text]");
  await page.keyboard.type("something purple");
  await tabTo(page, "form.ask button");
  await page.keyboard.press("Enter");
  await page.waitForURL(/heads=L3.H0.*text=something\+purple/);
  assert.match(await page.locator("figcaption").first().textContent(), /something purple/);
  // Of an image under the same head, from a result.
  await tabTo(page, "ol.grid a");
  await page.keyboard.press("Enter");
  await page.waitForURL(({ searchParams: asked }) => asked.get("heads") === "L3.H0" && asked.has("image") && !asked.has("text"));
  assert.deepEqual(await shown(page), expected((await site.json(page.url())).answer));
  // Segmentation of one text, then of two.
  await tabTo(page, 'ol.grid a[href*="/segment"]');
  await page.keyboard.press("Enter");
  await page.waitForURL(/segment/);
  await choose("input[name=text]", "a ball");
  await page.keyboard.press("Enter");
  await page.locator("figure.map").waitFor();
  await tabTo(page, "input[name=text]:nth-of-type(1)");
  await page.keyboard.press("Tab");
  await page.keyboard.type("the ground");
  await page.keyboard.press("Enter");
  await page.locator("figure.map").nth(1).waitFor();
  // The slider answers to arrow keys.
  await tabTo(page, "input[type=range]");
  await page.keyboard.press("ArrowLeft");
  assert.equal(await page.locator("input[type=range]").inputValue(), "0.55");
});
