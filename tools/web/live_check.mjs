// `blazepose live` in a headless browser with a fake camera; what was seen leaves as one line of JSON.
//   node live_check.mjs http://localhost:8000/ CLIP.mjpeg SECONDS [screenshot.png] [--unplug] [--record]
// CLIP is what the fake camera shows; "-" for a page that plays a file.
import { chromium } from "playwright-core";

const words = process.argv.slice(2);
const [unplug, record] = ["--unplug", "--record"].map((word) => words.includes(word));
const [address, clip, seconds, screenshot] = words.filter((word) => !word.startsWith("--"));
const camera = clip === "-" ? [] : ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
  `--use-file-for-fake-video-capture=${clip}`];
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-first-run", "--disable-quic", "--autoplay-policy=no-user-gesture-required", ...camera],
});
const elsewhere = [];
const messages = [];
try {
  const page = await browser.newPage({ viewport: { width: 390, height: 844 } });
  const home = new URL(address).origin;
  page.on("console", (message) => messages.push(message.text()));
  page.on("pageerror", (error) => messages.push(String(error)));
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (["http:", "https:", "ws:", "wss:"].includes(url.protocol) && url.origin !== home) elsewhere.push(url.href);
  });
  const shown = (count) => page.waitForFunction((n) => window.stats?.shown >= n, count, { timeout: 120_000 });
  await page.goto(address);
  await shown(3); // the first picture compiles
  const warm = await page.evaluate(() => ({ ...window.stats, latencies: window.stats.latencies.length }));
  if (record) await page.click("#record");
  if (unplug) {
    await page.evaluate(() => {
      const [track] = document.querySelector("#video").srcObject.getVideoTracks();
      track.stop();
      track.dispatchEvent(new Event("ended")); // stop() alone is what the page does itself
    });
    const before = (await page.evaluate(() => window.stats.shown));
    await page.waitForFunction(() => window.stats.lost === 1);
    await shown(before + 5);
  }
  await page.waitForTimeout(1000 * Number(seconds));
  if (screenshot) await page.screenshot({ path: screenshot });
  if (record) await page.click("#record");
  if (record) await page.waitForFunction(() => document.querySelector("#record").textContent === "Record");
  const stats = await page.evaluate(() => window.stats);
  const angles = await page.$$eval("#angles tr", (rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent)));
  const latencies = stats.latencies.slice(warm.latencies).sort((a, b) => a - b);
  const at = (share) => latencies[Math.min(latencies.length - 1, Math.floor(share * latencies.length))];
  console.log(JSON.stringify({ shown: stats.shown - warm.shown, dropped: stats.dropped - warm.dropped, lost: stats.lost,
    people: stats.people, repetitions: stats.repetitions, error: stats.error, median_ms: at(0.5), p95_ms: at(0.95), angles,
    status: await page.textContent("#status"), elsewhere, messages: messages.slice(-10) }));
} finally {
  await browser.close();
}
