/**
 * A model hub on this machine, which speaks the public one's protocol as far as this package uses it:
 * information and lists by pages, files with hashes and ranges, large ones behind a redirect to
 * another origin, creating repositories, and commits. It can be told to fail.
 *
 * @module
 */

import "./hub_environment.ts"; // what the machine's says is none of the tests'
import { refuse, sha, toBytes } from "./hub_answers.ts";

/** Bytes by path. */
export type Files = Record<string, Uint8Array<ArrayBuffer> | string>;

/** A repository. */
interface Repo {
  /** Files by path, by commit. */
  commits: Map<string, Map<string, Uint8Array<ArrayBuffer>>>;
  refs: Map<string, string>;
  access: "public" | "private" | "gated";
  tags: string[];
}

/** What goes wrong, until it is set back. */
export interface Faults {
  /** Every answer with a large file ends after so many bytes. */
  cutAfter?: number;
  /** So many answers with a file have a wrong byte. */
  wrongAnswers?: number;
  /** So many answers to anything are of this status. */
  status?: { code: number; times: number };
  /** So many uploads of large files are read and then refused. */
  refusePuts?: number;
  /** Ranges are ignored: every answer begins at the start. */
  noRanges?: boolean;
  /** Milliseconds between pieces of a large file. */
  slowMs?: number;
}

/** The access token that the hub knows; every other is refused. */
export const TOKEN = "hf_testtoken";

const LARGE = /\.(safetensors|parquet|gguf|gz|bin)$/;
const PAGE = 3;

/** A hub. Dispose of it, or declare it with `await using`. */
export class HubServer implements AsyncDisposable {
  readonly faults: Faults = {};
  /** `METHOD path`, in the order of arrival, of the hub and of the store of large files. */
  readonly log: string[] = [];
  readonly #repos = new Map<string, Repo>();
  /** The large files by SHA-256. */
  readonly #store = new Map<string, Uint8Array<ArrayBuffer>>();
  readonly #hub: Deno.HttpServer<Deno.NetAddr>;
  readonly #cdn: Deno.HttpServer<Deno.NetAddr>;

  constructor() {
    const serve = (answer: (request: Request) => Response | Promise<Response>) =>
      Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, async (request) => {
        this.log.push(`${request.method} ${new URL(request.url).pathname}`);
        const { status } = this.faults;
        if (status && status.times-- > 0) return new Response("no", { status: status.code });
        return await answer(request);
      });
    this.#hub = serve((request) => this.#answer(request));
    this.#cdn = serve((request) => this.#large(request));
  }

  /** Its address. */
  get endpoint(): string {
    return `http://127.0.0.1:${this.#hub.addr.port}`;
  }

  /** Adds a commit to the `main` of a repository, or to another branch. */
  add(
    name: string,
    files: Files,
    {
      kind = "models",
      branch = "main",
      access = "public" as Repo["access"],
      tags = [] as string[],
    } = {},
  ): string {
    const key = `${kind}/${name}`;
    const repo = this.#repos.get(key) ??
      { commits: new Map(), refs: new Map(), access, tags };
    this.#repos.set(key, repo);
    const bytes = new Map(Object.entries(files).map(([path, content]) => [path, toBytes(content)]));
    return this.#commit(repo, branch, bytes);
  }

  /** The files of a repository's branch, as text where they are small. */
  files(name: string, kind = "models", branch = "main"): Map<string, Uint8Array<ArrayBuffer>> {
    const repo = this.#repos.get(`${kind}/${name}`)!;
    return repo.commits.get(repo.refs.get(branch)!)!;
  }

  /** Whether there is a repository, and for whom. */
  access(name: string, kind = "models"): Repo["access"] | undefined {
    return this.#repos.get(`${kind}/${name}`)?.access;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#hub.shutdown(), this.#cdn.shutdown()]);
  }

  #commit(repo: Repo, branch: string, files: Map<string, Uint8Array<ArrayBuffer>>): string {
    const commit = sha("sha1", toBytes(`${branch} ${repo.commits.size} ${[...files.keys()]}`));
    repo.commits.set(commit, files);
    repo.refs.set(branch, commit);
    for (const [path, content] of files) {
      if (LARGE.test(path)) this.#store.set(sha("sha256", content), content);
    }
    return commit;
  }

  async #answer(request: Request): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    const path = decodeURIComponent(pathname);
    const given = request.headers.get("authorization");
    if (given !== null && given !== `Bearer ${TOKEN}`) {
      return refuse(401, "", "Invalid username or password.");
    }
    if (path === "/api/repos/create") return this.#create(await request.json(), given);
    const api =
      /^\/api\/(models|datasets)\/([^/]+\/[^/]+)\/(revision|tree|preupload|commit|branch)\/(.+)$/
        .exec(path);
    const lfs = /^\/(?:(datasets)\/)?([^/]+\/[^/]+)\.git\/info\/lfs\/objects\/batch$/.exec(path);
    const file = /^\/(?:(datasets)\/)?([^/]+\/[^/]+)\/resolve\/([^/]+)\/(.+)$/.exec(path);
    const [kind = "models", name] = (api ?? lfs ?? file)?.slice(1) ?? [];
    const repo = this.#repos.get(`${kind}/${name}`);
    if (!repo || (repo.access === "private" && given === null)) {
      return refuse(given === null ? 401 : 404, "RepoNotFound", "Repository not found");
    }
    if (lfs) return this.#batch(await request.json());
    if (api?.[3] === "preupload") return this.#preupload(await request.json());
    if (api?.[3] === "branch") {
      repo.refs.set(api[4], repo.refs.get("main")!);
      return Response.json({});
    }
    if (api?.[3] === "commit") return this.#take(repo, api[4], await request.text());
    const revision = api ? api[4] : file![3];
    const commit = repo.commits.has(revision) ? revision : repo.refs.get(revision);
    if (commit === undefined) return refuse(404, "RevisionNotFound", `Invalid rev id: ${revision}`);
    if (api?.[3] === "revision") {
      return Response.json({ _id: "1", id: name, sha: commit, tags: repo.tags, lastModified: 0 });
    }
    const files = repo.commits.get(commit)!;
    if (api) return this.#tree(files, new URL(request.url), Number(searchParams.get("cursor")));
    if (repo.access === "gated" && given === null) {
      return refuse(401, "GatedRepo", "Access to this model is restricted.");
    }
    return this.#file(request, files.get(file![4]), file![4], commit);
  }

  #tree(files: Map<string, Uint8Array<ArrayBuffer>>, url: URL, start: number): Response {
    const entries = [...files].map(([path, content]) => ({
      type: "file",
      path,
      size: content.length,
      oid: sha("sha1", toBytes(`blob ${content.length}\0`), content),
      ...LARGE.test(path) &&
        { lfs: { oid: sha("sha256", content), size: content.length, pointerSize: 130 } },
    }));
    const next = new URL(url);
    next.searchParams.set("cursor", `${start + PAGE}`);
    const more = start + PAGE < entries.length;
    const headers: HeadersInit = more ? { Link: `<${next}>; rel="next"` } : {};
    return Response.json(entries.slice(start, start + PAGE), { headers });
  }

  #file(
    request: Request,
    content: Uint8Array<ArrayBuffer> | undefined,
    path: string,
    commit: string,
  ): Response {
    if (!content) return refuse(404, "EntryNotFound", "Entry not found");
    const about = { "X-Repo-Commit": commit };
    if (!LARGE.test(path)) {
      const oid = sha("sha1", toBytes(`blob ${content.length}\0`), content);
      return this.#content(request, content, { ...about, ETag: `"${oid}"` });
    }
    const oid = sha("sha256", content);
    return new Response(null, {
      status: 302,
      headers: {
        Location: `http://127.0.0.1:${this.#cdn.addr.port}/${oid}`,
        ...about,
        "X-Linked-Size": `${content.length}`,
        "X-Linked-ETag": `"${oid}"`,
      },
    });
  }

  /** The store of large files: another origin, to which no token may go. */
  async #large(request: Request): Promise<Response> {
    if (request.headers.has("authorization")) return refuse(400, "", "Only one auth mechanism");
    const oid = new URL(request.url).pathname.slice(1);
    if (request.method === "PUT") {
      const content = new Uint8Array(await request.arrayBuffer());
      if (this.faults.refusePuts) {
        this.faults.refusePuts--;
        return new Response("slow down", { status: 503 });
      }
      if (sha("sha256", content) !== oid) return refuse(400, "", "Wrong hash");
      this.#store.set(oid, content);
      return new Response(null);
    }
    return this.#content(request, this.#store.get(oid)!);
  }

  #content(
    request: Request,
    whole: Uint8Array<ArrayBuffer>,
    about: Record<string, string> = {},
  ): Response {
    const { faults } = this;
    const range = /^bytes=(\d+)-$/.exec(request.headers.get("range") ?? "");
    const start = range && !faults.noRanges ? Number(range[1]) : 0;
    const content = whole.slice(start);
    if (faults.wrongAnswers) {
      faults.wrongAnswers--;
      content[content.length >> 1] ^= 1;
    }
    const ranged = range !== null && !faults.noRanges;
    const headers: HeadersInit = {
      ...about,
      // With it, an answer that ends early is a connection that breaks.
      "Content-Length": `${content.length}`,
      ...ranged && { "Content-Range": `bytes ${start}-${whole.length - 1}/${whole.length}` },
    };
    const status = ranged ? 206 : 200;
    const { cutAfter = Infinity, slowMs = 0 } = faults;
    if (cutAfter === Infinity && slowMs === 0) return new Response(content, { status, headers });
    let sent = 0;
    const body = new ReadableStream({
      async pull(controller) {
        if (sent >= Math.min(cutAfter, content.length)) return controller.close();
        if (slowMs > 0) await new Promise((resolve) => setTimeout(resolve, slowMs));
        const piece = content.slice(sent, Math.min(sent + 1000, sent + cutAfter));
        sent += piece.length;
        controller.enqueue(piece);
      },
    });
    return new Response(body, { status, headers });
  }

  #create(
    { name, organization, visibility, type }: Record<string, string>,
    given: string | null,
  ): Response {
    if (given === null) return refuse(401, "", "Not logged in");
    const [id, key] = [`${organization}/${name}`, `${type}s/${organization}/${name}`];
    if (organization === "others") {
      return refuse(403, "", "You don't have the rights to create a model");
    }
    if (this.#repos.has(key)) return refuse(409, "", "You already created this model repo");
    const access = visibility === "private" ? "private" : "public";
    const repo: Repo = { commits: new Map(), refs: new Map(), access, tags: [] };
    this.#repos.set(key, repo);
    this.#commit(repo, "main", new Map([[".gitattributes", toBytes("*.safetensors filter=lfs")]]));
    return Response.json({ url: `${this.endpoint}/${id}`, id: "1" });
  }

  #preupload({ files }: { files: { path: string; size: number }[] }): Response {
    return Response.json({
      files: files.map(({ path }) => ({
        path,
        uploadMode: LARGE.test(path) ? "lfs" : "regular",
        shouldIgnore: false,
      })),
    });
  }

  #batch({ objects }: { objects: { oid: string; size: number }[] }): Response {
    return Response.json({
      transfer: "basic",
      objects: objects.map(({ oid, size }) => ({
        oid,
        size,
        ...!this.#store.has(oid) && {
          actions: { upload: { href: `http://127.0.0.1:${this.#cdn.addr.port}/${oid}` } },
        },
      })),
    });
  }

  #take(repo: Repo, branch: string, lines: string): Response {
    const current = repo.commits.get(repo.refs.get(branch) ?? "") ?? new Map();
    const files = new Map(current);
    for (const { key, value } of lines.split("\n").map((line) => JSON.parse(line))) {
      if (key === "lfsFile") files.set(value.path, this.#store.get(value.oid)!);
      if (key === "file") {
        files.set(value.path, Uint8Array.from(atob(value.content), (c) => c.charCodeAt(0)));
      }
    }
    const commitOid = this.#commit(repo, branch, files);
    return Response.json({ commitOid, commitUrl: `${this.endpoint}/commit/${commitOid}` });
  }
}
