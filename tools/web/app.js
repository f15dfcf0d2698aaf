// An image, a video or the webcam comes in; MediaPipe's PoseLandmarker runs our .task on it, the skeleton is drawn.
import { FilesetResolver, PoseLandmarker } from "./vision/vision_bundle.mjs";

const byId = (id) => document.getElementById(id);
const [canvas, video, status] = ["canvas", "video", "status"].map(byId);
const context = canvas.getContext("2d");
const options = new URLSearchParams(location.search);
let landmarker = null;
let made = { mode: null, delegate: null }; // how the landmarker was made
let loading = Promise.resolve(); // one landmarker is made after the other
let playing = 0; // grows with every new source; whatever runs for an older one sees it and ends
let again = null; // shows the last source anew

function say(text, isError = false) {
  status.textContent = text;
  status.className = isError ? "error" : "";
}

function load(wanted) {
  const ready = loading.then(() => make(wanted));
  loading = ready.catch(() => {});
  return ready;
}

async function make(mode) {
  const delegate = byId("delegate").value; // which may be another before this one is made
  if (landmarker && made.mode === mode && made.delegate === delegate) return;
  landmarker?.close();
  landmarker = null;
  say("loading…");
  const files = await FilesetResolver.forVisionTasks("./vision/wasm");
  landmarker = await PoseLandmarker.createFromOptions(files, {
    baseOptions: { modelAssetPath: "./model.task", delegate },
    runningMode: mode,
    numPoses: 1,
  });
  made = { mode, delegate };
}

function draw(source, width, height, poses) {
  canvas.width = width;
  canvas.height = height;
  context.drawImage(source, 0, 0, width, height);
  context.lineWidth = Math.max(2, width / 250);
  for (const points of poses) {
    context.strokeStyle = "#00e5ff";
    for (const { start, end } of PoseLandmarker.POSE_CONNECTIONS) {
      context.beginPath();
      context.moveTo(points[start].x * width, points[start].y * height);
      context.lineTo(points[end].x * width, points[end].y * height);
      context.stroke();
    }
    context.fillStyle = "#ff8a00";
    for (const point of points) {
      context.beginPath();
      context.arc(point.x * width, point.y * height, 1.5 * context.lineWidth, 0, 2 * Math.PI);
      context.fill();
    }
  }
}

// Ends what is shown: the camera goes off, a video stops.
function stopSource() {
  playing += 1;
  for (const track of video.srcObject?.getTracks() ?? []) track.stop();
  video.pause();
  video.srcObject = null;
  video.removeAttribute("src");
  return playing;
}

async function showImage(url) {
  const mine = stopSource();
  again = () => showImage(url);
  const image = new Image();
  image.src = url;
  await image.decode();
  await load("IMAGE");
  if (mine !== playing) return { landmarks: [] };
  const began = performance.now();
  const result = landmarker.detect(image);
  const ms = performance.now() - began;
  draw(image, image.naturalWidth, image.naturalHeight, result.landmarks);
  say(`${result.landmarks.length ? "one person" : "nobody"}, ${ms.toFixed(0)} ms with start-up`);
  return result;
}

// The video's or the camera's pictures, whatever plays.
async function showVideo() {
  const mine = (playing += 1);
  again = showVideo;
  await video.play();
  await load("VIDEO");
  let frames = 0;
  let began = performance.now();
  const step = guarded(async () => {
    if (mine !== playing) return;
    const now = performance.now();
    if (video.readyState >= 2) {
      const result = landmarker.detectForVideo(video, now);
      draw(video, video.videoWidth, video.videoHeight, result.landmarks);
      frames += 1;
    }
    if (now - began > 1000) {
      say(`${((1000 * frames) / (now - began)).toFixed(1)} frames/s`);
      [frames, began] = [0, now];
    }
    requestAnimationFrame(step);
  });
  return step();
}

// Whatever goes wrong is said on the page.
function guarded(action) {
  return async (...words) => {
    try {
      return await action(...words);
    } catch (error) {
      say(String(error?.message ?? error), true);
      return { error: String(error?.message ?? error) };
    }
  };
}

const openFile = guarded(async (file) => {
  if (!file) return;
  const url = URL.createObjectURL(file);
  if (file.type.startsWith("video/")) {
    stopSource();
    video.src = url;
    await showVideo();
  } else {
    await showImage(url);
  }
});

const openWebcam = guarded(async () => {
  const camera = await navigator.mediaDevices.getUserMedia({ video: true });
  stopSource();
  video.srcObject = camera;
  await showVideo();
});

byId("file").addEventListener("change", (event) => openFile(event.target.files[0]));
byId("webcam").addEventListener("click", openWebcam);
byId("delegate").value = options.get("delegate") === "GPU" ? "GPU" : "CPU";
byId("delegate").addEventListener("change", () => {
  if (again) guarded(again)();
});

// What the test in check.mjs waits for; `blazepose web --image` sets the picture.
window.finished = guarded(async () => {
  const response = await fetch("./image", { method: "HEAD" });
  if (response.status === 200) return showImage("./image");
  await load("IMAGE");
  say("ready");
  return { landmarks: [] };
})();
