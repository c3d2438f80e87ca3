// A person reviews a run and writes on it: by keyboard, by mouse, by touch, without a script, in two tabs.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { RUN, open, shots, tabTo } from "./site.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

let site;
before(async () => { site = await open(); });
after(() => site?.close());

const review = (author, more = "") => `${RUN}/review?as=${author}${more}`;
const state = (author, more = "") => site.json(review(author, more));
/** Presses a key and waits for the page that it leads to. */
const press = (page, key) => Promise.all([page.waitForEvent("load"), page.keyboard.press(key)]);

test("by keyboard: 1 fits, 0 does not, u undecided, Backspace and left go back", async () => {
  const page = await site.page();
  await page.goto(`${RUN}/review`);
  await page.getByLabel("Your name").fill("Anna Ö");
  await page.getByRole("button", { name: "Begin" }).click();
  await page.locator("q.subject").waitFor();
  for (const key of ["1", "0", "u", "1"]) await press(page, key);
  assert.equal((await state("Anna+Ö")).answered, 4);
  await press(page, "Backspace");
  assert.match(page.url(), /at=3/);
  assert.equal(await page.locator("button[aria-pressed=true]").innerText(), "1 fits");
  await press(page, "ArrowLeft");
  assert.match(page.url(), /at=2/);
  assert.match(await page.locator("button[aria-pressed=true]").innerText(), /undecided/);
  await press(page, "0");
  assert.match(page.url(), /at=4/, "on to the first that is open");
  assert.deepEqual((await state("Anna+Ö", "&at=0")).asked.texts.slice(0, 4).map(({ fits }) => fits), [true, false, false, true]);
});

test("a key that is held down answers once", async () => {
  const page = await site.page();
  await page.goto(review("held"));
  await page.evaluate(() => { for (let repeat = 0; repeat < 5; repeat += 1) document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "1", bubbles: true, repeat: repeat > 0 })); });
  await page.waitForURL(/at=1/);
  assert.equal((await state("held")).answered, 1);
});

test("a closed tab goes on where it stopped", async () => {
  const page = await site.page();
  await page.goto(review("closed"));
  await press(page, "1");
  await press(page, "1");
  await page.close();
  const again = await site.page();
  await again.goto(`${RUN}/review`);
  await again.getByRole("listitem").filter({ hasText: "closed" }).getByRole("link", { name: /2 texts judged/ }).click();
  await again.locator("q.subject").waitFor();
  assert.equal((await state("closed")).asked.at, 2);
  assert.match(await again.locator(".progress").innerText(), /2 of \d+ by closed/);
});

test("two tabs: the contradiction is shown, both answers stay, and the next one counts", async () => {
  const [one, other] = [await site.page(), await site.page()];
  for (const page of [one, other]) await page.goto(review("tabs", "&at=0"));
  await press(one, "1");
  await press(other, "0");
  const alert = other.getByRole("alert");
  assert.match(await alert.innerText(), /Different answers stand[\s\S]*fits[\s\S]*does not fit/);
  await other.screenshot({ path: path.join(shots, "review-conflict.png"), fullPage: true });
  await press(other, "1");
  assert.deepEqual((await state("tabs", "&at=0")).asked.said.map(({ value }) => value), ["fits"]);
});

test("by touch on a phone: the buttons are under the thumb and large enough", async () => {
  const page = await site.page({ viewport: { width: 390, height: 780 }, hasTouch: true, isMobile: true });
  await page.goto(review("thumb"));
  for (const name of ["does not fit", "undecided", "fits"]) {
    const box = await page.getByRole("button", { name, exact: true }).boundingBox();
    assert.ok(box.height >= 48 && box.width >= 48, `${name}: ${JSON.stringify(box)}`);
    assert.ok(box.y + box.height <= 780, `${name} is below the screen`);
  }
  await Promise.all([page.waitForEvent("load"), page.getByRole("button", { name: "fits", exact: true }).tap()]);
  assert.equal((await state("thumb")).answered, 1);
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth) <= 390);
});

test("heads are named blind: chosen by a digit, or typed", async () => {
  const page = await site.page();
  await page.goto(review("blind", "&blind=1"));
  assert.equal(await page.locator(".review .tag").count(), 0, "no label is shown");
  const first = await page.locator(".offered button").first().getAttribute("value");
  await press(page, "1");
  await page.keyboard.press("t");
  await page.keyboard.type("glossy things");
  await press(page, "Enter");
  const named = async (at) => (await state("blind", `&blind=1&at=${at}`)).asked.said[0].value;
  assert.deepEqual([await named(0), await named(1)], [first, "glossy things"]);
  await page.goto(`${RUN}/agreement`);
  assert.match(await page.locator("main").innerText(), /blind, lexicon\s+names of heads/);
});

test("without a script every answer is a button", async () => {
  const page = await site.page({ javaScriptEnabled: false });
  await page.goto(review("plain"));
  await page.getByRole("button", { name: "does not fit" }).click();
  assert.equal((await state("plain")).answered, 1);
  await page.goto(review("plain", "&blind=1"));
  await page.getByLabel("Another name").fill("things");
  await Promise.all([page.waitForNavigation(), page.keyboard.press("Enter")]);
  assert.equal((await state("plain", "&blind=1&at=0")).asked.said[0].value, "things");
});

test("the answers of a page that somebody else's site shows are refused", async () => {
  const answer = await fetch(`${site.address}${RUN}/review`, {
    method: "POST", redirect: "manual", body: new URLSearchParams({ as: "evil", head: "L3.H5", property: "a", text: "b", value: "1" }),
    headers: { origin: "http://evil.example" },
  });
  assert.equal(answer.status, 403);
  assert.equal((await site.json(`${RUN}/notes?as=evil`)).notes.length, 0);
});

test("on a head's page: confirm, rename, comment, tag, list, take back", async () => {
  const page = await site.page();
  await page.goto(`${RUN}/head/L3.H5`);
  const notes = page.locator("#notes");
  await notes.getByLabel("Your name").fill("carla");
  await notes.getByRole("button", { name: /Confirm/ }).click();
  await notes.getByText("label confirmed").waitFor();
  assert.equal(await notes.getByLabel("Your name").inputValue(), "carla", "the browser keeps the name");
  for (const [field, text, button, says] of [
    ["Rename", "reds", "Rename", /renamed to\s+.?reds/], ["Tag", "odd, to check", "Tag", /# odd/], ["Add to list", "paper", "Add to list", /on the list/],
    ["Comment", "only in <b>shade</b>", "Comment", /only in <b>shade<\/b>/],
  ]) {
    await notes.getByLabel(field, { exact: true }).fill(text);
    await notes.getByRole("button", { name: button, exact: true }).click();
    await notes.getByText(says).first().waitFor();
  }
  await notes.screenshot({ path: path.join(shots, "head-notes.png") });
  await notes.getByRole("button", { name: "Take back: tag odd" }).click();
  await page.locator("#notes").getByText("# to check").waitFor();
  assert.equal(await page.locator("#notes").getByText("# odd").count(), 0);
  await page.getByRole("link", { name: "All notes" }).click();
  await page.getByRole("list", { name: "tag" }).getByRole("link", { name: /to check/ }).click();
  assert.deepEqual((await site.json(page.url())).lists, { paper: 1 });
});

test("a view is saved under a name, and opened again", async () => {
  const page = await site.page();
  await page.goto(`${RUN}/neighbours?heads=colors&image=12`);
  await page.getByRole("link", { name: "save view" }).click();
  await page.getByLabel("Name of the view").fill("near image 12");
  const named = page.locator("form.save").getByLabel("Your name");
  await named.fill("carla");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByRole("link", { name: "near image 12" }).click();
  await page.waitForURL(/neighbours\?heads=colors&image=12/);
});

test("the review is reached and answered by Tab and Return", async () => {
  const page = await site.page();
  await page.goto(review("tab"));
  await tabTo(page, "button.c0");
  await press(page, "Enter");
  assert.equal((await state("tab")).answered, 1);
});

for (const [name, place] of Object.entries({
  review: review("shots", "&at=0"), blind: review("shots", "&blind=1&at=0"), welcome: `${RUN}/review`, agreement: `${RUN}/agreement`, notes: `${RUN}/notes`,
  "head-with-notes": `${RUN}/head/L3.H5`,
})) {
  test(`${name}: at three sizes, light and dark, without serious findings of axe`, async () => {
    for (const colorScheme of ["light", "dark"]) {
      for (const [size, viewport] of Object.entries({ phone: { width: 390, height: 780 }, laptop: { width: 1280, height: 800 }, wide: { width: 1920, height: 1080 } })) {
        const page = await site.page({ bypassCSP: true, colorScheme, viewport, hasTouch: size === "phone", isMobile: size === "phone" });
        await page.goto(place);
        await page.evaluate(() => { for (const image of document.images) image.loading = "eager"; });
        await page.waitForLoadState("networkidle");
        await page.screenshot({ path: path.join(shots, `${name}-${colorScheme}-${size}.png`), fullPage: !name.startsWith("head") });
        await page.evaluate(axe);
        const { violations } = await page.evaluate(() => globalThis.axe.run(document));
        const serious = violations.filter(({ impact }) => ["serious", "critical"].includes(impact));
        assert.deepEqual(serious.map(({ id, nodes }) => `${id}: ${nodes[0].html} ${nodes[0].failureSummary}`), []);
        const wide = await page.evaluate(() => document.documentElement.scrollWidth);
        assert.ok(wide <= viewport.width, `${wide} pixels wide on a screen of ${viewport.width}`);
        await page.context().close();
      }
    }
  });
}

test("a head and a chart are saved as figures that stand alone", async () => {
  const page = await site.page();
  for (const [place, link, name] of [[`${RUN}/head/L3.H5`, "SVG", "head-figure"], ["/", "SVG", "chart-figure"]]) {
    await page.goto(place);
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: link, exact: true }).first().click()]);
    const file = path.join(shots, `${name}.svg`);
    await download.saveAs(file);
    assert.match(readFileSync(file, "utf8"), /Made with headspan/);
    const alone = await site.page();
    await alone.goto(pathToFileURL(file).href);
    assert.equal(await alone.locator("svg desc").count(), 1);
    await alone.screenshot({ path: path.join(shots, `${name}.png`) });
  }
});

test("ten heads are labelled with the keys that the guide states", async () => {
  const page = await site.page();
  await page.goto(`${RUN}/review`);
  await page.keyboard.type("ten");
  for (const key of ["Tab", "ArrowDown"]) await page.keyboard.press(key);
  await press(page, "Enter");
  for (let head = 0; head < 10; head += 1) await press(page, `${1 + (head % 5)}`);
  assert.equal((await state("ten", "&blind=1")).answered, 10);
});

test("s on a head's page saves it as a figure", async () => {
  const page = await site.page();
  await page.goto(`${RUN}/head/L3.H5`);
  const [download] = await Promise.all([page.waitForEvent("download"), page.keyboard.press("s")]);
  assert.equal(download.suggestedFilename(), "headspan-scenes-4-L3.H5.svg");
});
