/** What SECURITY.md says of the code: nothing of a model folder is run, and what it starts is listed here. */

import { assert, assertEquals } from "@std/assert";
import { join } from "node:path";

const root = new URL("../", import.meta.url).pathname;

/** Ways to run code that the import statements of a file do not show. */
const WAYS: readonly RegExp[] = [
  /\bimport\([^)]*\)/,
  /\beval\b\s*\(/,
  /\bnew\s+Function\b|[^\w.]Function\s*\(|\.constructor\s*\(/,
  /\bDeno\.(dlopen|Command|run|UnsafeFnPointer|UnsafeCallback)\b|\bprocess\.dlopen\b/,
  // A file beside the one that starts it is this package's own.
  /\bnew\s+(Shared)?Worker\((?!new URL\("\.\/\w+\.ts", import\.meta\.url\),)[^;]*?\)/,
  /\bWebAssembly\b/,
  /\bfrom\s+["'](node:)?(child_process|vm|module|worker_threads|cluster|inspector|repl|wasi)["']/,
  /\b(createRequire|require|importScripts)\s*\(/,
  /\bset(Timeout|Interval)\(\s*["'`]/,
];

/** The places where there are some, and why each runs only code of this package or of its user. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  // What FALQON_DAWN or this file names: a folder of the package or an npm: specifier.
  "src/gpu/dawn.ts": ["import(place)"],
  // This program once more, with no more permissions than it has.
  "src/cli/supervise.ts": ["Deno.Command"],
  // A text of this file, which names the collector of garbage.
  "src/garbage.ts": ['from "node:vm"'],
  // Packages that deno.json and its lock pin.
  "src/io/native_tokenizer.ts": ['import("tokenizers")'],
  "src/io/hub/push.ts": Array(3).fill('import("@huggingface/hub")'),
  "src/io/hub/listing.ts": ['import("@huggingface/hub")'],
};

async function* codeOf(folder: string): AsyncGenerator<[path: string, code: string]> {
  for await (const { name, isDirectory } of Deno.readDir(join(root, folder))) {
    const path = `${folder}/${name}`;
    if (isDirectory) yield* codeOf(path);
    else if (name.endsWith(".ts") && !name.endsWith(".generated.ts")) {
      yield [path, withoutComments(await Deno.readTextFile(join(root, path)))];
    }
  }
}

function withoutComments(code: string): string {
  return code.replace(/\/\*[^]*?\*\//g, "").replace(/(^|\s)\/\/.*$/gm, "");
}

function foundIn(code: string): string[] {
  return WAYS.flatMap((way) =>
    [...code.matchAll(new RegExp(way, "g"))].map(([found]) => found.trim())
  );
}

Deno.test("the package runs no code but its own, its pinned packages' and what FALQON_DAWN names", async () => {
  const found: Record<string, string[]> = {};
  for (const name of ["mod.ts", "cli.ts", "fp8.ts"]) {
    const code = withoutComments(await Deno.readTextFile(join(root, name)));
    if (foundIn(code).length > 0) found[name] = foundIn(code);
  }
  for await (const [path, code] of codeOf("src")) {
    const ways = foundIn(code);
    if (ways.length > 0) found[path] = ways;
  }
  assertEquals(found, ALLOWED);
});

Deno.test("the search finds every way to run code", () => {
  const codes = [
    ...["await import(name)", "eval(text)", "new Function(text)", " Function(text)()"],
    ...["[].map.constructor('x')()", "Deno.dlopen(a, {})", "new Deno.Command('x')"],
    ...["new Worker(url)", "WebAssembly.compile(x)", 'from "node:vm"', 'from "child_process"'],
    ...["createRequire(x)", "require('x')", "setTimeout('x()', 1)"],
  ];
  for (const code of codes) assert(foundIn(code).length > 0, code);
  assertEquals(
    foundIn('this.constructor.name; evaluate(x); new FunctionTable(y); type: "module"'),
    [],
  );
  assertEquals(
    foundIn('new Worker(new URL("./worker.ts", import.meta.url), { type: "module" })'),
    [],
  );
});

Deno.test("only the terminal of the command line, and one notice, write where people read", async () => {
  const found: string[] = [];
  for await (const [path, code] of codeOf("src")) {
    const own = code.replace(/"[^"\n]*"/g, '""');
    if (/\bconsole\s*\.|\bDeno\.std(out|err)\b|\bprocess\.std(out|err)\b/.test(own)) {
      found.push(path);
    }
  }
  // The second asks for lines: it shows what its user types.
  assertEquals(found.sort(), ["src/cli/line_input.ts", "src/cli/terminal.ts", "src/printable.ts"]);
});
