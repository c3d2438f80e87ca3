// How pages are laid out and drawn: what a person sees first, on which scales, in which colours, and what each leads to.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { PAGES, RUN, number, open } from "./site.mjs";

let site;
before(async () => { site = await open(); });
after(() => site?.close());

const LAPTOP = { viewport: { width: 1280, height: 800 } };
const CONTRAST = `${RUN}/segment?heads=all&image=12&text=a+mushroom&text=the+sky`;

/** Lower edges of what a selector finds, in pixels from the top of the page. */
const bottoms = (page, selector) =>
  page.locator(selector).evaluateAll((found) => found.map((element) => element.getBoundingClientRect().bottom + scrollY));

/** Numbers that the patches of a map say. */
const scores = async (figure) => (await figure.locator("svg.patches title").allTextContents()).map(Number);

for (const [name, place, selector] of [
  ["neighbours of a text", `${RUN}/neighbours?heads=L3.H0&text=something+purple`, "ol.grid > li:nth-child(-n+6)"],
  ["neighbours of an image", `${RUN}/neighbours?heads=colors&image=12`, "ol.grid > li:nth-child(-n+6), figure.query img"],
  ["a map", `${RUN}/segment?heads=all&image=12&text=a+mushroom`, "figure.map .picture"],
  ["maps of two texts", CONTRAST, "figure.map .legend, figure.winners .picture"],
  ["why", PAGES.why, "figure.map .legend, figure.neighbour .picture"],
  ["models side by side", PAGES.compare, ".sides section ol.grid > li:first-child img"],
]) {
  test(`${name}: the answer is seen at 1280 × 800 without scrolling`, async () => {
    const page = await site.page(LAPTOP);
    await page.goto(place);
    await page.waitForLoadState("networkidle");
    const found = await bottoms(page, selector);
    assert.ok(found.length > 0);
    assert.ok(Math.max(...found) <= 800, `the answer reaches down to ${Math.max(...found)}`);
  });
}

test("no page is wider than a screen of 390 pixels, with a script or without", async () => {
  for (const javaScriptEnabled of [true, false]) {
    const page = await site.page({ javaScriptEnabled, viewport: { width: 390, height: 844 } });
    for (const place of [...Object.values(PAGES), `${RUN}/neighbours`, `${RUN}/segment`, "/compare", PAGES.neighbours.replace("image=12", "text=a+boat")]) {
      await page.goto(place);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(wide <= 390, `${place} is ${wide} pixels wide`);
    }
  }
});

test("the query stands beside its neighbours, with its name", async () => {
  const page = await site.page(LAPTOP);
  await page.goto(PAGES.neighbours);
  const { image_id: id } = await site.json(page.url());
  assert.equal(await page.locator(".asked .id").textContent(), id);
  const query = await page.locator(".asked img").boundingBox();
  const first = await page.locator("ol.grid > li").first().boundingBox();
  assert.ok(query.x + query.width <= first.x && Math.abs(query.y - first.y) < 20, "beside, not above");
});

test("bars are as long as their scores, on one scale for models only where scores compare", async () => {
  const page = await site.page();
  for (const similarity of ["cosine", "dot"]) {
    await page.goto(`/compare?heads=shapes&image=12&similarity=${similarity}`);
    const drawn = await page.locator("ol.grid svg.bar .value").evaluateAll((bars) => bars.map((bar) => Number(bar.getAttribute("width"))));
    const sides = (await site.json(page.url())).answers.map(({ found }) => found.images.map(({ score }) => score));
    const largest = Math.max(...sides.flat());
    const wanted = sides.flatMap((side) => side.map((score) => 100 * score / (similarity === "cosine" ? largest : side[0])));
    assert.equal(drawn.length, 12);
    drawn.forEach((bar, place) => assert.ok(Math.abs(bar - wanted[place]) < 0.06, `${similarity}: ${bar} is not ${wanted[place]}`));
  }
});

test("a property has one colour on all pages, and no other property has it", async () => {
  const page = await site.page();
  const tags = async (place) => {
    await page.goto(place);
    return page.locator("main .tag:not(.p-none)").evaluateAll((found) =>
      found.map((tag) => [tag.textContent, getComputedStyle(tag, "::before").backgroundColor]));
  };
  const colours = new Map(await tags("/"));
  assert.ok(colours.size > 3);
  assert.equal(new Set(colours.values()).size, colours.size);
  for (const place of [PAGES.head, PAGES.neighbours, PAGES.compare, PAGES.filtered, `${RUN}/segment?heads=colors&image=12&text=a`]) {
    const found = await tags(place);
    assert.ok(found.length > 0, `${place} names no property`);
    for (const [property, colour] of found) assert.equal(colour, colours.get(property), `${property} on ${place}`);
  }
  await page.goto("/");
  const points = await page.locator("svg.chart a[class]:not(.p-none)").evaluateAll((found) =>
    found.map((point) => [point.querySelector("title").textContent.match(/: (.*?),/)[1], getComputedStyle(point.querySelector("circle")).fill]));
  for (const [property, colour] of points) assert.equal(colour, colours.get(property), `${property} in the plot`);
});

test("two texts: the maps, their difference and the winner of each patch agree", async () => {
  const page = await site.page();
  await page.goto(CONTRAST);
  const figures = await page.locator("figure.map").all();
  assert.equal(figures.length, 3);
  const [first, second, difference] = await Promise.all(figures.map(scores));
  const { answer } = await site.json(page.url());
  assert.deepEqual(first, answer.texts[0].scores.map((score) => Number(number(score))));
  first.forEach((score, patch) => assert.ok(Math.abs(score - second[patch] - difference[patch]) < 1.6e-4, `patch ${patch}`));
  const letters = await page.locator("svg.winners text").allTextContents();
  assert.deepEqual(letters, answer.texts[0].scores.map((score, patch) => (score >= answer.texts[1].scores[patch] ? "A" : "B")));
  const counts = await page.locator("ul.counts strong").allTextContents();
  assert.deepEqual(counts.map(Number), ["A", "B"].map((letter) => letters.filter((own) => own === letter).length));
  const shown = [...first, ...second, ...difference].map(Math.abs);
  assert.ok(Math.max(...shown) <= answer.scale.high + 1e-4, "the scale holds all three");
});

test("a smooth map has the colours of its patches at their centres", async () => {
  const page = await site.page();
  for (const place of [PAGES.segment, CONTRAST]) {
    await page.goto(place);
    const apart = await page.locator("figure.map").evaluateAll((figures) => Math.max(...figures.flatMap((figure) => {
      const canvas = figure.querySelector("canvas");
      const step = canvas.width / figure.querySelector("svg.patches").viewBox.baseVal.width;
      return [...figure.querySelectorAll("svg.patches rect")].map((patch) => {
        const [x, y] = [patch.x, patch.y].map((at) => Math.floor((at.baseVal.value + 0.5) * step));
        const { data } = canvas.getContext("2d").getImageData(x, y, 1, 1);
        const wanted = patch.getAttribute("fill").match(/[0-9a-f]{2}/g).map((digits) => parseInt(digits, 16));
        const opacity = Number(patch.getAttribute("fill-opacity") ?? 1);
        // About zero opacity rises so steeply that half a pixel tells: there only that it is nearly clear is held.
        if (opacity < 0.25) return data[3] < 96 ? 0 : 255;
        return Math.max(Math.abs(data[3] - 255 * opacity), ...wanted.map((value, channel) => Math.abs(value - data[channel])));
      });
    })));
    assert.ok(apart < 12, `${apart} levels apart on ${place}`);
  }
});

test("a head says where it stands, and leads to those beside it", async () => {
  const page = await site.page();
  await page.goto(`${RUN}/head/L3.H5`);
  assert.equal(await page.locator("header nav [aria-current]").count(), 0);
  await page.locator("a[rel=next]").click();
  await page.waitForURL(/L3\.H6/);
  await page.locator("a[rel=prev]").click();
  await page.waitForURL(/L3\.H5/);
  const { property } = await site.json(page.url());
  await page.getByRole("navigation", { name: "Breadcrumbs" }).getByRole("link", { name: property }).click();
  const query = new URL(page.url()).searchParams;
  assert.deepEqual([query.get("run"), query.get("property")], ["scenes/scenes-4", property]);
  assert.equal(await page.locator("header nav [aria-current=page]").textContent(), "Heads");
});

test("the header stays, and does not hide what a link leads to", async () => {
  const page = await site.page(LAPTOP);
  await page.goto(`${RUN}/head/L3.H5?direction=1#ends`);
  await page.waitForLoadState("networkidle");
  assert.ok(await page.evaluate(() => scrollY) > 0);
  const header = await page.locator("header").boundingBox();
  assert.equal(header.y, 0);
  const section = await page.locator("#ends h2").boundingBox();
  assert.ok(section.y >= header.height, `${section.y} is under the header`);
});

test("the plot's axes have titles and round numbers that hold every head", async () => {
  const page = await site.page();
  await page.goto("/?x=rank&y=span");
  const chart = page.locator("svg.chart").first();
  assert.deepEqual(await chart.locator("text.axis").allTextContents(), ["effective rank", "variance that the texts span"]);
  const ticks = (await chart.locator("text:not(.axis)").allTextContents()).map(Number);
  assert.ok(ticks.length >= 6 && ticks.every(Number.isFinite), `${ticks}`);
  const outside = await chart.evaluate((svg) => [...svg.querySelectorAll("circle")].filter((dot) => {
    const [dotted, whole] = [dot.getBoundingClientRect(), svg.getBoundingClientRect()];
    return dotted.left < whole.left || dotted.right > whole.right || dotted.top < whole.top || dotted.bottom > whole.bottom;
  }).length);
  assert.equal(outside, 0);
});

test("a point of the plot stands where its numbers are", async () => {
  const page = await site.page();
  await page.goto("/?run=scenes/scenes-4&x=variance&y=rank");
  const drawn = await page.locator("svg.chart").evaluate((svg) => {
    const scale = (ticks, at) => {
      const [first, last] = [ticks[0], ticks[ticks.length - 1]].map((tick) => [Number(tick.textContent), Number(tick.getAttribute(at))]);
      return (place) => first[0] + (place - first[1]) * (last[0] - first[0]) / (last[1] - first[1]);
    };
    const ticks = [...svg.querySelectorAll("text:not(.axis)")];
    const across = scale(ticks.filter((tick) => tick.getAttribute("text-anchor") === "middle"), "x");
    // A number beside the plot stands a little below its line.
    const lines = [...svg.querySelectorAll("line")].filter((line) => line.getAttribute("y1") === line.getAttribute("y2"));
    const beside = ticks.filter((tick) => tick.getAttribute("text-anchor") === "end");
    const up = scale(beside.map((tick, place) => ({ textContent: tick.textContent, getAttribute: () => lines[place].getAttribute("y1") })), "y");
    return [...svg.querySelectorAll("a")].map((point) => {
      const circle = point.querySelector("circle");
      return [point.getAttribute("href").split("/").pop(), across(circle.cx.baseVal.value), up(circle.cy.baseVal.value)];
    });
  });
  const { models: [{ layers }] } = await site.json(page.url());
  const figures = new Map(layers.flatMap(([, heads]) => heads).map((head) => [head.name, head.figures]));
  assert.ok(drawn.length > 0 && drawn.length === figures.size);
  const widest = Math.max(...[...figures.values()].map(({ variance_share: share }) => share));
  for (const [name, across, up] of drawn) {
    const { variance_share: share, effective_rank: rank } = figures.get(name);
    assert.ok(Math.abs(across - share) < widest / 400, `${name} stands at ${across}, not at ${share}`);
    assert.ok(Math.abs(up - rank) < 0.1, `${name} stands at ${up}, not at ${rank}`);
  }
  assert.equal(await page.getByText("a little beside it").count(), 0);
  await page.goto("/?x=layer");
  assert.equal(await page.getByText("a little beside it").count(), 1, "where heads share a value, it is said");
});

test("a text that an image lacks is not found in it by its colours", async () => {
  const page = await site.page();
  await page.goto(PAGES.segment);
  const { answer: { scale } } = await site.json(page.url());
  assert.ok(scale.diverging && scale.low === -scale.high);
  const patches = await page.locator("figure.map svg.patches rect").evaluateAll((found) =>
    found.map((patch) => [Number(patch.textContent), patch.getAttribute("fill").match(/[0-9a-f]{2}/g).map((digits) => parseInt(digits, 16))]));
  const wrong = patches.filter(([score, [red, , blue]]) => Math.abs(score) > 1e-4 && (score > 0) !== (red > blue));
  assert.deepEqual(wrong, [], "orange above zero, blue below");
});

test("a property among the keys shows its own heads, and all of them again", async () => {
  const page = await site.page();
  await page.goto("/?consistent=1");
  const key = page.locator("ul.properties a", { hasText: "backgrounds" });
  await key.click();
  await page.waitForURL(/property=backgrounds/);
  assert.match(page.url(), /consistent=1/);
  assert.ok(await page.locator("table.matrix td.dim").count() > 0);
  await key.click();
  await page.waitForURL((url) => !url.search.includes("property"));
  assert.match(page.url(), /consistent=1/);
});

test("an own image is asked about with the question as it stands in the form", async () => {
  const page = await site.page();
  const buffer = Buffer.from(await (await fetch(`${site.address}${RUN}/image/21`)).arrayBuffer());
  await page.goto(`${RUN}/neighbours?heads=shapes&image=3`);
  await page.getByLabel("Heads").selectOption("colors");
  await page.getByLabel("Compare by").selectOption("cosine");
  await page.getByLabel("Your own image").setInputFiles({ name: "mine.png", mimeType: "image/png", buffer });
  await page.getByRole("button", { name: "Upload" }).click();
  await page.waitForURL(/upload=[0-9a-f]{24}/);
  const { heads, similarity, upload, answer } = await site.json(page.url());
  assert.deepEqual([heads, similarity, answer.images[0].image_index], ["colors", "cosine", 21]);
  assert.equal(await page.locator(".asked img").getAttribute("src"), `/upload/${upload}.png`);
});

test("a file dragged over the page is told where it goes, and what is no image why it does not", async () => {
  const page = await site.page();
  await page.goto(`${RUN}/segment?text=a`);
  const drag = (kind, type) => page.evaluate(([kind, type]) => {
    const data = new DataTransfer();
    data.items.add(new File(["words"], "words.txt", { type }));
    document.body.dispatchEvent(new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true }));
  }, [kind, type]);
  await drag("dragover", "text/plain");
  assert.equal(await page.locator("form.ask.over").count(), 1);
  await drag("drop", "text/plain");
  assert.equal(await page.locator("form.ask.over").count(), 0);
  assert.match(await page.getByRole("status").textContent(), /no image/);
});
