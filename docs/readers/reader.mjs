// Reads .tflite files of blazepose_jax with LiteRT.js: detector, crop, points, next square.
//
//   npm install @litertjs/core, and serve its folder wasm/ beside the page
//
//   import * as litert from "@litertjs/core";
//   import { Detector, Pose } from "./reader.mjs";
//   await litert.loadLiteRt("./wasm/");
//   const detector = await Detector.load(litert, "detector.tflite");
//   const pose = await Pose.load(litert, "own.tflite");
//   let square = null;
//   for each frame: context.drawImage(video, 0, 0);
//     const image = context.getImageData(0, 0, canvas.width, canvas.height);
//     square ??= await detector.find(image);
//     if (square) {
//       const found = await pose.find(image, square); // presence, points, next
//       square = found.presence >= 0.5 ? found.next : null;
//     }
//
// A square is {x, y, side, angle}: its centre and side in px of the image, the angle in radians,
// clockwise on the screen. An image is what getImageData gives.

class Network {
  // `options` are LiteRT.js's, such as {accelerator: "webgpu"}.
  static async load(litert, url, options = { accelerator: "wasm" }) {
    const bytes = new Uint8Array(await (await fetch(url)).arrayBuffer());
    return new this(litert, await litert.loadAndCompile(bytes, options), description(bytes));
  }

  constructor(litert, model, info) {
    Object.assign(this, { litert, model, info });
    this.side = info.input.shape[1];
  }

  // Outputs by name, of side * side * 3 grey levels from 0 to 255.
  async run(levels) {
    const { shape, mean, std } = this.info.input;
    const values = new Float32Array(shape[0] * levels.length);
    for (let i = 0; i < values.length; i++) values[i] = (levels[i % levels.length] - mean) / std;
    const input = new this.litert.Tensor(values, shape);
    const outputs = await this.model.run({ image: input });
    input.delete();
    const found = {};
    for (const { name } of this.info.outputs) {
      const copy = await outputs[name].moveTo("wasm");
      found[name] = Float32Array.from(copy.toTypedArray());
      copy.delete();
    }
    return found;
  }
}

export class Pose extends Network {
  // The points of the person in a square.
  async find(image, square) {
    const outputs = await this.run(crop(image, square, this.side, true));
    return decode(this.info, outputs, square);
  }
}

export class Detector extends Network {
  // The square of the person that is found most surely, or null.
  async find(image) {
    const letterbox = letterboxOf(image);
    const outputs = await this.run(crop(image, letterbox, this.side, false));
    return squareOf(this.info, outputs, letterbox);
  }
}

// blazepose.json: the zip at the end of the file holds it, stored.
export function description(bytes, wanted = "blazepose.json") {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const text = (at, length) => new TextDecoder().decode(bytes.subarray(at, at + length));
  let end = bytes.length - 22;
  while (end >= 0 && view.getUint32(end, true) !== 0x06054b50) end--;
  if (end < 0) throw new Error("the file has no description: it is no .tflite of blazepose_jax");
  const size = view.getUint32(end + 12, true);
  let entry = end - size; // the list of files ends where its trailer begins
  const start = entry - view.getUint32(end + 16, true); // of the zip, after the flatbuffer
  while (entry < end) {
    const [bytesOfFile, nameLength] = [view.getUint32(entry + 24, true), view.getUint16(entry + 28, true)];
    const others = view.getUint16(entry + 30, true) + view.getUint16(entry + 32, true);
    if (text(entry + 46, nameLength) === wanted) {
      const local = start + view.getUint32(entry + 42, true);
      const data = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
      return JSON.parse(text(data, bytesOfFile));
    }
    entry += 46 + nameLength + others;
  }
  throw new Error(`the file has no ${wanted}`);
}

// The smallest upright square with the image at its centre.
export function letterboxOf({ width, height }) {
  return { x: width / 2, y: height / 2, side: Math.max(width, height), angle: 0 };
}

// side * side * 3 grey levels of a square. Pixel (0, 0) lies on its corner; places are rounded to
// 1/32 px and results to whole levels, as in training; outside of the image its edge is repeated,
// or it is black.
export function crop({ data, width, height }, square, side, repeatEdge) {
  const levels = new Float32Array(side * side * 3);
  const clamp = (value, last) => Math.min(Math.max(value, 0), last);
  const pixel = (x, y, colour) => {
    const [ix, iy] = [clamp(x, width - 1), clamp(y, height - 1)];
    return repeatEdge || (ix === x && iy === y) ? data[4 * (iy * width + ix) + colour] : 0;
  };
  for (let row = 0; row < side; row++) {
    for (let column = 0; column < side; column++) {
      const place = toImage(column / side, row / side, square);
      const [x, y] = [nearest(place.x * 32) / 32, nearest(place.y * 32) / 32];
      const [left, top] = [Math.floor(x), Math.floor(y)];
      const [fx, fy] = [x - left, y - top];
      for (let colour = 0; colour < 3; colour++) {
        const upper = pixel(left, top, colour) * (1 - fx) + pixel(left + 1, top, colour) * fx;
        const lower = pixel(left, top + 1, colour) * (1 - fx) + pixel(left + 1, top + 1, colour) * fx;
        levels[3 * (row * side + column) + colour] = Math.floor(upper * (1 - fy) + lower * fy + 0.5);
      }
    }
  }
  return levels;
}

// The nearest whole number; of two, the even one.
function nearest(value) {
  const up = Math.round(value);
  return up - value === 0.5 && up % 2 !== 0 ? up - 1 : up;
}

// A place in the crop, 0 to 1, in px of the image.
export function toImage(x, y, square) {
  const [cos, sin] = [Math.cos(square.angle) * square.side, Math.sin(square.angle) * square.side];
  return {
    x: square.x + cos * (x - 0.5) - sin * (y - 0.5),
    y: square.y + sin * (x - 0.5) + cos * (y - 0.5),
  };
}

// {presence, points: [{name, x, y, visibility}], next} in px of the image.
export function decode(info, outputs, square) {
  const [side, width] = [info.input.shape[1], info.fields.length];
  const column = Object.fromEntries(info.fields.map((field, i) => [field, i]));
  const names = [...info.keypoints, ...info.auxiliary];
  const rows = names.map((name, row) => {
    const value = (field) => outputs.landmarks[row * width + column[field]];
    let place = { x: value("x") / side, y: value("y") / side };
    if (outputs.heatmap) place = refine(info, outputs.heatmap, place, row, names.length);
    const visibility = "visibility" in column ? sigmoid(value("visibility")) : 1;
    return { name, ...toImage(place.x, place.y, square), visibility };
  });
  const points = rows.slice(0, info.keypoints.length);
  return { presence: outputs.presence[0], points, next: nextSquare(info, rows) };
}

// The heatmap's centre of mass round a place, where it is sure enough.
function refine(info, heatmap, place, row, count) {
  const cells = info.outputs.find(({ name }) => name === "heatmap").shape[1];
  const { window, threshold } = info.decode.refine;
  const [x, y, reach] = [Math.trunc(place.x * cells), Math.trunc(place.y * cells), window >> 1];
  if (x < 0 || y < 0 || x >= cells || y >= cells) return place;
  let [peak, total, sumX, sumY] = [0, 0, 0, 0];
  for (let j = Math.max(y - reach, 0); j <= Math.min(y + reach, cells - 1); j++) {
    for (let i = Math.max(x - reach, 0); i <= Math.min(x + reach, cells - 1); i++) {
      const weight = sigmoid(heatmap[(j * cells + i) * count + row]);
      peak = Math.max(peak, weight);
      total += weight;
      sumX += weight * i;
      sumY += weight * j;
    }
  }
  return peak < threshold ? place : { x: sumX / total / cells, y: sumY / total / cells };
}

// Where to look in the next frame; null where the network does not say.
export function nextSquare(info, rows) {
  const { rule, scale } = info.roi;
  if (rule === "none") return null;
  const [center, above] = [info.roi.center, info.roi.above].map((list) => ({
    x: list.reduce((sum, row) => sum + rows[row].x, 0) / list.length,
    y: list.reduce((sum, row) => sum + rows[row].y, 0) / list.length,
  }));
  if (rule === "rows") return around(center, above, scale);
  const body = rows.slice(0, info.keypoints.length);
  const radius = Math.max(...body.map(({ x, y }) => Math.hypot(x - center.x, y - center.y)));
  return around(center, above, scale, radius);
}

// The square round a centre, turned so that `above` is above it.
function around(center, above, scale, radius) {
  const [dx, dy] = [above.x - center.x, above.y - center.y];
  const angle = dx === 0 && dy === 0 ? 0 : Math.atan2(dx, -dy);
  return { ...center, side: scale * (radius ?? Math.hypot(dx, dy)), angle };
}

// The square of the person that a detector finds most surely, or null.
export function squareOf(info, { boxes, scores }, letterbox) {
  const side = info.input.shape[1];
  const people = anchorsOf(info).map((anchor, row) => {
    const value = (i) => boxes[12 * row + i] / side;
    const at = (i) => ({ x: value(i) + anchor.x, y: value(i + 1) + anchor.y });
    const isBox = value(2) >= 0 && value(3) >= 0;
    return { box: { ...at(0), width: value(2), height: value(3) }, hip: at(4), circle: at(6),
      score: isBox ? sigmoid(scores[row]) : 0 };
  }).filter(({ score }) => score >= info.min_score);
  if (people.length === 0) return null;
  const best = people.reduce((a, b) => (b.score > a.score ? b : a));
  // Candidates that overlap with the best are the same person.
  const same = people.filter((p) => p === best || overlap(p.box, best.box) > info.nms.iou);
  const total = same.reduce((sum, { score }) => sum + score, 0);
  const mean = (part) => toImage(
    same.reduce((sum, p) => sum + p.score * p[part].x, 0) / total,
    same.reduce((sum, p) => sum + p.score * p[part].y, 0) / total,
    letterbox,
  );
  return around(mean("hip"), mean("circle"), info.roi.scale);
}

function anchorsOf(info) {
  const centers = [];
  for (const [cells, anchors] of info.anchors.maps) {
    for (let y = 0; y < cells; y++) {
      for (let x = 0; x < cells; x++) {
        for (let i = 0; i < anchors; i++) centers.push({ x: (x + 0.5) / cells, y: (y + 0.5) / cells });
      }
    }
  }
  return centers;
}

function overlap(a, b) {
  const shared = (from, length) => Math.max(0, Math.min(a[from] + a[length] / 2, b[from] + b[length] / 2)
    - Math.max(a[from] - a[length] / 2, b[from] - b[length] / 2));
  const common = shared("x", "width") * shared("y", "height");
  return common / Math.max(a.width * a.height + b.width * b.height - common, 1e-12);
}

function sigmoid(logit) {
  return 1 / (1 + Math.exp(-Math.min(Math.max(logit, -100), 100)));
}
