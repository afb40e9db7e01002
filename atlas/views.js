"use strict";
// What is drawn: colours, thumbnails, the map, the tree, and the photographs. Texts of the dataset are only ever textContent.

const OKABE = [
  [0, 114, 178],
  [230, 159, 0],
  [0, 158, 115],
  [213, 94, 0],
  [86, 180, 233],
  [204, 121, 167],
  [240, 228, 66],
  [60, 60, 60],
];
const GREY = [170, 174, 178];
const RIGHT = [
  [213, 94, 0],
  [0, 114, 178],
]; // wrong, right
const CIVIDIS = [
  [0, 34, 78],
  [54, 63, 108],
  [106, 105, 112],
  [158, 147, 113],
  [208, 190, 92],
  [254, 232, 56],
];

function make(tag, attributes = {}, ...content) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") element.className = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...content);
  return element;
}

// ---- colours

function scale(value) {
  // a number from 0 to 1 as a colour of the map cividis
  const at = Math.min(Math.max(value, 0), 1) * (CIVIDIS.length - 1),
    i = Math.min(Math.floor(at), CIVIDIS.length - 2);
  return CIVIDIS[i].map((low, c) => Math.round(low + (CIVIDIS[i + 1][c] - low) * (at - i)));
}

// Distinct colours for the first eight; then hues that go on repeating, because no eye tells hundreds of colours apart.
function category(number) {
  if (number < OKABE.length) return OKABE[number];
  const hue = (number * 137.508) % 360,
    light = 0.38 + (0.24 * (number % 3)) / 2,
    chroma = 0.55 * Math.min(light, 1 - light);
  return [0, 8, 4].map(k => {
    const at = (k + hue / 30) % 12;
    return Math.round(255 * (light - chroma * Math.max(-1, Math.min(at - 3, 9 - at, 1))));
  });
}

class Colours {
  constructor(atlas) {
    this.atlas = atlas;
    this.modes = ["family", "genus", "species"].filter(rank => atlas.data.names[rank].length).map(rank => [rank, rank]);
    this.modes.push(["cluster", "species cluster"]);
    if (atlas.trust.some(value => value >= 0)) this.modes.push(["trust", "trust"]);
    if (atlas.correct.some(value => value >= 0)) this.modes.push(["right", "right or wrong"]);
    this.modes.push(["decision", "decision"]);
    this.mode = this.modes[0][0];
  }

  // The largest groups have the distinct colours. {text, colour} for the legend, and a function row -> [r, g, b].
  now() {
    const {atlas, mode} = this;
    if (mode === "trust") {
      const legend = [1, 0.75, 0.5, 0.25, 0].map(value => ({text: value.toFixed(2), colour: scale(value)}));
      return {legend, of: row => (atlas.trust[row] < 0 ? GREY : scale(atlas.trust[row]))};
    }
    if (mode === "right") {
      const legend = [
        {text: "the main species of its cluster", colour: RIGHT[1]},
        {text: "another species", colour: RIGHT[0]},
        {text: "no name", colour: GREY},
      ];
      return {legend, of: row => RIGHT[atlas.correct[row]] ?? GREY};
    }
    const kinds = ["accepted", "edited", "noise", "duplicate"];
    if (mode === "decision") {
      const colours = [OKABE[2], OKABE[0], OKABE[7], OKABE[5]];
      const legend = kinds.map((text, i) => ({text, colour: colours[i]})).concat({text: "not decided", colour: GREY});
      return {legend, of: row => colours[kinds.indexOf(atlas.decisionOf(row))] ?? GREY};
    }
    const code = mode === "cluster" ? row => atlas.cluster[row] : row => atlas[mode][row];
    const counts = new Map();
    for (let row = 0; row < atlas.n; row++) if (code(row) >= 0) counts.set(code(row), (counts.get(code(row)) ?? 0) + 1);
    const order = [...counts.keys()].sort((a, b) => counts.get(b) - counts.get(a) || a - b);
    const place = new Map(order.map((one, i) => [one, i]));
    const text = one => (mode === "cluster" ? atlas.title(one) : atlas.data.names[mode][one]);
    const legend = order.slice(0, 8).map((one, i) => ({text: `${text(one)} (${counts.get(one)})`, colour: category(i)}));
    if (order.length > 8) legend.push({text: `${order.length - 8} more, colours repeat`, colour: GREY});
    return {legend, of: row => (code(row) < 0 ? GREY : category(place.get(code(row))))};
  }
}

// ---- thumbnails

const waiting = new Map(); // pages beside the file that were asked for
globalThis.atlasPage = (number, text) => waiting.get(number)?.(text);

class Sprites {
  constructor(data) {
    Object.assign(this, data.thumbnails);
    this.perLine = Math.floor(this.side / this.cell);
    this.perPage = this.perLine ** 2;
    this.blobs = new Map();
    this.urls = new Map();
    this.bitmaps = new Map(); // decoded pages take 16 MB each, so only a few are kept
    this.most = innerWidth < 800 ? 6 : 12;
  }
  page(row) {
    return Math.floor(row / this.perPage);
  }
  place(row) {
    const slot = row % this.perPage;
    return {x: (slot % this.perLine) * this.cell, y: Math.floor(slot / this.perLine) * this.cell};
  }

  blob(page) {
    if (!this.blobs.has(page)) {
      const element = document.getElementById(`page-${page}`);
      const text = element
        ? Promise.resolve(element.textContent)
        : new Promise((resolve, reject) => {
            waiting.set(page, resolve);
            const script = make("script", {src: `${this.beside}${page}.js`});
            script.onerror = () => reject(new Error(`${this.beside}${page}.js is missing: it belongs beside this file`));
            document.head.append(script);
          });
      this.blobs.set(
        page,
        text.then(one => {
          element?.remove();
          return new Blob([bytesOf(one)], {type: "image/webp"});
        }),
      );
    }
    return this.blobs.get(page);
  }

  async bitmap(page, done) {
    // calls done when a page is decoded that was not
    if (this.bitmaps.has(page)) return;
    this.bitmaps.set(page, null);
    try {
      this.bitmaps.set(page, await createImageBitmap(await this.blob(page)));
      done();
    } catch (error) {
      say(error.message);
    }
  }
  ready(page) {
    const bitmap = this.bitmaps.get(page);
    if (bitmap) {
      this.bitmaps.delete(page);
      this.bitmaps.set(page, bitmap);
    } // the last one used is dropped last
    return bitmap;
  }
  forget(needed) {
    for (const [page, bitmap] of this.bitmaps) {
      if (this.bitmaps.size <= this.most) return;
      if (bitmap && !needed.has(page)) {
        this.bitmaps.delete(page);
        bitmap.close();
      }
    }
  }

  // An element that shows one thumbnail.
  element(row, size, tag = "div", attributes = {}) {
    const element = make(tag, {...attributes, class: `sprite ${attributes.class ?? ""}`});
    const page = this.page(row),
      {x, y} = this.place(row),
      factor = size / this.cell;
    Object.assign(element.style, {width: `${size}px`, height: `${size}px`});
    const show = url =>
      Object.assign(element.style, {
        backgroundImage: `url(${url})`,
        backgroundPosition: `${-x * factor}px ${-y * factor}px`,
        backgroundSize: `${this.side * factor}px ${this.side * factor}px`,
      });
    if (!this.urls.has(page))
      this.urls.set(
        page,
        this.blob(page).then(blob => URL.createObjectURL(blob)),
      );
    this.urls.get(page).then(show, error => say(error.message));
    return element;
  }
}

// ---- map

const THUMB = 48; // pixels on the screen
const ROOM = 3; // a thumbnail may cover so many photographs
const SLOTS = 16; // of the sheet of thumbnails on the graphics card, in a line
const MOST = 200; // thumbnails at a time, fewer than there are slots

class MapView {
  constructor(app) {
    this.app = app;
    const {atlas} = app;
    this.positions = new Float32Array(3 * atlas.n);
    for (let row = 0; row < atlas.n; row++) this.positions.set([atlas.xy[2 * row], atlas.xy[2 * row + 1], 0], 3 * row);
    this.fill = new Uint8Array(4 * atlas.n);
    this.thumbsOn = true;
    this.square = new OffscreenCanvas(8, 8);
    const context = this.square.getContext("2d");
    context.fillStyle = "#fff";
    context.fillRect(0, 0, 8, 8);
    const side = devicePixelRatio > 1 ? 96 : 64;
    this.sheet = new OffscreenCanvas(SLOTS * side, SLOTS * side);
    this.slots = new Map(); // row: its slot, the one used last at the end
    this.mapping = {};
    for (let slot = 0; slot < SLOTS ** 2; slot++) {
      const [x, y] = [(slot % SLOTS) * side, Math.floor(slot / SLOTS) * side];
      this.mapping[slot] = {x, y, width: side, height: side, mask: false};
    }
    this.whole = this._whole();
    this.view = this.whole;
    this.deck = new deck.Deck({
      parent: document.getElementById("canvas"),
      views: new deck.OrthographicView({id: "map", flipY: false}),
      viewState: this.whole,
      controller: {inertia: false, keyboard: true, doubleClickZoom: true},
      getCursor: ({isHovering}) => (isHovering ? "pointer" : "grab"),
      onViewStateChange: ({viewState}) => this.go(viewState),
      onResize: () => this._later(),
      onHover: info => app.hover(this._rowAt(info), info),
      onClick: (info, event) => app.pickOnMap(this._rowAt(info), event.srcEvent),
      onError: error => say(`the map cannot be drawn: ${error.message}`),
      onAfterRender: () => {
        this.frames = (this.frames ?? 0) + 1;
        if (this.colour) this.first ??= performance.now(); // when the dots were first drawn
      },
      pickingRadius: 6,
      deviceProps: {type: "webgl", webgl: {antialias: false}}, // dots have smooth edges of their own, thumbnails are upright
      layers: [],
    });
    new ResizeObserver(() => this._resized()).observe(document.getElementById("canvas"));
  }

  _size() {
    const {clientWidth, clientHeight} = document.getElementById("canvas");
    return [Math.max(clientWidth, 100), Math.max(clientHeight, 100)];
  }
  _whole() {
    const zoom = Math.log2(Math.min(...this._size()) / 1080);
    return {target: [0, 0, 0], zoom, minZoom: zoom - 1, maxZoom: 12};
  }
  _resized() {
    if (this.view === this.whole) this.fit();
    else this._later();
  }
  _rowAt({index, layer}) {
    if (index < 0 || !layer) return -1;
    return layer.id === "dots" ? (this.drawn.rows?.[index] ?? index) : (layer.props.data[index]?.row ?? -1);
  }
  _later() {
    if (this.planned) return;
    this.planned = true;
    setTimeout(() => {
      this.planned = false;
      this.layers();
    }, 80); // thumbnails need not be chosen anew for every frame
  }

  go(view) {
    this.view = view;
    this.deck.setProps({viewState: view});
    this._later();
  }
  fit() {
    this.whole = this._whole();
    this.go(this.whole);
  }
  zoom(steps) {
    this.go({...this.view, zoom: Math.min(Math.max(this.view.zoom + steps, this.view.minZoom), this.view.maxZoom)});
  }

  // Move to some photographs; a few far away ones do not count.
  show(rows) {
    if (!rows.length) return;
    const bounds = [0, 1].map(axis => {
      const values = Float32Array.from(rows, row => this.app.atlas.xy[2 * row + axis]).sort();
      return [values[Math.floor(0.02 * (values.length - 1))], values[Math.ceil(0.98 * (values.length - 1))]];
    });
    const [width, height] = this._size();
    const spans = bounds.map(([low, high]) => Math.max(high - low, 4));
    const zoom = Math.min(Math.log2((0.7 * width) / spans[0]), Math.log2((0.7 * height) / spans[1]), 5);
    this.go({
      ...this.whole,
      target: [...bounds.map(([low, high]) => (low + high) / 2), 0],
      zoom: Math.max(zoom, this.whole.zoom),
    });
  }

  recolour() {
    const {atlas, colours, chosen} = this.app;
    this.colour = colours.now();
    for (let row = 0; row < atlas.n; row++) {
      const faint = chosen && !chosen.has(row);
      this.fill.set(faint ? [200, 203, 206, 90] : [...this.colour.of(row), 235], 4 * row);
    }
    this.dots = {
      // a new object: deck.gl takes the same one for unchanged data
      length: atlas.n,
      attributes: {getPosition: {value: this.positions, size: 3}, getFillColor: {value: this.fill, size: 4, normalized: true}},
    };
    this.coloured = (this.coloured ?? 0) + 1;
    this.layers();
  }

  bounds() {
    const [width, height] = this._size(),
      unit = 2 ** this.view.zoom,
      [x, y] = this.view.target;
    return [x - width / 2 / unit, y - height / 2 / unit, x + width / 2 / unit, y + height / 2 / unit];
  }
  toScreen(row) {
    const [width, height] = this._size(),
      unit = 2 ** this.view.zoom,
      [x, y] = this.view.target;
    return [(this.app.atlas.xy[2 * row] - x) * unit + width / 2, height / 2 - (this.app.atlas.xy[2 * row + 1] - y) * unit];
  }
  toMap([left, top]) {
    const [width, height] = this._size(),
      unit = 2 ** this.view.zoom,
      [x, y] = this.view.target;
    return [x + (left - width / 2) / unit, y + (height / 2 - top) / unit];
  }

  // Rows that are drawn as thumbnails. The map is divided into squares of the size of a thumbnail, which stay in place
  // while one pans. A square with few photographs shows the first of them, unless it would cover a neighbour. If some
  // photographs are chosen, only these count.
  withRoom() {
    if (!this.thumbsOn) return [];
    const {atlas, chosen} = this.app,
      [left, low, right, high] = this.bounds();
    const side = THUMB / 2 ** (Math.floor(2 * this.view.zoom) / 2),
      apart = THUMB / 2 ** this.view.zoom;
    const squares = new Map(),
      key = (x, y) => Math.floor(x / side) * 100003 + Math.floor(y / side);
    for (let row = 0; row < atlas.n; row++) {
      const x = atlas.xy[2 * row],
        y = atlas.xy[2 * row + 1];
      if (x < left || x > right || y < low || y > high || (chosen && !chosen.has(row))) continue;
      const square = squares.get(key(x, y));
      if (square) square.count++;
      else squares.set(key(x, y), {count: 1, row});
    }
    const rows = [],
      taken = new Map();
    const free = (x, y) =>
      [-side, 0, side].every(dx =>
        [-side, 0, side].every(dy => {
          const other = taken.get(key(x + dx, y + dy));
          return (
            other === undefined || Math.abs(atlas.xy[2 * other] - x) >= apart || Math.abs(atlas.xy[2 * other + 1] - y) >= apart
          );
        }),
      );
    for (const {count, row} of squares.values()) {
      const x = atlas.xy[2 * row],
        y = atlas.xy[2 * row + 1];
      if (count > ROOM || rows.length === MOST || !free(x, y)) continue;
      taken.set(key(x, y), row);
      rows.push(row);
    }
    return rows;
  }

  // Dots that are drawn: all, or those near the view where they are the smaller part. {data, rows: numbers or null}
  _dots() {
    const {atlas} = this.app;
    const [left, low, right, high] = this.bounds();
    const {box, coloured} = this.drawn ?? {};
    const inside = box && left >= box[0] && low >= box[1] && right <= box[2] && high <= box[3];
    if (inside && coloured === this.coloured && box[2] - box[0] < 6 * (right - left)) return this.drawn;
    const margins = [(right - left) / 2, (high - low) / 2];
    const wider = [left - margins[0], low - margins[1], right + margins[0], high + margins[1]];
    let rows = [];
    for (let row = 0; row < atlas.n; row++) {
      const x = atlas.xy[2 * row];
      const y = atlas.xy[2 * row + 1];
      if (x >= wider[0] && y >= wider[1] && x <= wider[2] && y <= wider[3]) rows.push(row);
    }
    if (2 * rows.length > atlas.n) rows = null;
    const some = (values, size) => {
      const part = new values.constructor(size * rows.length);
      rows.forEach((row, i) => part.set(values.subarray(size * row, size * row + size), size * i));
      return {value: part, size, normalized: size === 4};
    };
    const data = rows
      ? {length: rows.length, attributes: {getPosition: some(this.positions, 3), getFillColor: some(this.fill, 4)}}
      : this.dots;
    this.drawn = {box: wider, coloured: this.coloured, rows, data};
    return this.drawn;
  }

  layers() {
    if (!this.colour) return;
    const {atlas, sprites, picked, current} = this.app;
    const layers = [
      new deck.ScatterplotLayer({
        id: "dots",
        data: this._dots().data,
        radiusUnits: "pixels",
        getRadius: Math.min(
          Math.max(2.2 * 2 ** ((this.view.zoom - this.whole.zoom) / 3) * (2000 / Math.max(atlas.n, 2000)) ** 0.3, 1.4),
          7,
        ),
        pickable: true,
      }),
    ];
    const data = this._placed(this.withRoom()).map(row => ({row, position: [atlas.xy[2 * row], atlas.xy[2 * row + 1]]}));
    this.shown = data.map(one => one.row);
    const size = THUMB - 6;
    if (data.length) {
      const shared = {data, getPosition: one => one.position, sizeUnits: "pixels", pickable: true};
      layers.push(
        new deck.IconLayer({
          ...shared,
          id: "frames",
          iconAtlas: this.square,
          iconMapping: {square: {x: 0, y: 0, width: 8, height: 8, mask: true}},
          getIcon: () => "square",
          getSize: size + 5,
          getColor: one => this.fill.subarray(4 * one.row, 4 * one.row + 4),
          updateTriggers: {getColor: this.coloured},
        }),
        new deck.IconLayer({
          ...shared,
          id: "thumbs",
          iconAtlas: this.texture,
          iconMapping: this.mapping,
          getIcon: one => String(this.slots.get(one.row)),
          getSize: size,
          alphaCutoff: -1,
        }),
      );
    }
    const ringed = [...new Set([...picked, current])]
      .filter(row => row >= 0)
      .map(row => ({row, position: [atlas.xy[2 * row], atlas.xy[2 * row + 1]]}));
    layers.push(
      new deck.ScatterplotLayer({
        id: "ring",
        data: ringed,
        getPosition: one => one.position,
        radiusUnits: "pixels",
        getRadius: 9,
        stroked: true,
        filled: false,
        lineWidthUnits: "pixels",
        getLineWidth: 2.5,
        getLineColor: [0, 0, 0],
      }),
    );
    this.deck.setProps({layers});
  }

  // Those of some rows whose thumbnails are on the sheet that the graphics card has. The sheet has few and small slots, so
  // that a new one is sent quickly; thumbnails come onto it when their page is decoded.
  _placed(rows) {
    const {sprites} = this.app;
    const wanted = new Set(rows);
    const needed = new Set();
    let changed = false;
    const placed = rows.filter(row => {
      const page = sprites.page(row);
      let slot = this.slots.get(row);
      if (slot === undefined) {
        if (needed.size < sprites.most) needed.add(page);
        const bitmap = needed.has(page) && sprites.ready(page);
        if (!bitmap) return false;
        slot = this.slots.size;
        if (slot === SLOTS ** 2) {
          const old = [...this.slots.keys()].find(one => !wanted.has(one)); // the one that was not used for longest
          slot = this.slots.get(old);
          this.slots.delete(old);
        }
        this._paint(slot, row, bitmap);
        changed = true;
      }
      this.slots.delete(row); // to the end, as used last
      this.slots.set(row, slot);
      return true;
    });
    sprites.forget(needed);
    for (const page of needed) sprites.bitmap(page, () => this._later());
    if (changed) {
      this.texture = new OffscreenCanvas(this.sheet.width, this.sheet.height); // deck.gl sends a new object only
      this.texture.getContext("2d").drawImage(this.sheet, 0, 0);
    }
    return placed;
  }

  _paint(slot, row, bitmap) {
    const {sprites} = this.app;
    const {x: left, y: top} = sprites.place(row);
    const {x, y, width} = this.mapping[slot];
    const context = this.sheet.getContext("2d");
    context.clearRect(x, y, width, width);
    context.drawImage(bitmap, left, top, sprites.cell, sprites.cell, x, y, width, width);
  }

  // Rows inside a polygon of points on the screen.
  inside(polygon) {
    const {atlas} = this.app,
      corners = polygon.map(point => this.toMap(point)),
      rows = [];
    for (let row = 0; row < atlas.n; row++) {
      const x = atlas.xy[2 * row],
        y = atlas.xy[2 * row + 1];
      let within = false;
      for (let i = 0, j = corners.length - 1; i < corners.length; j = i++) {
        const [xi, yi] = corners[i],
          [xj, yj] = corners[j];
        if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) within = !within;
      }
      if (within) rows.push(row);
    }
    return rows;
  }
}

// ---- tree: a list that opens; branches are made when their parent opens

class TreeView {
  constructor(app) {
    this.app = app;
    this.root = document.querySelector('[role="tree"]');
    this.open = new Set();
    this.root.addEventListener("click", event => this._click(event));
    this.root.addEventListener("keydown", event => this._key(event));
  }

  // Keys of nodes: "f" + family, "g" + path of the genus, "c" + number of the cluster, "b" + cluster and node of a branch.
  build() {
    const {atlas} = this.app,
      families = new Map();
    atlas.clusters.forEach((cluster, k) => {
      if (cluster.root < 0) return;
      const {family, genus} = atlas.pathOf(k);
      if (!families.has(family)) families.set(family, new Map());
      if (!families.get(family).has(genus)) families.get(family).set(genus, []);
      families.get(family).get(genus).push(k);
    });
    this.families = families;
    const focused = this.root.contains(document.activeElement) && document.activeElement.dataset.key;
    this.root.replaceChildren(...[...families].map(([family, genera]) => this._family(family, genera)));
    this.select();
    if (focused) this.find(focused)?.focus();
  }

  find(key) {
    return [...this.root.querySelectorAll("[data-key]")].find(item => item.dataset.key === key);
  }

  _item(key, level, text, count, {inner, trust = NaN, mark = "", touched = false} = {}) {
    const open = this.open.has(key);
    const node = make(
      "div",
      {class: "node"},
      make("span", {class: "twist", "aria-hidden": true}, inner ? (open ? "▾" : "▸") : ""),
      make("span", {class: "label"}, text),
      make("span", {class: "mark"}, mark),
      make("span", {class: "count"}, String(count)),
    );
    if (!Number.isNaN(trust)) {
      const bar = make("span", {class: "bar", title: `trust ${trust.toFixed(2)}`}, make("i"));
      bar.firstChild.style.width = `${100 * trust}%`;
      node.append(bar);
    }
    const trusted = Number.isNaN(trust) ? "" : `, trust ${trust.toFixed(2)}`;
    const about = `${text}, ${count} photographs${trusted}${mark ? ", decided" : ""}`;
    const item = make(
      "li",
      {
        role: "treeitem",
        tabindex: -1,
        "aria-level": level,
        "aria-label": about,
        class: touched ? "touched" : false,
        "aria-expanded": inner ? String(open) : false,
      },
      node,
    );
    item.dataset.key = key;
    if (inner && open) item.append(make("ul", {role: "group"}, ...inner()));
    return item;
  }

  _family(family, genera) {
    const {atlas} = this.app,
      ks = [...genera.values()].flat();
    const count = ks.reduce((sum, k) => sum + atlas.size(atlas.clusters[k].root), 0);
    return this._item(`f${family}`, 1, family, count, {
      inner: () => [...genera].map(([genus, some]) => this._genus(family, genus, some)),
    });
  }
  _genus(family, genus, ks) {
    const {atlas} = this.app,
      count = ks.reduce((sum, k) => sum + atlas.size(atlas.clusters[k].root), 0);
    return this._item(`g${family}/${genus}`, 2, genus, count, {inner: () => ks.map(k => this._cluster(k))});
  }
  _cluster(k) {
    const {atlas} = this.app,
      {root, status, name, label} = atlas.clusters[k];
    const text = name ? `${atlas.title(k)} (${atlas.pathOf(k).last})` : atlas.pathOf(k).last;
    const mark = {accepted: "✓", edited: "✎"}[status] ?? "";
    const inner = atlas.isLeaf(root) ? null : () => atlas.children(root).map(node => this._branch(k, node, 4));
    return this._item(`c${k}`, 3, text, atlas.size(root), {inner, trust: atlas.trustOf(k), mark, touched: Boolean(status)});
  }
  _branch(k, node, level) {
    const {atlas} = this.app;
    const text = atlas.isLeaf(node) ? atlas.data.ids[node] : `height ${atlas.heightOf(node).toFixed(2)}`;
    const inner = atlas.isLeaf(node) ? null : () => atlas.children(node).map(child => this._branch(k, child, level + 1));
    return this._item(`b${k}:${node}`, level, text, atlas.size(node), {inner});
  }

  rows(key) {
    const {atlas} = this.app;
    if (!this.clustersOf(key).every(k => atlas.clusters[k])) return []; // of a decision that was undone
    if (key[0] === "b") return atlas.rowsOf(Number(key.split(":")[1]));
    return this.clustersOf(key).flatMap(k => atlas.members(k));
  }
  clustersOf(key) {
    if (key[0] === "c") return [Number(key.slice(1))];
    if (key[0] === "b") return [Number(key.slice(1).split(":")[0])];
    const path = key.slice(1);
    if (key[0] === "f") return [...(this.families.get(path)?.values() ?? [])].flat();
    const at = path.lastIndexOf("/");
    return this.families.get(path.slice(0, at))?.get(path.slice(at + 1)) ?? [];
  }

  // Show a cluster: open its parents.
  reveal(k) {
    const {family, genus} = this.app.atlas.pathOf(k);
    const missing = [`f${family}`, `g${family}/${genus}`].filter(key => !this.open.has(key));
    missing.forEach(key => this.open.add(key));
    if (missing.length) this.build();
    this.find(`c${k}`)?.scrollIntoView({block: "nearest"});
  }

  select() {
    const {keys} = this.app;
    const items = [...this.root.querySelectorAll("[role=treeitem]")];
    for (const item of items) item.setAttribute("aria-selected", String(keys.has(item.dataset.key)));
    const first = items.find(item => item.tabIndex === 0) ?? items.find(item => keys.has(item.dataset.key)) ?? items[0];
    for (const item of items) item.tabIndex = item === first ? 0 : -1;
  }

  toggle(item, open = !this.open.has(item.dataset.key)) {
    if (!item.hasAttribute("aria-expanded")) return;
    const {key} = item.dataset;
    open ? this.open.add(key) : this.open.delete(key);
    this.build();
    this.focus(this.find(key));
  }
  focus(item) {
    if (!item) return;
    for (const other of this.root.querySelectorAll('[tabindex="0"]')) other.tabIndex = -1;
    item.tabIndex = 0;
    item.focus();
  }

  _click(event) {
    const item = event.target.closest("[role=treeitem]");
    if (!item) return;
    if (event.target.closest(".twist")) return this.toggle(item);
    this.focus(item);
    this.app.chooseKey(item.dataset.key, event.ctrlKey || event.metaKey || event.shiftKey);
  }
  _key(event) {
    const item = event.target.closest("[role=treeitem]");
    if (!item || (event.ctrlKey && event.key !== " ")) return;
    const items = [...this.root.querySelectorAll("[role=treeitem]")],
      at = items.indexOf(item),
      {key} = item.dataset;
    const parent = item.parentElement.closest("[role=treeitem]");
    const act = {
      ArrowDown: () => this.focus(items[at + 1]),
      ArrowUp: () => this.focus(items[at - 1]),
      Home: () => this.focus(items[0]),
      End: () => this.focus(items.at(-1)),
      ArrowRight: () => (this.open.has(key) ? this.focus(items[at + 1]) : this.toggle(item, true)),
      ArrowLeft: () => (this.open.has(key) ? this.toggle(item, false) : this.focus(parent)),
      Enter: () => this.app.chooseKey(key, false),
      " ": () => this.app.chooseKey(key, true),
    }[event.key];
    if (!act) return;
    act();
    event.preventDefault();
    event.stopPropagation();
  }
}

// ---- photographs

class GridView {
  constructor(app) {
    this.app = app;
    this.root = document.getElementById("grid");
    this.limit = 240;
    this.root.addEventListener("click", event => {
      const tile = event.target.closest(".tile");
      if (tile)
        app.pick(Number(tile.dataset.row), event.shiftKey ? "range" : event.ctrlKey || event.metaKey ? "toggle" : "one");
    });
    this.root.addEventListener("mouseover", event => {
      const tile = event.target.closest(".tile");
      if (tile) app.point(Number(tile.dataset.row));
    });
    this.root.addEventListener("keydown", event => this._key(event));
  }

  build() {
    const {atlas, groups} = this.app;
    this.order = [];
    const parts = [];
    for (const {title, about, rows, k} of groups) {
      if (this.order.length >= this.limit) break;
      const some = rows.slice(0, this.limit - this.order.length);
      const tiles = make(
        "div",
        {class: "tiles", role: "listbox", "aria-multiselectable": "true", "aria-label": title},
        ...some.map(row => this._tile(row)),
      );
      this.order.push(...some);
      const buttons =
        k === undefined
          ? []
          : [make("button", {onclick: () => this.app.chooseKey(`c${k}`, false), title: "choose this cluster"}, "choose")];
      parts.push(
        make("section", {class: "group"}, make("header", {}, make("b", {}, title), make("span", {}, about), ...buttons), tiles),
      );
    }
    const total = groups.reduce((sum, group) => sum + group.rows.length, 0);
    if (total > this.order.length) {
      parts.push(
        make(
          "button",
          {
            class: "more",
            onclick: () => {
              this.limit += 240;
              this.build();
            },
          },
          `show more (${(total - this.order.length).toLocaleString("en")} left)`,
        ),
      );
    }
    this.root.replaceChildren(...parts);
    const first = this.root.querySelector(".tile");
    if (first) first.tabIndex = 0;
  }

  _tile(row) {
    const {atlas, sprites, picked} = this.app;
    const tile = make(
      "button",
      {
        class: `tile${atlas.isOdd(row) ? " odd" : ""}`,
        role: "option",
        tabindex: -1,
        "aria-selected": String(picked.has(row)),
        "aria-label": this.app.describe(row).join(", "),
      },
      sprites.element(row, innerWidth < 800 ? 80 : 86),
    );
    const flag = {1: "noise", 2: "duplicate"}[atlas.mark[row]];
    if (flag) tile.append(make("span", {class: "flag"}, flag));
    tile.dataset.row = row;
    return tile;
  }

  marks() {
    for (const tile of this.root.querySelectorAll(".tile"))
      tile.setAttribute("aria-selected", String(this.app.picked.has(Number(tile.dataset.row))));
  }

  _key(event) {
    const tile = event.target.closest(".tile");
    if (!tile) return;
    const tiles = [...this.root.querySelectorAll(".tile")],
      at = tiles.indexOf(tile);
    const perLine = Math.max(
      1,
      tiles.filter(one => one.offsetTop === tile.offsetTop && one.parentElement === tile.parentElement).length,
    );
    const step = {ArrowRight: 1, ArrowLeft: -1, ArrowDown: perLine, ArrowUp: -perLine}[event.key];
    if (step) {
      const next = tiles[Math.min(Math.max(at + step, 0), tiles.length - 1)];
      tile.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
      this.app.point(Number(next.dataset.row));
      if (event.shiftKey) this.app.pick(Number(next.dataset.row), "range");
    } else if (event.key === " ") this.app.pick(Number(tile.dataset.row), "toggle");
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
