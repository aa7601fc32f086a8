// Answers questions of tests about a module: a line of JSON for each, [function, ...arguments], and one back.

import { createInterface } from "node:readline";

Error.stackTraceLimit = 0; // to refuse a million names takes seconds otherwise

const { BadFrame, encodeHistory, parse, userIn } = await import(process.argv[2]);

const ASKED = {
  parse,
  userIn: (url) => ({ user: userIn(url) }),
  frames: (history) => Array.from(encodeHistory(history), String),
  rooms: (first, end) => {
    const fit = [];
    for (let code = first; code < end; code += 1) {
      const room = String.fromCodePoint(code);
      if (isAccepted({ type: "leave", room })) fit.push(code);
    }
    return fit;
  },
  isAssigned: (code) => !/\p{Cn}/u.test(String.fromCodePoint(code)),
};

function isAccepted(frame) {
  try {
    parse(JSON.stringify(frame));
    return true;
  } catch (error) {
    if (!(error instanceof BadFrame)) throw error;
    return false;
  }
}

function answer([name, ...given]) {
  try {
    return ASKED[name](...given);
  } catch (error) {
    if (!(error instanceof BadFrame)) throw error;
    return { code: error.code, id: error.id };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(answer(JSON.parse(line)))}\n`);
}
