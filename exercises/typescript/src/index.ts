/** Starts the server as the environment says, and stops it when it is told to. */

import { accessSync, constants, mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

import type { Config } from "./hub.js";
import { ChatServer } from "./server.js";
import { StoreError } from "./types.js";

/** Milliseconds; Node's timers go no further. */
const MAX_INTERVAL = 2 ** 31 - 1;

/** Something that whoever starts the server can put right. The text says what. */
class SetupError extends Error {}

function readConfig(): Config {
  return {
    host: variable("HOST", "127.0.0.1"),
    port: port(variable("PORT", "8080")),
    dataDir: variable("DATA_DIR", "./data"),
    heartbeatInterval: milliseconds("HEARTBEAT_INTERVAL", "30"),
    offlineTimeout: milliseconds("OFFLINE_TIMEOUT", "60"),
    webDir: variable("WEB_DIR", fileURLToPath(new URL("../../../lab/web", import.meta.url))),
  };
}

function variable(name: string, otherwise: string): string {
  return process.env[name] || otherwise; // an empty one counts as not set
}

function port(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 0 && value < 2 ** 16) return value;
  throw new SetupError(`PORT is a whole number from 0 to 65535, and not ${text}`);
}

/** The environment has seconds; here all times are milliseconds. */
function milliseconds(name: string, otherwise: string): number {
  const text = variable(name, otherwise);
  const value = Number(text) * 1000;
  if (value > 0) return Math.min(value, MAX_INTERVAL);
  throw new SetupError(`${name} is a number of seconds above 0, such as 0.5, and not ${text}`);
}

/** Have the system say at once what is wrong with the folder, whatever the store does with it later. */
function prepareFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true });
    accessSync(folder, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    throw new SetupError(`cannot use the data folder ${folder}: ${reason(error)}`);
  }
}

/** Returns the port. */
async function listen(server: ChatServer, config: Config): Promise<number> {
  try {
    return await server.start();
  } catch (error) {
    throw new SetupError(`cannot listen on ${config.host}:${config.port}: ${reason(error)}`);
  }
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

async function main(): Promise<void> {
  const config = readConfig();
  prepareFolder(config.dataDir);
  const server = new ChatServer(config);
  const listeningPort = await listen(server, config);
  const stop = async (): Promise<void> => {
    await server.stop();
    process.exit(0); // a component may have left a timer
  };
  // Once: a second Ctrl-C ends the process at once, as it would without us.
  for (const signal of ["SIGTERM", "SIGINT"]) process.once(signal, () => void stop());
  console.log(`listening on ws://${config.host}:${listeningPort}/ with data in ${config.dataDir}`);
}

try {
  await main();
} catch (error) {
  if (!(error instanceof SetupError || error instanceof StoreError)) throw error;
  console.error(`Error: ${error.message}`);
  process.exit(1);
}
