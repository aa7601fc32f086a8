// The naive server on node's `ws`: the text is made once, and sent to one member after the other.

import { createRequire } from "node:module";

// `require` looks in NODE_PATH too, as `import` does not.
const { WebSocketServer } = createRequire(import.meta.url)("ws");

const server = new WebSocketServer({
  host: "127.0.0.1",
  port: Number(process.env.PORT),
  perMessageDeflate: false,
});
let count = 0;

server.on("connection", (socket) => {
  socket.on("message", (text) => {
    const { type, data } = JSON.parse(text);
    if (type !== "message") return;
    count += 1;
    const message = {
      id: String(count),
      room: data.room,
      user: "somebody",
      content: data.content,
      sequence: count,
      timestamp: Date.now(),
    };
    const answer = JSON.stringify({ type: "message", data: message });
    for (const member of server.clients) member.send(answer);
  });
});
