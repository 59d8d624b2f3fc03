import { assert, assertEquals, assertRejects } from "@std/assert";
import { join } from "node:path";
import { HubError } from "../../../src/errors.ts";
import { listRepo } from "../../../src/io/hub/listing.ts";
import { fetchModel } from "../../../src/io/hub/model.ts";
import { licenseOf, pushModel } from "../../../src/io/hub/push.ts";
import { hubSettings } from "../../../src/io/hub/settings.ts";
import { withFolder } from "../../support/io.ts";

const REPO = { kind: "model", name: "org/model", revision: "main" } as const;
const SHA = "0".repeat(40);
const FILE = { type: "file", path: "config.json", size: 2, oid: SHA };

/** A hub that gives these answers to what a repository is and what it holds. */
function serve(info: unknown, list: unknown, link?: (address: string) => string) {
  let count = 0;
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, ({ url }) => {
    count++;
    const answer = url.includes("/revision/") ? info : list;
    const headers = { ...link && { Link: `<${link(new URL(url).origin)}>; rel="next"` } };
    return new Response(typeof answer === "string" ? answer : JSON.stringify(answer), { headers });
  });
  return {
    endpoint: `http://127.0.0.1:${server.addr.port}`,
    get count() {
      return count;
    },
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

Deno.test("an answer of a hub that is none is refused, and names no file outside of the cache", () =>
  withFolder(async (folder) => {
    const cacheFolder = join(folder, "a/b/c/cache");
    const outside = join(folder, "secret");
    await Deno.writeTextFile(outside, "secret");
    const climb = "../../../../../../secret";
    const answers: [info: unknown, list: unknown][] = [
      ...["", "[", "null", "3", "{}", "<html>", "[]"].map((info): [unknown, unknown] => [info, []]),
      ...[null, 3, {}, climb, "main", "0".repeat(41), [SHA]].map((
        sha,
      ): [unknown, unknown] => [{ sha }, []]),
      ...["", "[", "null", "3", "{}", "<html>", [null]].map((
        list,
      ): [unknown, unknown] => [{ sha: SHA }, list]),
      ...[
        { oid: climb },
        { oid: null },
        { oid: "" },
        { oid: SHA.slice(1) },
        { lfs: { oid: climb } },
        {
          lfs: { oid: "../" + SHA },
        },
        { size: -1 },
        { size: "2" },
        { size: 1e300 },
        { size: null },
      ].map((
        wrong,
      ): [unknown, unknown] => [{ sha: SHA }, [{ ...FILE, ...wrong }]]),
    ];
    for (const [info, list] of answers) {
      await using hub = serve(info, list);
      const options = { endpoint: hub.endpoint, retryMs: 1, cacheFolder };
      const { message } = await assertRejects(
        () => fetchModel("org/model", options),
        HubError,
        undefined,
        JSON.stringify([info, list]),
      );
      assert(
        /^Cannot fetch "org\/model" as the answer of 127.+ cannot be understood/.test(message),
        message,
      );
    }
    assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name).sort(), ["secret"]);
    assertEquals(await Deno.readTextFile(outside), "secret");
  }));

Deno.test("paths that leave the folder of a repository are not among its files", async () => {
  const paths = [
    "../x",
    "/x",
    "a/../../x",
    "a//b",
    "a\\..\\x",
    "C:x",
    "a\0b",
    "a\nb",
    "",
    ".",
    "a/.",
  ];
  const list = [...paths.map((path) => ({ ...FILE, path })), FILE, { ...FILE, type: "directory" }];
  await using hub = serve({ sha: SHA }, list);
  const { files } = await listRepo(await hubSettings({ endpoint: hub.endpoint }), REPO);
  assertEquals(files.map(({ path }) => path), ["config.json"]);
});

Deno.test("a list without an end, and an answer without measure, are refused", async () => {
  await using endless = serve({ sha: SHA }, [], (address) => `${address}/api/again`);
  const settings = await hubSettings({ endpoint: endless.endpoint });
  await assertRejects(
    () => listRepo(settings, REPO),
    HubError,
    "its list has more than 1000 pages",
  );
  assertEquals(endless.count, 1_000);
  await using large = serve({ sha: SHA }, `["${"x".repeat(17 << 20)}"]`);
  await assertRejects(
    async () => await listRepo(await hubSettings({ endpoint: large.endpoint }), REPO),
    HubError,
    "it has more than 16777216 bytes",
  );
});

Deno.test("what a hub says of a license is a word or nothing; a push to what is no hub is refused", () =>
  withFolder(async (folder) => {
    for (const name of ["config.json", "model.safetensors"]) {
      await Deno.writeTextFile(join(folder, name), "{}");
    }
    const tags: [unknown, string | undefined][] = [
      [["a", "license:mit"], "mit"],
      [[3, null], undefined],
      ["license:x", "x"],
      [7, undefined],
      [null, undefined],
    ];
    for (const [given, license] of tags) {
      await using hub = serve({ tags: given }, []);
      assertEquals(await licenseOf("org/model", { endpoint: hub.endpoint }), license);
    }
    for (const answer of ["", "<html>", "3", "null"]) {
      await using hub = serve(answer, answer);
      const options = { endpoint: hub.endpoint, token: "hf_x", retryMs: 1 };
      assertEquals(await licenseOf("org/model", options).catch(() => "error"), undefined, answer);
      await assertRejects(
        () => pushModel("org/model", folder, options),
        HubError,
        "as the answer of",
      );
    }
  }));
