// The explorer in a frame of another page of this machine, as a notebook shows it, and of pages that may not.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { RUN, open } from "./site.mjs";

let framed;
let alone;
let notebook;
before(async () => {
  framed = await open("--framed");
  alone = await open();
  // Another port is another site for `Sec-Fetch-Site` and for policies, and so is localhost beside 127.0.0.1.
  notebook = createServer((request, response) => {
    const place = new URL(request.url, "http://localhost").searchParams.get("of");
    response.setHeader("content-type", "text/html");
    response.end(`<!doctype html><title>notebook</title><iframe src="${place}" width="900" height="700"></iframe>`);
  });
  await new Promise((resolve) => notebook.listen(0, "127.0.0.1", resolve));
});
after(async () => {
  notebook.close();
  await framed.close();
  await alone.close();
});

/** The frame of a notebook at `host` that shows a page of a site. */
async function shownIn(host, site, place) {
  const page = await site.page();
  await page.goto(`http://${host}:${notebook.address().port}/?of=${encodeURIComponent(site.address + place)}`);
  const frame = page.frameLocator("iframe");
  return { page, frame };
}

test("a notebook shows the explorer, and its links and forms work there", async () => {
  for (const host of ["127.0.0.1", "localhost"]) {
    const { frame } = await shownIn(host, framed, `${RUN}/neighbours?heads=shapes&image=3`);
    await frame.getByLabel("Image number").fill("30");
    await frame.getByRole("button", { name: "Find" }).click();
    await frame.locator('section[aria-label="Answer"] ol.grid > li').first().waitFor();
    assert.equal(await frame.getByLabel("Image number").inputValue(), "30");
  }
});

test("an explorer that was not asked to is shown in no frame", async () => {
  const { page, frame } = await shownIn("127.0.0.1", alone, "/");
  await page.waitForLoadState("networkidle");
  assert.equal(await frame.getByRole("heading", { level: 1 }).count(), 0);
});
