/** Names on a hub, folders in its cache, and the way from an adapter to its model. */

import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { join, resolve } from "node:path";
import { FileError, ModelError } from "../../../src/errors.ts";
import { ModelFiles } from "../../../src/inference/model_files.ts";
import { baseOfAdapter, isAdapterFolder } from "../../../src/io/hub/base.ts";
import {
  isSafePath,
  parseDataName,
  parseModelName,
  referenceTo,
  repoOfFolder,
} from "../../../src/io/hub/names.ts";
import { withFolder } from "../../support/io.ts";

const COMMIT = "0123456789abcdef0123456789abcdef01234567";

Deno.test("names have an owner, and may have a revision and a part", () => {
  const model = (name: string, revision = "main") => ({ kind: "model", name, revision });
  assertEquals(parseModelName("org/Name-1.5_b"), model("org/Name-1.5_b"));
  assertEquals(parseModelName("org/name@refs/pr/1"), model("org/name", "refs/pr/1"));
  assertEquals(parseModelName(`org/name@${COMMIT}`), model("org/name", COMMIT));
  const paths = [
    "name",
    "./org/name",
    "../name",
    "/org/name",
    "a/b/c",
    "org/",
    "org/name@",
    "C:\\a",
  ];
  for (const text of [...paths, "data/rows.jsonl", "org/name@../x", "org/..", "~/model", ""]) {
    assertEquals(parseModelName(text), null, text);
  }
  const part = (text: string) => parseDataName(text)?.part;
  assertEquals(part("org/name"), undefined);
  assertEquals(part("org/name:train"), "train");
  assertEquals(part("org/name@v1:main/test"), "main/test");
  for (const text of ["org/name:", "org/name:a/b/c", "https://host/x", "a.csv", "org/a.parquet"]) {
    assertEquals(parseDataName(text), null, text);
  }
});

Deno.test("paths of a repository that leave its folder are not taken", () => {
  for (const path of ["a", "a/b.json", "a.b/.c"]) assertEquals(isSafePath(path), true, path);
  for (const path of ["", "/a", "../a", "a/../../b", "a//b", "a\\b", "c:d", "./a", "a/."]) {
    assertEquals(isSafePath(path), false, path);
  }
});

Deno.test("a folder in the cache tells what it holds; any other is its own full path", () => {
  const cached = `/home/me/hub/models--org--name/snapshots/${COMMIT}`;
  assertEquals(repoOfFolder(cached), { kind: "model", name: "org/name", revision: COMMIT });
  assertEquals(repoOfFolder(`${cached}/`)?.name, "org/name");
  assertEquals(repoOfFolder(cached.replace(COMMIT, "main")), null);
  assertEquals(repoOfFolder(cached.replace("snapshots", "blobs")), null);
  assertEquals(repoOfFolder(cached.replace("models--", "datasets--"))?.kind, "dataset");
  assertEquals(referenceTo(cached), `org/name@${COMMIT}`);
  assertEquals(referenceTo("../model"), resolve("../model"));
});

Deno.test("an adapter's model is found by its path from here or there, or by its name", () =>
  withFolder(async (folder) => {
    const adapter = join(folder, "adapter");
    await Deno.mkdir(adapter);
    await Deno.mkdir(join(folder, "model"));
    const base = async (config: Record<string, unknown>) => {
      await Deno.writeTextFile(join(adapter, "adapter_config.json"), JSON.stringify(config));
      return await baseOfAdapter(adapter);
    };
    const named = (base_model_name_or_path: unknown, more = {}) =>
      base({ base_model_name_or_path, ...more });
    assertEquals(await named(join(folder, "model")), join(folder, "model"));
    assertEquals(await named("../model"), join(folder, "model"));
    assertEquals(await named("org/name"), "org/name");
    assertEquals(await named("org/name", { revision: "v2" }), "org/name@v2");
    assertEquals(await named("org/name", { revision: null }), "org/name");
    // The cache of the machine on which it was trained.
    assertEquals(
      await named(`/gone/hub/models--org--name/snapshots/${COMMIT}`, { revision: null }),
      `org/name@${COMMIT}`,
    );
    for (const text of ["/gone/model", "", undefined, null]) {
      const { message } = await assertRejects(() => named(text), ModelError);
      assertStringIncludes(
        message,
        text ? `names "${text}", which is not there` : "does not say which",
      );
    }
    assertEquals(await isAdapterFolder(adapter), true);
    assertEquals(await isAdapterFolder(join(folder, "model")), false);
    for (
      const [text, way] of [[adapter, "baseOfAdapter(folder)"], [
        "org/name",
        'fetchModel("org/name")',
      ]]
    ) {
      const { message } = await assertRejects(() => ModelFiles.open(text), FileError);
      assertStringIncludes(message, way);
    }
  }));
