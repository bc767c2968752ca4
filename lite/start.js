// Loads what a lesson's kernel will ask for, and shows how far it is; then opens the lesson.
// The kernel, which could show nothing, finds the files in the browser's cache.
"use strict";

const AT_ONCE = 6; // as many as a browser takes from one host over HTTP/1.1
const inMegabytes = (bytes) => (bytes / 1e6).toFixed(1);

async function load(files, came) {
  const waiting = [...files];
  const all = new AbortController();
  const one = async () => {
    for (let file = waiting.shift(); file; file = waiting.shift()) {
      const answer = await fetch(file.url, { signal: all.signal });
      if (!answer.ok) throw new Error(`${file.url}: HTTP ${answer.status}`);
      const reader = answer.body.getReader();
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        came(part.value.length);
      }
    }
  };
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, one));
  } finally {
    all.abort(); // of the others, when one has failed
  }
}

async function start(lesson) {
  const say = (id, text) => { document.getElementById(id).textContent = text; };
  const bar = document.getElementById("bar");
  document.getElementById("loading").hidden = false;
  document.getElementById("lessons").hidden = true;
  try {
    const files = await (await fetch("loads.json")).json();
    bar.max = files.reduce((sum, file) => sum + file.bytes, 0);
    await load(files, (bytes) => {
      bar.value += bytes;
      say("then", `${inMegabytes(bar.value)} of ${inMegabytes(bar.max)} MB`);
    });
    say("what", "Opening the lesson …");
    location.replace(`lab/index.html?path=notebooks/${lesson}`);
  } catch (error) {
    document.getElementById("lessons").hidden = false;
    say("what", "Not everything could be loaded.");
    say("then", `${error.message}. Is this device online? Choose a lesson to try again.`);
  }
}

const lesson = new URLSearchParams(location.search).get("lesson");
if (lesson && /^[\w-]+\.ipynb$/.test(lesson)) start(lesson);
