// What is started in the place of a server that could not be built: it says why, as a server does that cannot start.

import { readFileSync, writeSync } from "node:fs";

writeSync(2, `Error: ${readFileSync(process.argv[2], "utf8").trimEnd()}\n`);
process.exitCode = 1;
