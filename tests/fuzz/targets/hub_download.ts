/**
 * Answers of a model hub that lies: about commits, paths, sizes, hashes, contents, and where else to go. Nothing is written
 * outside of the cache, what is accepted has the hash that was stated, and the access token stays with the hub.
 */

import "../../support/hub_environment.ts";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { fetchModel } from "../../../src/io/hub/model.ts";
import { mutateBytes } from "../frame/mutate_bytes.ts";
import { mutateJsonText } from "../frame/mutate_json.ts";
import type { FuzzRandom } from "../frame/random.ts";
import { type FuzzTarget, Nonsense } from "../frame/target.ts";

const COMMIT = "0123456789abcdef0123456789abcdef01234567";
const TOKEN = "hf_fuzz";

/** Paths that lead elsewhere, or are none. */
const PATHS = [
  ...[
    "../x",
    "../../x/config.json",
    "/etc/x",
    "a/../../x",
    "a\\..\\..\\x",
    "C:\\x",
    "a\0b",
    "",
    ".",
    "..",
  ],
  ...[
    "con",
    "nul.txt",
    "config.json/x",
    "x/config.json",
    "CONFIG.JSON",
    "config.json",
    "model.safetensors",
  ],
  ...[
    "refs/main",
    "\u202egnp.exe",
    "a".repeat(300),
    "a/".repeat(200) + "b",
    "%2e%2e/x",
    "tokenizer.json ",
  ],
];

/** An answer of a server. */
interface Answer {
  status: number;
  headers: Record<string, string>;
  body: Uint8Array<ArrayBuffer>;
}

interface Input {
  info: Answer;
  pages: Answer[];
  /** By path; all others are not there. */
  files: Record<string, Answer>;
}

const CONTENTS: Readonly<Record<string, string>> = {
  "config.json": '{"model_type":"llama"}',
  "tokenizer.json": "{}",
  "model-00001-of-00001.safetensors": "weights",
  "model.safetensors.index.json": '{"weight_map":{"a":"model-00001-of-00001.safetensors"}}',
  "README.md": "# A model",
};

const bytesOf = (text: string) => new TextEncoder().encode(text);
const gitHash = (bytes: Uint8Array) =>
  createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

function entries(): Record<string, unknown>[] {
  return Object.entries(CONTENTS).map(([path, text]) => {
    const bytes = bytesOf(text);
    const lfs = path.endsWith(".safetensors")
      ? { lfs: { oid: sha256(bytes), size: bytes.length, pointerSize: 130 } }
      : {};
    return { type: "file", path, size: bytes.length, oid: gitHash(bytes), ...lfs };
  });
}

function changed(random: FuzzRandom, answer: Answer, hosts: readonly string[]): Answer {
  switch (random.below(6)) {
    case 0:
      return {
        ...answer,
        status: random.pick([204, 206, 301, 302, 304, 400, 401, 403, 404, 416, 418, 429, 500, 503]),
      };
    case 1:
      return { ...answer, body: mutateBytes(random, [answer.body]) };
    case 2: {
      const Location = random.pick([
        ...hosts,
        "/x",
        "..",
        "file:///etc/passwd",
        "data:,x",
        "",
        "http://[",
        "ftp://x/",
      ]);
      return {
        ...answer,
        status: random.pick([301, 302, 307, 308]),
        headers: { ...answer.headers, Location },
      };
    }
    case 3: {
      const names = [
        "Content-Length",
        "Content-Encoding",
        "Content-Type",
        "X-Error-Code",
        "X-Error-Message",
        "ETag",
        "Content-Range",
      ];
      const values = [
        "0",
        "-1",
        "9999999",
        "gzip",
        "text/html",
        "GatedRepo",
        "x".repeat(3000),
        "bytes 5-6/7",
      ];
      return {
        ...answer,
        headers: { ...answer.headers, [random.pick(names)]: random.pick(values) },
      };
    }
    case 4:
      return { ...answer, body: bytesOf("<html>no</html>") };
    default:
      return { ...answer, body: answer.body.slice(0, random.below(answer.body.length + 1)) };
  }
}

function make(random: FuzzRandom, hosts: readonly string[]): Input {
  const ok = (text: string): Answer => ({ status: 200, headers: {}, body: bytesOf(text) });
  const list = entries();
  if (random.chance(0.4)) list[random.below(list.length)].path = random.pick(PATHS);
  const info = { _id: "1", id: "org/name", sha: COMMIT, tags: [], lastModified: "2026-01-01" };
  const json = (value: unknown) =>
    random.chance(0.3) ? mutateJsonText(random, [value], 0.2) : JSON.stringify(value);
  const cut = random.chance(0.2) ? random.below(list.length) : list.length;
  const pages = [
    ok(json(list.slice(0, cut))),
    ...cut < list.length ? [ok(json(list.slice(cut)))] : [],
  ];
  const input: Input = {
    info: ok(json(info)),
    pages,
    files: Object.fromEntries(Object.entries(CONTENTS).map(([path, text]) => [path, ok(text)])),
  };
  for (let count = random.below(3); count > 0; count--) {
    const which = random.below(4);
    if (which === 0) input.info = changed(random, input.info, hosts);
    else if (which === 1) input.pages[0] = changed(random, input.pages[0], hosts);
    else {
      const path = random.pick(Object.keys(input.files));
      input.files[path] = changed(random, input.files[path], hosts);
    }
  }
  return input;
}

/** What a hub with these answers says to a request. */
function answer({ info, pages, files }: Input, url: URL): Answer {
  const missing: Answer = { status: 404, headers: {}, body: bytesOf("no") };
  const path = decodeURIComponent(url.pathname);
  if (path.includes("/revision/")) return info;
  if (path.includes("/tree/")) {
    const page = Number(url.searchParams.get("page") ?? 0);
    const found = pages[page] ?? missing;
    if (page + 1 >= pages.length) return found;
    const next = `<${url.origin}${url.pathname}?page=${page + 1}>; rel="next"`;
    return { ...found, headers: { Link: next, ...found.headers } };
  }
  return files[path.split(`/resolve/${COMMIT}/`)[1] ?? ""] ?? missing;
}

export const target: FuzzTarget<Input> = {
  about: "downloads from a hub that lies",
  cost: "dear",
  gate: 100,
  prepare(folder) {
    let current: Input | null = null;
    const leaked: string[] = [];
    const respond = (request: Request): Response => {
      const { status, headers, body } = answer(current!, new URL(request.url));
      const empty = [204, 304].includes(status);
      try {
        return new Response(empty ? null : body, { status, headers });
      } catch {
        return new Response("no", { status: 500 });
      }
    };
    const serve = (handler: (request: Request) => Response) =>
      Deno.serve({
        port: 0,
        hostname: "127.0.0.1",
        onListen() {},
        onError: () => new Response("no", { status: 500 }),
      }, handler);
    const hub = serve(respond);
    const other = serve((request) => {
      if (request.headers.has("authorization")) leaked.push(request.url);
      return respond(request);
    });
    const endpoint = `http://127.0.0.1:${hub.addr.port}`;
    const elsewhere = `http://127.0.0.1:${other.addr.port}/org/name/resolve/${COMMIT}/config.json`;
    const cacheFolder = join(folder, "a", "cache");
    return {
      // The ports differ from run to run, and nothing in an input depends on them.
      make: (random) => make(random, [elsewhere, `${endpoint}/loop`]),
      async run(input) {
        current = input;
        leaked.length = 0;
        await Deno.remove(join(folder, "a"), { recursive: true }).catch(() => {});
        await Deno.mkdir(cacheFolder, { recursive: true });
        const options = { endpoint, cacheFolder, token: TOKEN, retryMs: 0, onNotice() {} };
        try {
          check(cacheFolder, await fetchModel("org/name", options), input);
        } finally {
          const strays = [...Deno.readDirSync(folder), ...Deno.readDirSync(join(folder, "a"))]
            .filter(({ name }) => name !== "a" && name !== "cache").map(({ name }) => name);
          for (const name of strays) Deno.removeSync(join(folder, name), { recursive: true });
          const problem = strays.length > 0
            ? `${strays} was written outside of the cache`
            : leaked.length > 0
            ? `the token went to ${leaked[0]}`
            : null;
          // deno-lint-ignore no-unsafe-finally
          if (problem !== null) throw new Nonsense(problem);
        }
      },
      show: (input) =>
        Deno.inspect(input, { depth: 9, strAbbreviateSize: 9999 }) +
        input.pages.map(({ body }) => `\n${new TextDecoder().decode(body)}`).join(""),
      async close() {
        await hub.shutdown();
        await other.shutdown();
      },
    };
  },
};

/** What was accepted must lie in the cache, and have the content that was listed. */
function check(cacheFolder: string, found: string, { pages }: Input): void {
  const root = Deno.realPathSync(cacheFolder);
  if (!Deno.realPathSync(found).startsWith(`${root}/`)) {
    throw new Nonsense(`${found} is no part of the cache`);
  }
  const listed = new Map<string, Record<string, unknown>>();
  for (const { body } of pages) {
    for (const entry of JSON.parse(new TextDecoder().decode(body))) listed.set(entry.path, entry);
  }
  const walk = (path: string) => {
    for (const { name, isDirectory } of Deno.readDirSync(join(found, path))) {
      const inside = path === "" ? name : `${path}/${name}`;
      if (isDirectory) {
        walk(inside);
        continue;
      }
      const real = Deno.realPathSync(join(found, inside));
      if (!real.startsWith(`${root}/`)) throw new Nonsense(`${inside} leads to ${real}`);
      const entry = listed.get(inside);
      if (entry === undefined) throw new Nonsense(`${inside} was not listed`);
      const bytes = Deno.readFileSync(real);
      // A hash is SHA-256 or git's by its length, whichever field has it.
      const stated = (entry.lfs as { oid?: string | null } | undefined)?.oid ?? entry.oid;
      if (String(stated).length === 64 ? sha256(bytes) !== stated : gitHash(bytes) !== stated) {
        throw new Nonsense(`${inside} has not the hash that was listed`);
      }
    }
  };
  walk("");
}
