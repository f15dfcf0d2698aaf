// A page's address comes in; what the browser found on its picture leaves as one line of JSON.
//   node check.mjs http://localhost:8000/?delegate=GPU [screenshot.png] [video.mp4 | camera.mjpeg]
// A video is opened as a user would, and the answer's status holds the frames per second; an .mjpeg is what a fake
// camera shows, whose button is pressed, on a screen as narrow as a phone's.
import { chromium } from "playwright-core";

const [address, screenshot, video] = process.argv.slice(2);
const camera = video?.endsWith(".mjpeg") ? ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
  `--use-file-for-fake-video-capture=${video}`] : [];
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-first-run", "--disable-quic", ...camera],
});
const elsewhere = [];
const messages = [];
try {
  const page = await browser.newPage(camera.length ? { viewport: { width: 390, height: 844 } } : {});
  const home = new URL(address).origin;
  page.on("console", (message) => messages.push(message.text()));
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (["http:", "https:", "ws:", "wss:"].includes(url.protocol) && url.origin !== home) elsewhere.push(url.href);
  });
  await page.goto(address);
  const result = await page.evaluate(async () => {
    const found = await window.finished;
    return { error: found?.error ?? null, landmarks: found?.landmarks ?? [], world: found?.worldLandmarks ?? [] };
  });
  if (video) {
    if (camera.length) await page.click("#webcam");
    else await page.setInputFiles("#file", video);
    await page.waitForFunction(() => /frames|error/i.test(document.querySelector("#status").textContent
      + document.querySelector("#status").className), undefined, { timeout: 120_000 });
  }
  if (screenshot) await page.screenshot({ path: screenshot });
  const gpu = await page.evaluate(() => {
    const gl = document.createElement("canvas").getContext("webgl2");
    const info = gl?.getExtension("WEBGL_debug_renderer_info");
    return info ? gl.getParameter(info.UNMASKED_RENDERER_WEBGL) : null;
  });
  const status = await page.textContent("#status");
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  console.log(JSON.stringify({ ...result, status, width, gpu, elsewhere, messages: messages.slice(-20),
    browser: browser.version() }));
} finally {
  await browser.close();
}
