// Reads .tflite files of blazepose_jax: crop, points, next square, and the first square.
//
// Kotlin and its standard library alone, so that it is checked without Android. What runs the
// network is a function; with LiteRT (implementation("com.google.ai.edge.litert:litert:1.+")):
//
//   val interpreter = Interpreter(model) // org.tensorflow.lite.Interpreter; model is a ByteBuffer
//   val run = { input: FloatArray ->
//       val outputs = info.outputs.associate { it.name to FloatBuffer.allocate(it.size) }
//       interpreter.runSignature(mapOf("image" to FloatBuffer.wrap(input)), outputs)
//       outputs.mapValues { (_, values) -> values.array() }
//   }
//
// and PoseInfo and DetectorInfo hold what `unzip -p own.tflite blazepose.json` prints: read them
// with org.json.JSONObject, or write them down.
package blazepose

import kotlin.math.atan2
import kotlin.math.cos
import kotlin.math.exp
import kotlin.math.floor
import kotlin.math.hypot
import kotlin.math.max
import kotlin.math.min
import kotlin.math.sin

/** Runs a network: batch * side * side * 3 input values to outputs by name. */
typealias Run = (FloatArray) -> Map<String, FloatArray>

/** Pixels as Android's Bitmap.getPixels gives them: ARGB, row by row. */
class Image(val pixels: IntArray, val width: Int, val height: Int)

/** Where a network looks: px of the image; the angle in radians, clockwise on the screen. */
data class Square(val x: Double, val y: Double, val side: Double, val angle: Double = 0.0)

data class Place(val x: Double, val y: Double)

/** A point in px of the image, and the probability that it is not hidden. */
data class Point(val name: String, val x: Double, val y: Double, val visibility: Double)

/** A person; presence is the probability that somebody is there, next where to look next. */
class Found(val presence: Double, val points: List<Point>, val next: Square?)

class Output(val name: String, val shape: List<Int>) {
    val size get() = shape.fold(1) { product, length -> product * length }
}

/** input: side = shape[1], mean and std. */
class Input(val side: Int, val mean: Double, val std: Double)

/** roi: rule is "rows", "points" or "none"; center and above are row numbers. */
class RoiRule(
    val rule: String,
    val center: List<Int>,
    val above: List<Int>,
    val scale: Double = 2.5,
)

/** The fields of blazepose.json of a pose net; window and threshold stand in decode.refine. */
class PoseInfo(
    val input: Input,
    val outputs: List<Output>,
    val fields: List<String>,
    val keypoints: List<String>,
    val auxiliary: List<String>,
    val roi: RoiRule,
    val window: Int = 7,
    val threshold: Double = 0.5,
)

/** The fields of blazepose.json of a detector; maps are pairs of cells a side, anchors a cell. */
class DetectorInfo(
    val input: Input,
    val outputs: List<Output>,
    val maps: List<Pair<Int, Int>> = listOf(28 to 2, 14 to 2, 7 to 6),
    val minScore: Double = 0.5,
    val iou: Double = 0.5,
    val scale: Double = 2.5,
)

/** The points of the person in a square. */
fun findPose(info: PoseInfo, run: Run, image: Image, square: Square): Found {
    val outputs = run(normalised(crop(image, square, info.input.side, true), info.input))
    val landmarks = outputs.getValue("landmarks")
    val heatmap = outputs["heatmap"]
    val names = info.keypoints + info.auxiliary
    val visible = info.fields.indexOf("visibility")
    val rows = names.mapIndexed { row, name ->
        val at = row * info.fields.size
        val regressed = Place(
            landmarks[at + info.fields.indexOf("x")] / info.input.side.toDouble(),
            landmarks[at + info.fields.indexOf("y")] / info.input.side.toDouble(),
        )
        val inCrop =
            if (heatmap == null) regressed else refine(info, heatmap, regressed, row, names.size)
        val place = toImage(inCrop, square)
        val visibility = if (visible < 0) 1.0 else sigmoid(landmarks[at + visible])
        Point(name, place.x, place.y, visibility)
    }
    val presence = outputs.getValue("presence")[0].toDouble()
    return Found(presence, rows.take(info.keypoints.size), nextSquare(info, rows))
}

/** The square of the person that a detector finds most surely, or null. */
fun findSquare(info: DetectorInfo, run: Run, image: Image): Square? {
    val longer = max(image.width, image.height).toDouble()
    val letterbox = Square(image.width / 2.0, image.height / 2.0, longer)
    val outputs = run(normalised(crop(image, letterbox, info.input.side, false), info.input))
    val people = candidates(info, outputs.getValue("boxes"), outputs.getValue("scores"))
    val best = people.maxByOrNull { it.score } ?: return null
    // Candidates that overlap with the best are the same person.
    val same = people.filter { it === best || overlap(it, best) > info.iou }
    val total = same.sumOf { it.score }
    fun mean(part: (Candidate) -> Place) = toImage(
        Place(
            same.sumOf { it.score * part(it).x } / total,
            same.sumOf { it.score * part(it).y } / total,
        ),
        letterbox,
    )
    return around(mean { it.hip }, mean { it.circle }, info.scale)
}

/**
 * side * side * 3 grey levels of a square. Pixel (0, 0) lies on its corner; places are rounded to
 * 1/32 px and results to whole levels, as in training; outside of the image its edge is repeated,
 * or it is black.
 */
fun crop(image: Image, square: Square, side: Int, repeatEdge: Boolean): FloatArray {
    val levels = FloatArray(side * side * 3)
    fun pixel(x: Int, y: Int): Int {
        val inX = x.coerceIn(0, image.width - 1)
        val inY = y.coerceIn(0, image.height - 1)
        return if (repeatEdge || (inX == x && inY == y)) image.pixels[inY * image.width + inX] else 0
    }
    for (row in 0 until side) for (column in 0 until side) {
        val place = toImage(Place(column / side.toDouble(), row / side.toDouble()), square)
        // Halves to the even number, as the pipeline does.
        val x = Math.rint(place.x * 32) / 32
        val y = Math.rint(place.y * 32) / 32
        val left = floor(x).toInt()
        val top = floor(y).toInt()
        val fx = x - left
        val fy = y - top
        val corners = intArrayOf(
            pixel(left, top), pixel(left + 1, top), pixel(left, top + 1), pixel(left + 1, top + 1),
        )
        for (colour in 0..2) {
            val shift = 16 - 8 * colour
            fun level(corner: Int) = (corners[corner] shr shift and 255).toDouble()
            val upper = level(0) * (1 - fx) + level(1) * fx
            val lower = level(2) * (1 - fx) + level(3) * fx
            val value = floor(upper * (1 - fy) + lower * fy + 0.5)
            levels[3 * (row * side + column) + colour] = value.toFloat()
        }
    }
    return levels
}

private fun normalised(levels: FloatArray, input: Input) =
    FloatArray(levels.size) { ((levels[it] - input.mean) / input.std).toFloat() }

/** A place in the crop, 0 to 1, in px of the image. */
fun toImage(place: Place, square: Square): Place {
    val cos = cos(square.angle) * square.side
    val sin = sin(square.angle) * square.side
    val (x, y) = Place(place.x - 0.5, place.y - 0.5)
    return Place(square.x + cos * x - sin * y, square.y + sin * x + cos * y)
}

/** The heatmap's centre of mass round a place, where it is sure enough. */
private fun refine(
    info: PoseInfo, heatmap: FloatArray, place: Place, row: Int, count: Int,
): Place {
    val cells = info.outputs.first { it.name == "heatmap" }.shape[1]
    val reach = info.window / 2
    val x = (place.x * cells).toInt()
    val y = (place.y * cells).toInt()
    if (x !in 0 until cells || y !in 0 until cells) return place
    var peak = 0.0
    var total = 0.0
    var sumX = 0.0
    var sumY = 0.0
    for (j in max(y - reach, 0)..min(y + reach, cells - 1)) {
        for (i in max(x - reach, 0)..min(x + reach, cells - 1)) {
            val weight = sigmoid(heatmap[(j * cells + i) * count + row])
            peak = max(peak, weight)
            total += weight
            sumX += weight * i
            sumY += weight * j
        }
    }
    return if (peak < info.threshold) place else Place(sumX / total / cells, sumY / total / cells)
}

/** Where to look in the next frame; null where the network does not say. */
fun nextSquare(info: PoseInfo, rows: List<Point>): Square? {
    if (info.roi.rule == "none") return null
    fun mean(chosen: List<Int>) =
        Place(chosen.map { rows[it].x }.average(), chosen.map { rows[it].y }.average())
    val center = mean(info.roi.center)
    val above = mean(info.roi.above)
    if (info.roi.rule == "rows") return around(center, above, info.roi.scale)
    val body = rows.take(info.keypoints.size)
    val radius = body.maxOf { hypot(it.x - center.x, it.y - center.y) }
    return around(center, above, info.roi.scale, radius)
}

/** The square round a centre, turned so that `above` is above it. */
private fun around(center: Place, above: Place, scale: Double, radius: Double? = null): Square {
    val dx = above.x - center.x
    val dy = above.y - center.y
    val angle = if (dx == 0.0 && dy == 0.0) 0.0 else atan2(dx, -dy)
    return Square(center.x, center.y, scale * (radius ?: hypot(dx, dy)), angle)
}

private class Candidate(
    val box: Place,
    val width: Double,
    val height: Double,
    val hip: Place,
    val circle: Place,
    val score: Double,
)

private fun candidates(
    info: DetectorInfo, boxes: FloatArray, scores: FloatArray,
): List<Candidate> {
    val found = mutableListOf<Candidate>()
    var row = 0
    for ((cells, anchors) in info.maps) {
        for (y in 0 until cells) for (x in 0 until cells) for (anchor in 0 until anchors) {
            val at = 12 * row
            fun value(i: Int) = boxes[at + i] / info.input.side.toDouble()
            fun place(i: Int) = Place(value(i) + (x + 0.5) / cells, value(i + 1) + (y + 0.5) / cells)
            val score = sigmoid(scores[row])
            if (score >= info.minScore && value(2) >= 0 && value(3) >= 0) {
                found += Candidate(place(0), value(2), value(3), place(4), place(6), score)
            }
            row++
        }
    }
    return found
}

private fun overlap(a: Candidate, b: Candidate): Double {
    fun shared(from: Double, length: Double, other: Double, otherLength: Double) = max(
        0.0,
        min(from + length / 2, other + otherLength / 2) -
            max(from - length / 2, other - otherLength / 2),
    )
    val common = shared(a.box.x, a.width, b.box.x, b.width) *
        shared(a.box.y, a.height, b.box.y, b.height)
    return common / max(a.width * a.height + b.width * b.height - common, 1e-12)
}

private fun sigmoid(logit: Float) = 1 / (1 + exp(-logit.toDouble().coerceIn(-100.0, 100.0)))
