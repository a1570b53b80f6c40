"use strict";
const list = document.getElementById("steps");
const told = document.getElementById("told");
const later = (pause) => setTimeout(look, pause);
let quiet = 0;

function show(now) {
  if (told.textContent !== now.text) told.textContent = now.text;
  document.querySelector("h1").textContent = now.title;
  document.title = now.title + " · Stablepin";
  list.replaceChildren(...now.steps.map((step) => {
    const item = document.createElement("li");
    item.className = step.state;
    const name = document.createElement("b");
    const state = document.createElement("i");
    state.textContent = " " + step.state;
    name.append(step.name, state);
    const detail = document.createElement("span");
    detail.textContent = step.detail;
    item.append(name, detail);
    return item;
  }));
}

async function look() {
  try {
    const answer = await fetch(list.dataset.status, { cache: "no-store" });
    if (answer.ok) {
      const now = await answer.json();
      show(now);
      if (now.over) return;
      quiet = 0;
    }
  } catch {
    // No network: try again, with ever longer pauses.
  }
  quiet += 1;
  if (quiet < 60) later(Math.min(2000 * quiet, 30000));
}

later(1500);
