// Drive a microscope from JavaScript: plain ZeroMQ and JSON, nothing of microscoped.
//
//   microscoped run                      in one terminal
//   npm install && npm start             here, in another   (npm start -- tcp://127.0.0.1:5770 ada.key.json)
//
// The key file, if the daemon asks for keys, is the one that 'microscoped keys new ada' wrote.
// It asks where things are, listens to the search, focuses, takes one frame, and says how bright it is.

import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { Dealer, Subscriber } from "zeromq";

const [address = "tcp://127.0.0.1:5770", keyFile] = process.argv.slice(2);
const key = keyFile && JSON.parse(readFileSync(keyFile, "utf8"));
const curve = key ? { curveServerKey: key.server, curvePublicKey: key.public, curveSecretKey: key.secret } : {};

const control = new Dealer({ linger: 0, receiveTimeout: 65_000, ...curve });
control.connect(address);

// One request, one reply: a JSON frame each; the pixels of a frame follow in a second one.
async function request(op, params = {}) {
  const id = randomUUID();
  await control.send(JSON.stringify({ v: "1.0", id, type: "request", op, params }));
  for (;;) {
    const [json, pixels] = await control.receive();
    const reply = JSON.parse(json);
    if (reply.cause !== id) continue; // an answer to something older
    if (!reply.ok) throw new Error(`${op}: ${reply.error.code}: ${reply.error.detail}`);
    return { ...reply.result, pixels };
  }
}

// Long work answers at once with a task; task.get waits for its end.
async function run(op, params) {
  const { task } = await request(op, params);
  for (;;) {
    const { task: now } = await request("task.get", { task, wait_ms: 30_000 });
    if (now.state === "done") return now.result;
    if (now.error) throw new Error(`${op}: ${now.error.code}: ${now.error.detail}`);
  }
}

const hello = await request("hello");
console.log(`microscoped ${hello.software}, protocol ${hello.protocol}`);

// Events: a topic frame and a JSON frame. Numbers (seq) without gaps mean that nothing was missed.
const events = new Subscriber({ linger: 0, ...curve });
events.subscribe("v1.task.");
// A daemon that listens on all addresses of its computer (0.0.0.0) is where we have just reached it.
events.connect(hello.endpoints.events.replace("0.0.0.0", new URL(address).hostname));
const listening = (async () => {
  for await (const [, json] of events) {
    const { data } = JSON.parse(json);
    if (data.progress.score) console.log(`  z ${data.progress.z_um.toFixed(2)} µm, sharpness ${data.progress.score.toPrecision(3)}`);
  }
})();

const report = await run("focus.run");
console.log(`in focus at ${report.z_um.toFixed(2)} µm after ${report.images} images and ${report.moves} moves`);

const snap = await run("camera.snap");
const { frame, pixels } = await request("frame.get", { frame: snap.frame });
const counts = frame.dtype === "uint16" ? new Uint16Array(pixels.buffer, pixels.byteOffset, pixels.length / 2) : pixels;
const mean = counts.reduce((sum, count) => sum + count, 0) / counts.length;
console.log(`${frame.frame}: ${frame.shape.join(" × ")} ${frame.dtype}, mean ${mean.toFixed(1)}`);

events.close();
control.close();
await listening;
