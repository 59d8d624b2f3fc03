/**
 * Requests to a hub: tried again where that may help, and what a hub refuses told in a sentence.
 *
 * @module
 */

import { HubError } from "../../errors.ts";
import { toFileError } from "../file_error.ts";
import { parseJson } from "../json.ts";
import { byHand, type Repo, showRepo } from "./names.ts";
import type { HubSettings } from "./settings.ts";

/** The hub, or the way to it, does not answer: what was downloaded before may do. */
export class UnreachableError extends HubError {
  /** As the other errors of a hub: only this package needs to know the difference. */
  override name = "HubError";
}

/** The hub answered with an error. */
export class RefusedError extends HubError {
  /** As the other errors of a hub: only this package needs to know the difference. */
  override name = "HubError";

  constructor(message: string, readonly status: number) {
    super(message);
  }
}

/** How often a request is sent before it fails. */
const ATTEMPTS = 4;

/** What requests are for: messages name it. */
export type Action = "fetch" | "push";

/** `fetch` with the headers that go with it. */
export type Fetch = typeof fetch;

/**
 * A `fetch` for requests about a repository. Those that change nothing are repeated when the
 * connection fails or the hub is overloaded; a refusal is thrown as a sentence.
 */
export function hubFetch(hub: HubSettings, repo: Repo, action: Action = "fetch"): Fetch {
  return async (input, given) => {
    const init = onlyForHub(hub, input, given);
    const repeatable = ["GET", "HEAD", "PUT"].includes(init?.method ?? "GET");
    const signal = hub.signal && init?.signal
      ? AbortSignal.any([hub.signal, init.signal])
      : hub.signal ?? init?.signal;
    for (let attempt = 1;; attempt++) {
      const last = !repeatable || attempt === ATTEMPTS;
      try {
        const response = await fetch(input, { ...init, signal });
        if (response.ok) return response;
        const error = await refusal(response, hub, repo, action);
        if (last || !(response.status === 429 || response.status >= 500)) throw error;
      } catch (error) {
        signal?.throwIfAborted();
        if (error instanceof HubError) throw error;
        const refused = toFileError("connect to", hub.endpoint, error);
        if (refused !== error) throw refused; // a permission of Deno
        if (last) throw unreachable(hub, repo, action, error);
      }
      await pause(hub.retryMs * 2 ** (attempt - 1), signal);
    }
  };
}

/** What goes with a request: the access token is for the hub's own address, whatever it names others for. */
function onlyForHub(
  hub: HubSettings,
  input: RequestInfo | URL,
  init: RequestInit = {},
): RequestInit {
  const url = input instanceof Request ? input.url : input;
  if (new URL(url).origin === new URL(hub.endpoint).origin) return init;
  const headers = new Headers(init.headers);
  headers.delete("Authorization");
  return { ...init, headers };
}

/** Waits, or throws the reason of the signal. */
export async function pause(ms: number, signal?: AbortSignal | null): Promise<void> {
  signal?.throwIfAborted();
  await new Promise<void>((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal!.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal?.addEventListener("abort", stop, { once: true });
  });
}

/** The address of a file of a repository. */
export function fileAddress(hub: HubSettings, { kind, name }: Repo, commit: string, path: string) {
  const prefix = kind === "model" ? "" : `${kind}s/`;
  const encoded = path.split("/").map(encodeURIComponent).join("/");
  return `${hub.endpoint}/${prefix}${name}/resolve/${commit}/${encoded}`;
}

/** The page of a repository. */
export function pageAddress(hub: HubSettings, { kind, name }: Pick<Repo, "kind" | "name">): string {
  return `${hub.endpoint}/${kind === "model" ? "" : `${kind}s/`}${name}`;
}

/** The headers of a request for a file. */
export function authorization({ token }: HubSettings): Record<string, string> {
  return token === null ? {} : { Authorization: `Bearer ${token}` };
}

/** What the connection failed of. */
function unreachable(hub: HubSettings, repo: Repo, action: Action, error: unknown) {
  const host = new URL(hub.endpoint).host;
  const remedy = action === "fetch"
    ? `check the network and HTTPS_PROXY, or run ${
      byHand(repo)
    } where there is one and give that folder`
    : "check the network and HTTPS_PROXY and run the same command again, which sends only what is not there yet";
  return new UnreachableError(
    `Cannot ${action} "${showRepo(repo)}" as ${host} cannot be reached (${
      causeOf(error)
    }): ${remedy}`,
    { cause: error },
  );
}

/** The innermost reason: `fetch` wraps it in sentences that repeat the address. */
function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { message } = error.cause instanceof Error ? error.cause : error;
  return message.split(": ").slice(-2).join(": ");
}

async function refusal(
  response: Response,
  hub: HubSettings,
  repo: Repo,
  action: Action,
): Promise<RefusedError> {
  const { status, headers } = response;
  const answer = (headers.get("X-Error-Message") ?? await messageIn(response)).slice(0, SAID);
  const said = hub.token === null ? answer : answer.replaceAll(hub.token, "hf_…");
  const code = headers.get("X-Error-Code") ?? "";
  const found = { status, code, said };
  const words = action === "fetch" ? refusedFetch(found, hub, repo) : refusedPush(found, hub, repo);
  return new RefusedError(words, status);
}

/** Characters of what a hub says for people, and bytes of a refusal that are read to find it. */
const [SAID, LARGEST_REFUSAL] = [200, 1 << 16];

async function messageIn(response: Response): Promise<string> {
  const text = (await beginning(response).catch(() => "")).trim();
  try {
    const { error, message } = parseJson(text) as Record<string, unknown>;
    return [error, message].find((said) => typeof said === "string") ?? text;
  } catch {
    return text.startsWith("<") ? "" : text;
  }
}

async function beginning({ body }: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const bytes of body ?? []) {
    text += decoder.decode(bytes, { stream: true });
    if (text.length > LARGEST_REFUSAL) break;
  }
  return text;
}

/** What a hub answered. */
interface Answer {
  status: number;
  /** Its `X-Error-Code`. */
  code: string;
  /** What it says for people. */
  said: string;
}

function refusedPush({ status, said }: Answer, hub: HubSettings, repo: Repo): string {
  const reason = `${new URL(hub.endpoint).host} answers ${status}${said ? ` (${said})` : ""}`;
  const tokens = `${hub.endpoint}/settings/tokens`;
  const remedy = status === 401 || status === 403 || status === 404
    ? `set HF_TOKEN to a token from ${tokens} that may write there`
    : "try again later, which sends only what is not there yet";
  return `Cannot push "${showRepo(repo)}" as ${reason}: ${remedy}`;
}

function refusedFetch({ status, code, said }: Answer, hub: HubSettings, repo: Repo): string {
  const { host } = new URL(hub.endpoint);
  const [what, name] = [repo.kind === "model" ? "model" : "data set", showRepo(repo)];
  const page = pageAddress(hub, repo);
  const allowed = hub.mayReadToken ? "" : ", and add HF_TOKEN and HF_ENDPOINT to --allow-env";
  const login = `set HF_TOKEN to a token from ${hub.endpoint}/settings/tokens${allowed}`;
  const hand = `or run ${byHand(repo)} as one who may and give that folder`;
  if (code === "GatedRepo" || (status === 403 && /gated|restricted|awaiting/i.test(said))) {
    const whose = hub.token === null
      ? `ask for access at ${page}, then ${login}`
      : `ask for access at ${page} as the owner of the token in use`;
    return `Cannot fetch the ${what} "${name}" as it is gated: ${whose}, ${hand}`;
  }
  if (code === "RevisionNotFound") {
    return `Cannot fetch "${name}" as ${repo.name} has no revision "${repo.revision}": give a ` +
      `branch, a tag or a commit of those at ${page}/commits/main`;
  }
  if (status === 401 && hub.token !== null && code !== "RepoNotFound") {
    return `Cannot fetch the ${what} "${name}" as ${host} does not accept the access token in use: ${login}`;
  }
  if (status === 404 || status === 401) {
    const hidden = hub.token === null
      ? `if it is private, ${login}`
      : "if it is private, take a token that may read it";
    return `There is no ${what} "${name}" on ${host}, and no such file or folder here: check the ` +
      `name; ${hidden}, ${hand}`;
  }
  const reason = `${host} answers ${status}${said ? ` (${said})` : ""}`;
  if (status === 403) {
    return `Cannot use "${name}" as ${reason}: take a token with the right to, from ${hub.endpoint}/settings/tokens`;
  }
  if (status === 429) {
    const more = hub.token === null ? `, or ${login}, which may ask more often` : "";
    return `Cannot fetch "${name}" as ${reason}, too many requests: wait some minutes${more}`;
  }
  return `Cannot fetch "${name}" as ${reason}: try again later, or run ${byHand(repo)} elsewhere ` +
    "and give that folder";
}
