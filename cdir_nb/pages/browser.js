
"use strict";
const $ = (id) => document.getElementById(id);
const ALL = "all", SHARED = "those of the chosen row";
const SCOPE = { dataset: "dataset", task: "task", encoder: "encoder", metric: "metric" };
const FILTERS = { selection_rule: "selection rule", data_at_test_time: "data used at test time", learns_from: "learns from" };
const CONTEXT = ["dataset", "protocol", "test_set", "encoder", "preprocessing", "pooling", "metric", "selection_rule", "train_set",
  "learns_from", "data_at_test_time", "image_counts", "pipeline_test", "settings_digest"];
const FROZEN = "nothing selected";
let data, rows, published;
const state = { metric: "P@10:hits_over_k", direction: ALL, name: "", sort: "value", down: true, chosen: null };

async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

// ---- rows and their numbers ---------------------------------------------------------------------------------------

const at = (column, i) => column.values[column.codes ? column.codes[i] : 0];
const field = (name, record) => at(data.records[name], record);
const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;

function readRows() {
  const count = data.records.row[data.records.row.length - 1] + 1;
  const names = Object.keys(data.rows);
  const all = Array.from({ length: count }, (_, i) => {
    const row = { number: i, cells: new Map(), records: [] };
    for (const name of names) row[name] = at(data.rows[name], i);
    row.task = row.test_set.startsWith("queries and gallery of ") ? row.protocol : row.test_set;
    if (row.image_set) row.task += `, set ${row.image_set} of images`;
    if (!row.data_at_test_time) row.data_at_test_time = "the query only";
    return row;
  });
  data.records.row.forEach((number, record) => {
    const row = all[number], direction = directionOf(record);
    if (!row.cells.has(direction)) row.cells.set(direction, new Map());
    row.cells.get(direction).set(field("seed", record), record);
    row.records.push(record);
  });
  return all;
}

function directionOf(record) {
  const [query, gallery] = [field("query_domain", record), field("gallery_domain", record)];
  return gallery ? `${query} → ${gallery}` : query || "all domains";
}

const value = (record) => 100 * data.records.value[record];
const seedsOf = (row) => [...new Set([...row.cells.values()].flatMap((seeds) => [...seeds.keys()]))].sort((a, b) => a - b);

/* The mean over directions of the mean over seeds; null if the row lacks a direction. */
function summary(row, directions) {
  const present = directions.filter((d) => row.cells.has(d));
  const result = { directions: present.length, all: directions.length, value: null, spread: null, seeds: [] };
  if (!present.length || present.length < directions.length) return result;
  result.value = mean(present.map((d) => mean([...row.cells.get(d).values()].map(value))));
  const seeds = seedsOf(row).filter((seed) => present.some((d) => row.cells.get(d).has(seed)));
  if (seeds.every((seed) => present.every((d) => row.cells.get(d).has(seed)))) {
    result.seeds = seeds.map((seed) => mean(present.map((d) => value(row.cells.get(d).get(seed)))));
    if (seeds.length > 1) result.spread = Math.sqrt(result.seeds.reduce((a, v) => a + (v - mean(result.seeds)) ** 2, 0) / (seeds.length - 1));
  }
  return result;
}

/* Pairs of records of two rows in one direction: equal seeds; a method without training meets every seed of the other. */
function pairs(row, other, direction) {
  const [ours, theirs] = [row.cells.get(direction), other.cells.get(direction)];
  if (!ours || !theirs) return [];
  const first = (seeds) => seeds.values().next().value;
  if (row.selection_rule === FROZEN) return [...theirs.values()].map((record) => [first(ours), record]);
  if (other.selection_rule === FROZEN) return [...ours.values()].map((record) => [record, first(theirs)]);
  return [...ours.keys()].filter((seed) => theirs.has(seed)).map((seed) => [ours.get(seed), theirs.get(seed)]);
}

/* The difference over common directions, and its interval over classes if all pairs have values of single queries. */
function difference(row, other, directions) {
  const found = directions.map((d) => pairs(row, other, d)).filter((p) => p.length);
  if (!found.length) return null;
  const points = mean(found.map((p) => mean(p.map(([a, b]) => value(a) - value(b)))));
  return { points, directions: found.length, interval: row === other ? null : interval(found) };
}

function interval(found) {
  const parts = found.map((pairsOfDirection) => classSums(pairsOfDirection));
  if (parts.some((part) => !part)) return null;
  const names = [...new Set(parts.flatMap((part) => [...part.keys()]))].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  const draws = data.draws[names.length];
  if (!draws) return null;
  const means = draws.map((text) => {
    const times = Array.from(text, (digit) => parseInt(digit, 36)), values = [];
    for (const part of parts) {
      let total = 0, count = 0;
      names.forEach((name, i) => {
        const entry = times[i] && part.get(name);
        if (entry) { total += times[i] * entry[0]; count += times[i] * entry[1]; }
      });
      if (count) values.push(total / count);
    }
    return 100 * mean(values);
  }).sort((a, b) => a - b);
  return [quantile(means, 0.025), quantile(means, 0.975)];
}

/* {class: [sum of differences, mean over seeds; number of queries]}; null if a value is missing or the queries differ. */
function classSums(pairsOfDirection) {
  const total = new Map();
  for (const [a, b] of pairsOfDirection) {
    const [ours, theirs] = [data.queries[a], data.queries[b]];
    if (!ours || !theirs || data.class_list[a] !== data.class_list[b]) return null;
    if (ours[1].some((n, i) => n !== theirs[1][i])) return null;
    data.classes[data.class_list[a]].forEach((name, i) => {
      const entry = total.get(name) || [0, ours[1][i]];
      entry[0] += (ours[0][i] - theirs[0][i]) / pairsOfDirection.length;
      total.set(name, entry);
    });
  }
  return total;
}

function quantile(sorted, q) {
  const place = q * (sorted.length - 1), low = Math.floor(place);
  return sorted[low] + (place - low) * ((sorted[low + 1] ?? sorted[low]) - sorted[low]);
}

// ---- what distinguishes rows of one method ---------------------------------------------------------------------

function flat(settings, prefix = "") {
  const found = {};
  for (const [name, item] of Object.entries(settings || {})) {
    if (item && typeof item === "object" && !Array.isArray(item)) Object.assign(found, flat(item, `${prefix}${name}.`));
    else found[prefix + name] = typeof item === "string" ? item : JSON.stringify(item);
  }
  return found;
}

/* What differs from the other rows of the method: settings, and else its training set. */
function nameRows(visible) {
  const byMethod = new Map();
  for (const row of visible) byMethod.set(row.method, [...(byMethod.get(row.method) || []), row]);
  for (const group of byMethod.values()) {
    const settings = group.map((r) => flat(data.settings[r.settings_digest]));
    const names = [...new Set(settings.flatMap(Object.keys))].filter((n) => new Set(settings.map((s) => s[n])).size > 1);
    const sets = new Set(group.map((r) => r.train_set)).size > 1;
    group.forEach((row, i) => {
      const words = names.filter((n) => n in settings[i]).map((n) => `${n}=${settings[i][n]}`);
      if (!words.length && sets) words.push(row.train_set);
      row.detail = words.join(", ");
    });
  }
}

// ---- controls ---------------------------------------------------------------------------------------------------

function el(tag, options = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, item] of Object.entries(options)) {
    if (name in node && name !== "list") node[name] = item; else node.setAttribute(name, item);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

function choice(form, key, label, onChange) {
  const select = el("select", { id: `choose-${key}`, name: key });
  select.addEventListener("change", () => { state[key] = select.value; onChange(); });
  form.append(el("label", {}, label, select));
}

function fill(key, values, wanted) {
  const select = $(`choose-${key}`);
  state[key] = values.includes(wanted) ? wanted : values[0];
  select.replaceChildren(...values.map((text) => el("option", { value: text, textContent: text, selected: text === state[key] })));
  select.disabled = values.length < 2;
}

const distinct = (list, name) => [...new Set(list.map((item) => item[name]))];

/* The rows of the chosen dataset, task, encoder and metric: only these are compared. */
function inScope() {
  let list = rows;
  for (const key of Object.keys(SCOPE)) {
    let values = distinct(list, key);
    if (key === "metric") values = values.sort((a, b) => metricOrder(a) - metricOrder(b));
    fill(key, values, state[key]);
    list = list.filter((row) => row[key] === state[key]);
  }
  return list;
}

function metricOrder(name) {
  const [, short, cutoff] = name.match(/^(\w+)(?:@(\w+))?:/) || [];
  return ({ P: 0, mAP: 10000, accuracy: 20000 }[short] ?? 30000) + (cutoff === "all" ? 9000 : Number(cutoff || 0));
}

function update() {
  const scope = inScope();
  const directions = [...new Set(scope.flatMap((row) => [...row.cells.keys()]))].sort();
  fill("direction", [ALL, SHARED, ...directions], state.direction);
  for (const key of Object.keys(FILTERS)) fill(key, [ALL, ...distinct(scope, key)], state[key]);
  nameRows(scope);
  const chosen = scope.find((row) => key(row) === state.chosen) || scope.find((row) => row.method === "vanilla CLIP")
    || scope.find((row) => row.selection_rule === FROZEN) || scope[0];
  state.chosen = key(chosen);
  const asked = state.direction === ALL ? directions : state.direction === SHARED ? [...chosen.cells.keys()] : [state.direction];
  const wanted = state.name.toLowerCase();
  const visible = scope.filter((row) => Object.keys(FILTERS).every((k) => state[k] === ALL || row[k] === state[k])
    && `${row.method} ${row.detail}`.toLowerCase().includes(wanted) && asked.some((d) => row.cells.has(d)));
  const lines = visible.map((row) => ({ row, ...summary(row, asked), gap: difference(row, chosen, asked) }));
  draw(lines, chosen, asked, scope.length);
}

/* A row's identity, by which it stays chosen when the scope changes. */
const key = (row) => [row.method, row.selection_rule, row.detail].join("\n");

// ---- the table ---------------------------------------------------------------------------------------------------

const COLUMNS = [
  ["method", "method", (l) => `${l.row.method} ${l.row.detail}`.toLowerCase(), "text"],
  ["rule", "selection rule", (l) => l.row.selection_rule, "text wide-text"],
  ["learns", "learns from", (l) => l.row.learns_from, "text optional wide-text"],
  ["test", "test-time data", (l) => l.row.data_at_test_time, "text optional"],
  ["value", "mean, percent", (l) => l.value, ""],
  ["plot", "", null, "plot"],
  ["gap", "minus chosen row", (l) => l.gap && l.gap.points, ""],
  ["interval", "95 % interval", (l) => l.gap && l.gap.interval && l.gap.interval[0], ""],
  ["seeds", "seeds", (l) => seedsOf(l.row).length, ""],
  ["directions", "directions", (l) => l.directions, ""],
];
const signed = (x) => (x < 0 ? "−" : "+") + Math.abs(x).toFixed(2);

function sorted(lines) {
  const [, , get] = COLUMNS.find(([name]) => name === state.sort);
  const rank = (l) => { const v = get(l); return v === null || v === undefined || v === false ? null : v; };
  return lines.slice().sort((a, b) => {
    const [x, y] = [rank(a), rank(b)];
    if (x === null || y === null) return (x === null) - (y === null);  // without a number: last in both orders
    return (x < y ? -1 : x > y ? 1 : 0) * (state.down ? -1 : 1);
  });
}

function draw(lines, chosen, asked, total) {
  const present = lines.filter((l) => l.value !== null);
  const incomplete = lines.length - present.length;
  $("found").textContent = `${lines.length} of ${total} rows` + (asked.length === 1 ? `, ${asked[0]}` : `, ${asked.length} directions`)
    + (incomplete ? `; ${incomplete} without all of them, and so without a mean` : "");
  const reasons = distinct(lines.map((l) => l.row), "pipeline_test").filter(Boolean);
  $("banner").hidden = !reasons.length;
  $("banner").textContent = `Pipeline test (${reasons.join(", ")}): these numbers only show that the code runs. They are not results.`;
  const scale = scaleOf(present), chosenLine = present.find((l) => l.row === chosen);
  const focused = document.activeElement && document.activeElement.dataset.focus;
  $("measured").tHead.replaceChildren(el("tr", {}, el("th", { scope: "col", className: "text", textContent: "chosen" }), ...COLUMNS.map((c) => head(c, scale))));
  $("measured").tBodies[0].replaceChildren(...sorted(lines).map((line) => tableRow(line, chosen, scale, chosenLine)));
  const again = focused && document.querySelector(`[data-focus="${CSS.escape(focused)}"]`);
  if (again) again.focus();
}

function head([name, label, get, className], scale) {
  const cell = el("th", { scope: "col", className });
  if (!get) { cell.append(axis(scale)); return cell; }
  cell.setAttribute("aria-sort", state.sort !== name ? "none" : state.down ? "descending" : "ascending");
  const button = el("button", { type: "button", textContent: label });
  button.dataset.focus = `sort ${name}`;
  button.addEventListener("click", () => {
    state.down = state.sort === name ? !state.down : !className.includes("text");
    state.sort = name;
    update();
  });
  cell.append(button);
  return cell;
}

function tableRow(line, chosen, scale, chosenLine) {
  const { row, gap } = line, interval = gap && gap.interval;
  const radio = el("input", { type: "radio", name: "chosen", checked: row === chosen, "aria-label": `compare with ${row.method}` });
  radio.dataset.focus = `radio ${row.number}`;
  radio.addEventListener("change", () => { state.chosen = key(row); update(); });
  const open = el("button", { type: "button", textContent: row.method });
  open.dataset.focus = `open ${row.number}`;
  open.addEventListener("click", () => show(row));
  const method = el("td", { className: "text method" }, open);
  if (row.detail) method.append(el("div", { className: "quiet", textContent: row.detail }));
  const number = line.value === null ? "" : line.value.toFixed(2) + (line.spread === null ? "" : ` ± ${line.spread.toFixed(2)}`);
  const partial = gap && gap.directions < line.all ? ` (${gap.directions} of ${line.all})` : "";
  const tr = el("tr", { className: row === chosen ? "chosen" : "" },
    el("td", {}, radio), method, text(row.selection_rule, "text rule"), text(row.learns_from, "text optional"),
    text(row.data_at_test_time, "text optional"), text(number, "value"), el("td", { className: "plot" }, dots(line, scale, chosenLine)),
    text(row === chosen ? "" : gap ? signed(gap.points) + partial : "none", gap ? "" : "none"),
    text(interval ? `${signed(interval[0])} to ${signed(interval[1])}` : "", interval && interval[0] * interval[1] <= 0 ? "none" : ""),
    text(String(seedsOf(row).length), ""),
    el("td", {}, el("span", { className: line.directions < line.all ? "missing" : "", textContent: line.directions < line.all ? `${line.directions} of ${line.all}` : String(line.all) })));
  tr.dataset.row = row.number;
  return tr;
}

const text = (words, className) => el("td", { className, textContent: words });

// ---- the dot plot -----------------------------------------------------------------------------------------------

const WIDTH = 190, EDGE = 16;

function scaleOf(lines) {
  const values = lines.flatMap((l) => [l.value - (l.spread || 0), l.value + (l.spread || 0), ...l.seeds]);
  let [low, high] = values.length ? [Math.min(...values), Math.max(...values)] : [0, 100];
  if (high - low < 1) { low -= 0.5; high += 0.5; }
  const step = [0.5, 1, 2, 5, 10, 20, 50].find((s) => (high - low) / s <= 4) || 50;
  [low, high] = [Math.floor(low / step) * step, Math.ceil(high / step) * step];
  const ticks = Array.from({ length: Math.round((high - low) / step) + 1 }, (_, i) => low + i * step);
  return { x: (v) => EDGE + ((WIDTH - 2 * EDGE) * (v - low)) / (high - low), ticks };
}

function svg(tag, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, item] of Object.entries(attributes)) node.setAttribute(name, item);
  node.append(...children);
  return node;
}

const line = (x1, x2, y1, y2, className) => svg("line", { x1, x2, y1, y2, class: className });

function axis(scale) {
  const ticks = scale.ticks.map((v) => { const label = svg("text", { x: scale.x(v), y: 14 }); label.textContent = `${v}`; return label; });
  return svg("svg", { width: WIDTH, height: 18, role: "img", "aria-label": "axis of the dot plot, percent" }, ...ticks);
}

function dots(l, scale, chosenLine) {
  const picture = svg("svg", { width: WIDTH, height: 22, "aria-hidden": "true" }, ...scale.ticks.map((v) => line(scale.x(v), scale.x(v), 0, 22, "grid")));
  if (chosenLine) picture.append(line(scale.x(chosenLine.value), scale.x(chosenLine.value), 0, 22, "chosen"));
  if (l.value === null) return picture;
  if (l.spread !== null) picture.append(line(scale.x(l.value - l.spread), scale.x(l.value + l.spread), 11, 11, "spread"));
  picture.append(...l.seeds.map((v) => svg("circle", { cx: scale.x(v), cy: 11, r: 2.5, class: "seed" })));
  picture.append(svg("circle", { cx: scale.x(l.value), cy: 11, r: 4.5, class: "mean" }));
  return picture;
}

// ---- one record -----------------------------------------------------------------------------------------------

function list(entries) {
  const node = el("dl");
  for (const [name, item] of entries) node.append(el("dt", { textContent: name }), el("dd", { textContent: item }));
  return node;
}

/* The distinct values of a field in a row's records, as text. */
function every(row, name) {
  return [...new Set(row.records.map((r) => field(name, r)))].filter((v) => v !== null && v !== "").join(", ");
}

function show(row) {
  const context = CONTEXT.map((name) => [name.replaceAll("_", " "), name in data.records ? every(row, name) : row[name]]).filter(([, v]) => v !== "");
  const settings = Object.entries(flat(data.settings[row.settings_digest]));
  const unknown = data.settings[row.settings_digest] === null;
  const made = [["commit of the training", every(row, "training_commit") || "nothing was trained"],
    ["commit of the measurement", every(row, "measuring_commit")], ["date (UTC)", every(row, "date")], ["CPU threads", every(row, "threads") || "unknown"]];
  const command = row.command || "No single command: this is a state or a method that a notebook measures; see the guide “Reproduce a row”.";
  const checkout = every(row, "measuring_commit").split(", ")[0];
  $("record").lastElementChild.replaceChildren(
    el("h2", { id: "record-title", textContent: row.method }), list(context),
    el("h3", { textContent: "Command" }), el("pre", { textContent: row.command && checkout && checkout !== "unknown" ? `git checkout ${checkout.replace("-dirty", "")}   # the code of the measurement; leave this out for the current code\n${command}` : command }),
    el("h3", { textContent: "Settings" }),
    unknown ? el("p", { textContent: "unknown" }) : settings.length ? list(settings) : el("p", { textContent: "none" }),
    el("h3", { textContent: "Code and date" }), list(made),
    el("h3", { textContent: "Values in percent, by direction and seed" }), el("div", { className: "wide", tabIndex: 0 }, records(row)));
  $("record").showModal();
  $("record").scrollTop = 0;
}

function records(row) {
  const seeds = seedsOf(row), table = el("table"), columns = ["query_images", "gallery_images", "train_images", "queries_without_relevant"];
  const shown = columns.filter((name) => every(row, name) !== "");
  table.append(el("thead", {}, el("tr", {}, ...["direction", ...seeds.map((s) => `seed ${s}`), "steps", ...shown.map((n) => n.replaceAll("_", " "))]
    .map((name, i) => el("th", { scope: "col", className: i ? "" : "text", textContent: name })))));
  const body = el("tbody");
  for (const [direction, cells] of row.cells) {
    const list = [...cells.values()], of = (name) => [...new Set(list.map((r) => field(name, r)))].map((v) => v ?? "").join(", ");
    body.append(el("tr", {}, el("th", { scope: "row", className: "text", textContent: direction }),
      ...seeds.map((seed) => text(cells.has(seed) ? value(cells.get(seed)).toFixed(2) : "", "")), text(of("steps"), ""), ...shown.map((n) => text(of(n), ""))));
  }
  table.append(body);
  return table;
}

// ---- published numbers -------------------------------------------------------------------------------------------

function readPublished() {
  const cells = data.published, names = Object.keys(cells).filter((n) => n !== "percent" && n !== "citation");
  return cells.percent.map((percent, i) => Object.fromEntries([...names.map((n) => [n, at(cells[n], i)]), ["percent", percent]]));
}

function updatePublished() {
  fill("paper", distinct(published, "paper"), state.paper);
  let list = published.filter((cell) => cell.paper === state.paper);
  fill("table", distinct(list, "table"), state.table);
  list = list.filter((cell) => cell.table === state.table);
  $("citation").textContent = data.published.citation[state.paper];
  const direction = (c) => [c.query_domain, c.gallery_domain].filter(Boolean).join(" → ") || "not stated";
  const columns = [["method", (c) => c.method], ["setting", (c) => c.setting], ["backbone", (c) => c.backbone], ["task", (c) => c.protocol || c.dataset],
    ["direction", direction], ["metric", (c) => c.metric], ["convention is", (c) => c.certainty], ["printed", (c) => c.printed]];
  const used = columns.filter(([, get]) => list.some((c) => get(c)));
  $("published").tHead.replaceChildren(el("tr", {}, ...used.map(([name]) => el("th", { scope: "col", className: name === "printed" ? "" : "text", textContent: name }))));
  $("published").tBodies[0].replaceChildren(...list.map((c) => el("tr", {}, ...used.map(([name, get]) => text(get(c), name === "printed" ? "" : "text")))));
}

// ---- start --------------------------------------------------------------------------------------------------------

async function start() {
  data = await unpack($("data").textContent);
  rows = readRows();
  published = readPublished();
  for (const [name, label] of Object.entries(SCOPE)) choice($("scope"), name, label, update);
  choice($("filters"), "direction", "direction", update);
  for (const [name, label] of Object.entries(FILTERS)) choice($("filters"), name, label, update);
  const search = el("input", { type: "search", id: "name", placeholder: "such as CLAIR" });
  search.addEventListener("input", () => { state.name = search.value; update(); });
  $("filters").append(el("label", {}, "method contains", search));
  for (const form of document.querySelectorAll("main form")) form.addEventListener("submit", (event) => event.preventDefault());
  for (const name of ["paper", "table"]) choice($("papers"), name, name, updatePublished);
  update();
  updatePublished();
  $("count").textContent = `${data.records.value.length.toLocaleString("en")} records in ${rows.length.toLocaleString("en")} rows.`;
  document.querySelector("main").hidden = false;
}

start().catch((error) => { $("count").textContent = `The records cannot be read in this browser (${error.message}): use one of 2023 or later.`; });
