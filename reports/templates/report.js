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

  // What is shown is `1 / zoom` of the time, from the share `from` on; `now` is a share of it all.
  let now = 0, zoom = 1, from = 0;
  const MOST = 64;
  const bounds = (share) => Math.min(Math.max(share, 0), 1);
  const at = (event) => {
    const area = stage.getBoundingClientRect();
    return bounds((event.clientX - area.left) / area.width);
  };
  const show = (share) => {
    now = bounds(share);
    const x = (now - from) * zoom;
    cursor.hidden = x < 0 || x > 1;
    cursor.style.left = x * 100 + "%";
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

  const axis = figure.querySelector(".time"), whole = [...axis.childNodes];
  const clock = (t, span) => {
    if (length < 120) return span < 1 ? four(t * 1e3) + " ms" : +t.toFixed(6) + " s";
    const s = +(t % 60).toFixed(3), m = Math.floor(t / 60) % 60, h = Math.floor(t / 3600);
    const two = (v) => (v < 10 ? "0" : "") + v;
    return h ? h + ":" + two(m) + ":" + two(s) : m + ":" + two(s);
  };
  const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200];
  const ticks = () => {
    if (zoom === 1) { axis.replaceChildren(...whole); return; }
    const span = length / zoom, rough = span / 6, size = 10 ** Math.floor(Math.log10(rough));
    const step = rough > 0.5 ? STEPS.find((s) => s >= rough) || 86400
      : [1, 2, 5, 10].map((s) => s * size).find((s) => s >= rough);
    const made = [];
    for (let i = Math.ceil(from * length / step - 1e-9); i * step <= from * length + span; i++) {
      const label = document.createElement("span");
      const place = (i * step / length - from) * zoom * 100;
      label.style.left = place + "%";
      if (place > 96) label.className = "end";
      label.textContent = clock(i * step, span);
      made.push(label);
    }
    axis.replaceChildren(...made);
  };
  const buttons = figure.querySelector(".zoom");
  const can = (name, yes) => { buttons.querySelector(`[data-zoom=${name}]`).disabled = !yes; };
  const look = (start, times) => {
    zoom = Math.min(Math.max(times, 1), MOST);
    from = Math.min(Math.max(start, 0), 1 - 1 / zoom);
    stage.style.setProperty("--zoom", zoom);
    stage.style.setProperty("--from", from);
    can("in", zoom < MOST);
    for (const name of ["out", "all"]) can(name, zoom > 1);
    can("back", from > 0);
    can("forth", from < 1 - 1 / zoom - 1e-9);
    ticks();
    if (!cursor.hidden) show(now);
  };
  const around = (share, factor) => {
    const times = Math.min(Math.max(zoom * factor, 1), MOST);
    look(share - (share - from) * zoom / times, times);
  };
  const seen = () => (cursor.hidden ? from + 0.5 / zoom : now);
  const act = {
    in: () => around(seen(), 2), out: () => around(seen(), 0.5), all: () => look(0, 1),
    back: () => look(from - 0.5 / zoom, zoom), forth: () => look(from + 0.5 / zoom, zoom),
  };
  buttons.hidden = false;
  buttons.addEventListener("click", (event) => {
    const name = event.target.dataset.zoom;
    if (name) act[name]();
  });

  // Dragging across a stretch shows that stretch; a finger moves the cursor instead.
  const pick = figure.querySelector(".pick");
  let down = null;
  stage.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "touch" || event.button !== 0) return;
    down = at(event);
    stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", (event) => {
    const x = at(event);
    show(from + x / zoom);
    if (down === null) return;
    pick.hidden = Math.abs(x - down) < 0.01;
    pick.style.left = Math.min(x, down) * 100 + "%";
    pick.style.width = Math.abs(x - down) * 100 + "%";
  });
  stage.addEventListener("pointerup", (event) => {
    const x = at(event), width = down === null ? 0 : Math.abs(x - down);
    if (width >= 0.01) look(from + Math.min(x, down) / zoom, zoom / width);
    down = null;
    pick.hidden = true;
  });
  stage.addEventListener("pointercancel", () => { down = null; pick.hidden = true; });
  stage.addEventListener("dblclick", act.all);
  stage.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    around(from + at(event) / zoom, event.deltaY < 0 ? 1.25 : 0.8);
  }, { passive: false });
  stage.addEventListener("pointerleave", () => { if (down === null) hide(); });
  stage.addEventListener("blur", hide);
  const follow = (share) => {
    show(share);
    if (now < from || now > from + 1 / zoom) look(now - 0.5 / zoom, zoom);
    show(now);
  };
  stage.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = { ArrowLeft: -0.005, ArrowRight: 0.005, PageUp: -0.05, PageDown: 0.05 }[event.key];
    const does = { "+": "in", "=": "in", "-": "out", 0: "all" }[event.key];
    // A cursor that isn't shown begins in the middle of what is looked at closely.
    if (step) follow((zoom > 1 ? seen() : now) + step / zoom);
    else if (does) act[does]();
    else if (event.key === "Home") follow(0);
    else if (event.key === "End") follow(1);
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
