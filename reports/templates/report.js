"use strict";
// Reads the curves back from the picture, so that the page holds every number once.
(() => {
  const figure = document.querySelector(".chart"), stage = figure.querySelector(".stage");
  const cursor = figure.querySelector(".cursor"), readout = figure.querySelector(".readout");
  const rest = readout.textContent, length = Number(figure.dataset.seconds);
  const four = (v) => Number(v.toPrecision(4)).toString();

  const plots = [...figure.querySelectorAll(".plot")].map((plot) => {
    const box = plot.querySelector("svg").viewBox.baseVal, lines = [];
    for (const piece of plot.querySelector(".power").getAttribute("d").split("M").slice(1)) {
      const n = piece.match(/-?\d+/g).map(Number), x = [n[0]], y = [n[1]];
      for (let i = 2; i < n.length; i += 2) {
        x.push(x[x.length - 1] + n[i]);
        y.push(y[y.length - 1] + n[i + 1]);
      }
      lines.push({ x, y });
    }
    const top = Number(plot.dataset.top);
    const at = (share) => {
      const u = share * box.width;
      const line = lines.find((l) => l.x[0] <= u && u <= l.x[l.x.length - 1]);
      if (!line) return null;
      let a = 0, b = line.x.length - 1;
      while (b - a > 1) {
        const middle = (a + b) >> 1;
        if (line.x[middle] <= u) a = middle; else b = middle;
      }
      const span = line.x[b] - line.x[a];
      const y = span ? line.y[a] + (line.y[b] - line.y[a]) * (u - line.x[a]) / span : line.y[b];
      return (1 - y / box.height) * top;
    };
    return { name: plot.dataset.name, at };
  });

  const lanes = [...figure.querySelectorAll(".lane")].map((lane) =>
    [...lane.children].map((box) => ({
      left: parseFloat(box.style.left), width: parseFloat(box.style.width),
      name: box.textContent || "",
    })));
  const phase = (share) => lanes
    .map((lane) => lane.find((b) => b.left <= share * 100 && share * 100 < b.left + b.width))
    .filter((box) => box && box.name).map((box) => box.name).join(" › ");

  let now = 0;
  const show = (share) => {
    now = Math.min(Math.max(share, 0), 1);
    cursor.hidden = false;
    cursor.style.left = now * 100 + "%";
    readout.textContent = "";
    const words = [four(now * length) + " s", phase(now)];
    for (const plot of plots) {
      const watts = plot.at(now);
      words.push(plot.name + " " + (watts === null ? "not seen" : four(watts) + " W"));
    }
    const time = document.createElement("b");
    time.textContent = words[0];
    readout.append(time, "  " + words.slice(1).filter(Boolean).join("  ·  "));
  };
  const hide = () => { cursor.hidden = true; readout.textContent = rest; };

  stage.addEventListener("pointermove", (event) => {
    const area = stage.getBoundingClientRect();
    show((event.clientX - area.left) / area.width);
  });
  stage.addEventListener("pointerleave", hide);
  stage.addEventListener("blur", hide);
  stage.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -0.005, ArrowRight: 0.005, PageUp: -0.05, PageDown: 0.05 }[event.key];
    if (step) show(now + step);
    else if (event.key === "Home") show(0);
    else if (event.key === "End") show(1);
    else if (event.key === "Escape") hide();
    else return;
    event.preventDefault();
  });
})();

// The flame graph: one stop of the tab key, and arrow keys from box to box.
(() => {
  const icicle = document.querySelector(".icicle");
  if (!icicle) return;
  const readout = document.getElementById("spot"), rest = readout.textContent;
  const boxes = [...icicle.children].map((element) => ({
    element, row: Number(element.style.getPropertyValue("--row")),
    left: parseFloat(element.style.left), width: parseFloat(element.style.width),
  }));
  const tell = (box) => {
    const [name, numbers] = box.element.title.split(/: (?!.*: )/);
    const bold = document.createElement("b");
    bold.textContent = name;
    readout.replaceChildren(bold, "  " + (numbers || ""));
  };
  let at = boxes[0];
  const move = (box) => {
    if (!box) return;
    at.element.tabIndex = -1;
    at = box;
    at.element.tabIndex = 0;
    at.element.focus();
  };
  const beside = (way) => {
    const row = boxes.filter((b) => b.row === at.row);
    return row[row.indexOf(at) + way];
  };
  const over = (a, b) => a.left < b.left + b.width - 1e-3 && b.left < a.left + a.width - 1e-3;
  for (const box of boxes) {
    box.element.tabIndex = box === at ? 0 : -1;
    box.element.addEventListener("pointerenter", () => tell(box));
    box.element.addEventListener("focus", () => { at = box; tell(box); });
    box.element.addEventListener("blur", () => { readout.textContent = rest; });
  }
  icicle.addEventListener("pointerleave", () => {
    if (document.activeElement === at.element) tell(at); else readout.textContent = rest;
  });
  icicle.addEventListener("keydown", (event) => {
    const to = {
      ArrowLeft: () => beside(-1), ArrowRight: () => beside(1), Home: () => boxes[0],
      ArrowUp: () => boxes.find((b) => b.row === at.row - 1 && over(at, b)),
      ArrowDown: () => boxes.find((b) => b.row === at.row + 1 && over(at, b)),
    }[event.key];
    if (!to) return;
    event.preventDefault();
    move(to());
  });
})();
