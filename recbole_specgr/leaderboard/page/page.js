"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  const sections = [...document.querySelectorAll("section.dataset")];

  // ---- theme

  const stored = (() => { try { return localStorage.getItem("theme"); } catch { return null; } })();
  if (stored) root.dataset.theme = stored;
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  document.getElementById("theme").addEventListener("click", () => {
    const dark = (root.dataset.theme || (system.matches ? "dark" : "light")) === "dark";
    root.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("theme", root.dataset.theme); } catch { /* a page without storage forgets */ }
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

  // ---- tables: sorting

  function rowsOf(table) {
    return [...table.tBodies[0].rows].filter((row) => !row.classList.contains("detail"));
  }

  /** Order the rows by the column whose head has `aria-sort`; empty cells come last. */
  function order(table) {
    const head = table.querySelector("th[aria-sort]");
    if (!head) return;
    const direction = head.getAttribute("aria-sort") === "ascending" ? 1 : -1;
    const value = (row) => {
      const { dataset, textContent } = row.cells[head.cellIndex];
      const text = (dataset.value ?? textContent).trim();
      return text === "" || isNaN(text) ? text : Number(text);
    };
    const rows = rowsOf(table).map((row) => [row, value(row), row.nextElementSibling]).sort(([, x], [, y]) => {
      if ((x === "-") !== (y === "-")) return x === "-" ? 1 : -1;
      return direction * (typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y)));
    });
    for (const [row, , next] of rows) {
      table.tBodies[0].append(row, ...(next && next.classList.contains("detail") ? [next] : []));
    }
  }

  document.querySelectorAll("table.sortable").forEach((table) => {
    for (const head of table.tHead.rows[table.tHead.rows.length - 1].cells) {
      const button = element("button", head.textContent);
      button.type = "button";
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const before = head.getAttribute("aria-sort") || (head.classList.contains("left") ? "descending" : "ascending");
        table.querySelectorAll("th[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", before === "descending" ? "ascending" : "descending");
        order(table);
      });
    }
  });

  // ---- choosing what is shown, and filtering

  document.querySelectorAll(".controls").forEach((controls) => {
    const identity = controls.dataset.table;
    const views = data.boards[identity];
    const table = document.getElementById(identity);
    const rows = rowsOf(table); // in the board's order
    const choice = (name) => controls.querySelector(`[name="${name}"]`);

    function view() {
      const shown = views[`${choice("metric").value}@${choice("cutoff").value} ${choice("seeds").value}`];
      document.getElementById(`${identity}-picture`).innerHTML = shown.picture;
      rows.forEach((row, number) => (shown.cells[number] || Array(4).fill(["-", null, null])).forEach((cell, at) => {
        fill(row.cells[at + 1], ...cell);
      }));
      order(table);
    }

    function filter() {
      const wanted = choice("text").value.trim().toLowerCase();
      for (const row of rows) {
        row.hidden = !row.textContent.toLowerCase().includes(wanted)
          || (choice("group").value !== "" && row.dataset.group !== choice("group").value);
        const detail = row.nextElementSibling;
        if (detail && detail.classList.contains("detail")) detail.hidden = row.hidden;
      }
      controls.querySelector("output").textContent = `${rows.filter((row) => !row.hidden).length} models`;
    }

    for (const name of ["metric", "cutoff", "seeds"]) choice(name).addEventListener("input", view);
    for (const name of ["text", "group"]) choice(name).addEventListener("input", filter);
    filter();
  });

  function fill(cell, text, value, place) {
    const [mean, deviation] = text.split(" \u00b1 ");
    cell.replaceChildren(mean, ...(deviation ? [" ", element("small", `\u00b1 ${deviation}`)] : []));
    cell.className = { 1: "best", 2: "second" }[place] || "";
    if (value === null) delete cell.dataset.value;
    else cell.dataset.value = value;
  }

  // ---- a row opens to its commands, settings, environment and curves

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
    const commands = block(model.runs.length > 1 ? "Commands" : "Command", model.runs.map((run) => run.command).join("\n"));
    const columns = element("div", undefined, "columns");
    columns.append(block("Settings", list(model.settings)), block("Runs", model.runs.map((run) => list(run.facts)).join("\n\n")),
      block("Environment", list(model.environment)));
    inside.append(commands, columns);
    if (model.tuning) inside.append(block("Tuned on the valid phase after training", list(model.tuning)));
    if (model.curves) {
      const plot = element("div", undefined, "plot");
      plot.innerHTML = model.curves;
      inside.append(plot);
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
      const detail = element("tr", undefined, "detail");
      const cell = element("td");
      cell.colSpan = row.cells.length;
      cell.append(detailOf(data.models[Number(button.dataset.model)]));
      detail.append(cell);
      row.after(detail);
    });
  });
})();
