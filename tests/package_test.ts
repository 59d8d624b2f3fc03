import { assert, assertEquals, assertMatch } from "@std/assert";
import { homedir } from "node:os";
import { join } from "node:path";
import { bundleKernels, readKernelFiles } from "../scripts/bundle_wgsl.ts";

const root = new URL("../", import.meta.url).pathname;
const read = (path: string) => Deno.readTextFileSync(join(root, path));
const config = JSON.parse(read("deno.json"));

/** Every file below a folder of the repository. */
function* filesBelow(folder: string): Generator<string> {
  for (const { name, isDirectory } of Deno.readDirSync(join(root, folder))) {
    if (isDirectory) yield* filesBelow(join(folder, name));
    else yield join(folder, name);
  }
}

/** What people write: code and prose, data left out. */
const written = [
  ...[...Deno.readDirSync(root)].filter(({ isFile }) => isFile).map(({ name }) => name),
  ...["src", "wgsl", "scripts", "tests", "bench", "docs"].flatMap((name) => [...filesBelow(name)]),
].filter((path) => /\.(ts|wgsl|json|md)$/.test(path));

Deno.test("the package has a name, a version, a licence and modules that exist", async () => {
  assertEquals(config.name, "@falqon/webgpu");
  assertMatch(config.version, /^\d+\.\d+\.\d+$/);
  assertEquals(config.license, "MIT");
  assertMatch(read("LICENSE"), /^MIT License/);
  assertEquals(Object.keys(config.exports), [".", "./cli"]);
  for (const path of Object.values<string>(config.exports)) {
    await import(join(root, path));
    assertMatch(read(path), /@module/, path);
  }
});

Deno.test("the lock holds what the package imports, and nothing that only a check needs", () => {
  const imported = Object.values<string>(config.imports)
    .map((specifier) => specifier.match(/^npm:(@?[^@]+@[^/]+)/)![1]);
  assertEquals(
    Object.keys(JSON.parse(read("deno.lock")).npm).sort(),
    [...new Set(imported)].sort(),
  );
});

Deno.test("the bundle of kernels is up to date", () => {
  const stale = bundleKernels() !== read("src/gpu/kernels.generated.ts");
  assert(!stale, "run `deno task bundle`");
});

Deno.test("wgsl/ has the folders of src/kernels, and one for what several of them include", () => {
  const folders = (path: string) =>
    [...Deno.readDirSync(join(root, path))].filter(({ isDirectory }) => isDirectory)
      .map(({ name }) => name).sort();
  assertEquals(folders("wgsl"), [...folders("src/kernels"), "shared"].sort());
  const outside = readKernelFiles().filter(({ path }) => path.split("/").length !== 2);
  assertEquals(outside.map(({ path }) => path), []);
});

Deno.test("every kernel begins by saying what it is", () => {
  for (const path of filesBelow("wgsl")) assertMatch(read(path), /^\/\/ \w/, path);
});

Deno.test("nothing is left to do in the sources, and none names a path of its author's machine", () => {
  assert(written.length > 200, `${written.length} files`);
  const leftover = new RegExp(`\\b(${["TO" + "DO", "FIX" + "ME", "X" + "XX"].join("|")})\\b`);
  for (const path of written) {
    const text = read(path);
    assert(!leftover.test(text), path);
    for (const folder of [root, `${homedir()}/`]) assert(!text.includes(folder), path);
  }
});
