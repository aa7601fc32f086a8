/**
 * Plain HTTP on the port of the chat: a page for browsers, and two for those who run the server.
 *
 *     /           a chat client (the files of one folder, each under its own name)
 *     /healthz    `ok`, as soon as the server serves
 *     /metrics    a few figures, one a line
 *
 * All files are read once, at the start. The path of a request is only looked up in that table, so it cannot
 * lead to any other file on the disk.
 */

import { readdirSync, readFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { extname, join } from "node:path";

const PLAIN = "text/plain; charset=utf-8";
/** The kinds of files that the page has; others are not served. */
const TYPES = new Map([
  [".html", "text/html; charset=utf-8"],
  [".css", "text/css; charset=utf-8"],
  [".js", "text/javascript; charset=utf-8"],
  [".svg", "image/svg+xml"],
]);
/** The headers of every answer. */
const HEADERS = {
  // A message is shown as text. Should it ever come to be taken for HTML, its scripts would not run.
  "Content-Security-Policy":
    "default-src 'self'; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "X-Content-Type-Options": "nosniff",
  "Referrer-Policy": "no-referrer",
  "Cache-Control": "no-cache",
  Connection: "close",
};

interface Page {
  readonly status: number;
  readonly type: string;
  readonly body: string | Buffer;
}

/** Answers HTTP requests that do not ask for a WebSocket. */
export class Pages {
  readonly #files: ReadonlyMap<string, Page>;
  readonly #figures: () => Record<string, number>;

  /** `figures` gives what `/metrics` shows. */
  constructor(webDir: string, figures: () => Record<string, number>) {
    this.#files = readPages(webDir);
    this.#figures = figures;
  }

  answer(request: IncomingMessage, response: ServerResponse): void {
    const isKnown = request.method === "GET" || request.method === "HEAD";
    const page = isKnown ? this.#find(request.url ?? "/") : plain(405, "There are GET and HEAD.\n");
    const headers = { ...HEADERS, "Content-Type": page.type, "Content-Length": Buffer.byteLength(page.body) };
    response.writeHead(page.status, isKnown ? headers : { ...headers, Allow: "GET, HEAD" });
    response.end(page.body); // Node leaves out the body of an answer to HEAD
  }

  #find(url: string): Page {
    const [path = "/"] = url.split("?", 1);
    if (path === "/healthz") return plain(200, "ok\n");
    if (path === "/metrics") {
      const lines = Object.entries(this.#figures()).map(([name, value]) => `${name} ${value}\n`);
      return plain(200, lines.join(""));
    }
    return this.#files.get(path) ?? plain(404, "There are /, /healthz and /metrics.\n");
  }
}

function plain(status: number, body: string): Page {
  return { status, type: PLAIN, body };
}

function readPages(webDir: string): Map<string, Page> {
  const pages = new Map([["/", plain(404, `The page for browsers is not here: ${webDir} has no index.html.\n`)]]);
  for (const name of namesIn(webDir)) {
    const type = TYPES.get(extname(name));
    if (type === undefined) continue;
    const path = name === "index.html" ? "/" : `/${name}`;
    pages.set(path, { status: 200, type, body: readFileSync(join(webDir, name)) });
  }
  return pages;
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // the chat does without the page
  }
}
