/** Models by name, from a hub on this machine. */

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { join } from "node:path";
import { HubError, ModelError } from "../../../src/errors.ts";
import { fetchModel, type FetchOptions } from "../../../src/io/hub/model.ts";
import type { FetchProgress } from "../../../src/io/hub/snapshot.ts";
import { type Files, HubServer, TOKEN } from "../../support/hub_server.ts";
import { inEnvironment } from "../../support/hub_environment.ts";
import { withFolder } from "../../support/io.ts";

/** Random bytes: 200 kB. */
const WEIGHTS = Uint8Array.from({ length: 200_000 }, (_, i) => (i * 2654435761) >>> 13);

const MODEL: Files = {
  ".gitattributes": "*.safetensors filter=lfs",
  "README.md": "# Model",
  "config.json": "{}",
  "tokenizer.json": '{"a": 1}',
  "additional_chat_templates/tool.jinja": "x",
  "model.safetensors": WEIGHTS,
  "model.bin": "no",
  "model.gguf": "no",
  "onnx/model.safetensors": "no",
};

/** Runs a test with a hub that has a model, and a cache. */
async function withHub(
  test: (hub: HubServer, options: FetchOptions & { cacheFolder: string }) => Promise<void>,
): Promise<void> {
  await using hub = new HubServer();
  hub.add("org/model", MODEL);
  await withFolder(async (folder) => {
    await test(hub, {
      endpoint: hub.endpoint,
      cacheFolder: join(folder, "hub"),
      retryMs: 1,
      onNotice: () => {},
    });
  });
}

async function tree(folder: string): Promise<string[]> {
  const found: string[] = [];
  const walk = async (at: string) => {
    for await (const { name, isDirectory } of Deno.readDir(join(folder, at))) {
      if (isDirectory) await walk(join(at, name));
      else found.push(join(at, name));
    }
  };
  await walk("");
  return found.sort();
}

Deno.test("a model's used files come into the cache as the Python client has it, once", () =>
  withHub(async (hub, options) => {
    const progress: FetchProgress[] = [];
    const onProgress = (at: FetchProgress) => progress.push({ ...at });
    const folder = await fetchModel("org/model", { ...options, onProgress });
    const commit = folder.split("/").at(-1)!;
    assertMatch(folder, /hub\/models--org--model\/snapshots\/[0-9a-f]{40}$/);
    const cache = join(options.cacheFolder, "models--org--model");
    assertEquals(await tree(folder), [
      "additional_chat_templates/tool.jinja",
      "config.json",
      "model.safetensors",
      "tokenizer.json",
    ]);
    assertEquals(await Deno.readTextFile(join(cache, "refs/main")), commit);
    const link = await Deno.readLink(join(folder, "model.safetensors"));
    assertMatch(link, /^\.\.\/\.\.\/blobs\/[0-9a-f]{64}$/);
    const config = await Deno.readLink(join(folder, "config.json"));
    // git hash-object of "{}"
    assertEquals(config, "../../blobs/9e26dfeeb6e641a33dae4961196235bdb965b21b");
    assertEquals(await Deno.readFile(join(folder, "model.safetensors")), WEIGHTS);
    const { bytes, totalBytes } = progress.at(-1)!;
    assertEquals([bytes, totalBytes], [WEIGHTS.length + 2 + 8 + 1, WEIGHTS.length + 2 + 8 + 1]);
    const first = hub.log.length;
    assertEquals(await fetchModel("org/model", options), folder);
    assert(hub.log.slice(first).every((line) => line.includes("/api/")), hub.log.join("\n"));
  }));

Deno.test("branches and commits are revisions, and a file they share is downloaded once", () =>
  withHub(async (hub, options) => {
    const main = await fetchModel("org/model", options);
    const commit = hub.add("org/model", { ...MODEL, "config.json": "{ }" }, { branch: "pr/1" });
    const asked = hub.log.length;
    const other = await fetchModel("org/model@pr/1", options);
    assertEquals(other.split("/").at(-1), commit);
    assert(main !== other);
    assertEquals(await Deno.readTextFile(join(other, "config.json")), "{ }");
    assertEquals(await Deno.readFile(join(other, "model.safetensors")), WEIGHTS);
    assert(!hub.log.slice(asked).some((line) => line.includes("safetensors")));
    assertEquals(await fetchModel(`org/model@${commit}`, options), other);
  }));

Deno.test("of sharded weights the shards that the index names are fetched", () =>
  withHub(async (hub, options) => {
    const shard = (i: number) => `model-0000${i}-of-00002.safetensors`;
    const files = {
      "config.json": "{}",
      [shard(1)]: "one",
      [shard(2)]: "two",
      "consolidated.safetensors": "other",
      "model.safetensors.index.json": JSON.stringify({
        weight_map: { a: shard(1), b: shard(2), c: shard(1) },
      }),
    };
    hub.add("org/sharded", files);
    const folder = await fetchModel("org/sharded", options);
    const expected = Object.keys(files).filter((path) => !path.startsWith("consolidated"));
    assertEquals(await tree(folder), expected.sort());
    hub.add("org/sharded", { ...files, [shard(3)]: "", [shard(2)]: "2" });
    hub.add(
      "org/lacking",
      Object.fromEntries(Object.entries(files).filter(([p]) => p !== shard(2))),
    );
    await assertRejects(
      () => fetchModel("org/lacking", options),
      ModelError,
      `names "${shard(2)}", which is not there`,
    );
    hub.add("org/old", { "config.json": "{}", "pytorch_model.bin": "x" });
    await assertRejects(() => fetchModel("org/old", options), ModelError, "but pytorch_model.bin");
    hub.add("org/adapter", {
      "adapter_config.json": "{}",
      "adapter_model.safetensors": "a",
      "training_args.bin": "b",
    });
    const adapter = await fetchModel("org/adapter", options);
    assertEquals(await tree(adapter), ["adapter_config.json", "adapter_model.safetensors"]);
  }));

Deno.test("an index that names no files of the repository is refused, however it is made", () =>
  withHub(async (hub, options) => {
    const indices: readonly [index: string, words: string][] = [
      ["{", "cannot be read as JSON"],
      [`{"weight_map": ${"[".repeat(1e5)}${"]".repeat(1e5)}}`, "nested more than 128 levels deep"],
      ["[]", "names no files"],
      ["null", "names no files"],
      ['{"weight_map": {"a": {"toString": 1, "valueOf": 1}}}', 'names {"toString":1,"valueOf":1}'],
      ['{"weight_map": {"a": null}}', "names null, which is not there"],
    ];
    for (const [i, [index, words]] of indices.entries()) {
      hub.add(`org/bad${i}`, { "config.json": "{}", "model.safetensors.index.json": index });
      await assertRejects(() => fetchModel(`org/bad${i}`, options), ModelError, words);
    }
  }));

Deno.test("a connection that breaks is taken up again where it was cut", () =>
  withHub(async (hub, options) => {
    hub.faults.cutAfter = 60_000;
    const folder = await fetchModel("org/model", options);
    assertEquals(await Deno.readFile(join(folder, "model.safetensors")), WEIGHTS);
    const answers = hub.log.filter((line) => /^GET \/[0-9a-f]{64}$/.test(line)).length;
    assertEquals(answers, 4);
  }));

Deno.test("a download that was ended goes on, in another process too", () =>
  withHub(async (hub, options) => {
    hub.faults.slowMs = 1;
    const stop = new AbortController();
    const onProgress = ({ bytes }: FetchProgress) => {
      if (bytes > 50_000) stop.abort(new Error("enough"));
    };
    const ended = () => fetchModel("org/model", { ...options, signal: stop.signal, onProgress });
    await assertRejects(ended, Error, "enough");
    const blobs = join(options.cacheFolder, "models--org--model/blobs");
    const partial = (await tree(blobs)).find((name) => name.endsWith(".incomplete"))!;
    const { size } = await Deno.stat(join(blobs, partial));
    assert(size >= 50_000 && size < WEIGHTS.length, `${size}`);
    const progress: FetchProgress[] = [];
    delete hub.faults.slowMs;
    const folder = await fetchModel("org/model", {
      ...options,
      onProgress: (at) => progress.push(at),
    });
    assertEquals(await Deno.readFile(join(folder, "model.safetensors")), WEIGHTS);
    assert(!(await tree(blobs)).some((name) => name.endsWith(".incomplete")));
    assertEquals(progress.at(-1)!.bytes, progress.at(-1)!.totalBytes);
  }));

Deno.test("a hub that knows no ranges, and one that answers 503 at first, will do", () =>
  withHub(async (hub, options) => {
    Object.assign(hub.faults, { noRanges: true, status: { code: 503, times: 2 } });
    const folder = await fetchModel("org/model", options);
    assertEquals(await Deno.readFile(join(folder, "model.safetensors")), WEIGHTS);
    const blob = join(folder, await Deno.readLink(join(folder, "model.safetensors")));
    await Deno.rename(blob, `${blob}.incomplete`);
    await Deno.truncate(`${blob}.incomplete`, 1000);
    assertEquals(await fetchModel("org/model", options), folder);
    assertEquals(await Deno.readFile(join(folder, "model.safetensors")), WEIGHTS);
  }));

Deno.test("a wrong content is fetched anew, and refused if it stays wrong", () =>
  withHub(async (hub, options) => {
    hub.faults.wrongAnswers = 1;
    await fetchModel("org/model", options);
    hub.add("org/wrong", { "config.json": "{}", "model.safetensors": WEIGHTS.slice(1) });
    hub.faults.wrongAnswers = 100;
    await assertRejects(
      () => fetchModel("org/wrong", options),
      HubError,
      "was damaged on the way; try again",
    );
    const left = await tree(join(options.cacheFolder, "models--org--wrong"));
    // What others brought until then stays; none of it passes for whole.
    assert(
      left.every((path) => path.endsWith(".incomplete") || path.startsWith("refs")),
      `${left}`,
    );
    delete hub.faults.wrongAnswers;
    const folder = await fetchModel("org/wrong", options);
    // What an earlier, damaged attempt left is no reason to fail.
    const blob = join(folder, await Deno.readLink(join(folder, "model.safetensors")));
    await Deno.remove(blob);
    await Deno.writeFile(`${blob}.incomplete`, new Uint8Array(77_777));
    await fetchModel("org/wrong", options);
    assertEquals(await Deno.readFile(join(folder, "model.safetensors")), WEIGHTS.slice(1));
  }));

Deno.test("a connection that brings nothing more fails in a sentence", () =>
  withHub(async (hub, options) => {
    hub.faults.cutAfter = 0;
    const failure = await assertRejects(() => fetchModel("org/model", options), HubError);
    assertMatch(
      failure.message,
      /^Cannot go on downloading ".+" after 0 of \d+ bytes as .+ run the same command again, which goes on from there$/,
    );
  }));

Deno.test("what a hub refuses is told with the remedy", () =>
  withHub(async (hub, options) => {
    hub.add("org/private", MODEL, { access: "private" });
    hub.add("org/gated", MODEL, { access: "gated" });
    const says = async (name: string, pattern: RegExp, more: FetchOptions = {}) => {
      const failure = await assertRejects(
        () => fetchModel(name, { ...options, ...more }),
        HubError,
      );
      assertMatch(failure.message, pattern);
      assert(!/\.\s|\n/.test(failure.message), failure.message);
    };
    await says(
      "org/none",
      /^There is no model "org\/none" on 127.+set HF_TOKEN.+"hf download org\/none --local-dir none"/,
    );
    await says("org/none", /private, take a token that may read it/, { token: TOKEN });
    await says("org/private", /^There is no model "org\/private"/);
    await says("org/gated", /is gated: ask for access at http.+\/org\/gated, then set HF_TOKEN/);
    await says("org/model@v9", /has no revision "v9": give a branch/);
    await says("org/model", /does not accept the access token in use/, { token: "hf_old" });
    await says("org/model", /is not "hf_" and letters and digits/, { token: "sk-12" });
    await says("org/model", /as the address of a hub/, { endpoint: "hub" });
    await says("model", /no name on a hub/);
    await says("data/rows.jsonl", /no name on a hub/);
    for (const name of ["org/private", "org/gated"]) {
      await fetchModel(name, { ...options, token: TOKEN });
    }
    hub.faults.status = { code: 500, times: 9 };
    await says("org/model", /answers 500 \(no\): try again later/);
    hub.faults.status = { code: 429, times: 9 };
    await says("org/model", /answers 429 \(no\), too many requests: wait/);
  }));

Deno.test("without a network the cache does; else the command is named that downloads by hand", async () => {
  await withFolder(async (folder) => {
    const notices: string[] = [];
    const options: FetchOptions = {
      cacheFolder: folder,
      retryMs: 1,
      onNotice: (notice) => notices.push(notice),
    };
    let fetched: string;
    let endpoint: string;
    {
      await using hub = new HubServer();
      hub.add("org/model", MODEL);
      endpoint = hub.endpoint;
      fetched = await fetchModel("org/model", { ...options, endpoint });
    }
    assertEquals(await fetchModel("org/model", { ...options, endpoint }), fetched);
    assertMatch(
      notices.join(),
      /cannot be reached: what the cache has of org\/model, commit [0-9a-f]{7}/,
    );
    assertEquals(await fetchModel("org/model", { ...options, offline: true }), fetched);
    const missing = (more: FetchOptions) =>
      assertRejects(() => fetchModel("org/new@v2", { ...options, endpoint, ...more }), HubError);
    assertMatch(
      (await missing({})).message,
      /^Cannot fetch "org\/new@v2" as 127\.0\.0\.1:\d+ cannot be reached \(.+\): check the network and HTTPS_PROXY, or run "hf download org\/new --revision v2 --local-dir new"/,
    );
    assertMatch(
      (await missing({ offline: true })).message,
      /as HF_HUB_OFFLINE is set and ".+" does not hold it: fetch it with a network/,
    );
    await Deno.remove(join(fetched, "model.safetensors"));
    for (const more of [{ offline: true }, {}]) {
      const part = await assertRejects(
        () => fetchModel("org/model", { ...options, endpoint, ...more }),
        HubError,
      );
      assertMatch(
        part.message,
        /(is set|cannot be reached) and ".+" holds only a part of it: fetch it/,
      );
    }
  });
});

Deno.test("the environment of the Python client says where the hub, the token and the cache are", () =>
  withHub(async (hub, { cacheFolder }) => {
    hub.add("org/private", MODEL, { access: "private" });
    const home = join(cacheFolder, "home");
    await Deno.mkdir(home, { recursive: true });
    await Deno.writeTextFile(join(home, "token"), `${TOKEN}\n`);
    await inEnvironment(hub, home, async () => {
      const folder = await fetchModel("org/private");
      assert(folder.startsWith(join(home, "hub/models--org--private/")), folder);
    });
  }));

Deno.test("without weights a model's architecture comes, and the weights later", () =>
  withHub(async (hub, options) => {
    const folder = await fetchModel("org/model", { ...options, weights: false });
    assert(!(await tree(folder)).includes("model.safetensors"));
    assert(!hub.log.some((line) => /\.safetensors/.test(line)));
    assertEquals(await fetchModel("org/model", options), folder);
    assert((await tree(folder)).includes("model.safetensors"));
    hub.add("org/empty", { "README.md": "" });
    await assertRejects(() => fetchModel("org/empty", { ...options, weights: false }), ModelError);
  }));

Deno.test("of two that fetch the same at once, one downloads and the other waits", () =>
  withHub(async (hub, options) => {
    hub.faults.slowMs = 1;
    const notices: string[] = [];
    const onNotice = (notice: string) => notices.push(notice);
    const fetchOne = () => fetchModel("org/model", { ...options, onNotice });
    const [one, other] = await Promise.all([fetchOne(), fetchOne()]);
    assertEquals(one, other);
    assertEquals(hub.log.filter((line) => /^GET \/[0-9a-f]{64}$/.test(line)).length, 1);
    assert(
      notices.includes("waiting for another process that downloads model.safetensors of org/model"),
      `${notices}`,
    );
    assertEquals(await Deno.readFile(join(one, "model.safetensors")), WEIGHTS);
  }));
