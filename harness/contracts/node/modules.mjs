// The component's modules, evaluated anew each time, so that no variable survives from play to play.

import fs from "node:fs";
import nodeModule from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";
import vm from "node:vm";

/** What reaches beyond this process and its files. */
const BEYOND = ["child_process", "cluster", "dgram", "http", "http2", "https", "net", "tls", "worker_threads"];

export class Modules {
  folder = "";
  beyond = new Set(); // of these, the modules that were imported
  #replaced;
  #loaded = [];
  #sources = new Map();
  #code = new Map(); // what V8 has made of them
  #builtin = new Map();

  /** `replaced` are the modules of Node's that the simulation has of its own, by their names. */
  constructor(replaced) {
    this.#replaced = new Map(Object.entries(replaced));
    // Two other ways to Node's modules.
    const instead = (name) => this.#replaced.get(full(name));
    const createRequire = (from) => {
      const real = nodeModule.createRequire(from);
      return Object.assign((name) => instead(name) ?? real(name), real);
    };
    this.#replaced.set("node:module", { ...nodeModule, createRequire });
    const real = process.getBuiltinModule;
    if (real) process.getBuiltinModule = (name) => instead(name) ?? real(name);
  }

  /** The number of a module that was loaded from `file`, with all that it imports of its own. */
  async load(file, component) {
    this.folder = path.dirname(file);
    const made = new Map();
    const module = await this.#linked(file, made);
    await module.evaluate();
    const types = made.get(path.join(this.folder, "types.js"));
    this.#loaded.push({ kind: module.namespace[component], StoreError: types?.namespace.StoreError });
    if (typeof module.namespace[component] !== "function") {
      throw new Error(`${path.basename(file)} has no exported class \`${component}\``);
    }
    return this.#loaded.length - 1;
  }

  /** The class in a loaded module. */
  kind(number) {
    return this.#loaded[number].kind;
  }

  /** An error as a store raises it: of the class that the component may compare it with. */
  storeError(message) {
    const StoreError = this.#loaded.at(-1)?.StoreError;
    return StoreError ? new StoreError(message) : Object.assign(new Error(message), { name: "StoreError" });
  }

  async #linked(file, made) {
    const module = this.#module(file, made);
    await module.link((name, from) => this.#resolved(name, from.identifier, made));
    return module;
  }

  #module(file, made) {
    const known = made.get(file);
    if (known) return known;
    const source = this.#sources.get(file) ?? fs.readFileSync(file, "utf8");
    this.#sources.set(file, source);
    const module = new vm.SourceTextModule(source, {
      identifier: file,
      cachedData: this.#code.get(file),
      initializeImportMeta: (meta) => Object.assign(meta, { url: pathToFileURL(file).href, filename: file, dirname: path.dirname(file) }),
      importModuleDynamically: async (name) => {
        const found = await this.#resolved(name, file, made);
        if (found.status === "unlinked") await found.link((each, from) => this.#resolved(each, from.identifier, made));
        if (found.status === "linked") await found.evaluate();
        return found;
      },
    });
    if (!this.#code.has(file)) this.#code.set(file, module.createCachedData());
    made.set(file, module);
    return module;
  }

  async #resolved(name, from, made) {
    if (name.startsWith(".")) return this.#module(path.resolve(path.dirname(from), name), made);
    const identifier = full(name);
    if (BEYOND.includes(identifier.slice("node:".length))) this.beyond.add(identifier);
    const known = this.#builtin.get(identifier);
    if (known) return known;
    const namespace = this.#replaced.get(identifier) ?? (await import(name));
    const values = namespace.default === undefined ? { ...namespace, default: namespace } : namespace;
    const names = Object.keys(values);
    const module = new vm.SyntheticModule(names, function () {
      for (const each of names) this.setExport(each, values[each]);
    }, { identifier });
    this.#builtin.set(identifier, module);
    return module;
  }
}

function full(name) {
  return name.startsWith("node:") ? name : `node:${name}`;
}
