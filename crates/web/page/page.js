// The page around the measurement: which adapter, which row is next, what came of it. All numbers and their words come from Rust.

import init, { Run, commit, version } from "./sparse_web.js";

const NO_WEBGPU = "This browser has no WebGPU. Chrome and Edge have it since version 113, Safari since 26, Firefox since 141 on Windows; " +
  "on Linux it may have to be switched on, in Chrome at chrome://flags/#enable-unsafe-webgpu. An up-to-date browser is the first thing to try.";
const INSECURE = "Browsers offer WebGPU only to pages from https:// or http://localhost; this page came another way. " +
  "`cargo xtask web` serves it on localhost.";
const NO_ADAPTER = "This browser has WebGPU, but offers no GPU adapter. Switch on hardware acceleration in its settings, update the graphics driver, " +
  "and look at chrome://gpu (or about:support) for what it says about WebGPU; then reload.";

const labels = [...document.querySelectorAll("th")].map((th) => th.textContent);
const FIRST_NUMBER = labels.indexOf("density");
const element = (id) => document.getElementById(id);
const say = (words) => { element("status").textContent = words; };

let adapterName = "";
let adapterVendor = "";
let run = null;
let stopping = false;

function problem(words) {
  element("problem").textContent = words;
  element("problem").hidden = false;
  if (!adapterName) element("adapter").textContent = "none";
  say("");
}

// Not `requestAnimationFrame`, which waits for ever in a page that nobody looks at.
const painted = () => new Promise((resolve) => setTimeout(resolve, 0));

// What Rust asks before each step: the words are shown before the processor is busy again.
const watch = (prefix) => async (words) => {
  say(`${prefix}${words}`);
  await painted();
  return !stopping;
};

function cell(row, at, words, className = "") {
  const td = row.insertCell();
  td.dataset.label = labels[at];
  td.textContent = words;
  td.className = className;
  return td;
}

function addRows() {
  const body = element("rows");
  body.replaceChildren();
  for (let at = 0; at < run.rows(); at++) {
    const row = body.insertRow();
    row.className = "pending";
    run.words(at).forEach((words, column) => cell(row, column, words));
  }
  document.querySelector(".table").hidden = false;
}

function show(row, shown) {
  row.className = "";
  row.title = [shown.kernel(), ...shown.faults()].join("\n");
  const gain = (label) => label === "speed-up" && shown.is_gain();
  const wrong = (label) => label === "error/bound" && !shown.is_right();
  shown.cells().forEach((words, i) => {
    const label = labels[FIRST_NUMBER + i];
    cell(row, FIRST_NUMBER + i, words, gain(label) ? "gain" : wrong(label) ? "wrong" : "");
  });
  shown.free();
}

function showError(row, words) {
  row.className = "";
  const td = cell(row, FIRST_NUMBER, words, "error");
  td.colSpan = labels.length - FIRST_NUMBER;
  td.dataset.label = "error";
}

async function measureAll() {
  const progress = element("progress");
  const rows = run.rows();
  let errors = 0;
  progress.max = rows;
  progress.hidden = false;
  for (let at = 0; at < rows; at++) {
    progress.value = at;
    const row = element("rows").rows[at];
    try {
      const shown = await run.measure(at, watch(`Row ${at + 1} of ${rows}: `));
      if (!shown) return ended(`Stopped at row ${at + 1} of ${rows}.`);
      show(row, shown);
      element("json").disabled = element("csv").disabled = false;
    } catch (error) {
      errors++;
      showError(row, error.message ?? String(error));
    }
  }
  progress.value = rows;
  return ended(errors ? `Done; ${errors} of ${rows} rows could not be measured.` : `Done: ${rows} rows.`);
}

// A run with wrong rows does not end as if all were well.
function ended(words) {
  return [words, run.wrong_rows()].filter(Boolean).join(" ");
}

async function start() {
  stopping = false;
  element("problem").hidden = true;
  element("start").disabled = element("json").disabled = element("csv").disabled = true;
  element("stop").disabled = false;
  run?.free();
  run = null;
  try {
    run = await Run.start(adapterName, adapterVendor, navigator.userAgent, new Date().toISOString(), watch("First: "));
    element("timing").textContent = run.timing();
    addRows();
    say(await measureAll());
  } catch (error) {
    if (stopping) say("Stopped.");
    else problem(error.message ?? String(error));
  }
  element("progress").hidden = true;
  element("stop").disabled = true;
  element("start").disabled = false;
  element("start").textContent = "Run again";
}

function download(name, type, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

async function open() {
  await init();
  const revision = commit();
  element("built").textContent = `sparse-web ${version()}${revision ? `, commit ${revision}` : ""}`;
  if (!window.isSecureContext) return problem(INSECURE);
  if (!navigator.gpu) return problem(NO_WEBGPU);
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) return problem(NO_ADAPTER);
  const { vendor, architecture, device, description } = adapter.info ?? {};
  adapterVendor = vendor ?? "";
  adapterName = [vendor, architecture, device, description].filter(Boolean).join(" ") || "not named by this browser";
  element("adapter").textContent = adapterName;
  element("start").disabled = false;
  say("Ready. A run takes about a minute on a GPU, several on a processor.");
}

// A panic in Rust leaves its promise open for ever.
addEventListener("error", (event) => problem(`The measurement broke off: ${event.message}. Reload the page.`));
element("start").addEventListener("click", start);
element("stop").addEventListener("click", () => {
  stopping = true;
  say("Stopping.");
});
element("json").addEventListener("click", () => download("sparse-web.json", "application/json", run.json()));
element("csv").addEventListener("click", () => download("sparse-web.csv", "text/csv", run.csv()));
open().catch((error) => problem(`The page could not start: ${error.message ?? error}`));
