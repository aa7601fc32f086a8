// What Node does in threads of its own, done at once: of two such jobs, the first one always ends first.

import crypto from "node:crypto";
import zlib from "node:zlib";

const realSetImmediate = setImmediate;
const OF_CRYPTO = ["generateKey", "generateKeyPair", "hkdf", "pbkdf2", "scrypt"];

export const compression = { ...zlib, ...doneAtOnce(zlib, Object.keys(zlib)) };
export const ciphers = doneAtOnce(crypto, OF_CRYPTO);

/** The functions of these names that have a callback, and a twin whose name ends in `Sync`. */
function doneAtOnce(module, names) {
  const found = {};
  for (const name of names) {
    const atOnce = module[`${name}Sync`];
    if (atOnce === undefined) continue;
    found[name] = (...args) => {
      const callback = args.pop();
      if (typeof callback !== "function") return module[name](...args, callback); // which throws
      const answer = (...results) => realSetImmediate(() => callback(...results));
      try {
        answer(null, atOnce(...args));
      } catch (error) {
        answer(error);
      }
    };
  }
  return found;
}
