/**
 * Where the hub is, who asks, and where what it gives is kept: the environment variables and files of
 * the hub's Python client, so that both share one cache and one login.
 *
 * @module
 */

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

/** {@linkcode HubOptions} with all that the environment says. */
export interface HubSettings extends Required<Omit<HubOptions, "token" | "signal">> {
  /** Null for a stranger. */
  token: string | null;
  signal: AbortSignal | undefined;
}

const PUBLIC_HUB = "https://huggingface.co";

/**
 * Fills in what the environment says.
 *
 * @throws {HubError} if the token or the address cannot be one.
 * @throws {FileError} if the environment or the file of the token may not be read.
 */
export async function hubSettings(options: HubOptions = {}): Promise<HubSettings> {
  const home = variable("HF_HOME") ??
    join(variable("XDG_CACHE_HOME") ?? join(userHome(), ".cache"), "huggingface");
  return {
    endpoint: checkEndpoint(options.endpoint ?? variable("HF_ENDPOINT") ?? PUBLIC_HUB),
    token: checkToken(options.token ?? variable("HF_TOKEN") ?? await storedToken(home)),
    cacheFolder: options.cacheFolder ??
      variable("HF_HUB_CACHE") ?? variable("HUGGINGFACE_HUB_CACHE") ?? join(home, "hub"),
    offline: options.offline ?? isOn(variable("HF_HUB_OFFLINE")),
    signal: options.signal,
    onNotice: options.onNotice ?? noticeOnConsole,
    retryMs: options.retryMs ?? 500,
  };
}

async function storedToken(home: string): Promise<string | null> {
  const path = variable("HF_TOKEN_PATH") ?? join(home, "token");
  if (!await exists(path)) return null;
  try {
    return (await Deno.readTextFile(path)).trim() || null;
  } catch (error) {
    throw toFileError("read", path, error);
  }
}

function checkToken(token: string | null): string | null {
  if (token === null || token.startsWith("hf_")) return token;
  throw new HubError(
    `Cannot use the access token for the hub as it begins with "${
      token.slice(0, 3)
    }" and those of ` +
      'the hub begin with "hf_": correct HF_TOKEN, or log in again',
  );
}

function checkEndpoint(endpoint: string): string {
  if (URL.canParse(endpoint) && /^https?:$/.test(new URL(endpoint).protocol)) {
    return endpoint.replace(/\/+$/, "");
  }
  throw new HubError(
    `Cannot use "${endpoint}" as the address of a hub: set HF_ENDPOINT to one such as ${PUBLIC_HUB}`,
  );
}

/** A variable of the environment; null where it is empty, as for the Python client. */
function variable(name: string): string | null {
  try {
    const value = Deno.env.get(name)?.trim();
    if (!value) return null;
    return value.startsWith("~/") ? join(userHome(), value.slice(2)) : value;
  } catch (error) {
    throw toFileError("read the environment variable", name, error);
  }
}

function userHome(): string {
  return variable(Deno.build.os === "windows" ? "USERPROFILE" : "HOME") ?? ".";
}

function isOn(value: string | null): boolean {
  return value !== null && ["1", "on", "yes", "true"].includes(value.toLowerCase());
}
