// Keeps a component from changing what the host is made of: both run in one process.
//
// What a component returns and calls is judged in Python, by a model that it cannot reach. But it could change what
// we tell of it: by `Array.prototype.map`, by `JSON.stringify`, or by lines of its own in the channel. So all that
// is built in stays as it is, and each line of ours begins with a word that only we know. New methods of
// arrays and the like may be added, as in a server; of all objects (`toJSON`), not.

const GLOBALS = [
  ...["Array", "ArrayBuffer", "Atomics", "BigInt", "Boolean", "Buffer", "Date", "Function", "Int32Array", "JSON"],
  ...["Map", "Math", "Number", "Object", "Promise", "Proxy", "Reflect", "RegExp", "Set", "SharedArrayBuffer"],
  ...["String", "Symbol", "Uint8Array", "WeakMap", "WeakSet", "queueMicrotask"],
];

/** Make all that is built in unchangeable. */
export function seal() {
  const prototype = Object.getPrototypeOf;
  const iterators = [[][Symbol.iterator](), new Map().entries(), new Set().values(), ""[Symbol.iterator](), "".matchAll(/x/g)];
  const generators = [function* () {}, async function* () {}, async () => {}];
  const hidden = [
    ...iterators.map(prototype),
    prototype(prototype(iterators[0])),
    prototype(Uint8Array),
    prototype(Uint8Array.prototype),
    ...generators.flatMap((each) => [prototype(each), prototype(each).prototype, prototype(prototype(each).prototype ?? {})]),
  ];
  const named = GLOBALS.map((name) => globalThis[name]);
  const all = new Set([...named, ...named.map((each) => each.prototype), ...hidden]);
  all.delete(undefined);
  all.delete(Object.prototype); // an object may have a `toString` of its own
  for (const each of all) fix(each);
  Object.preventExtensions(Object.prototype);
  for (const name of GLOBALS) {
    Object.defineProperty(globalThis, name, { value: globalThis[name], writable: false, configurable: false });
  }
  // These give away what Node's own modules are made of.
  for (const name of ["binding", "_linkedBinding", "dlopen"]) Object.defineProperty(process, name, { value: undefined });
}

function fix(thing) {
  for (const name of Reflect.ownKeys(thing)) {
    const { configurable, writable } = Reflect.getOwnPropertyDescriptor(thing, name);
    if (configurable) Object.defineProperty(thing, name, { configurable: false });
    if (writable) Object.defineProperty(thing, name, { writable: false });
  }
}
