import { assert, assertEquals, assertMatch } from "@std/assert";
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { bundleKernels, readKernelFiles } from "../scripts/bundle_wgsl.ts";
import { layOut, packageFiles } from "../scripts/publish.ts";

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
  ...["src", "wgsl", "scripts", "tests", "bench", "docs", "links"].flatMap((name) => [
    ...filesBelow(name),
  ]),
].filter((path) => /\.(ts|wgsl|json|md)$/.test(path));

Deno.test("the package has a name, a version, a licence and modules that exist", async () => {
  assertEquals(config.name, "@falqon/webgpu");
  assertMatch(config.version, /^\d+\.\d+\.\d+$/);
  assertEquals(config.license, "MIT");
  assertMatch(read("LICENSE"), /^MIT License/);
  assertEquals(Object.keys(config.exports), [".", "./cli", "./fp8"]);
  for (const path of Object.values<string>(config.exports)) {
    await import(join(root, path));
    assertMatch(read(path), /@module/, path);
  }
});

Deno.test("every package that is imported from JSR has a stand-in, so that a clone needs npm only", () => {
  const imported = Object.values<string>(config.imports)
    .filter((specifier) => specifier.startsWith("jsr:"))
    .map((specifier) => specifier.match(/^jsr:(@[^@]+)@\^1$/)![1]);
  const linked = config.links.map((folder: string) => JSON.parse(read(join(folder, "deno.json"))));
  assertEquals(linked.map(({ name }: { name: string }) => name).sort(), imported.sort());
  for (const { version } of linked) assertMatch(version, /^1\.\d+\.\d+$/);
});

/** What a package of the lock needs. */
interface LockedPackage {
  dependencies?: string[];
  optionalDependencies?: string[];
}

Deno.test("the lock holds what the package imports, what that needs, and nothing that only a check needs", () => {
  const standIns = [...filesBelow("links")].filter((path) => path.endsWith(".ts"));
  const specifiers = [
    ...Object.values<string>(config.imports),
    ...standIns.flatMap((path) =>
      [...read(path).matchAll(/ from "(.+)";/g)].map(([, from]) => from)
    ),
  ];
  const imported = specifiers.filter((specifier) => specifier.startsWith("npm:"))
    .map((specifier) => specifier.match(/^npm:(@?[^@]+@[^/]+)/)![1]);
  const locked: Record<string, LockedPackage> = JSON.parse(read("deno.lock")).npm;
  const needed = new Set(imported);
  for (const name of needed) { // those that are added on the way too
    const { dependencies = [], optionalDependencies = [] } = locked[name];
    for (const other of [...dependencies, ...optionalDependencies]) {
      needed.add(Object.keys(locked).find((key) => key === other || key.startsWith(`${other}@`))!);
    }
  }
  assertEquals(Object.keys(locked).sort(), [...needed].sort());
});

Deno.test("what is published is the modules, their sources and the pages, and nothing else", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["publish", "--dry-run", "--allow-dirty", "--no-check"],
      cwd: layOut(folder, true),
      env: { NO_COLOR: "1" },
    }).output();
    const output = new TextDecoder().decode(stderr);
    assert(success, output);
    const published = [...output.matchAll(/^ +file:\/\/.+?\/package\/(.+) \(.+\)$/gm)];
    const paths = published.map(([, path]) => path).sort();
    assertEquals(paths, packageFiles());
    const modules = Object.values<string>(config.exports).map((path) => path.slice("./".length));
    assertEquals(
      [...new Set(paths.map((path) => path.split("/")[0]))].sort(),
      [
        ...modules,
        "CONTRIBUTING.md",
        "LICENSE",
        "README.md",
        "SECURITY.md",
        "deno.json",
        "docs",
        "src",
        "train.ts",
      ].sort(),
    );
    for (const path of paths) assert(!/_test\.ts$|oracle|reference/.test(path), path);
    assertEquals(paths.filter((path) => path.startsWith("src/")), [...filesBelow("src")].sort());
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("the package that is published for good has no links, but imports the same", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const published = JSON.parse(Deno.readTextFileSync(join(layOut(folder, false), "deno.json")));
    const { links: _, ...expected } = config;
    assertEquals(published, expected);
    assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name), ["package"]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** The links of a page that are not absolute: the path from the root, and the heading if one is named. */
function* relativeLinks(page: string): Generator<{ path: string; anchor?: string }> {
  for (const [, target] of read(page).matchAll(/\]\(([^)\s]+)\)/g)) {
    if (target.startsWith("https://")) continue;
    const [to, anchor] = target.split("#");
    yield { path: to === "" ? page : join(dirname(page), to), anchor };
  }
}

/** What a heading is called in a link to it. */
function anchorOf(heading: string): string {
  return heading.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, "").trim().replaceAll(" ", "-");
}

Deno.test("what the README links is absolute, or in the package", () => {
  const links = [...relativeLinks("README.md")];
  assert(links.length > 5, `${links.length} links`);
  for (const { path } of links) assert(packageFiles().includes(path), path);
});

Deno.test("every link of a page leads to a file of the repository, and to a heading that it has", () => {
  const pages = written.filter((path) => path.endsWith(".md"));
  const links = pages.flatMap((page) =>
    [...relativeLinks(page)].map((link) => ({ page, ...link }))
  );
  assert(links.length > 20, `${links.length} links`);
  for (const { page, path, anchor } of links) {
    assert(existsSync(join(root, path)), `${page} links ${path}`);
    if (anchor === undefined) continue;
    const headings = [...read(path).matchAll(/^#+ (.+)$/gm)].map(([, text]) => anchorOf(text));
    assert(headings.includes(anchor), `${page} links ${path}#${anchor}`);
  }
});

Deno.test("no example is exempt from being checked", () => {
  const exempt = new RegExp("`{3}(ts|typescript|js|javascript) +ign" + "ore");
  for (const path of written) assert(!exempt.test(read(path)), path);
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
