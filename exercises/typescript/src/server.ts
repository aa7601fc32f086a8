/**
 * The WebSocket server: it accepts connections, makes a session for each, and looks for silent clients.
 *
 * The way of a chat message, from one client to all members of its room:
 *
 *     received     its Session reads the frame and checks it
 *     accepted     the Sequencer numbers it, and the MessageStore saves it
 *     published    the Sequencer gives it to the PubSub, and the PublishObserver between them takes note
 *     sent         the PubSub calls `send` of each member's Session, and the member's Outbox writes it
 */

import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import { setImmediate as nextTurn, setTimeout as sleep } from "node:timers/promises";

import { WebSocketServer, type WebSocket } from "ws";

import { attempt, logFailure } from "./failures.js";
import { Hub, type Config } from "./hub.js";
import { Pages } from "./pages.js";
import { PresenceManager } from "./presence.js";
import { BadFrame, encode, MAX_FRAME, userIn } from "./protocol.js";
import { PubSub } from "./pub-sub.js";
import { Sequencer } from "./sequencer.js";
import { Session } from "./session.js";
import { MessageStore } from "./store.js";

/** How often in a heartbeat interval we look for silent connections. */
const SWEEPS_PER_INTERVAL = 4;
/** Milliseconds that a client has for its HTTP request, with which each WebSocket begins, too. */
const REQUEST_TIMEOUT = 10_000;
/** Milliseconds that a stop waits for the clients' closing handshakes, and then once more for components. */
const STOP_TIMEOUT = 1000;

export class ChatServer {
  readonly #hub: Hub;
  readonly #sessions = new Set<Session>();
  readonly #http = createServer({ requestTimeout: REQUEST_TIMEOUT, connectionsCheckingInterval: 1000 });
  readonly #websockets: WebSocketServer;
  #timers: NodeJS.Timeout[] = [];
  #sweptAt = 0;

  /** Throws what a component's constructor throws, such as a StoreError. */
  constructor(config: Config) {
    this.#hub = new Hub(config, { PubSub, Sequencer, PresenceManager, MessageStore });
    const pages = new Pages(config.webDir, () => this.#figures());
    this.#http.on("request", (request, response) => pages.answer(request, response));
    this.#websockets = new WebSocketServer({
      server: this.#http,
      maxPayload: MAX_FRAME, // ws closes with 1009 beyond it
      // We are given one frame of a connection in each turn of the event loop. If a client sends ten thousand
      // tiny ones at once, everybody else has a turn between any two of them.
      allowSynchronousEvents: false,
    });
    this.#websockets.on("connection", (socket, request) => this.#accept(socket, request));
    this.#websockets.on("error", () => undefined); // those of #http come here, too; `start` has told its own
  }

  /** Begin to listen; returns the port. Rejects if the address cannot be had. */
  async start(): Promise<number> {
    const { host, port, heartbeatInterval } = this.#hub.config;
    this.#http.listen(port, host);
    await once(this.#http, "listening");
    this.#sweptAt = this.#hub.now();
    this.#timers = [
      setInterval(() => this.#sendHeartbeats(), heartbeatInterval),
      setInterval(() => void this.#sweep(), heartbeatInterval / SWEEPS_PER_INTERVAL),
    ];
    const address = this.#http.address();
    return typeof address === "object" && address !== null ? address.port : port;
  }

  /** First the duties, then the connections, and the store last, since sessions may still save. */
  async stop(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    this.#http.close();
    this.#http.closeAllConnections(); // of plain HTTP
    const sessions = [...this.#sessions];
    const allEnded = Promise.all(sessions.map((session) => session.ended));
    for (const session of sessions) session.disconnect(1001, "the server stops");
    await Promise.race([allEnded, sleep(STOP_TIMEOUT)]);
    for (const session of sessions) session.terminate();
    await Promise.race([allEnded, sleep(STOP_TIMEOUT)]); // a component that hangs even then is left behind
    try {
      await Promise.race([this.#hub.store.close(), sleep(STOP_TIMEOUT)]);
    } catch (error) {
      logFailure("could not close the store", error);
    }
  }

  #figures(): Record<string, number> {
    return {
      chatlab_connections: this.#sessions.size,
      chatlab_rooms: this.#hub.observer.newest.size,
      chatlab_messages_accepted_total: this.#hub.accepted,
    };
  }

  #accept(socket: WebSocket, request: IncomingMessage): void {
    socket.on("error", () => undefined); // ws closes the connection by itself, and then says so
    try {
      const session = new Session(this.#hub, socket, request.socket, userIn(request.url ?? "/"));
      this.#sessions.add(session);
      void session.ended.then(() => this.#sessions.delete(session));
    } catch (error) {
      if (!(error instanceof BadFrame)) throw error;
      socket.send(encode({ type: "error", data: { code: error.code, message: error.message } }), { binary: false });
      socket.close(1008, error.code);
    }
  }

  // Regular duties.

  #sendHeartbeats(): void {
    const frame = { type: "heartbeat" } as const;
    for (const session of this.#sessions) session.send(frame);
  }

  /**
   * Close the connections of clients that have been silent for longer than the offline timeout.
   *
   * A machine that lost its network says no goodbye, and TCP does not notice while nothing is sent (a half-open
   * connection): only silence tells. What counts is the client's silence and not ours, so:
   *
   * 1. Let the event loop read what has arrived. After a stall of this process that may be minutes old, and is
   *    no silence. (Timers, such as the one that called us, come before sockets, and immediates after them.)
   * 2. If we were held up for longer than a heartbeat interval, no client was sent a heartbeat that it could
   *    have answered in time: all have shown a sign of life.
   * 3. Likewise for those from whom we have chosen not to read.
   * 4. Who is silent even so is offline. First the rooms are told, then the connections are closed.
   */
  async #sweep(): Promise<void> {
    const wasHeldUp = this.#hub.now() - this.#sweptAt > this.#hub.config.heartbeatInterval;
    await nextTurn(); // 1
    this.#sweptAt = this.#hub.now();
    for (const session of this.#sessions) {
      session.checkPatience();
      if (wasHeldUp || session.isLeftUnread) session.noteSignOfLife(); // 2, 3
    }
    attempt("could not look for silent connections", () => {
      const { presence, config } = this.#hub;
      this.#hub.publishPresence(presence.sweep(this.#sweptAt)); // 4
      for (const session of [...this.#sessions].filter((each) => !presence.isConnected(each.id))) {
        session.disconnect(1001, `no sign of life for ${config.offlineTimeout / 1000} s`);
        session.end();
      }
    });
  }
}
