"use strict";
// The data of the page and the review: clusters, their trees, decisions, undo, and review.csv. Nothing here touches the page.

const KINDS = {Float32Array, Int32Array, Int8Array};

function bytesOf(text) {
  const binary = atob(text),
    bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

class Atlas {
  constructor(data) {
    this.data = data;
    this.n = data.ids.length;
    for (const [name, {type, data: text}] of Object.entries(data.arrays)) this[name] = new KINDS[type](bytesOf(text).buffer);
    data.arrays = null; // the text is not needed any more
    this.dimensions = this.n ? this.vectors.length / this.n : 0;
    this.cluster = new Int32Array(this.n).fill(-1); // of every photograph, -1 for noise
    this.mark = new Uint8Array(this.n); // 1 noise, 2 duplicate
    this.original = new Int32Array(this.n).fill(-1); // of a duplicate
    this.history = [];
    this.version = 0; // grows with every change
    this._trees();
    this._odd();
    this._review();
  }

  // ---- trees: node i below n is photograph i, others join two nodes

  _trees() {
    this.left = [];
    this.right = [];
    this.height = [];
    this.leaves = [];
    this.clusters = [];
    let row = 0,
      merge = 0;
    this.data.clusters.label.forEach((label, k) => {
      const size = this.data.clusters.size[k],
        first = this.n + this.left.length;
      const node = i => (i < size ? row + i : first + i - size);
      for (let j = 0; j < size - 1; j++, merge++) {
        this.join(node(this.merges[2 * merge]), node(this.merges[2 * merge + 1]), this.heights[merge]);
      }
      for (let i = row; i < row + size; i++) this.cluster[i] = k;
      this.clusters.push({label, status: "", name: null, root: size > 1 ? this.n + this.left.length - 1 : row});
      row += size;
    });
  }

  join(left, right, height) {
    this.left.push(left);
    this.right.push(right);
    this.height.push(height);
    this.leaves.push(this.size(left) + this.size(right));
    return this.n + this.left.length - 1;
  }
  isLeaf(node) {
    return node < this.n;
  }
  size(node) {
    return node < 0 ? 0 : node < this.n ? 1 : this.leaves[node - this.n];
  }
  children(node) {
    return this.isLeaf(node) ? [] : [this.left[node - this.n], this.right[node - this.n]];
  }
  heightOf(node) {
    return node < this.n ? 0 : this.height[node - this.n];
  }

  rowsOf(node) {
    const rows = [],
      pending = node < 0 ? [] : [node];
    while (pending.length) {
      const one = pending.pop();
      if (one < this.n) rows.push(one);
      else pending.push(this.right[one - this.n], this.left[one - this.n]);
    }
    return rows;
  }

  // The tree of a node without some of its photographs: new nodes, or -1 if none is left. Trees are deep, so nothing
  // calls itself.
  without(root, rows) {
    const gone = new Set(rows),
      made = new Map(),
      pending = root < 0 ? [] : [root];
    while (pending.length) {
      const node = pending[pending.length - 1];
      if (made.has(node)) {
        pending.pop();
        continue;
      }
      if (node < this.n) {
        made.set(node, gone.has(node) ? -1 : node);
        pending.pop();
        continue;
      }
      const [a, b] = this.children(node);
      if (!made.has(a) || !made.has(b)) {
        pending.push(a, b);
        continue;
      }
      const left = made.get(a),
        right = made.get(b);
      const kept =
        left < 0 ? right : right < 0 ? left : left === a && right === b ? node : this.join(left, right, this.heightOf(node));
      made.set(node, kept);
      pending.pop();
    }
    return root < 0 ? -1 : made.get(root);
  }

  joined(a, b) {
    if (a < 0 || b < 0) return Math.max(a, b);
    return this.join(a, b, Math.max(this.heightOf(a), this.heightOf(b)));
  }

  // ---- what is known

  _odd() {
    // the tenth of all photographs that is trusted least
    const known = Array.from(this.trust)
      .filter(value => value >= 0)
      .sort((a, b) => a - b);
    this.oddBelow = known.length ? known[Math.floor(0.1 * (known.length - 1))] : -1;
  }
  isOdd(row) {
    return this.trust[row] >= 0 && this.trust[row] <= this.oddBelow;
  }

  _review() {
    // decisions that are in the data already
    const {decision, duplicate_of, given_family, given_genus, given_species} = this.data.review;
    if (!decision) return;
    const place = new Map(this.data.ids.map((id, row) => [id, row]));
    for (let row = 0; row < this.n; row++) {
      const kind = decision[row];
      if (kind === "noise") this.mark[row] = 1;
      if (kind === "duplicate") {
        this.mark[row] = 2;
        this.original[row] = place.get(duplicate_of[row]) ?? -1;
      }
      if (kind === "accepted" || kind === "edited") {
        const cluster = this.clusters[this.cluster[row]];
        cluster.status = kind;
        const name = {family: given_family[row] || "", genus: given_genus[row] || "", species: given_species[row] || ""};
        const other = name.family && name.family !== this.nameOf("family", row); // a family alone corrects the one in the data
        if (name.genus || name.species || other) cluster.name = name;
      }
    }
  }

  trustOf(k) {
    let sum = 0,
      count = 0;
    for (const row of this.members(k))
      if (this.trust[row] >= 0) {
        sum += this.trust[row];
        count++;
      }
    return count ? sum / count : NaN;
  }
  members(k) {
    return this.rowsOf(this.clusters[k].root);
  }
  nameOf(rank, row) {
    const code = this[rank][row];
    return code < 0 ? "" : this.data.names[rank][code];
  }
  title(k) {
    const {name, label} = this.clusters[k];
    return name ? name.species || name.genus || name.family : label;
  }
  pathOf(k) {
    // family, genus and the rest of a label; a family may contain a slash
    const parts = this.clusters[k].label.split("/"),
      last = parts.pop(),
      genus = parts.pop();
    return {family: parts.join("/"), genus, last};
  }

  // ---- neighbours

  centroid(rows) {
    const sum = new Float32Array(this.dimensions);
    for (const row of rows) for (let d = 0; d < this.dimensions; d++) sum[d] += this.vectors[row * this.dimensions + d];
    return sum;
  }

  // The rows most similar to some others, best first, without those that are left out.
  nearest(rows, count, leaveOut = new Set(rows)) {
    const centre = this.centroid(rows),
      D = this.dimensions,
      best = [];
    for (let row = 0; row < this.n; row++) {
      let product = 0;
      for (let d = 0, at = row * D; d < D; d++, at++) product += centre[d] * this.vectors[at];
      if (best.length === count && product <= best[count - 1][0]) continue;
      if (leaveOut.has(row) || this.mark[row] === 1) continue;
      let place = best.length;
      while (place > 0 && best[place - 1][0] < product) place--;
      best.splice(place, 0, [product, row]);
      if (best.length > count) best.pop();
    }
    return best.map(one => one[1]);
  }

  // The medoid first, then by falling trust, the odd ones out last.
  ordered(rows) {
    if (rows.length < 3) return rows.slice();
    const centre = this.centroid(rows),
      D = this.dimensions;
    let medoid = rows[0],
      most = -Infinity;
    for (const row of rows) {
      let product = 0;
      for (let d = 0; d < D; d++) product += centre[d] * this.vectors[row * D + d];
      if (product > most) {
        most = product;
        medoid = row;
      }
    }
    const rank = row => (row === medoid ? 0 : this.isOdd(row) ? 2 : 1);
    return rows.slice().sort((a, b) => rank(a) - rank(b) || this.trust[b] - this.trust[a] || a - b);
  }

  // ---- decisions. Each remembers what it changed, so that it can be undone.

  _begin(what) {
    this.step = {what, rows: new Map(), clusters: new Map(), count: this.clusters.length};
  }
  _end() {
    if (this.step.rows.size || this.step.clusters.size || this.clusters.length > this.step.count) {
      this.history.push(this.step);
      this.version++;
    }
    const {what} = this.step;
    this.step = null;
    return what;
  }
  _row(row) {
    if (!this.step.rows.has(row)) this.step.rows.set(row, [this.cluster[row], this.mark[row], this.original[row]]);
  }
  _change(k, values) {
    if (k < this.step.count && !this.step.clusters.has(k)) this.step.clusters.set(k, {...this.clusters[k]});
    Object.assign(this.clusters[k], values);
  }
  _new(like, root, name = null) {
    const {family, genus} = this.pathOf(like);
    let number = 1;
    for (const {label} of this.clusters) {
      const found = /\/r(\d+)$/.exec(label);
      if (found) number = Math.max(number, Number(found[1]) + 1);
    }
    this.clusters.push({label: `${family}/${genus}/r${number}`, status: "edited", name, root});
    return this.clusters.length - 1;
  }
  _take(rows) {
    // out of their clusters
    const from = new Map();
    for (const row of rows) {
      if (this.cluster[row] < 0) continue;
      if (!from.has(this.cluster[row])) from.set(this.cluster[row], []);
      from.get(this.cluster[row]).push(row);
    }
    for (const [k, some] of from) this._change(k, {root: this.without(this.clusters[k].root, some)});
    return from;
  }
  _put(rows, k) {
    for (const row of rows) {
      this._row(row);
      this.cluster[row] = k;
      if (k < 0 || this.mark[row] === 1) this.mark[row] = k < 0 ? 1 : 0;
    }
  }

  undo() {
    const step = this.history.pop();
    if (!step) return "";
    for (const [row, [cluster, mark, original]] of step.rows) {
      this.cluster[row] = cluster;
      this.mark[row] = mark;
      this.original[row] = original;
    }
    this.clusters.length = step.count;
    for (const [k, values] of step.clusters) this.clusters[k] = values;
    this.version++;
    return step.what;
  }

  accept(ks) {
    this._begin("accept");
    for (const k of ks) if (this.clusters[k].status !== "accepted") this._change(k, {status: "accepted"});
    return this._end();
  }

  // Separate a branch from the rest of its cluster; without a branch, the two below the top.
  split(k, branch = this.children(this.clusters[k].root)[1] ?? -1) {
    const {root} = this.clusters[k];
    if (branch < 0 || branch === root || this.isLeaf(root)) return null;
    this._begin("split");
    const rows = this.rowsOf(branch);
    this._change(k, {root: this.without(root, rows), status: "edited"});
    const made = this._new(k, branch);
    this._put(rows, made);
    this._end();
    return made;
  }

  merge(ks) {
    if (ks.length < 2) return null;
    this._begin("merge");
    const [target, ...others] = ks.slice().sort((a, b) => this.size(this.clusters[b].root) - this.size(this.clusters[a].root));
    const name = ks.map(k => this.clusters[k].name).find(Boolean) ?? null;
    for (const k of others) {
      this._put(this.members(k), target);
      this._change(target, {root: this.joined(this.clusters[target].root, this.clusters[k].root)});
      this._change(k, {root: -1, status: ""});
    }
    this._change(target, {status: "edited", name: this.clusters[target].name ?? name});
    this._end();
    return target;
  }

  // Add photographs to a cluster.
  grow(k, rows) {
    rows = rows.filter(row => this.cluster[row] !== k);
    if (!rows.length) return null;
    this._begin("grow");
    this._take(rows);
    for (const row of rows) this._change(k, {root: this.joined(this.clusters[k].root, row)});
    this._change(k, {status: "edited"});
    this._put(rows, k);
    this._end();
    return k;
  }

  // Make one cluster of photographs.
  gather(rows) {
    const like = rows.map(row => this.cluster[row]).find(k => k >= 0);
    if (like === undefined) return null;
    this._begin("new cluster");
    const home = this.clusters[like].root,
      inHome = rows.filter(row => this.cluster[row] === like);
    const gone = new Set(inHome);
    let root = this.without(
      home,
      this.rowsOf(home).filter(row => !gone.has(row)),
    );
    for (const row of rows) if (this.cluster[row] !== like) root = this.joined(root, row);
    this._take(rows);
    const made = this._new(like, root);
    this._put(rows, made);
    this._end();
    return made;
  }

  noise(rows) {
    this._begin("noise");
    this._take(rows);
    this._put(rows, -1);
    for (const row of rows) this.original[row] = -1;
    return this._end();
  }

  // Photographs that show the same as another one join its cluster.
  duplicate(rows, original) {
    rows = rows.filter(row => row !== original && !this._copies(original, row));
    if (!rows.length || this.cluster[original] < 0) return null;
    this._begin("duplicate");
    const k = this.cluster[original],
      moved = rows.filter(row => this.cluster[row] !== k);
    this._take(moved);
    for (const row of moved) this._change(k, {root: this.joined(this.clusters[k].root, row)});
    this._put(moved, k);
    for (const row of rows) {
      this._row(row);
      this.mark[row] = 2;
      this.original[row] = original;
    }
    return this._end();
  }
  _copies(row, other) {
    // whether a photograph is a duplicate of another one, perhaps through others
    for (let steps = 0; row >= 0 && steps <= this.n; steps++) {
      if (row === other) return true;
      row = this.mark[row] === 2 ? this.original[row] : -1;
    }
    return false;
  }

  name(ks, name) {
    this._begin("name");
    const given = name.family || name.genus || name.species ? {...name} : null;
    for (const k of ks) this._change(k, {name: given, status: this.clusters[k].status || "edited"});
    return this._end();
  }

  // Parents of a name, as they stand in the data or were given before: missing ones are filled in.
  withParents({family = "", genus = "", species = ""}) {
    const known = (rank, value, parent) => {
      for (const {name} of this.clusters) if (name && value && name[rank] === value && name[parent]) return name[parent];
      const codes = new Set();
      this.data.names[rank].forEach((one, code) => {
        if (one === value) codes.add(code);
      });
      for (let row = 0; codes.size && row < this.n; row++) {
        if (codes.has(this[rank][row]) && this[parent][row] >= 0) return this.nameOf(parent, row);
      }
      return "";
    };
    if (!genus) genus = known("species", species, "genus") || (/^[A-Z]\S* \S/.test(species) ? species.split(" ")[0] : "");
    if (!family) family = known("genus", genus, "family") || known("species", species, "family");
    return {family, genus, species};
  }

  // ---- review.csv

  decisionOf(row) {
    if (this.mark[row]) return this.mark[row] === 1 ? "noise" : "duplicate";
    return this.cluster[row] < 0 ? "" : this.clusters[this.cluster[row]].status;
  }

  decided() {
    let count = 0;
    for (let row = 0; row < this.n; row++) if (this.decisionOf(row)) count++;
    return count;
  }

  csv() {
    const header = [
      "hash_id",
      "cluster",
      "decision",
      "duplicate_of",
      "taxonID",
      "taxonRank",
      "family",
      "genus",
      "scientificName",
      "identificationRemarks",
    ];
    const lines = [header];
    for (let row = 0; row < this.n; row++) {
      const decision = this.decisionOf(row);
      if (!decision) continue;
      const id = this.data.ids[row];
      if (decision === "noise") {
        lines.push([id, "", decision, "", "", "", "", "", "", "noise, by a person"]);
        continue;
      }
      const {label, name} = this.clusters[this.cluster[row]] ?? {label: ""}; // a duplicate of noise is in no cluster
      const family = name?.family || this.nameOf("family", row),
        genus = name?.genus || "",
        species = name?.species || "";
      const rank = species ? "species" : genus ? "genus" : family ? "family" : "";
      const trust = this.trust[row] < 0 ? "" : `, trust ${this.trust[row].toFixed(2)}`;
      const original = decision === "duplicate" ? this.data.ids[this.original[row]] : "";
      const remarks = `cluster ${label}, ${decision} by a person${original ? ` of ${original}` : ""}${trust}`;
      const taxon = `${this.data.dataset}:${species || label}`;
      lines.push([id, label, decision, original, taxon, rank, family, genus, species || genus || family, remarks]);
    }
    // Text that a spreadsheet would run as a formula gets an apostrophe, by the rule of spreadsheet.py, which takes it off again.
    const formula = /^(?:'*\s*(?:[=@＝＠]|[+\-＋－][^]*[^\p{L}\p{N}_.\- ])|'*[\t\r\n])/u;
    const safe = cell => (formula.test(cell) ? `'${cell}` : cell);
    const quoted = cell => (/[",\r\n]|^\s|\s$/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
    return lines.map(cells => cells.map(safe).map(quoted).join(",")).join("\r\n") + "\r\n";
  }
}
