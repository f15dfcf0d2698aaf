// Names of photographs come in, one a line; for each a line of JSON leaves: the points, px, that MediaPipe's runtime in
// the browser finds with the page's .task, or null where it finds nobody.
//   node people.mjs http://localhost:8000/ < names.txt
import { readFileSync } from "node:fs";
import { extname } from "node:path";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const KINDS = { ".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png", ".webp": "webp" };
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--no-first-run"],
});
try {
  const page = await browser.newPage();
  await page.goto(process.argv[2]);
  await page.evaluate(async () => {
    const { FilesetResolver, PoseLandmarker } = await import("./vision/vision_bundle.mjs");
    const files = await FilesetResolver.forVisionTasks("./vision/wasm");
    window.landmarker = await PoseLandmarker.createFromOptions(files, {
      baseOptions: { modelAssetPath: "./model.task", delegate: "CPU" }, runningMode: "IMAGE", numPoses: 1,
    });
  });
  for await (const name of createInterface({ input: process.stdin })) {
    const kind = KINDS[extname(name).toLowerCase()];
    if (!kind) throw new Error(`${name} is no ${Object.keys(KINDS).join(", ")}`);
    const points = await page.evaluate(async (url) => {
      const image = new Image();
      image.src = url;
      await image.decode();
      const [first] = window.landmarker.detect(image).landmarks;
      return first?.map(({ x, y }) => [x * image.naturalWidth, y * image.naturalHeight]) ?? null;
    }, `data:image/${kind};base64,${readFileSync(name).toString("base64")}`);
    console.log(JSON.stringify(points));
  }
} finally {
  await browser.close();
}
