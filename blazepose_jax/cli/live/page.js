// Pictures of the camera go to the server, one at a time; what it answers is drawn over that picture.
// A picture that comes while one is under way is dropped: nothing is queued, so nothing lags behind.
const byId = (id) => document.getElementById(id);
const [video, canvas, status] = ["video", "canvas", "status"].map(byId);
const context = canvas.getContext("2d");
const sent = document.createElement("canvas"); // the picture that is under way
const LONGEST = 640; // px of its longer side
const RETRY = 1000; // ms between looks for a camera
const COLOURS = { left: "#ff8a00", right: "#00d9e7", "": "#ffffff" };
const about = await (await fetch("about")).json();
const sides = about.names.map((name) => (name.startsWith("left_") ? "left" : name.startsWith("right_") ? "right" : ""));
let busy = false;
let recording = false;
// What check pages read: ms from a picture's capture to its drawing, and counts.
const stats = (window.stats = { latencies: [], shown: 0, dropped: 0, lost: 0, people: 0, repetitions: 0, error: "" });

if (about.count) byId("what").textContent = `repetitions, ${about.count.replaceAll("_", " ")}`;
else byId("count").hidden = true;

function say(text, isError = false) {
  status.textContent = text;
  status.className = isError ? "error" : "";
}

async function post(path, body = "", time = 0) {
  const answer = await fetch(path, { method: "POST", body, headers: { "X-Frame-Time": String(time) } });
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.error);
  return content;
}

async function open() {
  if (about.clip) {
    video.src = "clip";
  } else {
    const stream = await navigator.mediaDevices.getUserMedia({ video: { width: 1280, height: 720 } });
    stream.getVideoTracks()[0].addEventListener("ended", lost);
    video.srcObject = stream;
  }
  await video.play();
  video.requestVideoFrameCallback(onFrame);
}

// A camera that was unplugged, or given to somebody else: wait for one.
function lost() {
  stats.lost += 1;
  video.srcObject = null;
  say("the camera is gone: waiting for one", true);
  setTimeout(begin, RETRY);
}

async function begin() {
  try {
    await open();
  } catch (error) {
    say(`no camera (${error.message}): waiting for one`, true);
    setTimeout(begin, RETRY);
  }
}

function onFrame(now) {
  if (!video.srcObject && !video.src) return;
  video.requestVideoFrameCallback(onFrame);
  if (busy) {
    stats.dropped += 1;
    return;
  }
  busy = true;
  look(now).catch((error) => {
    stats.error = error.message;
    say(error.message, true);
  }).finally(() => (busy = false));
}

async function look(captured) {
  const scale = Math.min(1, LONGEST / Math.max(video.videoWidth, video.videoHeight));
  sent.width = Math.round(video.videoWidth * scale);
  sent.height = Math.round(video.videoHeight * scale);
  sent.getContext("2d").drawImage(video, 0, 0, sent.width, sent.height);
  const picture = await new Promise((done) => sent.toBlob(done, "image/jpeg", 0.85));
  const answer = await post("frame", picture, (performance.timeOrigin + captured) / 1000);
  draw(answer);
  const ms = performance.now() - captured;
  stats.latencies.push(ms);
  stats.shown += 1;
  stats.people = answer.people.length;
  stats.repetitions = answer.repetitions;
  report(ms, answer);
}

function draw({ people }) {
  [canvas.width, canvas.height] = [sent.width, sent.height];
  context.drawImage(sent, 0, 0);
  context.lineWidth = Math.max(2, canvas.height / 150);
  context.lineCap = "round";
  for (const { points } of people) {
    for (const [a, b] of about.bones) {
      context.globalAlpha = alpha(Math.min(points[a][2], points[b][2]));
      context.strokeStyle = COLOURS[sides[a] === sides[b] ? sides[a] : ""];
      context.beginPath();
      context.moveTo(points[a][0], points[a][1]);
      context.lineTo(points[b][0], points[b][1]);
      context.stroke();
    }
    points.forEach(([x, y, sure], i) => {
      context.globalAlpha = alpha(sure);
      context.fillStyle = COLOURS[sides[i]];
      context.beginPath();
      context.arc(x, y, context.lineWidth, 0, 2 * Math.PI);
      context.fill();
    });
  }
  context.globalAlpha = 1;
}

const alpha = (sure) => 0.15 + 0.85 * Math.min(1, Math.max(0, (sure - 0.2) / 0.6));

// A row of three texts for a joint, left and right; of two for an angle of no side.
function rowsOf(angles) {
  const side = /^(left|right)_/;
  const [sided, others] = [true, false].map((is) => Object.keys(angles).filter((name) => side.test(name) === is));
  const joints = [...new Set(sided.map((name) => name.replace(side, "")))];
  return [
    ...joints.map((joint) => [joint, angles[`left_${joint}`] ?? "", angles[`right_${joint}`] ?? ""]),
    ...others.map((name) => [name, angles[name]]),
  ];
}

let [frames, drops, since] = [0, 0, performance.now()];
function report(ms, answer) {
  byId("repetitions").textContent = answer.repetitions;
  byId("rejected").textContent = answer.rejected ? `${answer.rejected} not counted` : "";
  const angles = answer.people[0]?.angles ?? {};
  byId("angles").replaceChildren(...rowsOf(angles).map((texts) => {
    const row = document.createElement("tr");
    for (const text of texts) row.append(Object.assign(document.createElement("td"), { textContent: text }));
    if (texts.length === 2) row.lastChild.colSpan = 2;
    return row;
  }));
  frames += 1;
  const now = performance.now();
  if (now - since < 1000) return;
  const rate = (1000 * frames) / (now - since);
  const many = answer.people.length === 1 ? "one person" : `${answer.people.length || "no"} people`;
  say(`${rate.toFixed(1)} frames/s · ${ms.toFixed(0)} ms from the browser's frame to its drawing, ${answer.track_ms} of them tracking · `
    + `${stats.dropped - drops} dropped · ${many}${answer.recorded === null ? "" : ` · ${answer.recorded} recorded`}`);
  [frames, drops, since] = [0, stats.dropped, now];
}

byId("record").addEventListener("click", async (event) => {
  try {
    const answer = await post(recording ? "stop" : "start");
    recording = !recording;
    event.target.textContent = recording ? "Stop" : "Record";
    event.target.className = recording ? "on" : "";
    say(recording ? `recording ${answer.file}` : `recorded ${answer.frames} frames`);
  } catch (error) {
    say(error.message, true);
  }
});
byId("reset").addEventListener("click", () => post("reset").catch((error) => say(error.message, true)));

begin();
