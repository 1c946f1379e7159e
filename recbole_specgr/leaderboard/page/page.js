"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  const sections = [...document.querySelectorAll("section.dataset")];
  const colours = ["#2f6fb2", "#d2691e", "#2e8b57", "#b03060", "#7b5ea7", "#8a6d3b", "#0e8c8c", "#888888"];
  const drawn = new Map();

  // ---- plots: drawn when they come into view, and again in other colours when the theme changes

  function themed(layout) {
    const style = getComputedStyle(root);
    const [ink, line] = ["--ink", "--line"].map((name) => style.getPropertyValue(name).trim());
    const narrow = window.innerWidth < 640;
    const out = {
      ...layout,
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      colorway: colours,
      font: { family: "system-ui, sans-serif", size: narrow ? 11 : 13, color: ink },
      margin: { l: 64, r: layout.yaxis2 ? 64 : 24, t: 16, b: 64 },
      legend: { orientation: "h", y: -0.3 },
      barmode: "group",
      modebar: { bgcolor: "rgba(0,0,0,0)", color: line, activecolor: ink },
    };
    delete out.title; // the heading is in the page
    for (const name of ["xaxis", "yaxis", "yaxis2"]) {
      if (layout[name] || name !== "yaxis2") {
        out[name] = { ...layout[name], gridcolor: name === "yaxis2" ? "rgba(0,0,0,0)" : line, linecolor: line, zerolinecolor: line,
          automargin: true };
      }
    }
    return out;
  }

  function draw(element) {
    const figure = data.figures[Number(element.dataset.figure)];
    plot(element, figure);
  }

  function plot(element, figure) {
    drawn.set(element, figure);
    const ink = getComputedStyle(root).getPropertyValue("--ink").trim();
    const traces = figure.data.map((trace) => ({
      ...structuredClone(trace),
      ...(trace.error_y ? { error_y: { ...trace.error_y, thickness: 1, width: 3, color: ink } } : {}),
    }));
    const layout = themed(figure.layout);
    if (figure.horizontal) lay(traces, layout);
    element.style.height = layout.height ? `${layout.height}px` : "";
    Plotly.react(element, traces, layout, { responsive: true, displaylogo: false,
      displayModeBar: window.innerWidth < 640 ? false : "hover", modeBarButtonsToRemove: ["select2d", "lasso2d"] });
  }

  /** Lay bars over long names on their side. */
  function lay(traces, layout) {
    const names = [...new Set(traces.flatMap((trace) => trace.x))];
    const most = window.innerWidth < 640 ? 18 : 40;
    const short = names.map((name) => (name.length > most ? name.slice(0, most - 1) + "\u2026" : name));
    for (const trace of traces) {
      [trace.x, trace.y, trace.error_x] = [trace.y, trace.x, trace.error_y];
      Object.assign(trace, { orientation: "h" });
      delete trace.error_y;
    }
    [layout.xaxis, layout.yaxis] = [layout.yaxis, layout.xaxis];
    Object.assign(layout.yaxis, { autorange: "reversed", tickvals: names, ticktext: short });
    layout.height = 120 + names.length * (16 + 12 * traces.length);
    layout.legend = { orientation: "h", y: 1.02, yanchor: "bottom", traceorder: "normal" };
    layout.margin.t = 48;
  }

  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting) {
        seen.unobserve(entry.target);
        draw(entry.target);
      }
    }
  }, { rootMargin: "300px" });
  document.querySelectorAll(".plot[data-figure]").forEach((element) => seen.observe(element));

  function redraw() {
    for (const [element, figure] of drawn) {
      if (element.isConnected) plot(element, figure);
    }
  }

  // ---- theme

  const stored = (() => { try { return localStorage.getItem("theme"); } catch { return null; } })();
  if (stored) root.dataset.theme = stored;
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  system.addEventListener("change", redraw);
  document.getElementById("theme").addEventListener("click", () => {
    const dark = (root.dataset.theme || (system.matches ? "dark" : "light")) === "dark";
    root.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("theme", root.dataset.theme); } catch { /* a page without storage forgets */ }
    redraw();
  });

  // ---- data sets: the one that the address names, else the first

  function show() {
    const wanted = decodeURIComponent(location.hash.slice(1));
    const current = sections.find((section) => section.id === wanted || section.querySelector(`[id="${CSS.escape(wanted)}"]`));
    const shown = current || sections[0];
    for (const section of sections) section.hidden = section !== shown;
    document.querySelectorAll("nav a").forEach((link) => {
      if (shown && link.hash === "#" + encodeURIComponent(shown.id)) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    });
  }
  window.addEventListener("hashchange", show);
  show();

  // ---- tables: sorting, filtering, choosing columns, opening rows

  function rowsOf(table) {
    return [...table.tBodies[0].rows].filter((row) => !row.classList.contains("detail"));
  }

  function sort(table, index, head) {
    const descending = head.getAttribute("aria-sort") === "descending" || (!head.getAttribute("aria-sort") && head.classList.contains("left"));
    const direction = descending ? 1 : -1;
    table.querySelectorAll("th[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", descending ? "ascending" : "descending");
    const value = (row) => {
      const cell = row.cells[index];
      return cell.dataset.value === undefined ? cell.textContent.trim() : Number(cell.dataset.value);
    };
    const empty = (row) => row.cells[index].textContent.trim() === "-";
    const rows = rowsOf(table).sort((a, b) => {
      if (empty(a) !== empty(b)) return empty(a) ? 1 : -1;
      const [x, y] = [value(a), value(b)];
      return direction * (typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y)));
    });
    for (const row of rows) {
      const detail = row.nextElementSibling;
      const opened = detail && detail.classList.contains("detail") ? detail : null;
      table.tBodies[0].append(row, ...(opened ? [opened] : []));
    }
  }

  document.querySelectorAll("table.sortable").forEach((table) => {
    [...table.tHead.rows[table.tHead.rows.length - 1].cells].forEach((head, index) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => sort(table, index, head));
    });
  });

  document.querySelectorAll(".controls").forEach((controls) => {
    const table = document.getElementById(controls.dataset.table);
    const [text, group, part] = ["text", "group", "part"].map((name) => controls.querySelector(`[name="${name}"]`));
    const count = controls.querySelector("output");
    function apply() {
      const wanted = text.value.trim().toLowerCase();
      let shown = 0;
      for (const row of rowsOf(table)) {
        const matches = row.textContent.toLowerCase().includes(wanted) && (!group.value || row.dataset.group === group.value);
        row.hidden = !matches;
        const detail = row.nextElementSibling;
        if (detail && detail.classList.contains("detail")) detail.hidden = !matches;
        shown += matches ? 1 : 0;
      }
      count.textContent = `${shown} models`;
      table.querySelectorAll("[data-span]").forEach((cell) => {
        cell.hidden = Boolean(part.value) && cell.dataset.span !== part.value;
      });
    }
    for (const control of [text, group, part]) control.addEventListener("input", apply);
    apply();
  });

  function element(name, text, className) {
    const out = document.createElement(name);
    if (text !== undefined) out.textContent = text;
    if (className) out.className = className;
    return out;
  }

  function list(values) {
    return Object.entries(values)
      .map(([key, value]) => `${key}: ${value !== null && typeof value === "object" ? JSON.stringify(value) : value}`)
      .join("\n");
  }

  function block(title, text) {
    const out = element("div");
    out.append(element("h4", title), element("pre", text));
    out.lastChild.tabIndex = 0;
    return out;
  }

  function detailOf(model) {
    const inside = element("div", undefined, "detail-inside");
    const commands = element("div");
    commands.append(element("h4", model.runs.length > 1 ? "Commands" : "Command"));
    for (const run of model.runs) {
      const code = element("pre", run.command);
      code.tabIndex = 0;
      commands.append(code);
    }
    const copy = element("button", "Copy");
    copy.type = "button";
    copy.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(model.runs.map((run) => run.command).join("\n"));
        copy.textContent = "Copied";
      } catch { copy.textContent = "Select the text instead"; }
    });
    commands.append(copy);
    const columns = element("div", undefined, "columns");
    columns.append(block("Settings", list(model.settings)), block("Runs", model.runs.map((run) => list(run.facts)).join("\n\n")),
      block("Environment", list(model.environment)));
    inside.append(commands, columns);
    if (model.tuning) inside.append(block("Tuned on the valid phase after training", list(model.tuning)));
    if (model.curves) {
      inside.append(element("h4", "Training"));
      inside.append(element("div", undefined, "plot"));
    }
    return inside;
  }

  document.querySelectorAll("button.open").forEach((button) => {
    button.addEventListener("click", () => {
      const row = button.closest("tr");
      const open = button.getAttribute("aria-expanded") === "true";
      button.setAttribute("aria-expanded", String(!open));
      if (open) {
        row.nextElementSibling.remove();
        return;
      }
      const model = data.models[Number(button.dataset.model)];
      const detail = element("tr", undefined, "detail");
      const cell = element("td");
      cell.colSpan = row.cells.length;
      cell.append(detailOf(model));
      detail.append(cell);
      row.after(detail);
      if (model.curves) plot(cell.querySelector(".plot"), model.curves);
    });
  });
})();
