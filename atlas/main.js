"use strict";
// What is done: choosing, searching, the lasso, decisions with keys, and saving.

const KEYS = [
  ["a", "accept the chosen clusters"],
  ["s", "split a cluster at its top branch, or split off the chosen branch"],
  ["m", "merge the chosen clusters"],
  ["g", "grow the chosen cluster, or a new one from one picked photograph"],
  ["c", "make one cluster of the picked photographs"],
  ["n", "mark the picked photographs as noise"],
  ["d", "mark the picked photographs as duplicates of the first, or of its nearest neighbour"],
  ["e", "name the chosen clusters"],
  ["u", "undo"],
  ["x", "save review.csv"],
  ["/", "search"],
  ["l", "lasso"],
  ["t", "thumbnails on or off"],
  ["0 + -", "whole map, zoom in, zoom out"],
  ["arrows", "move in the tree, among the photographs, or on the map"],
  ["space", "add to the choice"],
  ["shift", "with a click: pick all up to here"],
  ["Esc", "choose nothing"],
  ["?", "this list"],
];
const CANDIDATES = 40; // photographs that are offered to a growing cluster

function say(text) {
  document.getElementById("status").textContent = text;
}
const some = (count, what = "photograph") => `${count.toLocaleString("en")} ${what}${count === 1 ? "" : "s"}`;

class App {
  constructor(data) {
    const element = id => document.getElementById(id);
    this.atlas = new Atlas(data);
    this.sprites = new Sprites(data);
    this.colours = new Colours(this.atlas);
    this.keys = new Set(); // chosen nodes of the tree
    this.chosen = null; // Set of rows, or null for all
    this.groups = []; // what the grid shows: {title, about, rows, k}
    this.picked = new Set(); // photographs that decisions are about, in the order they were picked
    this.current = -1; // whose details are shown
    this.growing = null;
    this.log = []; // decisions as they were made, kept in the browser until they are saved
    this.storage = `atlas ${data.dataset} ${data.fingerprint}`;
    element("title").textContent = data.title;
    for (const [value, text] of this.colours.modes) element("colour").append(make("option", {value}, text));
    this._restore();
    this.tree = new TreeView(this);
    this.grid = new GridView(this);
    this.map = new MapView(this);
    this._actions();
    this._listen();
    this.tree.build();
    this.all();
    const clusters = this.atlas.clusters.filter(one => one.root >= 0).length;
    say(`${some(this.atlas.n)} in ${some(clusters, "cluster")}. Press ? for the keys.`);
  }

  // ---- choosing

  all() {
    this.keys.clear();
    this.picked.clear();
    this.growing = null;
    this.chosen = null;
    this._group([...this.atlas.clusters.keys()]);
    this._refresh();
  }

  chooseKey(key, add) {
    this.growing = null;
    if (add && this.keys.has(key)) this.keys.delete(key);
    else if (add) this.keys.add(key);
    else this.keys = new Set([key]);
    if (!this.keys.size) return this.all();
    this.picked.clear();
    const rows = [...this.keys].flatMap(one => this.tree.rows(one));
    this.chosen = new Set(rows);
    const branches = [...this.keys].filter(one => one[0] === "b");
    this._group([...new Set([...this.keys].filter(one => one[0] !== "b").flatMap(one => this.tree.clustersOf(one)))]);
    for (const branch of branches) {
      const [k] = this.tree.clustersOf(branch),
        inside = this.tree.rows(branch);
      this.groups.push({
        title: `branch of ${this.atlas.title(k)}`,
        about: some(inside.length),
        rows: this.atlas.ordered(inside),
      });
    }
    if (key[0] === "c" || key[0] === "b") this.tree.reveal(this.tree.clustersOf(key)[0]);
    this.current = this.groups[0]?.rows[0] ?? -1;
    this._refresh();
    this.map.show(rows);
    say(`${some(rows.length)} chosen`);
  }
  chooseClusters(ks) {
    this.keys = new Set(ks.slice(0, -1).map(k => `c${k}`));
    if (ks.length) this.chooseKey(`c${ks.at(-1)}`, true);
    else this.all();
  }

  chooseRows(rows, how, pick) {
    this.growing = null;
    this.keys.clear();
    if (!rows.length) {
      say(`${how}: nothing found`);
      return;
    }
    this.chosen = new Set(rows);
    this.picked = new Set(pick ? rows : []);
    const byCluster = new Map();
    for (const row of rows) {
      const k = this.atlas.cluster[row];
      if (!byCluster.has(k)) byCluster.set(k, []);
      byCluster.get(k).push(row);
    }
    this.groups = [...byCluster]
      .sort((a, b) => b[1].length - a[1].length)
      .map(([k, inside]) => ({
        ...this._about(k, inside),
        rows: this.atlas.ordered(inside),
      }));
    this.current = this.groups[0].rows[0];
    if (byCluster.size === 1 && !byCluster.has(-1)) this.tree.reveal([...byCluster.keys()][0]);
    this._refresh();
    say(`${how}: ${some(rows.length)} of ${some(byCluster.size, "cluster")}`);
  }

  _group(ks) {
    this.groups = ks
      .filter(k => this.atlas.clusters[k]?.root >= 0)
      .map(k => {
        const atlas = this.atlas;
        return {
          ...this._about(k, null),
          get rows() {
            return (this.ordered ??= atlas.ordered(atlas.members(k)));
          },
        };
      });
  }
  _about(k, inside) {
    if (k < 0) return {title: "noise", about: some(inside.length)};
    const {label, status, name, root} = this.atlas.clusters[k],
      size = this.atlas.size(root),
      trust = this.atlas.trustOf(k);
    const count = inside && inside.length < size ? `${inside.length} of ${some(size)}` : some(size);
    const parts = [name ? label : "", count, Number.isNaN(trust) ? "" : `trust ${trust.toFixed(2)}`, status];
    return {title: this.atlas.title(k), about: parts.filter(Boolean).join(" · "), k};
  }

  _refresh() {
    this.grid.limit = 240;
    this.tree.select();
    this.grid.build();
    this.map.recolour();
    this._legend();
    this.detail();
    this._enable();
  }

  // ---- photographs

  describe(row) {
    const {atlas} = this,
      k = atlas.cluster[row];
    const given = ["family", "genus", "species"]
      .map(rank => atlas.nameOf(rank, row))
      .filter(Boolean)
      .join(" › ");
    const name = k >= 0 && atlas.clusters[k].name,
      decision = atlas.decisionOf(row);
    return [
      atlas.data.ids[row],
      given || "no name",
      ...(name ? [`named ${[name.family, name.genus, name.species].filter(Boolean).join(" › ")}`] : []),
      k < 0 ? "in no cluster" : `cluster ${atlas.clusters[k].label}`,
      ...(atlas.trust[row] >= 0 ? [`trust ${atlas.trust[row].toFixed(2)}`] : []),
      ...(atlas.correct[row] >= 0
        ? [atlas.correct[row] ? "of the main species of its cluster" : "of another species than most of its cluster"]
        : []),
      ...(atlas.mark[row] === 2 ? [`duplicate of ${atlas.data.ids[atlas.original[row]]}`] : decision ? [decision] : []),
    ];
  }
  _lines(row) {
    return this.describe(row).map((text, i) => make("p", {}, i ? text : make("b", {}, text)));
  }

  hover(row, {x, y} = {}) {
    const card = document.getElementById("card");
    card.hidden = row < 0;
    if (row < 0) return;
    const near = make("div", {class: "near"}, ...this.atlas.nearest([row], 5).map(one => this.sprites.element(one, 44)));
    card.replaceChildren(this.sprites.element(row, 128), ...this._lines(row), make("p", {}, "nearest neighbours"), near);
    const {clientWidth, clientHeight} = document.getElementById("map");
    card.style.left = `${Math.min(x + 14, Math.max(clientWidth - 270, 0))}px`;
    card.style.top = `${Math.max(Math.min(y + 14, clientHeight - card.offsetHeight - 8), 0)}px`;
  }

  point(row) {
    this.current = row;
    this.detail();
  }

  detail() {
    const box = document.getElementById("detail"),
      {atlas, current} = this;
    if (current < 0 || current >= atlas.n) {
      box.replaceChildren(make("p", {}, "Choose a cluster in the tree, photographs with the lasso, or one on the map."));
      return;
    }
    const path = atlas.data.paths[current]?.split("/").map(encodeURIComponent).join("/"); // barcodes have none
    const link = {href: `../photos/${path}`, target: "_blank", rel: "noopener noreferrer"};
    const near = atlas
      .nearest([current], 6)
      .map(row =>
        make(
          "button",
          {
            "aria-label": `neighbour ${this.describe(row).join(", ")}`,
            title: this.describe(row).join("\n"),
            onclick: () => this.pickOnMap(row),
          },
          this.sprites.element(row, 40),
        ),
      );
    box.replaceChildren(
      this.sprites.element(current, 128, "div", {role: "img", "aria-label": this.describe(current).join(", ")}),
      make(
        "div",
        {},
        ...this._lines(current),
        ...(path ? [make("a", link, "open the photograph")] : []),
        make("div", {class: "near", "aria-label": "nearest neighbours"}, ...near),
      ),
    );
  }

  pickOnMap(row, event = {}) {
    if (row < 0) return;
    if (event.ctrlKey || event.metaKey || event.shiftKey) return this.pick(row, "toggle");
    const k = this.atlas.cluster[row];
    if (k >= 0 && !this.chosen?.has(row)) this.chooseKey(`c${k}`, false);
    this.pick(row, "one");
  }

  pick(row, how) {
    const {order} = this.grid;
    if (how === "range" && this.current >= 0 && order.includes(this.current) && order.includes(row)) {
      const [from, to] = [order.indexOf(this.anchor ?? this.current), order.indexOf(row)].sort((a, b) => a - b);
      for (const one of order.slice(Math.max(from, 0), to + 1))
        if (!this.growing || this.growing.candidates.has(one)) this.picked.add(one);
    } else if (how === "toggle" || this.growing) {
      this.picked.has(row) ? this.picked.delete(row) : this.picked.add(row);
      this.anchor = row;
    } else {
      this.picked = new Set([row]);
      this.anchor = row;
    }
    this.current = row;
    this.grid.marks();
    this.map.layers();
    this.detail();
    this._enable();
  }

  // ---- decisions

  targets() {
    // the clusters that a decision is about
    const {atlas} = this;
    if (this.keys.size)
      return [...new Set([...this.keys].flatMap(key => this.tree.clustersOf(key)))].filter(k => atlas.clusters[k]?.root >= 0);
    const rows = this.picked.size ? [...this.picked] : this.current >= 0 ? [this.current] : [];
    return [...new Set(rows.map(row => atlas.cluster[row]))].filter(k => k >= 0);
  }

  // Carry out a decision of the Atlas, and keep it in the browser.
  decide(what, ...values) {
    const found = this.atlas[what](...values);
    this.log.push([what, ...values]);
    this._keep();
    return found;
  }
  _keep() {
    this.unsaved = true;
    try {
      localStorage.setItem(this.storage, JSON.stringify(this.log));
    } catch {
      /* no room, or forbidden: review.csv can be saved all the same */
    }
  }
  _restore() {
    try {
      for (const [what, ...values] of JSON.parse(localStorage.getItem(this.storage) ?? "[]")) {
        if (!["accept", "split", "merge", "grow", "gather", "noise", "duplicate", "name", "undo"].includes(what))
          throw new Error("unknown decision");
        this.atlas[what](...values);
        this.log.push([what, ...values]);
      }
      this.unsaved = this.log.length > 0;
    } catch {
      this.log = [];
    }
  }

  accept() {
    const ks = this.targets();
    this.decide("accept", ks);
    this._decided(`accepted ${some(ks.length, "cluster")}`);
    // on to the next cluster that is not decided
    const open = this.atlas.clusters
      .map((one, k) => k)
      .filter(k => this.atlas.clusters[k].root >= 0 && !this.atlas.clusters[k].status);
    const next = open.find(k => k > Math.max(...ks)) ?? open[0];
    if (this.keys.size && next !== undefined) {
      this.chooseClusters([next]);
      say(`accepted ${some(ks.length, "cluster")}; next is ${this.atlas.title(next)}`);
    }
  }
  split() {
    const [k] = this.targets(),
      [key] = this.keys;
    const branch = this.keys.size === 1 && key[0] === "b" ? Number(key.split(":")[1]) : undefined;
    const made = branch === undefined ? this.decide("split", k) : this.decide("split", k, branch);
    this._decided(made === null ? "a single photograph cannot be split" : "split in two", made === null ? null : [k, made]);
  }
  merge() {
    const ks = this.targets(),
      made = this.decide("merge", ks);
    this._decided(`merged ${some(ks.length, "cluster")}`, [made]);
  }
  grow() {
    if (this.growing) {
      const rows = [...this.picked],
        {k, seed} = this.growing;
      if (!rows.length) return say("pick photographs that belong to the cluster, then press Enter");
      const made = k >= 0 ? this.decide("grow", k, rows) : this.decide("gather", [seed, ...rows]);
      this._decided(`added ${some(rows.length)}`, [made]);
      this.startGrowing(made, -1);
      return;
    }
    const single = this.picked.size === 1 && !this.keys.size ? [...this.picked][0] : -1;
    this.startGrowing(single >= 0 ? -1 : this.targets()[0], single);
  }
  startGrowing(k, seed) {
    const {atlas} = this,
      rows = k >= 0 ? atlas.members(k) : [seed];
    const candidates = atlas.nearest(rows, CANDIDATES);
    this.growing = {k, seed, candidates: new Set(candidates)};
    this.picked.clear();
    this.groups = [
      {title: k >= 0 ? atlas.title(k) : atlas.data.ids[seed], about: some(rows.length), rows: atlas.ordered(rows).slice(0, 16)},
      {
        title: "nearest photographs outside",
        about: "pick those that belong (shift: all up to here), then press Enter; Esc ends",
        rows: candidates,
      },
    ];
    this.chosen = new Set([...rows, ...candidates]);
    this._refresh();
    this.grid.root.querySelectorAll(".tiles")[1]?.querySelector(".tile")?.focus();
    say(`${some(candidates.length)} offered`);
  }
  gather() {
    const made = this.decide("gather", [...this.picked]);
    if (made === null) return say("photographs without a cluster cannot start one");
    this._decided(`a new cluster of ${some(this.picked.size)}`, [made]);
  }
  noise() {
    const rows = [...this.picked];
    this.decide("noise", rows);
    this._decided(`${some(rows.length)} marked as noise`);
  }
  duplicate() {
    const rows = [...this.picked];
    const [first, ...others] = rows,
      original = others.length ? first : this.atlas.nearest(rows, 1)[0];
    const done = this.decide("duplicate", others.length ? others : rows, original);
    this._decided(
      done === null
        ? "nothing to mark"
        : `marked as ${others.length > 1 ? "duplicates" : "a duplicate"} of ${this.atlas.data.ids[original]}`,
    );
  }
  undo() {
    const what = this.decide("undo");
    if (!what) return say("nothing to undo");
    this._decided(`undone: ${what}`);
  }

  name() {
    const dialog = document.getElementById("names"),
      ks = this.targets();
    const given = this.atlas.clusters[ks[0]].name ?? {family: "", genus: "", species: ""};
    const inputs = Object.fromEntries(
      ["species", "genus", "family"].map(rank => [rank, document.getElementById(`name-${rank}`)]),
    );
    for (const [rank, input] of Object.entries(inputs)) {
      input.value = given[rank];
      const known = new Set([
        ...this.atlas.data.names[rank],
        ...this.atlas.clusters.map(one => one.name?.[rank]).filter(Boolean),
      ]);
      document
        .getElementById(`list-${rank}`)
        .replaceChildren(...[...known].slice(0, 3000).map(value => make("option", {value})));
    }
    const fill = () => {
      const typed = {
        species: inputs.species.value.trim(),
        genus: inputs.genus.value.trim(),
        family: inputs.family.value.trim(),
      };
      const found = this.atlas.withParents({species: typed.species, genus: typed.genus, family: typed.family});
      const family = found.family || this.atlas.nameOf("family", this.atlas.members(ks[0])[0]);
      return typed.species || typed.genus || typed.family ? {...found, family} : found;
    };
    const update = () => {
      const {family, genus} = fill();
      inputs.genus.placeholder = genus;
      inputs.family.placeholder = family;
    };
    for (const input of Object.values(inputs)) input.oninput = update;
    update();
    const photographs = ks.reduce((sum, k) => sum + this.atlas.members(k).length, 0);
    const note = `${some(ks.length, "cluster")}, ${some(photographs)}; empty parents are filled in`;
    document.getElementById("name-note").textContent = note;
    document.getElementById("name-cancel").onclick = () => dialog.close("cancel");
    dialog.returnValue = "";
    dialog.onclose = () => {
      if (dialog.returnValue !== "ok") return;
      const name = fill();
      this.decide("name", ks, name);
      this._decided(`named ${name.species || name.genus || name.family || "nothing"}`, ks);
    };
    dialog.showModal();
    inputs.species.focus();
  }

  save() {
    const blob = new Blob([this.atlas.csv()], {type: "text/csv;charset=utf-8"});
    const link = make("a", {href: URL.createObjectURL(blob), download: "review.csv"});
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    this.unsaved = false;
    say(`saved ${some(this.atlas.decided(), "decision")}; next: make all DATASET=${this.atlas.data.dataset} REVIEW=review.csv`);
  }

  _decided(text, ks = null) {
    this.growing = null;
    this.tree.build();
    if (ks) this.chooseClusters(ks);
    else if (this.keys.size) {
      const keys = [...this.keys].filter(key => key[0] !== "b" && this.tree.rows(key).length);
      this.keys = new Set(keys.slice(0, -1));
      keys.length ? this.chooseKey(keys.at(-1), true) : this.all();
    } else {
      const rows = this.chosen ? [...this.chosen] : null;
      rows ? this.chooseRows(rows, text, false) : this.all();
    }
    say(text);
  }

  // ---- wiring

  _actions() {
    const list = [
      ["accept", "a"],
      ["split", "s"],
      ["merge", "m"],
      ["grow", "g"],
      ["name", "e"],
      ["gather", "c"],
      ["noise", "n"],
      ["duplicate", "d"],
    ];
    const titles = {gather: "new cluster"};
    const about = Object.fromEntries(KEYS);
    document
      .getElementById("actions")
      .replaceChildren(
        ...list.map(([what, key]) =>
          make(
            "button",
            {id: `do-${what}`, title: `${about[key]} (${key})`, "aria-keyshortcuts": key, onclick: () => this[what]()},
            titles[what] ?? what,
          ),
        ),
      );
    this.shortcuts = new Map(list.map(([what, key]) => [key, what]));
  }
  _enable() {
    const ks = this.targets(),
      picked = this.picked.size;
    const able = {
      accept: ks.length > 0,
      split: ks.length === 1,
      merge: ks.length > 1,
      name: ks.length > 0,
      grow: this.growing ? picked > 0 : ks.length === 1 || picked === 1,
      gather: picked > 0 && !this.growing,
      noise: picked > 0 && !this.growing,
      duplicate: picked > 0 && !this.growing,
    };
    for (const [what, enabled] of Object.entries(able)) document.getElementById(`do-${what}`).disabled = !enabled;
    document.getElementById("do-grow").textContent = this.growing ? `add ${picked}` : "grow";
    document.getElementById("undo").disabled = !this.atlas.history.length;
    const decided = this.atlas.decided();
    document.getElementById("progress").textContent =
      `${decided.toLocaleString("en")} of ${this.atlas.n.toLocaleString("en")} decided`;
  }
  _legend() {
    document.getElementById("legend").replaceChildren(
      ...this.map.colour.legend.map(({text, colour}) => {
        const swatch = make("span", {class: "swatch"});
        swatch.style.background = `rgb(${colour})`;
        return make("div", {}, swatch, make("span", {}, text));
      }),
    );
  }

  recolour(mode) {
    this.colours.mode = mode;
    this.map.recolour();
    this._legend();
  }

  search(text) {
    const wanted = text.trim().toLowerCase(),
      {atlas} = this;
    if (!wanted) return this.all();
    const rows = [];
    for (let row = 0; row < atlas.n; row++) {
      const k = atlas.cluster[row],
        name = k >= 0 ? atlas.clusters[k].name : null;
      const texts = [
        atlas.data.ids[row],
        k < 0 ? "noise" : atlas.clusters[k].label,
        ...["family", "genus", "species"].map(rank => atlas.nameOf(rank, row)),
        ...(name ? Object.values(name) : []),
      ];
      if (texts.some(one => one.toLowerCase().includes(wanted))) rows.push(row);
    }
    this.chooseRows(rows, `“${text.trim()}”`, false);
    if (rows.length) this.map.show(rows);
  }

  lasso(on = !this.lassoing) {
    this.lassoing = on;
    document.getElementById("lasso").setAttribute("aria-pressed", String(on));
    document.getElementById("map").classList.toggle("lasso", on);
    document.getElementById("loop").style.pointerEvents = on ? "auto" : "none";
    if (on) say("draw around photographs on the map");
  }
  _drawLoop() {
    const loop = document.getElementById("loop"),
      polygon = loop.firstElementChild;
    let points = null;
    const at = event => {
      const box = loop.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    loop.addEventListener("pointerdown", event => {
      points = [at(event)];
      loop.setPointerCapture(event.pointerId);
    });
    loop.addEventListener("pointermove", event => {
      if (!points) return;
      const passed = event.getCoalescedEvents(); // a slow browser reports several movements at once
      points.push(...(passed.length ? passed : [event]).map(at));
      polygon.setAttribute("points", points.map(point => point.join(",")).join(" "));
    });
    loop.addEventListener("pointerup", () => {
      const rows = points?.length > 2 ? this.map.inside(points) : [];
      points = null;
      polygon.setAttribute("points", "");
      this.lasso(false);
      this.chooseRows(rows, "lasso", true);
    });
  }

  tab(view) {
    document.querySelector("main").dataset.view = view;
    for (const button of document.querySelectorAll("#tabs button"))
      button.setAttribute("aria-current", String(button.dataset.view === view));
    if (view === "map") this.map.fit();
  }

  _listen() {
    const on = (id, what, act) => document.getElementById(id).addEventListener(what, act);
    on("colour", "change", event => this.recolour(event.target.value));
    on("search", "keydown", event => {
      if (event.key === "Enter") this.search(event.target.value);
    });
    on("search", "search", event => {
      if (!event.target.value) this.all();
    });
    on("lasso", "click", () => this.lasso());
    on("thumbs", "click", () => this.thumbs());
    on("undo", "click", () => this.undo());
    on("export", "click", () => this.save());
    on("help", "click", () => this.help());
    on("zoom-in", "click", () => this.map.zoom(0.7));
    on("zoom-out", "click", () => this.map.zoom(-0.7));
    on("fit", "click", () => this.map.fit());
    document
      .querySelectorAll("#tabs button")
      .forEach(button => button.addEventListener("click", () => this.tab(button.dataset.view)));
    document.addEventListener("keydown", event => this._key(event));
    addEventListener("beforeunload", event => {
      if (this.unsaved) event.preventDefault();
    });
    this._drawLoop();
  }
  thumbs() {
    this.map.thumbsOn = !this.map.thumbsOn;
    document.getElementById("thumbs").setAttribute("aria-pressed", String(this.map.thumbsOn));
    this.map.layers();
  }
  help() {
    const rows = KEYS.map(([key, text]) => make("tr", {}, make("td", {}, make("kbd", {}, key)), make("td", {}, text)));
    document.querySelector("#keys table").replaceChildren(...rows);
    document.getElementById("keys").showModal();
  }
  _key(event) {
    if (event.target.closest("input, select, dialog") || event.altKey) return;
    if (event.ctrlKey || event.metaKey) {
      if (event.key === "z") {
        event.preventDefault();
        this.undo();
      }
      return;
    }
    const what = this.shortcuts.get(event.key);
    const others = {
      u: () => this.undo(),
      x: () => this.save(),
      l: () => this.lasso(),
      t: () => this.thumbs(),
      "?": () => this.help(),
      0: () => this.map.fit(),
      "/": () => document.getElementById("search").focus(),
      "+": () => this.map.zoom(0.7),
      "-": () => this.map.zoom(-0.7),
      Escape: () => {
        this.lasso(false);
        this.all();
      },
    };
    if (what) {
      if (!document.getElementById(`do-${what}`).disabled) this[what]();
    } else if (event.key === "Enter" && this.growing && !event.target.closest("button:not(.tile)")) this.grow();
    else if (others[event.key]) others[event.key]();
    else return;
    event.preventDefault();
  }
}

globalThis.app = new App(JSON.parse(document.getElementById("data").textContent));
