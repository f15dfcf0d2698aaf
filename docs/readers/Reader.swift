// Reads .tflite files of blazepose_jax: crop, points, next square, and the first square.
//
// Foundation alone. What runs the network is a function; with LiteRT (pod 'TensorFlowLiteSwift'):
//
//   let interpreter = try Interpreter(modelPath: path)
//   try interpreter.allocateTensors()
//   let run: Run = { input in
//     try interpreter.copy(input.withUnsafeBufferPointer { Data(buffer: $0) }, toInputAt: 0)
//     try interpreter.invoke()
//     var found: [String: [Float]] = [:]
//     for (index, output) in info.outputs.enumerated() {
//       found[output.name] = try interpreter.output(at: index).data.withUnsafeBytes {
//         Array($0.bindMemory(to: Float.self))
//       }
//     }
//     return found
//   }
//
// PoseInfo and DetectorInfo are decoded from what `unzip -p own.tflite blazepose.json` prints, a
// resource of the app:
//
//   let info = try JSONDecoder().decode(PoseInfo.self, from: Data(contentsOf: url))
import Foundation

/// Runs a network: side * side * 3 input values to outputs by name.
typealias Run = ([Float]) throws -> [String: [Float]]

/// Pixels, RGB, three bytes each, row by row.
struct Image {
  let pixels: [UInt8]
  let width: Int
  let height: Int
}

/// Where a network looks: px of the image; the angle in radians, clockwise on the screen.
struct Square {
  var x: Double
  var y: Double
  var side: Double
  var angle = 0.0
}

struct Place {
  var x: Double
  var y: Double
}

/// A point in px of the image, and the probability that it is not hidden.
struct Point {
  let name: String
  let place: Place
  let visibility: Double
}

/// A person: presence is the probability that somebody is there, next where to look next.
struct Found {
  let presence: Double
  let points: [Point]
  let next: Square?
}

struct Input: Decodable {
  let shape: [Int]
  let mean: Double
  let std: Double
  var side: Int { shape[1] }
}

struct Output: Decodable {
  let name: String
  let shape: [Int]
}

struct Refine: Decodable {
  let window: Int
  let threshold: Double
}

struct Decode: Decodable {
  let refine: Refine?
}

/// `rule` is "rows", "points" or "none"; `center` and `above` are row numbers.
struct RoiRule: Decodable {
  let rule: String
  let center: [Int]
  let above: [Int]
  let scale: Double
}

struct PoseInfo: Decodable {
  let input: Input
  let outputs: [Output]
  let fields: [String]
  let keypoints: [String]
  let auxiliary: [String]
  let decode: Decode
  let roi: RoiRule
}

struct Anchors: Decodable {
  let maps: [[Int]]  // cells a side, anchors a cell
}

struct Suppression: Decodable {
  let iou: Double
}

struct Scale: Decodable {
  let scale: Double
}

struct DetectorInfo: Decodable {
  let input: Input
  let outputs: [Output]
  let anchors: Anchors
  let nms: Suppression
  let roi: Scale
  let minScore: Double

  enum CodingKeys: String, CodingKey {
    case input, outputs, anchors, nms, roi
    case minScore = "min_score"
  }
}

/// The points of the person in a square.
func findPose(_ info: PoseInfo, run: Run, image: Image, square: Square) throws -> Found {
  let side = Double(info.input.side)
  let levels = crop(image, square, side: info.input.side, repeatEdge: true)
  let outputs = try run(normalised(levels, info.input))
  let landmarks = outputs["landmarks"]!
  let column = Dictionary(uniqueKeysWithValues: info.fields.enumerated().map { ($1, $0) })
  let names = info.keypoints + info.auxiliary
  let rows = names.enumerated().map { (row: Int, name: String) -> Point in
    let at = row * info.fields.count
    var place = Place(
      x: Double(landmarks[at + column["x"]!]) / side,
      y: Double(landmarks[at + column["y"]!]) / side)
    if let heatmap = outputs["heatmap"], let rule = info.decode.refine {
      place = refine(info, rule, heatmap, place, row: row, count: names.count)
    }
    let visibility = column["visibility"].map { sigmoid(landmarks[at + $0]) } ?? 1
    return Point(name: name, place: toImage(place, square), visibility: visibility)
  }
  return Found(
    presence: Double(outputs["presence"]![0]),
    points: Array(rows.prefix(info.keypoints.count)),
    next: nextSquare(info, rows))
}

/// The square of the person that a detector finds most surely, or nil.
func findSquare(_ info: DetectorInfo, run: Run, image: Image) throws -> Square? {
  let letterbox = Square(
    x: Double(image.width) / 2, y: Double(image.height) / 2,
    side: Double(max(image.width, image.height)))
  let levels = crop(image, letterbox, side: info.input.side, repeatEdge: false)
  let outputs = try run(normalised(levels, info.input))
  let people = candidates(info, boxes: outputs["boxes"]!, scores: outputs["scores"]!)
  guard let best = people.max(by: { $0.score < $1.score }) else { return nil }
  // Candidates that overlap with the best are the same person.
  let same = people.filter { $0.row == best.row || overlap($0, best) > info.nms.iou }
  let total = same.reduce(0) { $0 + $1.score }
  func mean(_ part: (Candidate) -> Place) -> Place {
    toImage(
      Place(
        x: same.reduce(0) { $0 + $1.score * part($1).x } / total,
        y: same.reduce(0) { $0 + $1.score * part($1).y } / total),
      letterbox)
  }
  return around(mean { $0.hip }, mean { $0.circle }, scale: info.roi.scale)
}

/// side * side * 3 grey levels of a square. Pixel (0, 0) lies on its corner; places are rounded to
/// 1/32 px and results to whole levels, as in training; outside of the image its edge is repeated,
/// or it is black.
func crop(_ image: Image, _ square: Square, side: Int, repeatEdge: Bool) -> [Float] {
  var levels = [Float](repeating: 0, count: side * side * 3)
  func pixel(_ x: Int, _ y: Int, _ colour: Int) -> Double {
    let inX = min(max(x, 0), image.width - 1)
    let inY = min(max(y, 0), image.height - 1)
    guard repeatEdge || (inX == x && inY == y) else { return 0 }
    return Double(image.pixels[3 * (inY * image.width + inX) + colour])
  }
  for row in 0..<side {
    for column in 0..<side {
      let place = toImage(
        Place(x: Double(column) / Double(side), y: Double(row) / Double(side)), square)
      // Halves to the even number, as the pipeline does.
      let x = (place.x * 32).rounded(.toNearestOrEven) / 32
      let y = (place.y * 32).rounded(.toNearestOrEven) / 32
      let left = Int(x.rounded(.down))
      let top = Int(y.rounded(.down))
      let fx = x - Double(left)
      let fy = y - Double(top)
      for colour in 0..<3 {
        let upper = pixel(left, top, colour) * (1 - fx) + pixel(left + 1, top, colour) * fx
        let lower = pixel(left, top + 1, colour) * (1 - fx) + pixel(left + 1, top + 1, colour) * fx
        let value = (upper * (1 - fy) + lower * fy + 0.5).rounded(.down)
        levels[3 * (row * side + column) + colour] = Float(value)
      }
    }
  }
  return levels
}

private func normalised(_ levels: [Float], _ input: Input) -> [Float] {
  levels.map { Float((Double($0) - input.mean) / input.std) }
}

/// A place in the crop, 0 to 1, in px of the image.
func toImage(_ place: Place, _ square: Square) -> Place {
  let cosine = cos(square.angle) * square.side
  let sine = sin(square.angle) * square.side
  let x = place.x - 0.5
  let y = place.y - 0.5
  return Place(x: square.x + cosine * x - sine * y, y: square.y + sine * x + cosine * y)
}

/// The heatmap's centre of mass round a place, where it is sure enough.
private func refine(
  _ info: PoseInfo, _ rule: Refine, _ heatmap: [Float], _ place: Place, row: Int, count: Int
) -> Place {
  let cells = info.outputs.first { $0.name == "heatmap" }!.shape[1]
  let reach = rule.window / 2
  let x = Int(place.x * Double(cells))
  let y = Int(place.y * Double(cells))
  guard (0..<cells).contains(x) && (0..<cells).contains(y) else { return place }
  var peak = 0.0
  var total = 0.0
  var sumX = 0.0
  var sumY = 0.0
  for j in max(y - reach, 0)...min(y + reach, cells - 1) {
    for i in max(x - reach, 0)...min(x + reach, cells - 1) {
      let weight = sigmoid(heatmap[(j * cells + i) * count + row])
      peak = max(peak, weight)
      total += weight
      sumX += weight * Double(i)
      sumY += weight * Double(j)
    }
  }
  guard peak >= rule.threshold else { return place }
  return Place(x: sumX / total / Double(cells), y: sumY / total / Double(cells))
}

/// Where to look in the next frame; nil where the network does not say.
func nextSquare(_ info: PoseInfo, _ rows: [Point]) -> Square? {
  guard info.roi.rule != "none" else { return nil }
  func mean(_ chosen: [Int]) -> Place {
    let count = Double(chosen.count)
    return Place(
      x: chosen.reduce(0) { $0 + rows[$1].place.x } / count,
      y: chosen.reduce(0) { $0 + rows[$1].place.y } / count)
  }
  let center = mean(info.roi.center)
  let above = mean(info.roi.above)
  guard info.roi.rule == "points" else { return around(center, above, scale: info.roi.scale) }
  let distances = rows.prefix(info.keypoints.count).map {
    hypot($0.place.x - center.x, $0.place.y - center.y)
  }
  return around(center, above, scale: info.roi.scale, radius: distances.max())
}

/// The square round a centre, turned so that `above` is above it.
private func around(
  _ center: Place, _ above: Place, scale: Double, radius: Double? = nil
) -> Square {
  let dx = above.x - center.x
  let dy = above.y - center.y
  let angle = dx == 0 && dy == 0 ? 0 : atan2(dx, -dy)
  return Square(x: center.x, y: center.y, side: scale * (radius ?? hypot(dx, dy)), angle: angle)
}

private struct Candidate {
  let row: Int
  let box: Place
  let width: Double
  let height: Double
  let hip: Place
  let circle: Place
  let score: Double
}

private func candidates(_ info: DetectorInfo, boxes: [Float], scores: [Float]) -> [Candidate] {
  var found: [Candidate] = []
  var row = 0
  for map in info.anchors.maps {
    let (cells, anchors) = (map[0], map[1])
    for y in 0..<cells {
      for x in 0..<cells {
        let center = Place(
          x: (Double(x) + 0.5) / Double(cells), y: (Double(y) + 0.5) / Double(cells))
        for _ in 0..<anchors {
          let at = 12 * row
          func value(_ i: Int) -> Double { Double(boxes[at + i]) / Double(info.input.side) }
          func place(_ i: Int) -> Place {
            Place(x: value(i) + center.x, y: value(i + 1) + center.y)
          }
          let score = sigmoid(scores[row])
          if score >= info.minScore && value(2) >= 0 && value(3) >= 0 {
            found.append(
              Candidate(
                row: row, box: place(0), width: value(2), height: value(3), hip: place(4),
                circle: place(6), score: score))
          }
          row += 1
        }
      }
    }
  }
  return found
}

private func overlap(_ a: Candidate, _ b: Candidate) -> Double {
  func shared(_ from: Double, _ length: Double, _ other: Double, _ otherLength: Double) -> Double {
    max(
      0,
      min(from + length / 2, other + otherLength / 2)
        - max(from - length / 2, other - otherLength / 2))
  }
  let common =
    shared(a.box.x, a.width, b.box.x, b.width) * shared(a.box.y, a.height, b.box.y, b.height)
  return common / max(a.width * a.height + b.width * b.height - common, 1e-12)
}

private func sigmoid(_ logit: Float) -> Double {
  1 / (1 + exp(-min(max(Double(logit), -100), 100)))
}
