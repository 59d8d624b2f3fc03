/**
 * Where the hub is, who asks, and where what it gives is kept: the environment variables and files of
 * the hub's Python client, so that both share one cache and one login.
 *
 * @module
 */

import { checkBoolean, checkNumber, checkText, type Names } from "../../checks.ts";
import { join } from "node:path";
import { HubError } from "../../errors.ts";
import { noticeOnConsole } from "../../printable.ts";
import { exists } from "../exists.ts";
import { toFileError } from "../file_error.ts";

/** Options of everything that talks to a hub. What is left out, the environment says. */
export interface HubOptions {
  /** Address of the hub. Default: `HF_ENDPOINT`, or the public one. */
  endpoint?: string;
  /** Access token. Default: `HF_TOKEN`, or the file that `HF_TOKEN_PATH` names, or that of a login. */
  token?: string;
  /** Folder that keeps what was downloaded. Default: `HF_HUB_CACHE`, or `hub` in `HF_HOME`. */
  cacheFolder?: string;
  /** Use only what was downloaded before. Default: whether `HF_HUB_OFFLINE` is set. */
  offline?: boolean;
  /** Ends it: its reason is thrown. What was downloaded by then is kept. */
  signal?: AbortSignal;
  /** Is told what is no error but should be known. Default: `console.warn`. */
  onNotice?: (notice: string) => void;
  /** Milliseconds before a first repetition; each further one waits twice as long. Default 500. */
  retryMs?: number;
}

/** The names of {@linkcode HubOptions}. */
export const HUB_NAMES: Names<HubOptions> = {
  endpoint: true,
  token: true,
  cacheFolder: true,
  offline: true,
  signal: true,
  onNotice: true,
  retryMs: true,
};

/** {@linkcode HubOptions} with all that the environment says. */
export interface HubSettings extends Required<Omit<HubOptions, "token" | "signal">> {
  /** Null for a stranger. It is sent to the hub's own address, and stands in no message. */
  token: string | null;
  /** Whether a token would be found: Deno may not allow to look for one. */
  mayReadToken: boolean;
  signal: AbortSignal | undefined;
}

/** The variable that names the user's folder. */
const HOME = Deno.build.os === "windows" ? "USERPROFILE" : "HOME";
/** Hubs without encryption that were told of: once is enough. */
const told = new Set<string>();
/** Addresses of this machine. */
const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;
const PUBLIC_HUB = "https://huggingface.co";

/**
 * Fills in what the environment says. A variable, or the file of a token, that Deno does not allow to
 * read counts as not set.
 *
 * @param options These, out of an object that may have others as well: the caller has checked the names.
 * @throws {HubError} if the token or the address cannot be one, or the address might be another than the
 * one that the token is for.
 * @throws {OptionError} for options of another kind.
 * @throws {FileError} if nothing that may be read says where the cache is, or the file of the token
 * cannot be read.
 */
export async function hubSettings(options: HubOptions = {}): Promise<HubSettings> {
  const { endpoint: given, cacheFolder, offline, retryMs } = options;
  if (given !== undefined) checkText("endpoint", given);
  if (cacheFolder !== undefined) checkText("cacheFolder", cacheFolder);
  if (offline !== undefined) checkBoolean("offline", offline);
  if (retryMs !== undefined) checkNumber("retryMs", retryMs, 0);
  const onNotice = options.onNotice ?? noticeOnConsole;
  const token = checkToken(options.token ?? variable("HF_TOKEN") ?? await storedToken());
  const endpoint = checkEndpoint(options.endpoint ?? variable("HF_ENDPOINT") ?? PUBLIC_HUB);
  if (options.endpoint === undefined && token !== null && !mayRead("HF_ENDPOINT")) {
    throw new HubError(
      "Cannot use the access token as Deno does not allow to read HF_ENDPOINT, which may name another " +
        "hub than the public one: add HF_ENDPOINT to --allow-env",
    );
  }
  const { protocol, hostname } = new URL(endpoint);
  if (protocol === "http:" && !LOOPBACK.test(hostname) && !told.has(endpoint)) {
    told.add(endpoint);
    const what = token === null ? "what it sends" : "the access token, and what it sends,";
    onNotice(
      `the hub at ${endpoint} is reached without encryption: ${what} may be read or changed on the way`,
    );
  }
  return {
    endpoint,
    token,
    mayReadToken: mayRead("HF_TOKEN"),
    cacheFolder: options.cacheFolder ??
      variable("HF_HUB_CACHE") ?? variable("HUGGINGFACE_HUB_CACHE") ?? join(clientFolder(), "hub"),
    offline: options.offline ?? isOn(variable("HF_HUB_OFFLINE")),
    signal: options.signal,
    onNotice,
    retryMs: options.retryMs ?? 500,
  };
}

/** The token of a login; null where there is none, or none that may be looked for. */
async function storedToken(): Promise<string | null> {
  const found = variable("HF_TOKEN_PATH");
  if (found === null && !CLIENT_VARIABLES.some((name) => variable(name) !== null)) return null;
  const path = found ?? join(clientFolder(), "token");
  try {
    if (!await exists(path)) return null;
    return (await Deno.readTextFile(path)).trim() || null;
  } catch (error) {
    const { cause } = error as Error;
    if ([error, cause].some((it) => it instanceof Deno.errors.NotCapable)) return null;
    throw toFileError("read", path, error);
  }
}

/** Variables that say where the Python client keeps what it keeps. */
const CLIENT_VARIABLES = ["HF_HOME", "XDG_CACHE_HOME", HOME];

/** Where the Python client keeps its login and its cache. */
function clientFolder(): string {
  return variable("HF_HOME") ??
    join(variable("XDG_CACHE_HOME") ?? join(userHome(), ".cache"), "huggingface");
}

function checkToken(token: string | null): string | null {
  if (token === null || typeof token === "string" && /^hf_[\w.~+/=-]+$/.test(token)) return token;
  throw new HubError(
    'Cannot use the access token for the hub as it is not "hf_" and letters and digits, as those of the ' +
      "hub are: correct HF_TOKEN, or log in again",
  );
}

function checkEndpoint(endpoint: string): string {
  const url = URL.parse(endpoint);
  if (url && (url.username !== "" || url.password !== "")) {
    throw new HubError(
      `Cannot use the address of a hub at ${url.host} with a name or a password in it: set HF_ENDPOINT to ` +
        "the address alone, and HF_TOKEN to an access token",
    );
  }
  if (url && /^https?:$/.test(url.protocol)) return endpoint.replace(/\/+$/, "");
  throw new HubError(
    `Cannot use "${endpoint}" as the address of a hub: set HF_ENDPOINT to one such as ${PUBLIC_HUB}`,
  );
}

function mayRead(variable: string): boolean {
  return Deno.permissions.querySync({ name: "env", variable }).state === "granted";
}

/** A variable of the environment; null where it is empty, as for the Python client, or out of sight. */
function variable(name: string): string | null {
  const value = mayRead(name) ? Deno.env.get(name)?.trim() : undefined;
  if (!value) return null;
  return value.startsWith("~/") ? join(userHome(), value.slice(2)) : value;
}

function userHome(): string {
  try {
    return Deno.env.get(HOME) || ".";
  } catch (error) {
    throw toFileError("find the cache of the hub by the environment variable", HOME, error);
  }
}

function isOn(value: string | null): boolean {
  return value !== null && ["1", "on", "yes", "true"].includes(value.toLowerCase());
}
